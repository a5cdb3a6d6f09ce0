"""Borders of face tracks are moved to the cuts of the file next to them."""

import numpy as np
import pytest

from src.presenter.shot_borders import changes, nearest_cut, settle_borders


def change_with(cuts: dict[int, float], n_frames: int = 60, usual: float = 1.0) -> np.ndarray:
    values = np.full(n_frames, usual, np.float32)
    values[0] = 0
    for frame, value in cuts.items():
        values[frame] = value
    return values


def test_changes_are_mean_differences_to_the_frame_before():
    thumbnails = np.zeros((4, 16, 16), np.uint8)
    thumbnails[2:] = 10
    thumbnails[3, :8] = 30
    assert changes(thumbnails).tolist() == [0, 0, 10, 10]


@pytest.mark.parametrize("cut", [28, 29, 30, 31, 32])
def test_a_cut_within_two_frames_is_found(cut):
    assert nearest_cut(change_with({cut: 40}), 30) == cut


@pytest.mark.parametrize("change", [
    change_with({}), change_with({34: 40}), change_with({30: 5}), change_with({30: 20}, usual=10),
])  # fmt: skip
def test_where_there_is_none_the_border_stays(change):
    assert nearest_cut(change, 30) is None
    in_track = np.zeros(60, bool)
    in_track[30:50] = True
    assert settle_borders(in_track, change) == (30, 50)


def test_both_ends_of_a_track_meet_their_cuts():
    in_track = np.zeros(60, bool)
    in_track[19:41] = True
    assert settle_borders(in_track, change_with({20: 30, 40: 30})) == (20, 40)
    assert settle_borders(in_track, change_with({18: 30, 42: 30})) == (18, 42)


def test_the_ends_of_the_file_are_borders_too():
    assert settle_borders(np.ones(60, bool), change_with({})) == (0, 60)
    assert settle_borders(np.ones(60, bool), change_with({1: 40, 58: 40})) == (1, 58), (
        "a single frame of another shot"
    )
    assert settle_borders(np.ones(2, bool), np.float32([0, 1])) == (0, 2)

"""Parted lips are brought together: how far, when, and what stays in place."""

import cv2
import numpy as np
import pytest

from src.presenter.choice import Choice
from src.presenter.close_lips import MAX_GAP, LipCloser, close_lips
from src.presenter.compose import Mouth
from src.presenter.crops import WINDOW_LEFT, WINDOW_SIDE, WINDOW_TOP
from tests.support.made_presenters import jaw_points, lip_points

SIDE = 184  # pixels: two a template unit
MIDDLE = 60.0  # of the mouth, template units
DARK, SKIN = 30, 170


def mouth_with(gap: float) -> Mouth:
    """A light face with a dark gap between the lips, and a chin with a mark."""
    crop = np.full((SIDE * 3 // 2, SIDE), 128, np.uint8)
    rows, columns = np.indices((SIDE, SIDE)) * WINDOW_SIDE / SIDE
    x, y = columns + WINDOW_LEFT - 48, rows + WINDOW_TOP - MIDDLE
    half = gap / 2 * (1 - (x / 14) ** 2)
    luma = np.where((np.abs(x) < 14) & (np.abs(y) < half), DARK, SKIN)
    luma += (6 * np.sin(rows / 2) * np.cos(columns / 2)).astype(int)
    crop[:SIDE] = cv2.blur(luma.astype(np.uint8), (2, 2))
    return Mouth(crop, jaw_points(), lip_points(gap, MIDDLE))


def gap_in(mouth: Mouth) -> float:
    """Of the lips in the middle of the image, template units."""
    middle = round((48 - WINDOW_LEFT) * SIDE / WINDOW_SIDE)
    column = mouth.crop[:SIDE, middle].astype(float)
    darkness = np.clip((SKIN - 20 - column) / (SKIN - 20 - DARK), 0, 1)
    return float(darkness.sum()) * WINDOW_SIDE / SIDE


def gap_of(mouth: Mouth) -> float:
    """As its landmarks tell, template units."""
    return float((mouth.lips[1, :, 1] - mouth.lips[0, :, 1]).max())


@pytest.mark.parametrize(
    ("gap", "strength", "left"), [(6, 1, 1), (6, 0.5, 3.5), (3, 1, 1), (5, 0.25, 4)]
)
def test_the_gap_shrinks_to_what_is_asked_for(gap, strength, left):
    closed = close_lips(mouth_with(gap), strength, 1.0)
    assert gap_of(closed) == pytest.approx(left, abs=0.02)
    assert gap_in(closed) == pytest.approx(left, abs=0.7)


def test_the_lower_lip_moves_twice_as_far_as_the_upper_one():
    before, after = mouth_with(6), close_lips(mouth_with(6), 1, 0)
    moved = after.lips[:, 5, 1] - before.lips[:, 5, 1]
    assert moved == pytest.approx([2, -4], abs=0.05)


@pytest.mark.parametrize("gap", [0.5, 1.0])
def test_shut_lips_stay_as_they_are(gap):
    mouth = mouth_with(gap)
    assert close_lips(mouth, 1.0, 1.0) is mouth


def test_corners_nose_chin_and_cheeks_stay_in_place():
    before, after = mouth_with(6), close_lips(mouth_with(6), 1, 0)
    unchanged = before.crop == after.crop
    unit = SIDE / WINDOW_SIDE
    assert unchanged[: round((45 - WINDOW_TOP) * unit)].all(), "the nose"
    assert unchanged[round((76 - WINDOW_TOP) * unit) : SIDE].all(), "the chin"
    for x in (32, 64):
        column = round((x - WINDOW_LEFT) * unit)
        assert unchanged[:SIDE, : column + 1].all() if x < 48 else unchanged[:SIDE, column:].all()
    assert np.allclose(before.lips[:, [0, -1]], after.lips[:, [0, -1]])
    assert np.array_equal(before.jaw, after.jaw)


def test_no_pixel_row_is_shown_twice():
    """The field may stretch the skin, and never fold it."""
    mouth = mouth_with(MAX_GAP)
    ramp = np.linspace(20, 235, SIDE).astype(np.uint8)
    mouth.crop[:SIDE] = ramp[:, None]
    closed = close_lips(mouth, 1, 0).crop[:SIDE].astype(int)
    assert np.diff(closed, axis=0).min() >= -1


def test_a_wide_open_mouth_is_closed_only_so_far():
    assert gap_of(close_lips(mouth_with(16), 1, 0)) == pytest.approx(16 - MAX_GAP, abs=0.02)


def test_edges_that_cross_are_left_alone():
    mouth = mouth_with(0)
    crossed = Mouth(mouth.crop, mouth.jaw, mouth.lips[::-1].copy())
    crossed.lips[0, :, 1] += 1.0
    assert close_lips(crossed, 1, 0) is crossed


def make_closer(silent=(), closure=(), n_frames=40, closed_below=2.0) -> LipCloser:
    marks = np.zeros((2, n_frames), bool)
    marks[0, list(silent)], marks[1, list(closure)] = True, True
    choice = Choice(np.zeros(n_frames, int), np.zeros(n_frames, np.float32), *marks)
    return LipCloser(choice, closed_below)


def gaps(closer: LipCloser, n_frames=40) -> np.ndarray:
    return np.array([gap_of(closer.close(mouth_with(6), k)) for k in range(n_frames)])


def test_lips_shut_at_a_sound_and_part_again_at_once():
    closer = make_closer(closure=[10])
    measured = gaps(closer)
    assert measured[10] == pytest.approx(0.2, abs=0.02)
    assert (measured[[9, 11]] > 4.5).all() and (measured[[*range(9), *range(12, 40)]] > 5.9).all()
    for frame in (9.5, 10.5):  # between the frames of the grid
        assert gap_of(closer.close(mouth_with(6), frame)) == pytest.approx(1.94, abs=0.02)


def test_lips_are_shut_throughout_a_pause():
    measured = gaps(make_closer(silent=range(20, 30)))
    assert measured[21:29] == pytest.approx(0.2, abs=0.02)
    assert (np.diff(measured[17:23]) <= 0.01).all() and measured[18] > 5.9
    assert (np.diff(measured[27:33]) >= -0.01).all() and measured[31] > 5.9


def test_without_pauses_and_sounds_nothing_changes():
    mouth = mouth_with(6)
    assert make_closer().close(mouth, 7.3) is mouth

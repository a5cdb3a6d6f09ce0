"""Which frame of the base is under each output frame."""

import numpy as np
import pytest

from src.presenter.base import TURN_SEARCH_S, plan_base
from tests.support.made_presenters import base_video, similarity_matrix

RATES = [24000 / 1001, 25.0, 30.0, 60.0]


def vfr_times(n_frames: int, seed: int = 0) -> np.ndarray:
    """Seconds of frames displayed for 17 to 120 ms."""
    steps = np.random.default_rng(seed).choice([0.017, 0.033, 0.04, 0.12], n_frames - 1)
    return np.concatenate([[0.0], np.cumsum(steps)])


def duration_of(base, plan) -> float:
    """Seconds until the end of the last frame."""
    steps = np.append(np.diff(base.times), base.frame_s)
    return plan.times[-1] + steps[plan.numbers[-1]]


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("duration_s", [0.2, 1.0, 1.96, 2.0])
def test_a_longer_video_is_played_from_its_beginning(fps, duration_s):
    base = base_video(np.arange(round(3 * fps)) / fps)
    plan = plan_base(base, duration_s)
    assert np.array_equal(plan.numbers, np.arange(len(plan.numbers)))
    assert np.array_equal(plan.times, base.times[: len(plan.numbers)])
    assert duration_s - 1e-6 <= duration_of(base, plan) < duration_s + 1 / fps


def test_exactly_as_long_is_long_enough():
    base = base_video(np.arange(75) / 25)
    assert plan_base(base, 3.0).numbers.tolist() == list(range(75))
    assert plan_base(base, 3.001).numbers.tolist()[:75] != list(range(75)), "it turns before"


@pytest.mark.parametrize("duration_s", [3.02, 4.0, 7.3, 60.0])
@pytest.mark.parametrize("fps", RATES)
def test_a_shorter_video_goes_back_and_forth(fps, duration_s):
    """Never further than one frame, never the same frame twice, and as long as the speech."""
    base = base_video(np.arange(round(3 * fps)) / fps)
    plan = plan_base(base, duration_s)
    assert plan.numbers[0] == 0 and plan.numbers.min() >= 0 and plan.numbers.max() < len(base.times)
    assert (np.abs(np.diff(plan.numbers)) == 1).all()
    assert np.allclose(np.diff(plan.times), 1 / fps)
    assert duration_s - 1e-6 <= duration_of(base, plan) < duration_s + 1 / fps + 1e-6


@pytest.mark.parametrize("duration_s", [1.0, 20.0])
def test_a_variable_frame_rate_keeps_its_times(duration_s):
    base = base_video(vfr_times(90))
    plan = plan_base(base, duration_s)
    steps = np.append(np.diff(base.times), base.frame_s)
    assert plan.times[0] == 0 and (np.diff(plan.times) > 0).all()
    assert np.allclose(np.diff(plan.times), steps[plan.numbers[:-1]]), "shown as long as filmed"
    assert (np.abs(np.diff(plan.numbers)) == 1).all()
    assert duration_s - 1e-6 <= duration_of(base, plan) <= duration_s + steps.max()


def test_it_turns_where_the_head_is_still():
    n_frames = 200
    place = np.cumsum(np.full(n_frames, 2.0))  # moves by two pixels a frame, but for two moments
    for still in (14, 180):
        place[still - 2 : still + 3] = place[still]
    matrices = np.stack([similarity_matrix(2, 0, x, 40) for x in place])
    base = base_video(np.arange(n_frames) / 25, to_frame=matrices)
    numbers = plan_base(base, 30.0).numbers
    steps = np.diff(numbers)
    turns = numbers[1:-1][steps[1:] != steps[:-1]]
    assert len(set(turns)) == 2
    assert np.abs(turns - np.where(turns < 100, 14, 180)).max() <= 2


@pytest.mark.parametrize("problem", ["blink", "no face"])
def test_it_does_not_turn_within_a_blink_or_without_a_face(problem):
    n_frames = 150
    eyes, has_face = np.full(n_frames, 6, np.float32), np.ones(n_frames, bool)
    bad = np.r_[0:20, 118:150]
    if problem == "blink":
        eyes[bad] = 2
    else:
        eyes[bad], has_face[bad] = np.nan, False
    # Where it is bad, the head is stillest.
    place = 3.0 * np.arange(n_frames)
    place[bad] = 0
    matrices = np.stack([similarity_matrix(2, 0, x, 40) for x in place])
    base = base_video(np.arange(n_frames) / 25, to_frame=matrices, eyes=eyes, has_face=has_face)
    numbers = plan_base(base, 30.0).numbers
    steps = np.diff(numbers)
    turns = numbers[1:-1][steps[1:] != steps[:-1]]
    assert len(turns) > 3 and not np.isin(turns, bad).any()


def test_it_turns_near_the_ends():
    base = base_video(np.arange(500) / 25)
    numbers = plan_base(base, 100.0).numbers
    assert 500 - TURN_SEARCH_S * 25 <= numbers.max() < 500
    steps = np.diff(numbers)
    low = numbers[1:-1][(steps[:-1] < 0) & (steps[1:] > 0)]
    assert low.max() < TURN_SEARCH_S * 25


def test_a_still_image_stays():
    base = base_video(np.zeros(1))
    plan = plan_base(base, 3.0)
    assert set(plan.numbers) == {0} and len(plan.numbers) == 75
    assert np.allclose(np.diff(plan.times), 1 / 25)
    assert len(plan_base(base, 0.02).numbers) == 1


@pytest.mark.parametrize("n_frames", [2, 3, 4, 7])
def test_very_short_videos(n_frames):
    base = base_video(np.arange(n_frames) / 25)
    plan = plan_base(base, 5.0)
    assert len(plan.numbers) == 125 and (np.abs(np.diff(plan.numbers)) <= 1).all()
    assert plan.numbers.min() == 0 and plan.numbers.max() < n_frames
    assert (np.diff(plan.times) > 0).all()


def test_a_video_without_a_face_is_planned_too():
    nothing = np.full(60, np.nan, np.float32)
    base = base_video(np.arange(60) / 25, has_face=np.zeros(60, bool), eyes=nothing)
    assert len(plan_base(base, 8.0).numbers) == 200


def test_how_long_a_frame_is_displayed():
    assert base_video(vfr_times(91, 3)).frame_s == pytest.approx(
        np.median(np.diff(vfr_times(91, 3)))
    )
    assert base_video(np.zeros(1)).frame_s == pytest.approx(1 / 25)

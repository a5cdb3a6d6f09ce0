"""When the full frame is searched: more rarely in a calm shot, and where nothing moves."""

import numpy as np
import pytest

from src.faces.search_schedule import (
    CALM_INTERVAL,
    LONGEST_INTERVAL,
    MAX_CHANGE,
    SEARCH_INTERVAL,
    SearchSchedule,
)
from src.media.frame import to_video_frame

FACE = np.array([0.45, 0.4, 0.55, 0.55])  # of the frame
CLOSE_UP = np.array([0.1, 0.05, 0.9, 0.95])


def frame(change: int = 0, at: tuple[float, float] = (0.05, 0.3), level: int = 100):
    """A grey frame in which a square of 20 px of 640 at (x, y) is brighter by ``change``."""
    image = np.full((480, 640, 3), level, np.uint8)
    x, y = round(at[0] * 640), round(at[1] * 480)
    image[y : y + 20, x : x + 20] += np.uint8(change)
    return to_video_frame(image)


STILL = frame()


def moving(index: int):
    return frame(80 * (index // 24 % 2))


def searched(n_faces, frame_at, first_frame: int = 0, n: int = 120) -> list[int]:
    """Frames searched when they are due; ``n_faces``: how many faces are in a frame."""
    schedule, frames = SearchSchedule(first_frame), []
    for index in range(first_frame, first_frame + n):
        if schedule.is_due(index, frame_at(index)):
            schedule.add(index, frame_at(index), [FACE] * n_faces(index))
            frames.append(index - first_frame)
    return frames


def calm_schedule(box: np.ndarray = FACE) -> SearchSchedule:
    """The next search is due at frame 48."""
    schedule = SearchSchedule(0)
    for index in (0, 12, 24):
        schedule.add(index, STILL, [box])
    assert schedule.is_calm and schedule.next_search == 48
    return schedule


@pytest.mark.parametrize("first_frame", [0, 24])
def test_one_face_makes_a_shot_calm_after_three_searches(first_frame):
    """While something moves around it."""
    frames = searched(lambda _: 1, moving, first_frame)
    assert frames == [0, SEARCH_INTERVAL, 24, 24 + CALM_INTERVAL, 72, 96]


def test_where_nothing_moves_it_is_every_four():
    frames = searched(lambda _: 1, lambda _: STILL, n=300)
    assert frames == [0, 12, 24, 24 + LONGEST_INTERVAL, 24 + 2 * LONGEST_INTERVAL]


@pytest.mark.parametrize("n_faces", [0, 2])
def test_none_or_two_do_not_make_it_calm(n_faces):
    assert searched(lambda _: n_faces, lambda _: STILL) == list(range(0, 120, SEARCH_INTERVAL))


def test_another_face_ends_the_calm():
    frames = searched(lambda index: 2 if index == 48 else 1, moving)
    assert frames == [0, 12, 24, 48, 60, 72, 84, 108]


def test_a_lost_face_ends_the_calm():
    """It is searched for in frames that were not due."""
    schedule = calm_schedule()
    for index in (30, 31, 32):
        schedule.add(index, STILL, [FACE])
        assert not schedule.is_calm and schedule.next_search == index + SEARCH_INTERVAL


@pytest.mark.parametrize("at", [(0.05, 0.3), (0.9, 0.9), (0.5, 0.02)], ids=str)
def test_who_comes_and_stays_is_searched_for_when_it_is_due(at):
    schedule = calm_schedule()
    assert not schedule.is_due(48, STILL)
    assert not schedule.is_due(60, frame(80, at)), "put off by a second"
    assert schedule.is_due(72, frame(80, at))


@pytest.mark.parametrize("at", [(0.5, 0.45), (0.4, 0.9)], ids=str)
def test_what_the_person_does_is_no_reason(at):
    assert not calm_schedule().is_due(48, frame(80, at))


def test_nor_is_noise_but_slow_changes_are_in_the_end():
    schedule = calm_schedule()
    assert not schedule.is_due(48, frame(level=100 + MAX_CHANGE // 2))
    assert schedule.is_due(72, frame(level=100 + 2 * MAX_CHANGE)), "compared to the latest search"


@pytest.mark.parametrize("box", [CLOSE_UP, np.array([0.3, 0.2, 0.71, 0.8])], ids=["all", "0.4"])
def test_where_the_person_fills_the_frame_it_is_every_second(box):
    """Someone may come in what is left."""
    assert calm_schedule(box).is_due(48, STILL)


def test_a_larger_face_needs_less_room():
    """One of 0.3 widths, whose shoulders would fill the frame."""
    schedule = calm_schedule(np.array([0.35, 0.3, 0.65, 0.7]))
    assert not schedule.is_due(48, STILL)
    assert schedule.is_due(72, frame(80, (0.02, 0.5)))


def test_a_stream_that_changes_its_size_is_searched():
    small = to_video_frame(np.full((240, 240, 3), 100, np.uint8))
    assert calm_schedule().is_due(48, small)

"""When the full frame is searched: more rarely in a calm shot."""

import pytest

from src.faces.search_schedule import CALM_INTERVAL, SEARCH_INTERVAL, SearchSchedule


def searched(n_faces, first_frame: int = 0, n: int = 120) -> list[int]:
    """Frames searched when they are due; ``n_faces``: how many faces are in a frame."""
    schedule, frames = SearchSchedule(first_frame), []
    for index in range(first_frame, first_frame + n):
        if schedule.is_due(index):
            schedule.add(index, n_faces(index))
            frames.append(index)
    return frames


@pytest.mark.parametrize("first_frame", [0, 7])
def test_one_face_makes_a_shot_calm_after_three_searches(first_frame):
    frames = [index - first_frame for index in searched(lambda _: 1, first_frame)]
    assert frames == [0, SEARCH_INTERVAL, 24, 24 + CALM_INTERVAL, 72, 96]


@pytest.mark.parametrize("n_faces", [0, 2])
def test_none_or_two_do_not(n_faces):
    assert searched(lambda _: n_faces) == list(range(0, 120, SEARCH_INTERVAL))


def test_another_face_ends_the_calm():
    assert searched(lambda index: 2 if index == 48 else 1) == [0, 12, 24, 48, 60, 72, 84, 108]


def test_a_lost_face_ends_the_calm():
    """It is searched for in frames that were not due."""
    schedule = SearchSchedule(0)
    for index in (0, 12, 24):
        schedule.add(index, 1)
    assert schedule.is_calm and schedule.next_search == 48
    for index in (30, 31, 32):
        schedule.add(index, 1)
        assert not schedule.is_calm and schedule.next_search == index + SEARCH_INTERVAL

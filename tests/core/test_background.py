"""Work beside other work: its result, its errors, and its end when the other one ends."""

import threading
import time

import pytest

from src.core.background import BackgroundTask
from src.core.errors import NoAudioError, NoFaceError


def endless(seen: list):
    def work(passing):
        for number in passing(iter(int, 1)):
            seen.append(number)
            time.sleep(0.001)

    return work


def test_both_are_done():
    with BackgroundTask(lambda passing: sum(passing(range(10)))) as one:
        assert list(one.watched("abc")) == list("abc")
        assert one.result() == 45


def test_an_error_of_the_work_ends_the_block_between_two_items():
    def work(passing):
        raise NoAudioError("no sound")

    given = []
    with pytest.raises(NoAudioError), BackgroundTask(work) as one:
        for number in one.watched(range(10_000)):
            given.append(number)
            time.sleep(0.001)
    assert len(given) < 10_000


def test_an_error_of_the_work_is_told_rather_than_one_of_the_block():
    started = threading.Event()

    def work(passing):
        started.wait(5)
        raise NoAudioError("no sound")

    with pytest.raises(NoAudioError), BackgroundTask(work):
        started.set()
        raise NoFaceError("no face")
    with pytest.raises(NoFaceError), BackgroundTask(lambda passing: 1):
        raise NoFaceError("no face")


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_the_work_is_given_up_with_the_block(error):
    seen, threads = [], threading.active_count()
    with pytest.raises(error), BackgroundTask(endless(seen)):
        while not seen:
            time.sleep(0.001)
        raise error
    count = len(seen)
    time.sleep(0.02)
    assert len(seen) == count and threading.active_count() == threads

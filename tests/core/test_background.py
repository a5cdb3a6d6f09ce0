"""A task in the background: its result, its errors, and its end with the block."""

import threading
import time

import pytest

from src.core.background import BackgroundTask
from src.core.errors import NoAudioError, NoFaceError


def endless(processed: list):
    def task(cancellable):
        for number in cancellable(iter(int, 1)):
            processed.append(number)
            time.sleep(0.001)

    return task


def test_the_task_and_the_block_are_both_finished():
    with BackgroundTask(lambda cancellable: sum(cancellable(range(10)))) as task:
        assert list(task.watched("abc")) == list("abc")
        assert task.result() == 45


def test_an_error_of_the_task_ends_the_block_between_two_items():
    def fail(cancellable):
        raise NoAudioError("no audio")

    processed = []
    with pytest.raises(NoAudioError), BackgroundTask(fail) as task:
        for number in task.watched(range(10_000)):
            processed.append(number)
            time.sleep(0.001)
    assert len(processed) < 10_000


def test_an_error_of_the_task_goes_before_one_of_the_block():
    started = threading.Event()

    def fail(cancellable):
        started.wait(5)
        raise NoAudioError("no audio")

    with pytest.raises(NoAudioError), BackgroundTask(fail):
        started.set()
        raise NoFaceError("no face")
    with pytest.raises(NoFaceError), BackgroundTask(lambda cancellable: 1):
        raise NoFaceError("no face")


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_the_task_is_cancelled_with_the_block(error):
    processed, threads = [], threading.active_count()
    with pytest.raises(error), BackgroundTask(endless(processed)):
        while not processed:
            time.sleep(0.001)
        raise error
    count = len(processed)
    time.sleep(0.02)
    assert len(processed) == count and threading.active_count() == threads

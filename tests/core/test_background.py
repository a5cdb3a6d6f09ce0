"""A task, or items made ahead, in the background: results, errors, and the end with the block."""

import threading
import time
from contextlib import nullcontext
from itertools import count

import pytest

from src.core.background import BackgroundTask, made_ahead
from src.core.errors import MediaError, NoAudioError, NoFaceError
from src.i18n.messages import tr, use_language


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


def test_items_made_ahead_keep_their_order_and_are_few_at_a_time():
    made = []

    def items():
        for number in range(50):
            made.append(number)
            yield number

    with made_ahead(items(), 3) as taken:
        for number, item in enumerate(taken):
            assert item == number
            assert len(made) <= number + 1 + 3 + 1  # one is in the making
    assert len(made) == 50 and list(taken) == []


def test_an_error_of_items_made_ahead_comes_in_its_place():
    def items():
        yield from (1, 2)
        raise MediaError("damaged")

    received = []
    with pytest.raises(MediaError, match="damaged"), made_ahead(items(), 8) as taken:
        received.extend(iter(taken.__next__, None))
    assert received == [1, 2]


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, MediaError])
def test_a_block_that_stops_early_leaves_no_thread_and_closes_the_items(error):
    closed = []

    def items():
        try:
            yield from count()
        finally:
            closed.append(threading.current_thread().name)

    before = threading.active_count()
    expectation = pytest.raises(error) if error else nullcontext()
    with expectation, made_ahead(items(), 2) as taken:
        assert next(taken) == 0
        if error:
            raise error
    assert closed == ["made-ahead"] and threading.active_count() == before


@pytest.mark.parametrize("begins", [True, False])
def test_an_interruption_while_the_thread_begins_leaves_no_thread(monkeypatch, begins):
    """Ctrl+C as the first frame is about to be decoded: the program waited for ever."""
    start, before = threading.Thread.start, threading.active_count()

    def interrupted(thread):
        if begins:
            start(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt), made_ahead(iter(count()), 2):
        pass
    assert threading.active_count() == before


def test_items_are_made_ahead_in_the_language_of_the_block():
    with use_language("zh"), made_ahead((tr("video") for _ in range(1)), 1) as taken:
        assert next(taken) == "视频"

"""Work in a thread in the background, stopped together with the work in the foreground."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from queue import SimpleQueue
from typing import Generic, TypeVar

from .errors import LipSyncError

Item = TypeVar("Item")
Result = TypeVar("Result")


class BackgroundTask(Generic[Result]):
    """A task in a thread of its own while the block runs, in the language of the block.

    An error of the task ends the block, and goes before an error of the block itself: which error
    is reported must not depend on which of the two came first. Ctrl+C ends both.

    Args:
        task: called with a function that its items must pass through, so that it can be stopped
            between two of them; what it returns is the ``result``.
    """

    def __init__(self, task: Callable[[Callable], Result]):
        self._task = task
        self._cancelled = threading.Event()

    def __enter__(self) -> "BackgroundTask[Result]":
        self._executor = ThreadPoolExecutor(1)
        try:
            self._future = self._executor.submit(copy_context().run, self._task, self._cancellable)
        except BaseException:  # Ctrl+C
            self._cancelled.set()
            raise
        return self

    def __exit__(self, kind, error, trace) -> None:
        try:
            if isinstance(error, LipSyncError):
                self.result()
        finally:
            self._cancelled.set()
            self._executor.shutdown()

    def _cancellable(self, items: Iterable[Item]) -> Iterator[Item]:
        for item in items:
            if self._cancelled.is_set():
                raise _CancelledError
            yield item

    def watched(self, items: Iterable[Item]) -> Iterator[Item]:
        """The block's own items; an error of the task is raised between two of them."""
        for item in items:
            if self._future.done():
                self._future.result()
            yield item

    def result(self) -> Result:
        """What the task returns, once it has finished; raises its error."""
        return self._future.result()


class _CancelledError(Exception):
    """The block has ended, and nothing waits for the task any more."""


@contextmanager
def made_ahead(items: Iterator[Item], n_ahead: int) -> Iterator[Iterator[Item]]:
    """The same items in the same order, made by a thread of its own while the block uses those
    before.

    An error of the thread is raised where its item would have come. When the block ends, also
    early, the thread does, after the item that it is making; ``items`` is closed.

    Args:
        items: an iterator; a generator is closed.
        n_ahead: so many items at most wait for the block.
    """
    made, free = SimpleQueue(), threading.Semaphore(n_ahead)
    is_stopped = threading.Event()

    def make() -> None:
        error = None
        try:
            while True:
                free.acquire()
                if is_stopped.is_set():
                    break
                made.put((True, next(items)))
        except StopIteration:
            pass
        except BaseException as raised:  # of the block's thread to handle
            error = raised
        finally:
            try:
                getattr(items, "close", lambda: None)()
            finally:
                made.put((False, error))

    def taken() -> Iterator[Item]:
        while True:
            is_item, value = made.get()
            if is_item:
                free.release()
                yield value
                continue
            made.put((False, None))  # an iterator stays at its end
            if value is not None:
                raise value
            return

    # A daemon: Ctrl+C may come just before the block begins, and nobody would end the thread.
    thread = threading.Thread(
        target=copy_context().run, args=(make,), name="made-ahead", daemon=True
    )
    try:
        thread.start()  # may be interrupted, too, while it waits for the thread to begin
        yield taken()
    finally:
        is_stopped.set()
        free.release()
        if thread.ident is not None:  # else it ends by itself, if it ever begins
            thread.join()

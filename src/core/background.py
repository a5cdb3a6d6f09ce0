"""Work done in a thread beside other work, and given up when that is."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from .errors import LipSyncError

Item = TypeVar("Item")
Result = TypeVar("Result")


class BackgroundTask(Generic[Result]):
    """One piece of work in a thread of its own while the block runs.

    An error of it ends the block, even where the block has met one of its own by then: whether
    the work is first or second must not decide what a user is told. Ctrl+C ends both.

    Args:
        work: is given a function that its items must pass through, so that it can be stopped
            between two of them; what it returns is the ``result``.
    """

    def __init__(self, work: Callable[[Callable], Result]):
        self._work = work
        self._given_up = threading.Event()

    def __enter__(self) -> "BackgroundTask[Result]":
        self._threads = ThreadPoolExecutor(1)
        self._done = self._threads.submit(self._work, self._passing)
        return self

    def __exit__(self, kind, error, trace) -> None:
        try:
            if isinstance(error, LipSyncError):
                self.result()
        finally:
            self._given_up.set()
            self._threads.shutdown()

    def _passing(self, items: Iterable[Item]) -> Iterator[Item]:
        for item in items:
            if self._given_up.is_set():
                raise _GivenUpError
            yield item

    def watched(self, items: Iterable[Item]) -> Iterator[Item]:
        """The block's own items; an error of the work is raised between two of them."""
        for item in items:
            if self._done.done():
                self._done.result()
            yield item

    def result(self) -> Result:
        """What the work came to, once it is there; raises its error."""
        return self._done.result()


class _GivenUpError(Exception):
    """Nobody waits for the work any more."""

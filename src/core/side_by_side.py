"""A ``map`` whose calls run beside each other in threads of Python."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
# As ``map`` of one iterable.
Mapper = Callable[[Callable[[Item], Result], Iterable[Item]], Iterator[Result]]


@contextmanager
def mapped_in_threads(
    n_threads: int, initializer: Callable[[], object] | None = None
) -> Iterator[Mapper]:
    """A ``map`` whose calls run beside each other, for computations that release the GIL.

    Results come in order; a few are computed ahead, in the order in which they are asked for. An
    error is raised in its place. When the block ends, calls that have not begun are dropped.

    Args:
        n_threads: of Python; 1: the plain ``map``.
        initializer: called in each thread first.
    """
    if n_threads == 1:
        yield map
        return
    executor = ThreadPoolExecutor(n_threads, "side-by-side", initializer)

    def mapped(compute: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        calls = (executor.submit(copy_context().run, compute, item) for item in items)
        waiting = deque(islice(calls, n_threads))  # they begin before the first is asked for

        def results() -> Iterator[Result]:
            while waiting:
                waiting.extend(islice(calls, 1))
                yield waiting.popleft().result()

        return results()

    try:
        yield mapped
    finally:
        executor.shutdown(cancel_futures=True)

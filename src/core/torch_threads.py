"""How many threads torch computes with, where work is shared among threads of Python.

The number of threads is a setting of the process, and every thread of Python keeps the value that
it began with. So it is set and put back by one thread at a time, and where it must not stay, in a
new thread that is gone with what it keeps.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from itertools import islice
from threading import Lock
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
# As ``map`` of one iterable.
Mapper = Callable[[Callable[[Item], Result], Iterable[Item]], Iterator[Result]]

_limiting_threads = Lock()


def on_one_thread(compute: Callable[[], Result]) -> Result:
    """Call a function while torch computes with one thread only."""
    import torch

    def run() -> Result:
        n_threads = torch.get_num_threads()
        if n_threads == 1:
            return compute()
        torch.set_num_threads(1)
        try:
            return compute()
        finally:
            torch.set_num_threads(n_threads)

    with _limiting_threads, ThreadPoolExecutor(1) as executor:
        return executor.submit(run).result()


def _keep_to_one_thread() -> None:
    """Let torch compute with one thread in this thread of Python, and as before in new ones."""
    import torch

    with _limiting_threads:
        n_threads = torch.get_num_threads()
        torch.set_num_threads(1)
        with ThreadPoolExecutor(1) as executor:
            executor.submit(torch.set_num_threads, n_threads).result()


@contextmanager
def side_by_side(is_used: bool = True) -> Iterator[Mapper]:
    """A ``map`` whose calls run beside each other, one for each of torch's threads.

    Several computations with a thread each take less time than one after the other with all
    threads, which wait for each other at every layer. Results come in order; a few are computed
    ahead, in the order in which they are asked for. An error is raised in its place. When the block
    ends, calls that have not begun are dropped.

    Args:
        is_used: False, or a single thread: the plain ``map``.
    """
    import torch

    n_threads = torch.get_num_threads()
    if not is_used or n_threads == 1:
        yield map
        return
    executor = ThreadPoolExecutor(n_threads, "side-by-side", _keep_to_one_thread)

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

"""How many threads torch computes with, where work is shared among threads of Python.

The number of threads is a setting of the process, and every thread of Python keeps the value that
it began with. So it is set and put back by one thread at a time, and where it must not stay, in a
new thread that is gone with what it keeps.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock

from .side_by_side import Mapper, mapped_in_threads

_limiting_threads = Lock()


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
    threads, which wait for each other at every layer; see ``side_by_side.mapped_in_threads``.

    Args:
        is_used: False, or a single thread: the plain ``map``.
    """
    import torch

    n_threads = torch.get_num_threads() if is_used else 1
    with mapped_in_threads(n_threads, _keep_to_one_thread) as mapped:
        yield mapped

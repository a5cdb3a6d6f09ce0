"""Batches read ahead by processes of PyTorch's ``DataLoader``, in their order."""

import signal
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from ..core.errors import LipSyncError

PREFETCHED = 4  # batches that each process reads ahead

Read = TypeVar("Read")


class _Planned(Dataset):
    """What is read by a plan: an element of it a batch."""

    def __init__(self, read: Callable[[object], Read], plan: list):
        self._read, self._plan = read, plan

    def __len__(self) -> int:
        return len(self._plan)

    def __getitem__(self, number: int) -> Read | LipSyncError:
        try:
            return self._read(self._plan[number])
        except LipSyncError as error:  # raised, the loader would add where it comes from
            return error


def read_ahead(
    read: Callable[[object], Read], plan: list, n_workers: int, is_pinned: bool
) -> Iterator[Read]:
    """``map(read, plan)``, by so many processes; 0: by this one, when it is asked for.

    The order does not depend on the processes, and nothing is drawn from the random generators of
    this one: so a training with them is the same to the bit.

    Args:
        read: can be pickled.
        is_pinned: results go into memory from which a GPU copies faster; they have
            ``pin_memory()`` then.

    Raises:
        LipSyncError: as ``read`` raises it.
    """
    if not n_workers:
        yield from map(read, plan)
        return
    loader = DataLoader(
        _Planned(read, plan), batch_size=None, shuffle=False, num_workers=n_workers,
        prefetch_factor=PREFETCHED, pin_memory=is_pinned, worker_init_fn=_leave_signals,
        generator=torch.Generator(),
    )  # fmt: skip
    for result in loader:
        if isinstance(result, LipSyncError):
            raise result
        yield result


def _leave_signals(_: int) -> None:
    """Ctrl+C is the training's to handle; it ends these processes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)

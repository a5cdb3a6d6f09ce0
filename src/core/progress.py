"""Progress of long work: a bar per stage, or nothing.

Long work takes a ``Progress``: a function that passes items through and reports on them.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Progress = Callable[[Iterable[Item], str, float], Iterable[Item]]

SHOWN_AFTER_S = 2  # shorter stages show no bar


def no_progress(items: Iterable[Item], stage: str, total: float) -> Iterable[Item]:
    """The items, without any report."""
    return items


def progress_bars(items: Iterable[Item], stage: str, total: float) -> Iterable[Item]:
    """The items, with a bar on stderr; none if that is not a terminal, nor for short work.

    Args:
        stage: label of the bar.
        total: expected number of items; 0: unknown.
    """
    from tqdm import tqdm

    return tqdm(
        items, stage, total or None, leave=False, delay=SHOWN_AFTER_S, disable=None,
        bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}",
    )  # fmt: skip

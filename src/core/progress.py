"""How far long work is: a bar for each stage, or nothing.

What takes long is given a ``Progress``: a function that passes items through and tells of them.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Progress = Callable[[Iterable[Item], str, float], Iterable[Item]]

SHOWN_AFTER_S = 2  # stages that are done sooner show no bar


def no_progress(items: Iterable[Item], stage: str, total: float) -> Iterable[Item]:
    """The items, and not a word."""
    return items


def progress_bars(items: Iterable[Item], stage: str, total: float) -> Iterable[Item]:
    """The items, with a bar on stderr; none where that is no terminal, nor for short work.

    Args:
        stage: what is done, for a person.
        total: how many items there will be, as far as is known; 0: not known.
    """
    from tqdm import tqdm

    return tqdm(
        items, stage, total or None, leave=False, delay=SHOWN_AFTER_S, disable=None,
        bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}",
    )  # fmt: skip

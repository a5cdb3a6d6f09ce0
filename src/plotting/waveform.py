"""What a sound looks like in a picture: its lowest and highest sample in each column."""

from collections.abc import Iterable, Iterator

import numpy as np


def sound_columns(
    blocks: Iterable[np.ndarray], samples_per_column: float
) -> Iterator[tuple[float, float]]:
    """Streamed, so that the length of a sound costs no memory.

    Args:
        blocks: float [n] each, consecutive samples.
        samples_per_column: > 0; need not be whole.

    Yields:
        the lowest and the highest sample of each column; the last one may be short.
    """
    column, waiting, place = 0, np.zeros(0, np.float32), 0
    for block in blocks:
        waiting = np.concatenate([waiting, block])
        while True:
            stop = max(place + 1, round((column + 1) * samples_per_column)) - place
            if len(waiting) < stop:
                break
            yield float(waiting[:stop].min()), float(waiting[:stop].max())
            waiting, place, column = waiting[stop:], place + stop, column + 1
    if len(waiting):
        yield float(waiting.min()), float(waiting.max())

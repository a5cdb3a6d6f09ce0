"""A waveform in a plot: the lowest and highest sample of each column."""

from collections.abc import Iterable, Iterator

import numpy as np


def waveform_columns(
    audio: Iterable[np.ndarray], samples_per_column: float
) -> Iterator[tuple[float, float]]:
    """Streamed, so that memory does not grow with the length of the audio.

    Args:
        audio: float [n] each, consecutive blocks of samples.
        samples_per_column: > 0; need not be whole.

    Yields:
        the lowest and the highest sample of each column; the last one may be short.
    """
    column, pending, n_used = 0, np.zeros(0, np.float32), 0
    for block in audio:
        pending = np.concatenate([pending, block])
        while True:
            length = max(n_used + 1, round((column + 1) * samples_per_column)) - n_used
            if len(pending) < length:
                break
            yield float(pending[:length].min()), float(pending[:length].max())
            pending, n_used, column = pending[length:], n_used + length, column + 1
    if len(pending):
        yield float(pending.min()), float(pending.max())

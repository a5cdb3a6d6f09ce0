"""The mean of all that came so far, in the memory of one row."""

import numpy as np


class RunningMean:
    """Mean of rows that come one after the other; once there are ``most``, older ones fade.

    Args:
        width: numbers in a row.
        most: rows from which on the mean forgets: it weighs the past as if there were so many.

    Attributes:
        count: rows the mean is of, at most ``most``.
    """

    def __init__(self, width: int, most: int):
        self.count, self._most = 0, most
        self._sum = np.zeros(width)

    def add(self, rows: np.ndarray) -> None:
        """The next rows, float [n, width]."""
        self._sum += rows.sum(0, dtype=np.float64)
        self.count += len(rows)
        if self.count > self._most:
            self._sum *= self._most / self.count
            self.count = self._most

    @property
    def mean(self) -> np.ndarray:
        """float64 [width]; 0 before there is a row."""
        return self._sum / max(self.count, 1)

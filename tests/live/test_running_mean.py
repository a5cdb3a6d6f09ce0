"""The mean so far: exact until it forgets, then of the last rows."""

import numpy as np
import pytest

from src.live.running_mean import RunningMean


def test_it_is_the_mean_of_all_rows_whatever_the_pieces():
    rows = np.random.default_rng(0).normal(5, 2, (90, 3)).astype(np.float32)
    mean = RunningMean(3, most=90)
    assert (mean.count, mean.mean.tolist()) == (0, [0, 0, 0])
    for start, stop in ((0, 1), (1, 1), (1, 40), (40, 90)):
        mean.add(rows[start:stop])
    assert mean.count == 90
    np.testing.assert_allclose(mean.mean, rows.mean(0, dtype=float), rtol=1e-12)


def test_the_past_fades_once_there_is_enough():
    mean = RunningMean(1, most=100)
    mean.add(np.zeros((1000, 1)))
    assert mean.count == 100
    for _ in range(10):  # a hundred rows: two of three of the old weight are gone
        mean.add(np.ones((10, 1)))
    assert mean.mean[0] == pytest.approx(1 - (100 / 110) ** 10)

"""The columns a waveform is drawn with."""

from itertools import pairwise

import numpy as np
import pytest

from src.plotting.waveform import waveform_columns


@pytest.mark.parametrize("per_column", [1.0, 7.0, 160.25, 5000.0])
@pytest.mark.parametrize("block_size", [1, 333, 4096])
def test_columns_are_the_extremes_of_their_samples(per_column, block_size):
    audio = np.random.default_rng(0).normal(0, 0.1, 4096).astype(np.float32)
    blocks = [audio[start : start + block_size] for start in range(0, len(audio), block_size)]
    columns = list(waveform_columns(blocks, per_column))
    edges = [round(n * per_column) for n in range(round(len(audio) / per_column) + 2)]
    parts = [audio[start:stop] for start, stop in pairwise(edges) if start < len(audio)]
    assert columns == [(float(part.min()), float(part.max())) for part in parts if len(part)]


def test_no_audio_has_no_columns():
    assert list(waveform_columns([], 10)) == []

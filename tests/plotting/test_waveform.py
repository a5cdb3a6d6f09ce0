"""The columns a sound is drawn with."""

from itertools import pairwise

import numpy as np
import pytest

from src.plotting.waveform import sound_columns


@pytest.mark.parametrize("per_column", [1.0, 7.0, 160.25, 5000.0])
@pytest.mark.parametrize("cut", [1, 333, 4096])
def test_columns_are_the_extremes_of_their_samples(per_column, cut):
    sound = np.random.default_rng(0).normal(0, 0.1, 4096).astype(np.float32)
    blocks = [sound[at : at + cut] for at in range(0, len(sound), cut)]
    found = list(sound_columns(blocks, per_column))
    edges = [round(n * per_column) for n in range(round(len(sound) / per_column) + 2)]
    parts = [sound[a:b] for a, b in pairwise(edges) if a < len(sound)]
    assert found == [(float(part.min()), float(part.max())) for part in parts if len(part)]


def test_no_sound_has_no_columns():
    assert list(sound_columns([], 10)) == []

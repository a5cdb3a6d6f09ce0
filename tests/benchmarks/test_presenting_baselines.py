"""The simpler ways to choose frames."""

import numpy as np
import pytest

from benchmarks.presenting_baselines import (
    RANDOM_PIECE,
    frames_by_loudness,
    frozen_frames,
    measure_loudness,
    random_frames,
)
from src.core.errors import PresenterError
from src.presenter.mouth_track import find_pieces
from tests.support.made_presenters import footage_clip, footage_of, presenter_of

FOOTAGE = footage_of(presenter_of(footage_clip(runs=((0, 1), (2, 3.2))), footage_clip(seed=1)))


def test_one_shut_mouth_is_frozen():
    chosen = frozen_frames(FOOTAGE, 40)
    assert chosen.shape == (40,) and len(set(chosen)) == 1
    opening = FOOTAGE.frames.opening
    assert opening[chosen[0]] <= np.percentile(opening, 10)


def test_random_pieces_are_whole():
    chosen = random_frames(FOOTAGE, 100)
    assert chosen.shape == (100,) and chosen.max() < len(FOOTAGE.frames.opening)
    for first in range(0, 98, RANDOM_PIECE):
        piece = chosen[first : first + RANDOM_PIECE]
        assert (np.diff(piece) == 1).all() and FOOTAGE.frames.follows[piece[1:]].all()
    lengths = [piece.stop - piece.first for piece in find_pieces(chosen, FOOTAGE.frames.follows)]
    assert sum(lengths) == 100 and min(lengths[:-1]) >= RANDOM_PIECE
    np.testing.assert_array_equal(chosen, random_frames(FOOTAGE, 100))
    assert (chosen != random_frames(FOOTAGE, 100, seed=1)).any()


def test_every_stretch_that_is_long_enough_is_used():
    begins = set(random_frames(FOOTAGE, 7 * 2000)[::RANDOM_PIECE].tolist())
    expected = {n for first, stop in ((0, 25), (25, 55), (55, 105))
                for n in range(first, stop - RANDOM_PIECE + 1)}  # fmt: skip
    assert begins == expected


def test_footage_in_small_pieces_has_no_random_ones():
    footage = footage_of(presenter_of(footage_clip(runs=((0, 0.2), (1, 1.2)))))
    with pytest.raises(PresenterError, match="7"):
        random_frames(footage, 20)


def test_lips_open_as_far_as_the_audio_is_loud():
    loudness = np.random.default_rng(5).permutation(30) / 7
    chosen = frames_by_loudness(FOOTAGE, loudness)
    opening = FOOTAGE.frames.opening
    assert (np.argsort(opening[chosen]) == np.argsort(loudness)).all()
    assert opening[chosen].min() == opening.min() and opening[chosen].max() == opening.max()


def test_loudness_is_of_each_frame():
    samples = np.concatenate([np.full(640, 0.5), np.zeros(640), np.tile([0.2, -0.2], 160)])
    np.testing.assert_allclose(
        measure_loudness(samples.astype(np.float32), 4), [0.5, 0, 0.2 / np.sqrt(2), 0], rtol=1e-5
    )

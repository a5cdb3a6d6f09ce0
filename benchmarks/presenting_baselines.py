"""Simpler ways to choose frames of the footage, for comparison."""

import numpy as np

from src.core.constants import SAMPLES_PER_FRAME
from src.core.errors import PresenterError
from src.i18n.messages import tr
from src.presenter.footage import Footage

RANDOM_PIECE = 7  # frames


def frozen_frames(footage: Footage, n_frames: int) -> np.ndarray:
    """One frame of the footage with its lips shut, the one most like the others: int64 [T]."""
    frames = footage.frames
    shut = np.flatnonzero(frames.opening <= np.percentile(frames.opening, 10))
    looks = frames.mouth[shut]
    typical = shut[np.linalg.norm(looks - np.median(looks, 0), axis=1).argmin()]
    return np.full(n_frames, typical, np.int64)


def random_frames(footage: Footage, n_frames: int, seed: int = 0) -> np.ndarray:
    """Pieces of ``RANDOM_PIECE`` frames of the footage at random: int64 [T].

    Raises:
        PresenterError: the footage has no such piece.
    """
    follows = footage.frames.follows
    in_a_row = np.convolve(follows, np.ones(RANDOM_PIECE - 1), "valid") == RANDOM_PIECE - 1
    begins = np.flatnonzero(in_a_row[1:])
    if not len(begins):
        raise PresenterError(
            tr("the footage holds no stretch of {n} usable frames", n=RANDOM_PIECE)
        )
    n_pieces = -(-n_frames // RANDOM_PIECE)
    drawn = np.random.default_rng(seed).choice(begins, n_pieces)
    return (drawn[:, None] + np.arange(RANDOM_PIECE)).ravel()[:n_frames]


def frames_by_loudness(footage: Footage, loudness: np.ndarray) -> np.ndarray:
    """For each output frame the footage frame whose gap of the lips has the rank that the loudness
    has: int64 [T].

    Args:
        loudness: float [T].
    """
    by_opening = np.argsort(footage.frames.opening, kind="stable")
    rank = np.empty(len(loudness))
    rank[np.argsort(loudness, kind="stable")] = np.linspace(0, 1, len(loudness))
    return by_opening[np.rint(rank * (len(by_opening) - 1)).astype(int)]


def measure_loudness(samples: np.ndarray, n_frames: int) -> np.ndarray:
    """Root mean square of the samples under each frame of the 25 fps grid: float [T]."""
    padded = np.zeros(n_frames * SAMPLES_PER_FRAME, np.float32)
    padded[: len(samples)] = samples[: len(padded)]
    return np.sqrt((padded.reshape(n_frames, -1) ** 2).mean(1))

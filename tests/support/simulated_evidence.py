"""Embeddings and evidence whose offset is known, without video or audio."""

from collections.abc import Callable

import numpy as np

from src.core.constants import FPS, FRAME_MS, HOP_MS
from src.scoring.evidence import Curve, Evidence

REACH = 60
DIM = 48  # of the embeddings


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length 1, float32."""
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def embeddings(
    n_windows: int, lead_ms: float, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(video, audio, speech) of a smooth random process whose audio leads by ``lead_ms``.

    What is seen at time τ is heard at τ − lead.
    """
    rng = np.random.default_rng(seed)
    frequency, phase = rng.uniform(0.3, 6, (2, DIM, 8))  # Hz

    def process(times_ms):
        turns = times_ms[:, None, None] / 1000 * frequency + phase
        return unit(np.sin(2 * np.pi * turns).sum(-1))

    video = process(np.arange(n_windows) * float(FRAME_MS))
    audio = process(np.arange(4 * n_windows - 3) * float(HOP_MS) + lead_ms)
    return video, audio, np.ones(n_windows + 4, bool)


def supported_curve(offsets: np.ndarray, similarity: np.ndarray, windows: int) -> Curve:
    """A curve with as many windows at every offset."""
    return Curve(offsets, similarity, 1 - similarity, np.full(len(offsets), windows), 0.0)


def evidence(
    offset_at: Callable[[float], float],
    seconds: int,
    strength: float = 0.3,
    noise: float = 0.3,
    seed: int = 0,
    speech: float = 1.0,
    reach: int = REACH,
) -> Evidence:
    """Windows whose best offset is ``offset_at(second)`` in ms; neighbours are correlated.

    Args:
        strength: of the peak, as a cosine.
        speech: share of the seconds with speech.
        reach: offsets of ±``reach`` hops.
    """
    rng = np.random.default_rng(seed)
    n_windows = seconds * FPS - 4
    offsets = np.arange(-reach, reach + 1)
    rough = rng.normal(0, 1, (n_windows + 4, len(offsets) + 8))
    smooth = np.apply_along_axis(np.convolve, 0, rough, np.ones(5) / 5**0.5, "valid")
    smooth = np.apply_along_axis(np.convolve, 1, smooth, np.ones(9) / 9**0.5, "valid")
    true = np.array([offset_at(window / FPS) for window in range(n_windows)]) / HOP_MS
    peak = np.exp(-0.5 * ((offsets - true[:, None]) / 4) ** 2)
    similarity = 0.3 * noise * smooth + strength * peak
    has_speech = rng.random(seconds).repeat(FPS)[:n_windows] < speech
    usable = np.repeat(has_speech[:, None], len(offsets), 1)
    return Evidence(np.clip(similarity, -1, 1).astype(np.float32), usable)

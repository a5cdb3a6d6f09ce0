"""Evidence whose course is known, without pictures or sound."""

import numpy as np

from src.core.constants import FPS
from src.scoring.evidence import Evidence

REACH = 60


def evidence(offset_at, seconds: int, strength=0.3, noise=0.3, seed=0, speech=1.0) -> Evidence:
    """Windows whose best offset follows ``offset_at(second)`` in ms; neighbours are alike."""
    dice = np.random.default_rng(seed)
    windows = seconds * FPS - 4
    offsets = np.arange(-REACH, REACH + 1)
    rough = dice.normal(0, 1, (windows + 4, len(offsets) + 8))
    smooth = np.apply_along_axis(np.convolve, 0, rough, np.ones(5) / 5**0.5, "valid")
    smooth = np.apply_along_axis(np.convolve, 1, smooth, np.ones(9) / 9**0.5, "valid")
    true = np.array([offset_at(window / FPS) for window in range(windows)]) / 10
    peak = np.exp(-0.5 * ((offsets - true[:, None]) / 4) ** 2)
    similarity = 0.3 * noise * smooth + strength * peak
    spoken = dice.random(seconds).repeat(FPS)[:windows] < speech
    usable = np.repeat(spoken[:, None], len(offsets), 1)
    return Evidence(np.clip(similarity, -1, 1).astype(np.float32), usable)

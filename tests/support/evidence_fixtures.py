"""A calibration for simulated evidence."""

import numpy as np
import pytest

from src.scoring.calibration import fit_calibration
from src.scoring.evidence import Evidence
from tests.support.simulated_evidence import REACH, evidence


@pytest.fixture(scope="module")
def calibration() -> dict:
    matched = [_wide(0.3, seed) for seed in range(12)]
    return fit_calibration(matched, [_wide(0.0, 50 + seed) for seed in range(12)], REACH)


def _wide(strength: float, seed: int) -> Evidence:
    """Evidence for twice the reach, as the fit requires."""
    middle = evidence(lambda s: 0, 6, strength, seed=seed)
    sides = evidence(lambda s: 0, 6, 0.0, seed=seed + 100)
    similarity = np.hstack([sides.similarity[:, :REACH], middle.similarity,
                            sides.similarity[:, -REACH:]])  # fmt: skip
    return Evidence(similarity, np.ones(similarity.shape, bool))

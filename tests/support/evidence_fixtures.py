"""A calibration for simulated evidence."""

import numpy as np
import pytest

from src.scoring.calibration import fit_calibration
from src.scoring.evidence import Evidence
from tests.support.simulated_evidence import REACH, evidence


@pytest.fixture(scope="module")
def calibration() -> dict:
    def wide(strength, seed):
        return _wide(strength, seed)

    related = [wide(0.3, seed) for seed in range(12)]
    return fit_calibration(related, [wide(0.0, 50 + seed) for seed in range(12)], REACH)


def _wide(strength: float, seed: int) -> Evidence:
    """Evidence for twice the reach, as the fit wants it."""
    one, other = (evidence(lambda s: 0, 6, strength * part, seed=seed + 100 * n)
                  for n, part in enumerate((1, 0)))  # fmt: skip
    similarity = np.hstack([other.similarity[:, :REACH], one.similarity,
                            other.similarity[:, -REACH:]])  # fmt: skip
    return Evidence(similarity, np.ones(similarity.shape, bool))

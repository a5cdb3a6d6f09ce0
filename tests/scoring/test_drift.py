"""Large clock drift, on simulated evidence."""

import time

import numpy as np
import pytest

from src.core.constants import FPS
from src.scoring.drift import (
    MAX_DRIFT_PPM,
    SLOPE_MARGIN,
    candidate_slopes,
    fit_drift,
    sum_hop_groups,
)
from src.scoring.result_builder import build_result
from src.scoring.timeline import EvidenceBySecond, Timeline, evidence_by_second
from src.scoring.timeline_fit import exceeds_max_drift, fit_timeline
from src.scoring.words import reason_text
from tests.support.simulated_evidence import evidence

pytest_plugins = ("tests.support.evidence_fixtures",)


def fit(start_ms: float, ppm: float, seconds: int, **options) -> Timeline:
    simulated = evidence(lambda s: start_ms + ppm / 1000 * s, seconds, speech=0.8, **options)
    return fit_timeline(evidence_by_second([simulated], seconds * FPS), seconds)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("seconds", [20, 60])
@pytest.mark.parametrize("ppm", [5000, -8000, 15000, -25000, 40000, -41667])
def test_a_steep_drift_is_measured(ppm, seconds, seed):
    start_ms = -ppm / 2000 * seconds
    timeline = fit(start_ms, ppm, seconds, seed=seed)
    assert timeline.kind == "drift" and not exceeds_max_drift(timeline)
    for second in np.arange(seconds + 1):
        offset_ms = start_ms + ppm / 1000 * second
        if abs(offset_ms) <= 600:
            assert timeline.offset_at(second) == pytest.approx(offset_ms, abs=20)


def test_a_drift_above_the_maximum_is_not_reported(calibration):
    simulated = evidence(lambda s: -300 + 60 * s, 15, strength=0.5)
    result = build_result([simulated], 15 * FPS, calibration, 0.5)
    assert result.status == "edge" and result.timeline is None
    assert result.reason.drift_ppm > MAX_DRIFT_PPM == result.reason.limit_ppm
    assert reason_text(result.reason, "en") == (
        f"audio drifts by {result.reason.drift_ppm:+.0f} ppm or more; drift above "
        f"{MAX_DRIFT_PPM} ppm cannot be measured"
    )


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("seconds", [12, 25])
def test_a_constant_offset_does_not_drift(seconds, seed):
    assert fit(-50, 0, seconds, seed=seed, noise=0.6).kind == "constant"


def test_the_slopes_cover_all_drifts_and_are_few():
    count = len(candidate_slopes(3600, 60))
    for length_s in (1, 12, 60, 3600):
        slopes = candidate_slopes(length_s, 60)
        assert 0 in slopes and (np.diff(slopes) > 0).all()
        assert slopes[-1] == -slopes[0] >= 0.999 * SLOPE_MARGIN * MAX_DRIFT_PPM / 1000
        within_range_s = np.minimum(length_s, 1200 / np.maximum(np.abs(slopes), 1e-9))
        assert (np.diff(slopes) * within_range_s[1:] < 10.2).all()
        assert len(slopes) <= count + 2


@pytest.mark.parametrize("ppm", [1000, -9000, 40000])
def test_a_wide_search_range_takes_no_longer_than_needed(ppm):
    """Five minutes and ±4 s, which the messages may ask for."""
    reach, length_s = 400, 300
    offsets, times = np.arange(-reach, reach + 1), np.arange(length_s) + 0.5
    true = ppm / 10000 * (times - length_s / 2)
    sums = np.random.default_rng(0).normal(0, 2.5, (length_s, len(offsets)))
    sums += 7.5 * np.exp(-0.5 * ((offsets - true[:, None]) / 4) ** 2)
    seconds = EvidenceBySecond(sums, np.full(length_s, 25))
    started = time.process_time()
    (line,) = fit_drift(seconds, np.ones(length_s, bool), length_s)
    assert time.process_time() - started < 6, "17 s without groups, 0.5 with them"
    assert 1000 * line.slope == pytest.approx(ppm, rel=0.01, abs=20)
    assert line.offset_at(length_s / 2) == pytest.approx(0, abs=10)


@pytest.mark.parametrize(("reach", "group"), [(60, 1), (61, 2), (400, 7), (7, 2)])
def test_groups_of_hops_are_centred_on_zero(reach, group):
    evidence = np.zeros((2, 2 * reach + 1))
    evidence[:, reach] = 1
    evidence[:, reach + 2 * group] = 2
    sums = sum_hop_groups(evidence, group)
    middle = sums.shape[1] // 2
    assert sums.shape[1] % 2 == 1 and sums.shape[1] * group <= evidence.shape[1]
    assert sums[0, middle] == 1 and sums[0, middle + 2] == 2 and sums.sum() == 6

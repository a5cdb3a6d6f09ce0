"""Clocks that are wrong by much, on simulated evidence."""

import time

import numpy as np
import pytest

from src.core.constants import FPS
from src.scoring.drift import BEYOND, MOST_PPM, drifting, grouped, slopes_tried
from src.scoring.result import build_result
from src.scoring.timeline import EvidenceBySecond, evidence_by_second
from src.scoring.timeline_fit import beyond, fit_timeline
from tests.support.simulated_evidence import evidence

pytest_plugins = ("tests.support.evidence_fixtures",)


def found(start: float, ppm: float, seconds: int, **more):
    shown = evidence(lambda s: start + ppm / 1000 * s, seconds, speech=0.8, **more)
    return fit_timeline(evidence_by_second([shown], seconds * FPS), seconds)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("seconds", [20, 60])
@pytest.mark.parametrize("ppm", [5000, -8000, 15000, -25000, 40000, -41667])
def test_a_steep_drift_is_measured(ppm, seconds, seed):
    start = -ppm / 2000 * seconds
    story = found(start, ppm, seconds, seed=seed)
    assert story.kind == "drift" and not beyond(story)
    for second in np.arange(seconds + 1):
        offset = start + ppm / 1000 * second
        if abs(offset) <= 600:
            assert story.at(second) == pytest.approx(offset, abs=20)


def test_a_steeper_drift_is_no_number(calibration):
    shown = evidence(lambda s: -300 + 60 * s, 15, strength=0.5)
    _, details = build_result([shown], 15 * FPS, calibration, 0.5)
    assert details["status"] == "edge" and details["timeline"] is None
    assert f"by more than {MOST_PPM} ppm cannot be told" in details["undetermined"]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("seconds", [12, 25])
def test_what_is_constant_does_not_drift(seconds, seed):
    story = found(-50, 0, seconds, seed=seed, noise=0.6)
    assert story.kind == "constant"


def test_the_slopes_cover_all_and_are_few():
    few = len(slopes_tried(3600, 60))
    for length_s in (1, 12, 60, 3600):
        slopes = slopes_tried(length_s, 60)
        assert 0 in slopes and (np.diff(slopes) > 0).all()
        assert slopes[-1] == -slopes[0] >= 0.999 * BEYOND * MOST_PPM / 1000
        seen_s = np.minimum(length_s, 1200 / np.maximum(np.abs(slopes), 1e-9))
        assert (np.diff(slopes) * seen_s[1:] < 10.2).all()
        assert len(slopes) <= few + 2


@pytest.mark.parametrize("ppm", [1000, -9000, 40000])
def test_looking_far_costs_no_more_than_it_must(ppm):
    """Five minutes and ±4 s, which the messages may ask for."""
    reach, length_s = 400, 300
    offsets, times = np.arange(-reach, reach + 1), np.arange(length_s) + 0.5
    true = ppm / 10000 * (times - length_s / 2)
    gain = np.random.default_rng(0).normal(0, 2.5, (length_s, len(offsets)))
    gain += 7.5 * np.exp(-0.5 * ((offsets - true[:, None]) / 4) ** 2)
    seconds = EvidenceBySecond(gain, np.full(length_s, 25))
    began = time.process_time()
    (line,) = drifting(seconds, np.ones(length_s, bool), length_s)
    assert time.process_time() - began < 6, "17 s without groups, 0.5 with them"
    assert 1000 * line.slope == pytest.approx(ppm, rel=0.01, abs=20)
    assert line.at(length_s / 2) == pytest.approx(0, abs=10)


@pytest.mark.parametrize(("reach", "group"), [(60, 1), (61, 2), (400, 7), (7, 2)])
def test_groups_lie_around_zero(reach, group):
    gain = np.zeros((2, 2 * reach + 1))
    gain[:, reach] = 1
    gain[:, reach + 2 * group] = 2
    found = grouped(gain, group)
    middle = found.shape[1] // 2
    assert found.shape[1] % 2 == 1 and found.shape[1] * group <= gain.shape[1]
    assert found[0, middle] == 1 and found[0, middle + 2] == 2 and found.sum() == 6

"""Jumps of the offset at cuts, on simulated evidence: small ones are detected, none is invented."""

import numpy as np
import pytest

from src.core.constants import FPS
from src.scoring.changepoints import _peaks_ms, fit_constant, jumps_at_cuts, search_jumps
from src.scoring.timeline import Timeline, evidence_by_second, peak_hops
from src.scoring.timeline_fit import fit_timeline
from tests.support.simulated_evidence import evidence


def fit(offset_at, seconds: int, cuts, **options) -> Timeline:
    simulated = evidence(offset_at, seconds, **options)
    return fit_timeline(evidence_by_second([simulated], seconds * FPS), seconds, cuts)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("jump_ms", [-68, 55])
def test_a_small_jump_at_a_cut_is_detected(seed, jump_ms):
    timeline = fit(lambda s: 2 if s < 6 else 2 + jump_ms, 13, [6.0], seed=seed)
    assert timeline.kind == "jumps"
    assert [segment.end_s for segment in timeline.segments] == [6.0, 13]
    offsets_ms = [segment.offset_ms for segment in timeline.segments]
    assert offsets_ms == pytest.approx([2, 2 + jump_ms], abs=10)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("seconds", "shots"), [(12, 2), (40, 8), (60, 3), (60, 30)])
def test_a_constant_offset_has_no_jump_at_cuts(seconds, shots, seed):
    cuts = (np.arange(1, shots) * seconds / shots).tolist()
    timeline = fit(lambda s: 30, seconds, cuts, seed=seed, speech=0.8)
    assert timeline.kind == "constant" and timeline.offset_at(1) == pytest.approx(30, abs=8)


@pytest.mark.parametrize("seed", range(6))
def test_a_shot_without_a_correlation_makes_no_jump(seed):
    """Its curve has its maximum somewhere else."""
    simulated = evidence(lambda s: 0, 24, seed=seed)
    rows = slice(8 * FPS, 14 * FPS)
    simulated.similarity[rows] = evidence(lambda s: 0, 24, 0.0, seed=seed + 50).similarity[rows]
    timeline = fit_timeline(evidence_by_second([simulated], 24 * FPS), 24, [8.0, 14.0])
    assert timeline.kind == "constant"


def test_jumps_there_and_back():
    timeline = fit(lambda s: 80 if 10 <= s < 20 else 0, 30, [5.0, 10.0, 20.0, 26.0])
    assert [segment.end_s for segment in timeline.segments] == [10.0, 20.0, 30]
    assert [round(segment.offset_ms, -1) for segment in timeline.segments] == [0, 80, 0]


def test_a_jump_that_is_not_at_a_cut_is_not_moved_to_one():
    timeline = fit(lambda s: 0 if s < 30 else 200, 60, [22.0, 50.0])
    assert timeline.kind == "jumps" and len(timeline.segments) == 2
    assert timeline.segments[0].end_s == pytest.approx(30, abs=1.5)


def test_a_large_jump_does_not_hide_a_small_one():
    timeline = fit(lambda s: 0 if s < 15 else 70 if s < 37 else -200, 60, [15.0])
    assert [round(segment.offset_ms, -1) for segment in timeline.segments] == [0, 70, -200]
    assert timeline.segments[0].end_s == 15.0


def test_a_drift_across_cuts_stays_a_drift():
    timeline = fit(lambda s: -90 + s, 180, [30.0, 60.0, 100.0, 140.0])
    assert timeline.kind == "drift" and timeline.ppm == pytest.approx(1000, abs=40)


def test_shots_with_too_little_speech_are_merged_with_a_neighbour():
    seconds = evidence_by_second([evidence(lambda s: 0 if s < 10 else 90, 12)], 12 * FPS)
    (segment,) = jumps_at_cuts([10.0], seconds, np.ones(12, bool), 12.0)
    assert (segment.start_s, segment.end_s) == (0.0, 12.0)


def test_the_search_needs_speech_enough_for_a_segment():
    """With less than that there is one segment, that of the constant model."""
    seconds = evidence_by_second([evidence(lambda s: 0 if s < 6 else 200, 12)], 12 * FPS)
    every = np.ones(12, bool)
    assert [segment.end_s for segment in search_jumps(seconds, every, 12.0)] == [6.0, 12.0]
    seconds.n_windows[2:] = 0
    assert search_jumps(seconds, every, 12.0) == fit_constant(seconds, every, 12.0)


def test_peaks_of_many_curves_equal_those_of_single_curves():
    curves = evidence_by_second([evidence(lambda s: 10 * s, 40)], 40 * FPS).evidence
    single = [10 * peak_hops(curve) for curve in curves]
    assert _peaks_ms(curves) == pytest.approx(single, abs=1e-6)

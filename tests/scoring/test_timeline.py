"""Constant offsets, drifts and jumps, distinguished on simulated evidence."""

import time

import numpy as np
import pytest

from src.core.constants import FPS
from src.scoring.drift import LineSums
from src.scoring.evidence import peak_ms, similarity_curve
from src.scoring.timeline import (
    EvidenceBySecond,
    Segment,
    Timeline,
    drift_compensated,
    evidence_by_second,
    refine_jumps,
)
from src.scoring.timeline_fit import fit_timeline
from tests.support.simulated_evidence import evidence


def fit(offset_at, seconds: int, **options) -> Timeline:
    simulated = evidence(offset_at, seconds, **options)
    return fit_timeline(evidence_by_second([simulated], seconds * FPS), seconds)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("offset", [-400, -37, 0, 120, 400])
def test_a_constant_offset_stays_constant(offset, seed):
    timeline = fit(lambda second: offset, 60, seed=seed, speech=0.8)
    assert timeline.kind == "constant"
    assert timeline.offset_at(3) == timeline.offset_at(50) == pytest.approx(offset, abs=6)


@pytest.mark.parametrize("ppm", [-1001, -400, 300, 1000])
@pytest.mark.parametrize("start", [-60, 100])
def test_a_drift_is_measured(ppm, start):
    timeline = fit(lambda second: start + ppm / 1000 * second, 180, speech=0.7)
    assert timeline.kind == "drift" and timeline.ppm == pytest.approx(ppm, abs=40)
    for second in (0, 60, 179):
        assert timeline.offset_at(second) == pytest.approx(start + ppm / 1000 * second, abs=8)


@pytest.mark.parametrize("seed", range(3))
def test_a_jump_is_located(seed):
    timeline = fit(lambda second: 40 if second < 61 else 240, 120, seed=seed, speech=0.8)
    assert timeline.kind == "jumps" and len(timeline.segments) == 2
    first, second = timeline.segments
    assert first.offset_ms == pytest.approx(40, abs=8)
    assert second.offset_ms == pytest.approx(240, abs=8)
    assert first.end_s == second.start_s == pytest.approx(61, abs=3)


@pytest.mark.parametrize("jump_s", [23.0, 24.36, 25.64])
def test_a_jump_is_located_to_the_frame(jump_s):
    simulated = evidence(lambda second: 40 if second < jump_s else 240, 50)
    timeline = fit_timeline(evidence_by_second([simulated], 50 * FPS), 50)
    refined = refine_jumps(timeline, [simulated])
    first, second = refined.segments
    # In the simulation the start of a window counts, in the result its middle.
    assert first.end_s == second.start_s == pytest.approx(jump_s + 0.1, abs=0.2)
    offsets_ms = tuple(segment.offset_ms for segment in timeline.segments)
    assert (first.offset_ms, second.offset_ms) == offsets_ms


def test_a_jump_in_a_pause_is_located_at_a_cut():
    simulated = evidence(lambda second: 40 if second < 24 else 240, 50)
    simulated.usable[23 * FPS : 25 * FPS] = False
    timeline = Timeline("jumps", (Segment(0, 22.0, 40.0), Segment(22.0, 50, 240.0)))
    refined = refine_jumps(timeline, [simulated], [10.0, 24.64, 40.0])
    assert refined.segments[0].end_s == refined.segments[1].start_s == 24.64
    assert refine_jumps(refined, [simulated], [24.64]) == refined


def test_a_jump_in_a_pause_without_a_cut_is_located_in_its_middle():
    simulated = evidence(lambda second: 40 if second < 24 else 240, 50)
    simulated.usable[23 * FPS : 25 * FPS] = False
    timeline = Timeline("jumps", (Segment(0, 22.0, 40.0), Segment(22.0, 50, 240.0)))
    refined = refine_jumps(timeline, [simulated])
    assert refined.segments[0].end_s == pytest.approx(24.1, abs=0.1)


def test_two_jumps_there_and_back():
    timeline = fit(lambda second: -120 if 30 <= second < 70 else 0, 100)
    assert timeline.kind == "jumps" and len(timeline.segments) == 3
    assert [round(segment.offset_ms, -1) for segment in timeline.segments] == [0, -120, 0]


@pytest.mark.parametrize("seed", range(8))
def test_noise_selects_the_simplest_model(seed):
    assert fit(lambda second: 0, 90, strength=0.0, seed=seed).kind == "constant"


def test_without_speech_there_is_no_timeline():
    silent = evidence(lambda second: 0, 10, speech=0.0)
    assert fit_timeline(evidence_by_second([silent], 250), 10) is None


def test_tracks_count_from_their_first_frame():
    first, second = evidence(lambda s: 80, 20), evidence(lambda s: 80, 20, seed=1)
    second.first_frame = 30 * FPS
    seconds = evidence_by_second([first, second], 50 * FPS)
    assert not seconds.n_windows[20:30].any() and seconds.n_windows[[3, 45]].all()
    assert fit_timeline(seconds, 50).offset_at(25) == pytest.approx(80, abs=8)


def test_drift_compensated_evidence_is_constant():
    drifting = evidence(lambda second: -100 + second, 200)
    timeline = fit_timeline(evidence_by_second([drifting], 200 * FPS), 200)
    (compensated,) = drift_compensated([drifting], timeline, 50.0)
    blurred, sharp = similarity_curve([drifting]), similarity_curve([compensated])
    assert peak_ms(sharp) == pytest.approx(50, abs=8)
    assert np.nanmax(sharp.similarity) > 1.5 * np.nanmax(blurred.similarity)
    again = fit_timeline(evidence_by_second([compensated], 200 * FPS), 200)
    assert again.kind == "constant" and again.offset_at(9) == pytest.approx(50, abs=8)


def test_timelines_add_up():
    jumps = Timeline("jumps", (Segment(0, 4, 10.0), Segment(4, 9, -50.0)))
    drift = Timeline("drift", (Segment(0, 9, 5.0, 2.0),))
    total = jumps.plus(drift, 9.0)
    for second in (0.0, 3.9, 4.1, 8.9):
        expected = jumps.offset_at(second) + drift.offset_at(second)
        assert total.offset_at(second) == pytest.approx(expected)
    assert total.kind == "jumps" and len(total.segments) == 2
    assert drift.largest_offset(9.0) == 23 and jumps.largest_offset(9.0) == -50
    assert jumps.median_offset(9.0) == -50 and drift.median_offset(9.0) == pytest.approx(14)


@pytest.mark.parametrize(("start", "ppm"), [(0, 3000), (300, -2500), (1500, -2800)])
def test_a_drift_is_measured_outside_the_search_range(start, ppm):
    """From −600 to 600 ms is searched, and the offset is there for a part of the time only."""
    timeline = fit(lambda second: start + ppm / 1000 * second, 600, speech=0.8)
    assert timeline.kind == "drift" and timeline.ppm == pytest.approx(ppm, abs=30)
    assert timeline.offset_at(300) == pytest.approx(start + ppm / 1000 * 300, abs=12)
    second = timeline.first_second_beyond(600, 600)
    expected = 0 if start > 600 else (600 - start * np.sign(ppm)) / abs(ppm) * 1000
    assert second == pytest.approx(expected, abs=5)


def test_sums_along_lines_equal_plain_interpolation():
    rng = np.random.default_rng(0)
    evidence, times = rng.normal(0, 1, (40, 21)), np.sort(rng.uniform(-50, 50, 40))
    lines = LineSums(evidence, times)
    for slope in (-0.73, 0.0, 0.021, 0.4):  # hops per second
        totals = lines.totals(slope)
        centre = len(totals) // 2
        for middle in (-12, -3, 0, 9):
            plain = sum(
                np.interp(middle + slope * second, np.arange(-11, 12), np.pad(row, 1))
                for second, row in zip(times, evidence, strict=True)
                if abs(middle + slope * second) < 11
            )
            assert totals[centre + middle] == pytest.approx(plain, abs=1e-9)


def test_long_clips_take_seconds():
    """The time for lines and jumps grows with the length, not with its square."""
    rng = np.random.default_rng(0)
    sums = rng.normal(0, 2, (1200, 121))
    for second in range(1200):
        sums[second, 60 + (20 if second > 700 else 0)] += 12
    seconds = EvidenceBySecond(sums - sums.mean(1, keepdims=True), np.full(1200, 21))
    started = time.process_time()
    timeline = fit_timeline(seconds, 1200)
    assert time.process_time() - started < 20  # 2 on a slow core; it was minutes
    assert timeline.kind == "jumps" and len(timeline.segments) == 2
    assert timeline.segments[1].start_s == pytest.approx(701, abs=1)


@pytest.mark.parametrize("length_s", [0.2, 0.48, 0.5, 1.0])
def test_short_clips_have_a_median_offset(length_s):
    timeline = Timeline("constant", (Segment(0.0, length_s, 80.0),))
    assert timeline.median_offset(length_s) == 80

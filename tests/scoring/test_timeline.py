"""Constant offsets, drifts and jumps, told apart on simulated evidence."""

import time

import numpy as np
import pytest

from src.core.constants import FPS
from src.scoring import drift
from src.scoring.evidence import curve_of, peak_ms
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


def found(offset_at, seconds: int, **more):
    return fit_timeline(
        evidence_by_second([evidence(offset_at, seconds, **more)], seconds * FPS), seconds
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("offset", [-400, -37, 0, 120, 400])
def test_a_constant_offset_stays_one(offset, seed):
    story = found(lambda second: offset, 60, seed=seed, speech=0.8)
    assert story.kind == "constant"
    assert story.at(3) == story.at(50) == pytest.approx(offset, abs=6)


@pytest.mark.parametrize("ppm", [-1001, -400, 300, 1000])
@pytest.mark.parametrize("start", [-60, 100])
def test_a_drift_is_measured(ppm, start):
    story = found(lambda second: start + ppm / 1000 * second, 180, speech=0.7)
    assert story.kind == "drift" and story.ppm == pytest.approx(ppm, abs=40)
    for second in (0, 60, 179):
        assert story.at(second) == pytest.approx(start + ppm / 1000 * second, abs=8)


@pytest.mark.parametrize("seed", range(3))
def test_a_jump_is_placed(seed):
    story = found(lambda second: 40 if second < 61 else 240, 120, seed=seed, speech=0.8)
    assert story.kind == "jumps" and len(story.pieces) == 2
    first, second = story.pieces
    assert first.offset_ms == pytest.approx(40, abs=8)
    assert second.offset_ms == pytest.approx(240, abs=8)
    assert first.end_s == second.start_s == pytest.approx(61, abs=3)


@pytest.mark.parametrize("at", [23.0, 24.36, 25.64])
def test_a_jump_is_placed_to_the_frame(at):
    def offset_at(second):
        return 40 if second < at else 240

    shown = evidence(offset_at, 50)
    story = fit_timeline(evidence_by_second([shown], 50 * FPS), 50)
    placed = refine_jumps(story, [shown])
    first, second = placed.pieces
    # A window is known by its begin in the simulation, and counts at its middle.
    assert first.end_s == second.start_s == pytest.approx(at + 0.1, abs=0.2)
    assert (first.offset_ms, second.offset_ms) == tuple(p.offset_ms for p in story.pieces)


def test_a_jump_in_a_pause_is_placed_where_the_picture_is_cut():
    shown = evidence(lambda second: 40 if second < 24 else 240, 50)
    shown.usable[23 * FPS : 25 * FPS] = False
    story = Timeline("jumps", (Segment(0, 22.0, 40.0), Segment(22.0, 50, 240.0)))
    placed = refine_jumps(story, [shown], [10.0, 24.64, 40.0])
    assert placed.pieces[0].end_s == placed.pieces[1].start_s == 24.64
    assert refine_jumps(placed, [shown], [24.64]) == placed


def test_a_jump_in_a_pause_is_placed_in_its_middle():
    shown = evidence(lambda second: 40 if second < 24 else 240, 50)
    shown.usable[23 * FPS : 25 * FPS] = False
    story = Timeline("jumps", (Segment(0, 22.0, 40.0), Segment(22.0, 50, 240.0)))
    assert refine_jumps(story, [shown]).pieces[0].end_s == pytest.approx(24.1, abs=0.1)


def test_two_jumps_and_back():
    def offset_at(second):
        return -120 if 30 <= second < 70 else 0

    story = found(offset_at, 100)
    assert story.kind == "jumps" and len(story.pieces) == 3
    assert [round(piece.offset_ms, -1) for piece in story.pieces] == [0, -120, 0]


@pytest.mark.parametrize("seed", range(8))
def test_noise_is_no_story(seed):
    """Without any relation the simplest story stands."""
    assert found(lambda second: 0, 90, strength=0.0, seed=seed).kind == "constant"


def test_without_speech_there_is_nothing_to_tell():
    silent = evidence(lambda second: 0, 10, speech=0.0)
    assert fit_timeline(evidence_by_second([silent], 250), 10) is None


def test_tracks_count_where_they_begin():
    first, second = evidence(lambda s: 80, 20), evidence(lambda s: 80, 20, seed=1)
    second.first_frame = 30 * FPS
    seconds = evidence_by_second([first, second], 50 * FPS)
    assert not seconds.windows[20:30].any() and seconds.windows[[3, 45]].all()
    assert fit_timeline(seconds, 50).at(25) == pytest.approx(80, abs=8)


def test_evidence_along_a_drift_is_straightened():
    drifting = evidence(lambda second: -100 + second, 200)
    story = fit_timeline(evidence_by_second([drifting], 200 * FPS), 200)
    (straight,) = drift_compensated([drifting], story, 50.0)
    blurred, sharp = curve_of([drifting]), curve_of([straight])
    assert peak_ms(sharp) == pytest.approx(50, abs=8)
    assert np.nanmax(sharp.similarity) > 1.5 * np.nanmax(blurred.similarity)
    again = fit_timeline(evidence_by_second([straight], 200 * FPS), 200)
    assert again.kind == "constant" and again.at(9) == pytest.approx(50, abs=8)


def test_timelines_add_up():
    jumps = Timeline("jumps", (Segment(0, 4, 10.0), Segment(4, 9, -50.0)))
    line = Timeline("drift", (Segment(0, 9, 5.0, 2.0),))
    both = jumps.plus(line, 9.0)
    for second in (0.0, 3.9, 4.1, 8.9):
        assert both.at(second) == pytest.approx(jumps.at(second) + line.at(second))
    assert both.kind == "jumps" and len(both.pieces) == 2
    assert line.largest(9.0) == 23 and jumps.largest(9.0) == -50
    assert jumps.middle(9.0) == -50 and line.middle(9.0) == pytest.approx(14)


@pytest.mark.parametrize(("start", "ppm"), [(0, 3000), (300, -2500), (1500, -2800)])
def test_a_drift_is_followed_beyond_what_was_looked_at(start, ppm):
    """From −600 to 600 ms is looked at; it is there for a part of the time only."""
    story = found(lambda second: start + ppm / 1000 * second, 600, speech=0.8)
    assert story.kind == "drift" and story.ppm == pytest.approx(ppm, abs=30)
    assert story.at(300) == pytest.approx(start + ppm / 1000 * 300, abs=12)
    gone = story.leaves_at(600, 600)
    expected = 0 if start > 600 else (600 - start * np.sign(ppm)) / abs(ppm) * 1000
    assert gone == pytest.approx(expected, abs=5)


def test_what_is_shown_along_lines_equals_a_plain_sum():
    dice = np.random.default_rng(0)
    gain, times = dice.normal(0, 1, (40, 21)), np.sort(dice.uniform(-50, 50, 40))
    lines = drift.Lines(gain, times)
    for pace in (-0.73, 0.0, 0.021, 0.4):
        shown = lines.shown(pace)
        far = len(shown) // 2
        for middle in (-12, -3, 0, 9):
            plain = sum(
                np.interp(middle + pace * at, np.arange(-11, 12), np.pad(row, 1))
                for at, row in zip(times, gain, strict=True)
                if abs(middle + pace * at) < 11
            )
            assert shown[far + middle] == pytest.approx(plain, abs=1e-9)


def test_long_clips_are_told_in_seconds():
    """Lines and jumps are looked for in time that grows with the length, not with its square."""
    dice = np.random.default_rng(0)
    gain = dice.normal(0, 2, (1200, 121))
    for second in range(1200):
        gain[second, 60 + (20 if second > 700 else 0)] += 12
    seconds = EvidenceBySecond(gain - gain.mean(1, keepdims=True), np.full(1200, 21))
    began = time.process_time()
    story = fit_timeline(seconds, 1200)
    assert time.process_time() - began < 20  # 2 on a slow core; it was minutes
    assert story.kind == "jumps" and len(story.pieces) == 2
    assert story.pieces[1].start_s == pytest.approx(701, abs=1)


@pytest.mark.parametrize("length_s", [0.2, 0.48, 0.5, 1.0])
def test_short_clips_have_a_middle(length_s):
    line = Timeline("constant", (Segment(0.0, length_s, 80.0),))
    assert line.middle(length_s) == 80

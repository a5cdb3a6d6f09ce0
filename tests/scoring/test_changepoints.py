"""Steps of the offset at cuts, on simulated evidence: small ones are found, none is invented."""

import numpy as np
import pytest

from src.core.constants import FPS
from src.scoring.changepoints import _peaks_ms, jumps_at_cuts
from src.scoring.timeline import evidence_by_second, peak_hops
from src.scoring.timeline_fit import fit_timeline
from tests.support.simulated_evidence import evidence


def told(offset_at, seconds: int, cuts, **more):
    return fit_timeline(
        evidence_by_second([evidence(offset_at, seconds, **more)], seconds * FPS), seconds, cuts
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("step", [-68, 55])
def test_a_small_step_at_a_cut_is_found(seed, step):
    story = told(lambda s: 2 if s < 6 else 2 + step, 13, [6.0], seed=seed)
    assert story.kind == "jumps" and [piece.end_s for piece in story.pieces] == [6.0, 13]
    assert [piece.offset_ms for piece in story.pieces] == pytest.approx([2, 2 + step], abs=10)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("seconds", "shots"), [(12, 2), (40, 8), (60, 3), (60, 30)])
def test_where_the_offset_is_one_no_step_is_invented(seconds, shots, seed):
    cuts = (np.arange(1, shots) * seconds / shots).tolist()
    story = told(lambda s: 30, seconds, cuts, seed=seed, speech=0.8)
    assert story.kind == "constant" and story.at(1) == pytest.approx(30, abs=8)


@pytest.mark.parametrize("seed", range(6))
def test_a_shot_without_a_relation_shows_no_step(seed):
    """Its curve is highest somewhere else."""
    shown = evidence(lambda s: 0, 24, seed=seed)
    rows = slice(8 * FPS, 14 * FPS)
    shown.similarity[rows] = evidence(lambda s: 0, 24, 0.0, seed=seed + 50).similarity[rows]
    story = fit_timeline(evidence_by_second([shown], 24 * FPS), 24, [8.0, 14.0])
    assert story.kind == "constant"


def test_steps_there_and_back():
    story = told(lambda s: 80 if 10 <= s < 20 else 0, 30, [5.0, 10.0, 20.0, 26.0])
    assert [piece.end_s for piece in story.pieces] == [10.0, 20.0, 30]
    assert [round(piece.offset_ms, -1) for piece in story.pieces] == [0, 80, 0]


def test_a_jump_that_is_not_at_a_cut_stays_where_it_is():
    story = told(lambda s: 0 if s < 30 else 200, 60, [22.0, 50.0])
    assert story.kind == "jumps" and len(story.pieces) == 2
    assert story.pieces[0].end_s == pytest.approx(30, abs=1.5)


def test_a_large_jump_does_not_hide_a_step():
    story = told(lambda s: 0 if s < 15 else 70 if s < 37 else -200, 60, [15.0])
    assert [round(piece.offset_ms, -1) for piece in story.pieces] == [0, 70, -200]
    assert story.pieces[0].end_s == 15.0


def test_a_drift_over_cuts_stays_a_drift():
    story = told(lambda s: -90 + s, 180, [30.0, 60.0, 100.0, 140.0])
    assert story.kind == "drift" and story.ppm == pytest.approx(1000, abs=40)


def test_shots_with_too_little_speech_go_with_a_neighbour():
    seconds = evidence_by_second([evidence(lambda s: 0 if s < 10 else 90, 12)], 12 * FPS)
    (one,) = jumps_at_cuts([10.0], seconds, np.ones(12, bool), 12.0)
    assert (one.start_s, one.end_s) == (0.0, 12.0)


def test_many_peaks_are_those_one_by_one():
    curves = evidence_by_second([evidence(lambda s: 10 * s, 40)], 40 * FPS).gain
    plain = [10 * peak_hops(curve) for curve in curves]
    assert _peaks_ms(curves) == pytest.approx(plain, abs=1e-6)

"""The figures of the protocol, on evidence whose true offset is known."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from src.dataset.samples import Sample, SampleData
from src.evaluation import protocol
from src.evaluation.protocol import (
    INJECTED,
    LENGTHS,
    Measured,
    by_group,
    calibration_of,
    figures_of,
    intervals_of,
    measure_clip,
    name_of,
)
from src.scoring.calibration import UNFITTED
from src.scoring.evidence import SEARCH_REACH, Evidence

TRAINED = SimpleNamespace(model=None, calibration=UNFITTED)


def sample(number: int, speaker: str = "", frames: int = 100, **fields) -> Sample:
    name = f"{speaker}/{number}.mp4"
    return Sample(f"{name}#0", name, speaker, name, Path(), frames, **fields)


def evidence(
    offset_ms: float, frames: int, noise: float = 0.05, height: float = 0.6, seed: int = 0
) -> Evidence:
    """Windows that fit best where the sound is delayed by ``offset_ms``."""
    steps = np.arange(-2 * SEARCH_REACH, 2 * SEARCH_REACH + 1)
    peak = height * np.exp(-(((steps - offset_ms / 10) / 5) ** 2))
    dice = np.random.default_rng(seed)
    similarity = peak + dice.normal(0, noise, (frames - 4, len(steps)))
    return Evidence(similarity.astype(np.float32), np.ones(similarity.shape, bool))


@pytest.fixture
def measured(monkeypatch):
    """``measured(sample, own, foreign)`` measures a clip that shows this evidence."""

    def measure(one: Sample, own: Evidence, foreign: Evidence | None = None) -> Measured:
        shown = [own] if foreign is None else [own, foreign]
        track = SampleData(
            np.zeros((one.n_frames, 1, 1)), np.zeros((4 * one.n_frames, 1)), np.ones(1)
        )
        monkeypatch.setattr(Sample, "read", lambda *_: track)
        monkeypatch.setattr(protocol, "evidence_of", lambda *_: shown.pop(0))
        stranger = one if foreign is None else replace(one, id="another")
        return measure_clip(TRAINED, one, stranger, 0.5)

    return measure


def test_a_clip_that_is_clear(measured):
    one = sample(1, "anna", offset_ms=47.0, known=True)
    found = measured(one, evidence(-3.0, 100), evidence(0, 100, height=0.0, seed=1))
    figures = figures_of([found])
    for frames in LENGTHS:
        places = 96 - 30 - (frames - 5)
        assert len(found.hits[frames]) == max(0, places) and found.silent[frames] == 0
        if places > 0:
            assert figures[name_of(frames)] == 1
    assert figures["whole clip"] == 1 and figures["median error ms"] < 2
    assert np.abs(found.errors_ms).max() < 5, "the 3 ms left after moving by 50 are the truth"
    for kind in ("shifted", "foreign"):
        assert figures[f"AUC {kind} 1 s"] == 1 and figures[f"EER {kind} 1 s"] == 0
    assert figures["undetermined, own sound"] == 0
    assert figures["undetermined, foreign sound"] == 1


def test_errors_are_found_minus_made(measured):
    """A clip said to be at 0 that is 90 ms off: every injected offset is found 90 ms off."""
    found = measured(sample(1), evidence(90.0, 100))
    assert found.errors_ms == pytest.approx(90, abs=4)
    assert len(found.errors_ms) == len(INJECTED) and min(INJECTED) == -50 and max(INJECTED) == 50
    assert figures_of([found])["whole clip"] == 0
    assert figures_of([found])["K = 15"] < 0.2


def test_chance(measured):
    clips = [measured(sample(n, f"s{n}", 500), evidence(0, 500, height=0, seed=n))
             for n in range(4)]  # fmt: skip
    figures = figures_of(clips)
    for name in ("K = 5", "K = 15"):
        assert figures[name] == pytest.approx(3 / 31, abs=0.03)
    assert figures["AUC shifted 1 s"] == pytest.approx(0.5, abs=0.1)


def test_silent_places_are_counted_apart(measured):
    quiet = evidence(0, 100)
    quiet.usable[50:53] = False
    found = measured(sample(1), quiet)
    assert found.silent[5] == 3 and len(found.hits[5]) == 66 - 3
    assert found.silent[9] == 3 + 4, "five windows see the gap from further away"
    all_quiet = evidence(0, 100)
    all_quiet.usable[:] = False
    found = measured(sample(1), all_quiet)
    figures = figures_of([found])
    assert found.undetermined is None and np.isnan(found.errors_ms).all()
    assert np.isnan(figures["K = 5"]) and np.isnan(figures["whole clip"])
    assert found.pairs[25].silent == 96 // 21 and not found.pairs[25].synced


def test_shifted_pairs_are_three_frames_away_or_more(measured, monkeypatch):
    seen, real = [], Evidence.shifted

    def noted(self, steps, reach):
        seen.append(steps)
        return real(self, steps, reach)

    monkeypatch.setattr(Evidence, "shifted", noted)
    drawn = []
    for number in (1, 2):
        seen.clear()
        measured(sample(number, frames=400), evidence(0, 400))
        # First the clip as it is and under the injected offsets, then the pieces.
        after = seen[len(INJECTED) + 2 :]
        drawn.append([abs(steps) for steps in after if steps])
    assert min(map(min, drawn)) >= 12 and max(map(max, drawn)) <= SEARCH_REACH
    assert len(drawn[0]) > 30 and drawn[0] != drawn[1], "each clip its own"


def test_calibration_weighs_both_kinds_alike(measured):
    found = measured(sample(1, frames=400), evidence(0, 400), evidence(0, 400, height=0, seed=3))
    reliability = calibration_of([found])
    assert reliability.weight.sum() == pytest.approx(1)
    filled = reliability.weight > 0
    in_sync = (reliability.weight * np.where(filled, reliability.observed, 0)).sum()
    assert in_sync == pytest.approx(0.5)


def test_calibration_without_foreign_sound_or_without_anything(measured):
    alone = measured(sample(1, frames=400), evidence(0, 400))
    reliability = calibration_of([alone])
    filled = reliability.weight > 0
    in_sync = (reliability.weight * np.where(filled, reliability.observed, 0)).sum()
    assert in_sync == pytest.approx(0.5)
    quiet = evidence(0, 100)
    quiet.usable[:] = False
    assert np.isnan(calibration_of([measured(sample(1), quiet)]).ece)


def test_an_offset_at_the_edge_is_not_told(measured):
    assert measured(sample(1), evidence(640, 100)).undetermined is True
    assert measured(sample(1), evidence(300, 100)).undetermined is False


def test_intervals_hold_the_figure_and_speakers_matter(measured):
    clips = []
    for number in range(12):
        good = number % 3 > 0
        found = measured(sample(number, f"s{number}"), evidence(0 if good else 300, 100))
        clips.append(found)
    figure = figures_of(clips)["K = 5"]
    low, high = intervals_of(clips, 60)["K = 5"]
    assert low < figure < high and high - low > 0.2
    same = [replace(c, sample=replace(c.sample, speaker="anna")) for c in clips]
    assert np.isnan(intervals_of(same, 10)["K = 5"]).all()


def test_groups():
    clips = [SimpleNamespace(sample=sample(n, "ab"[n % 2])) for n in range(5)]
    groups = by_group(clips, lambda one: one.speaker)
    assert [len(group) for group in groups.values()] == [3, 2] and list(groups) == ["a", "b"]

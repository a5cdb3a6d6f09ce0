"""The metrics of the protocol, on evidence whose true offset is known."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from src.dataset.samples import Sample, SampleData
from src.evaluation import protocol
from src.evaluation.protocol import (
    INJECTED_HOPS,
    LENGTHS,
    ClipMeasurement,
    bootstrap_intervals,
    clip_reliability,
    compute_metrics,
    group_clips,
    length_label,
    measure_clip,
)
from src.scoring.calibration import UNFITTED
from src.scoring.evidence import SEARCH_REACH, Evidence

TRAINED = SimpleNamespace(model=None, calibration=UNFITTED)


def make_sample(number: int, speaker: str = "", frames: int = 100, **fields) -> Sample:
    name = f"{speaker}/{number}.mp4"
    return Sample(f"{name}#0", name, speaker, name, Path(), frames, **fields)


def make_evidence(
    offset_ms: float, frames: int, noise: float = 0.05, height: float = 0.6, seed: int = 0
) -> Evidence:
    """Windows whose best match is with the audio delayed by ``offset_ms``."""
    hops = np.arange(-2 * SEARCH_REACH, 2 * SEARCH_REACH + 1)
    peak = height * np.exp(-(((hops - offset_ms / 10) / 5) ** 2))
    rng = np.random.default_rng(seed)
    similarity = peak + rng.normal(0, noise, (frames - 4, len(hops)))
    return Evidence(similarity.astype(np.float32), np.ones(similarity.shape, bool))


@pytest.fixture
def measured(monkeypatch):
    """``measured(sample, matched, mismatched)`` measures a clip with this evidence."""

    def measure(
        sample: Sample, matched: Evidence, mismatched: Evidence | None = None
    ) -> ClipMeasurement:
        track = SampleData(
            np.zeros((sample.n_frames, 1, 1)), np.zeros((4 * sample.n_frames, 1)), np.ones(1)
        )
        monkeypatch.setattr(Sample, "read", lambda *_: track)
        monkeypatch.setattr(protocol, "compute_evidence", lambda *_: matched)
        monkeypatch.setattr(protocol, "mismatched_evidence", lambda *_: mismatched)
        partner = sample if mismatched is None else replace(sample, id="another")
        return measure_clip(TRAINED, sample, partner, 0.5)

    return measure


def share_in_sync(reliability) -> float:
    """By weight, of all pairs of a reliability diagram."""
    is_filled = reliability.weight > 0
    return (reliability.weight * np.where(is_filled, reliability.observed, 0)).sum()


def test_clear_evidence_gives_perfect_metrics(measured):
    sample = make_sample(1, "anna", offset_ms=47.0, offset_known=True)
    mismatched = make_evidence(0, 100, height=0.0, seed=1)
    clip = measured(sample, make_evidence(-3.0, 100), mismatched)
    metrics = compute_metrics([clip])
    for frames in LENGTHS:
        positions = 96 - 30 - (frames - 5)
        assert len(clip.hits[frames]) == max(0, positions) and clip.n_silent[frames] == 0
        if positions > 0:
            assert metrics[length_label(frames)] == 1
    assert metrics["whole clip"] == 1 and metrics["median error ms"] < 2
    assert np.abs(clip.errors_ms).max() < 5, "the 3 ms left after a shift of 50 are the truth"
    for kind in ("shifted", "foreign"):
        assert metrics[f"AUC {kind} 1 s"] == 1 and metrics[f"EER {kind} 1 s"] == 0
    assert metrics["undetermined, own sound"] == 0
    assert metrics["undetermined, foreign sound"] == 1


def test_errors_are_measured_minus_injected(measured):
    """A clip at 90 ms, taken to be at 0: every injected offset is measured 90 ms too high."""
    clip = measured(make_sample(1), make_evidence(90.0, 100))
    assert clip.errors_ms == pytest.approx(90, abs=4)
    assert len(clip.errors_ms) == len(INJECTED_HOPS)
    assert min(INJECTED_HOPS) == -50 and max(INJECTED_HOPS) == 50
    assert compute_metrics([clip])["whole clip"] == 0
    assert compute_metrics([clip])["K = 15"] < 0.2


def test_noise_is_at_chance_level(measured):
    clips = [measured(make_sample(n, f"s{n}", 500), make_evidence(0, 500, height=0, seed=n))
             for n in range(4)]  # fmt: skip
    metrics = compute_metrics(clips)
    for name in ("K = 5", "K = 15"):
        assert metrics[name] == pytest.approx(3 / 31, abs=0.03)
    assert metrics["AUC shifted 1 s"] == pytest.approx(0.5, abs=0.1)


def test_silent_positions_are_counted_separately(measured):
    with_pause = make_evidence(0, 100)
    with_pause.usable[50:53] = False
    clip = measured(make_sample(1), with_pause)
    assert clip.n_silent[5] == 3 and len(clip.hits[5]) == 66 - 3
    assert clip.n_silent[9] == 3 + 4, "five windows reach the pause from further away"
    silent = make_evidence(0, 100)
    silent.usable[:] = False
    clip = measured(make_sample(1), silent)
    metrics = compute_metrics([clip])
    assert clip.undetermined is None and np.isnan(clip.errors_ms).all()
    assert np.isnan(metrics["K = 5"]) and np.isnan(metrics["whole clip"])
    assert clip.pairs[25].n_silent == 96 // 21 and not clip.pairs[25].in_sync


def test_shifted_pairs_are_three_frames_away_or_more(measured, monkeypatch):
    shifts, shifted = [], Evidence.shifted

    def recorded(self, hops, reach):
        shifts.append(hops)
        return shifted(self, hops, reach)

    monkeypatch.setattr(Evidence, "shifted", recorded)
    drawn = []
    for number in (1, 2):
        shifts.clear()
        measured(make_sample(number, frames=400), make_evidence(0, 400))
        # First the clip as it is and with the injected offsets, then the excerpts.
        of_excerpts = shifts[len(INJECTED_HOPS) + 2 :]
        drawn.append([abs(hops) for hops in of_excerpts if hops])
    assert min(map(min, drawn)) >= 12 and max(map(max, drawn)) <= SEARCH_REACH
    assert len(drawn[0]) > 30 and drawn[0] != drawn[1], "each clip has its own"


def test_the_reliability_weighs_both_kinds_equally(measured):
    mismatched = make_evidence(0, 400, height=0, seed=3)
    clip = measured(make_sample(1, frames=400), make_evidence(0, 400), mismatched)
    reliability = clip_reliability([clip])
    assert reliability.weight.sum() == pytest.approx(1)
    assert share_in_sync(reliability) == pytest.approx(0.5)


def test_the_reliability_without_mismatched_pairs_or_without_any(measured):
    alone = measured(make_sample(1, frames=400), make_evidence(0, 400))
    assert share_in_sync(clip_reliability([alone])) == pytest.approx(0.5)
    silent = make_evidence(0, 100)
    silent.usable[:] = False
    assert np.isnan(clip_reliability([measured(make_sample(1), silent)]).ece)


def test_an_offset_at_the_edge_is_undetermined(measured):
    assert measured(make_sample(1), make_evidence(640, 100)).undetermined is True
    assert measured(make_sample(1), make_evidence(300, 100)).undetermined is False


def test_intervals_hold_the_metric_and_depend_on_speakers(measured):
    clips = []
    for number in range(12):
        evidence = make_evidence(0 if number % 3 > 0 else 300, 100)
        clips.append(measured(make_sample(number, f"s{number}"), evidence))
    value = compute_metrics(clips)["K = 5"]
    low, high = bootstrap_intervals(clips, 60)["K = 5"]
    assert low < value < high and high - low > 0.2
    same = [replace(clip, sample=replace(clip.sample, speaker="anna")) for clip in clips]
    assert np.isnan(bootstrap_intervals(same, 10)["K = 5"]).all()


def test_clips_are_grouped_by_name():
    clips = [SimpleNamespace(sample=make_sample(n, "ab"[n % 2])) for n in range(5)]
    groups = group_clips(clips, lambda sample: sample.speaker)
    assert [len(group) for group in groups.values()] == [3, 2] and list(groups) == ["a", "b"]

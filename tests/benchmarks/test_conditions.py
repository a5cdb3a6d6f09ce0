"""Which excerpts of a clip count under a condition, and as what."""

import numpy as np
import pytest

from benchmarks import conditions
from benchmarks.conditions import AS_RECORDED, Decisions, condition_of, decide, excerpts
from src.checkpoints.checkpoint import TrainedModel
from src.dataset.samples import Sample
from src.scoring.calibration import UNFITTED
from src.scoring.evidence import SEARCH_REACH, Evidence

REACH = 2 * SEARCH_REACH


def evidence_with_peak(n_windows: int, hops: int) -> Evidence:
    """All windows are most similar at an offset of so many hops."""
    offsets = np.arange(-REACH, REACH + 1)
    rows = np.clip(1 - 0.1 * np.abs(offsets - hops), 0, None)
    similarity = np.tile(rows.astype(np.float32), (n_windows, 1))
    return Evidence(similarity, np.ones(similarity.shape, bool))


def trained_model() -> TrainedModel:
    return TrainedModel(None, None, UNFITTED)


def decisions_of(evidence: Evidence, threshold: float, true_ms: float | None) -> Decisions:
    decisions = Decisions()
    decide(decisions, evidence, trained_model(), threshold, true_ms)
    return decisions


@pytest.mark.parametrize("name, condition", [
    ("a/clip~all.mkv", "all"), ("a/clip~babble-2.mkv", "babble"), ("a/clip~all4.mkv", "all"),
    ("a/clip.mp4", AS_RECORDED), ("a/clip~holiday.mp4", AS_RECORDED), ("a/all.mp4", AS_RECORDED),
])  # fmt: skip
def test_the_condition_is_in_the_name_of_the_copy(name, condition):
    assert condition_of(Sample("1", name, "a", "a", None, 60)) == condition


def test_excerpts_hold_two_seconds_of_speech():
    clip = evidence_with_peak(160, 0)
    assert [len(part.similarity) for part in excerpts(clip)] == [46, 46, 46, 71, 71, 160]
    clip.usable[46:92] = False  # a pause
    assert [len(part.similarity) for part in excerpts(clip)] == [46, 46, 46, 50, 114]
    assert not list(excerpts(evidence_with_peak(30, 0)))


@pytest.mark.parametrize("error_ms, is_correct", [(0, True), (50, True), (-59, True), (61, False),
                                                 (-70, False)])  # fmt: skip
def test_an_offset_is_correct_within_one_frame_as_in_all_other_tables(error_ms, is_correct):
    clip = evidence_with_peak(46, 20)
    reported = decisions_of(clip, 0.0, 200.0 - error_ms)
    assert reported.incorrect == [not is_correct] * 2 and reported.withheld == [False] * 2
    withheld = decisions_of(clip, 1.0, 200.0 - error_ms)
    assert withheld.incorrect == [False] * 2 and withheld.withheld == [is_correct] * 2


def test_of_another_speakers_audio_any_reported_offset_counts():
    clip = evidence_with_peak(46, 20)
    assert decisions_of(clip, 0.0, None) == Decisions(mismatched=[True] * 2)
    assert decisions_of(clip, 1.0, None) == Decisions(mismatched=[False] * 2)


def test_a_row_per_condition_in_their_order(capsys, monkeypatch):
    metrics = dict.fromkeys(conditions.COLUMNS, 0.5)
    monkeypatch.setattr(conditions, "compute_metrics", lambda clips: metrics)

    class Clip:
        sample = Sample("1", "a/clip.mp4", "a", "a", None, 60)

    made = Decisions([True, False], [False, False], [])
    conditions.print_table(
        {"all": [Clip], AS_RECORDED: [Clip, Clip]}, {"all": made, AS_RECORDED: made}
    )
    header, _, first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("| as recorded | 2 | 1 | 50.0%") and second.startswith("| all | 1 |")
    assert second.endswith("| 2 | 50.0% | 0.0% | – |")
    assert header.count("|") == first.count("|")

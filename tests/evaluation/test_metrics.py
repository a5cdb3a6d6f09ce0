"""Offset accuracy, ROC, calibration and intervals, against plain computations."""

import numpy as np
import pytest
from scipy.stats import norm

from src.evaluation.metrics import (
    bootstrap_speakers,
    equal_error_rate,
    measure_reliability,
    offset_report,
    roc_auc,
)
from src.scoring.evidence import compare, offset_hits
from tests.support.simulated_evidence import embeddings


def test_the_report_counts_clips_and_positions_together():
    leads = (0.0, 30.0, -55.0, 100.0)
    clips = [compare(*embeddings(60, lead, seed), 60) for seed, lead in enumerate(leads)]
    silent = compare(*embeddings(60, 0.0)[:2], np.zeros(64, bool), 60)
    report = offset_report([*clips, silent])
    assert report.n_clips == 4
    assert report.positions_at == {5: 4 * 30, 15: 4 * 20}
    assert report.clip_accuracy == 0.75  # 100 ms is two frames and a half
    assert report.median_error_ms == pytest.approx((30 + 55) / 2, abs=1.5)
    assert report.accuracy_at[5] == pytest.approx(np.mean(np.concatenate(
        [offset_hits(clip, 5)[0] for clip in clips])))  # fmt: skip


def test_a_report_on_no_clip_is_nan():
    report = offset_report([])
    assert report.n_clips == 0 and report.positions_at == {5: 0, 15: 0}
    assert np.isnan([report.clip_accuracy, report.median_error_ms, report.accuracy_at[5]]).all()


@pytest.mark.parametrize("seed", range(4))
def test_the_auc_is_the_share_of_pairs_in_order(seed):
    rng = np.random.default_rng(seed)
    labels = rng.random(60) < 0.4
    scores = np.round(rng.normal(labels, 1.0), 1)  # with ties
    positive, negative = scores[labels][:, None], scores[~labels]
    wins = (positive > negative).mean() + 0.5 * (positive == negative).mean()
    assert roc_auc(scores, labels) == pytest.approx(wins)


def test_the_eer_of_two_normal_distributions():
    """Scores of deviation 1 whose means are d apart: the error rates meet at Φ(−d/2)."""
    rng = np.random.default_rng(0)
    for distance in (0.5, 2.0, 4.0):
        labels = rng.random(40000) < 0.3
        scores = rng.normal(distance * labels, 1.0)
        assert equal_error_rate(scores, labels) == pytest.approx(norm.cdf(-distance / 2), abs=0.01)


def test_the_eer_of_a_few_scores():
    labels = np.array([True, True, True, False, False])
    assert equal_error_rate(np.array([5, 4, 3, 2, 1.0]), labels) == 0
    assert equal_error_rate(np.array([1, 2, 3, 4, 5.0]), labels) == 1
    assert equal_error_rate(np.zeros(5), labels) == pytest.approx(0.5)


def test_pairs_of_one_kind_have_no_auc():
    for labels in (np.ones(3, bool), np.zeros(3, bool), np.zeros(0, bool)):
        assert np.isnan(roc_auc(np.zeros(len(labels)), labels))
        assert np.isnan(equal_error_rate(np.zeros(len(labels)), labels))


def test_reliability_by_hand():
    probabilities = np.array([0.05, 0.05, 0.55, 1.0])
    labels = np.array([False, True, True, True])
    reliability = measure_reliability(probabilities, labels, np.array([1.0, 1, 1, 3]))
    assert reliability.weight[[0, 5, 9]].tolist() == pytest.approx([1 / 3, 1 / 6, 1 / 2])
    assert np.isnan(reliability.predicted[1]) and reliability.observed[0] == 0.5
    assert reliability.ece == pytest.approx(1 / 3 * 0.45 + 1 / 6 * 0.45)


def test_true_probabilities_are_reliable():
    rng = np.random.default_rng(5)
    probabilities = rng.random(50000)
    labels = rng.random(50000) < probabilities
    assert measure_reliability(probabilities, labels, np.ones(50000)).ece < 0.01
    assert measure_reliability(probabilities**3, labels, np.ones(50000)).ece > 0.1


def test_the_bootstrap_draws_whole_speakers():
    """The interval depends on the number of speakers, however many clips they have."""
    rng = np.random.default_rng(6)
    speaker_means = rng.normal(0, 1, 40)
    speakers = [f"s{n}" for n in range(40) for _ in range(25)]
    values = np.repeat(speaker_means, 25)
    means = [np.average(values, weights=counts) for counts in bootstrap_speakers(speakers, 800)]
    assert np.std(means) == pytest.approx(speaker_means.std() / np.sqrt(40), rel=0.15)
    for counts in bootstrap_speakers(speakers, 3):
        assert counts.sum() == 1000 and (counts.reshape(40, 25) == counts[::25, None]).all()
    assert not list(bootstrap_speakers(["a", "a"], 5))

"""Calibrated probabilities, on simulated curves."""

import json
from dataclasses import replace
from math import asinh
from statistics import mean, pstdev

import numpy as np
import pytest

from src.scoring.calibration import (
    RIDGE,
    UNFITTED,
    _fit_logistic,
    calibration_features,
    fit_calibration,
    invalid_fits,
    peak_probability,
    required_probability,
    sync_probability,
)
from src.scoring.evidence import Curve, Evidence, best_offset, similarity_curve
from tests.support.simulated_evidence import supported_curve

REACH = 60


def clip(rng, windows: int, matched: bool, reach: int = 2 * REACH, strength: float = 0.35):
    """Similarities of a clip in sync (or of a mismatched pair): noise, and a peak at 0."""
    offsets = np.arange(-reach, reach + 1)
    peak = np.exp(-0.5 * (offsets / 5) ** 2)
    noise = rng.normal(0, 1, (windows, len(offsets) + 16))
    noise = np.apply_along_axis(np.convolve, 1, noise, np.ones(17) / 17**0.5, "valid")
    similarity = 0.3 * noise + (strength * peak if matched else 0)
    return Evidence(np.clip(similarity, -1, 1).astype(np.float32),
                    np.ones(similarity.shape, bool))  # fmt: skip


@pytest.fixture(scope="module")
def fitted() -> dict:
    rng = np.random.default_rng(0)
    in_sync = [clip(rng, 100, True) for _ in range(12)]
    return fit_calibration(in_sync, [clip(rng, 100, False) for _ in range(12)], REACH)


def fresh(n: int, seed: int, strength: float = 0.18):
    """(curve of 1 to 3 seconds, whether in sync, whether its peak is correct), newly drawn."""
    rng = np.random.default_rng(seed)
    for number in range(n):
        kind = number % 4
        windows = int(rng.choice([25, 50, 75]))
        evidence = clip(rng, windows, kind != 3, strength=strength)
        hops = (int(rng.integers(-3, 4)) if kind < 2
                else int(rng.integers(12, REACH + 1) * rng.choice([-1, 1])))  # fmt: skip
        curve = similarity_curve([evidence.shifted(hops, REACH)])
        best = int(curve.offsets[np.nanargmax(curve.similarity)])
        yield curve, kind < 2, kind != 3 and abs(best + hops) <= 4


def calibration_error(probabilities: np.ndarray, truths: np.ndarray, bins: int = 5) -> float:
    """Expected calibration error."""
    numbers = np.minimum((probabilities * bins).astype(int), bins - 1)
    return sum(
        abs(probabilities[inside].mean() - truths[inside].mean()) * inside.mean()
        for inside in (numbers == number for number in range(bins))
        if inside.any()
    )


def test_probabilities_are_calibrated_on_fresh_clips():
    rng = np.random.default_rng(5)
    # Weak evidence, so that some of it is uncertain.
    in_sync = [clip(rng, 75, True, strength=0.18) for _ in range(40)]
    mismatched = [clip(rng, 75, False) for _ in range(20)]
    fitted = fit_calibration(in_sync, mismatched, REACH)
    draws = list(fresh(600, seed=6))
    for predict, column in ((sync_probability, 1), (peak_probability, 2)):
        probabilities = np.array([predict(draw[0], fitted) for draw in draws])
        truths = np.array([draw[column] for draw in draws])
        assert 0.2 < truths.mean() < 0.8
        ranks = probabilities[truths][:, None] > probabilities[~truths]
        assert ranks.mean() > 0.75, "true ones get higher probabilities"
        assert calibration_error(probabilities, truths) < 0.15
    # The measure can fail.
    assert calibration_error(np.full(len(truths), 0.99), truths) > 0.2


def test_clear_evidence_is_not_understated():
    """The ridge that keeps weights finite must not pull probabilities to the middle."""
    rng = np.random.default_rng(5)
    in_sync = [clip(rng, 75, True, strength=0.26) for _ in range(40)]
    fitted = fit_calibration(in_sync, [clip(rng, 75, False) for _ in range(20)], REACH)
    draws = list(fresh(600, seed=6, strength=0.26))
    probabilities = np.array([sync_probability(curve, fitted) for curve, _, _ in draws])
    assert calibration_error(probabilities, np.array([draw[1] for draw in draws]), bins=10) < 0.02


def test_every_speaker_counts_the_same():
    """Of one speaker, for whom other audio fits as well, there are twenty times as many clips."""
    rng = np.random.default_rng(5)
    matched = [clip(rng, 30, True, strength=0.3) for _ in range(84)]
    mismatched = [clip(rng, 30, number < 80, strength=0.3) for number in range(84)]
    speakers = ["many"] * 80 + ["few"] * 4
    by_excerpt = fit_calibration(matched, mismatched, REACH)
    by_speaker = fit_calibration(matched, mismatched, REACH, (speakers, speakers))
    assert fit_calibration(matched, mismatched, REACH, ([""] * 84, [""] * 84)) == by_excerpt
    curves = [
        similarity_curve([clip(rng, 30, True, strength=0.3).shifted(0, REACH)]) for _ in range(40)
    ]
    unequal, equal = (
        np.mean([sync_probability(curve, fit) for curve in curves])
        for fit in (by_excerpt, by_speaker)
    )
    assert equal > unequal + 0.05
    assert by_speaker["peak"] == by_excerpt["peak"]  # decides what is reported


def test_strong_evidence_separates_pairs(fitted):
    rng = np.random.default_rng(1)
    probabilities = {"in sync": [], "shifted": [], "mismatched": []}
    for _ in range(20):
        in_sync, mismatched = clip(rng, 75, True), clip(rng, 75, False)
        for name, evidence in (
            ("in sync", in_sync.shifted(2, REACH)),
            ("shifted", in_sync.shifted(30, REACH)),
            ("mismatched", mismatched.shifted(0, REACH)),
        ):
            probabilities[name].append(sync_probability(similarity_curve([evidence]), fitted))
    assert min(probabilities["in sync"]) > 0.8
    assert max(probabilities["shifted"]) < 0.2 and max(probabilities["mismatched"]) < 0.2


def test_a_shifted_clip_is_out_of_sync_but_its_peak_is_certain(fitted):
    curve = similarity_curve([clip(np.random.default_rng(2), 75, True).shifted(30, REACH)])
    assert sync_probability(curve, fitted) < 0.2
    assert peak_probability(curve, fitted) > 0.8
    mismatched = similarity_curve([clip(np.random.default_rng(3), 75, False).shifted(0, REACH)])
    assert peak_probability(mismatched, fitted) < 0.2


def test_more_evidence_is_more_certain(fitted):
    offsets = np.arange(-REACH, REACH + 1)
    similarity = 0.25 * np.exp(-0.5 * (offsets / 5) ** 2)
    probabilities = [
        peak_probability(supported_curve(offsets, similarity, windows), fitted)
        for windows in (10, 25, 100, 400)
    ]
    assert probabilities == sorted(probabilities) and probabilities[0] < probabilities[-1]


@pytest.mark.parametrize(
    ("offset_ms", "low", "high"),
    [(0, 0.97, 1), (40, 0.9, 1), (60, 0.2, 0.8), (80, 0, 0.1), (110, 0, 0.02)],
)
def test_the_score_falls_at_the_limit_of_in_sync(fitted, offset_ms, low, high):
    """Within ±1 frame, rounded to frames: up to 60 ms. From 3 frames on the features decide."""
    for sign in (-1, 1):
        curves = [
            similarity_curve([clip(np.random.default_rng(seed), 250, True).shifted(hops, REACH)])
            for seed in range(6)
            for hops in [sign * offset_ms // 10]
        ]
        assert low <= np.mean([sync_probability(curve, fitted) for curve in curves]) <= high


def test_the_features_of_a_curve():
    offsets = np.arange(-20, 21)
    similarity = np.zeros(41)
    similarity[20 + 3], similarity[20 - 15], similarity[20 + 8] = 0.6, 0.2, 0.9
    features = calibration_features(supported_curve(offsets, similarity, 50))
    # Best within ±1 frame; lead over offsets 3 frames away or more; that times √2 seconds; how far
    # both stand out from the 18 similarities 3 frames away or more, one of which is not 0.
    far = [0.2, *[0.0] * 17]
    spread = pstdev(far)
    assert features.tolist() == pytest.approx(
        [0.6, 0.4, 0.4 * 2**0.5, asinh((0.6 - mean(far)) / spread), asinh(0.4 / spread)]
    )


def test_what_weakens_peak_and_ripples_alike_leaves_the_last_two_features():
    """Blur and noise do: half the similarities, and less of them."""
    curve = similarity_curve([clip(np.random.default_rng(0), 100, True)])
    weaker = replace(curve, similarity=0.5 * curve.similarity - 0.1)
    before, after = calibration_features(curve), calibration_features(weaker)
    assert after[3:] == pytest.approx(before[3:]) and after[1] == pytest.approx(before[1] / 2)


def test_checkpoints_from_before_keep_their_probabilities():
    """Their calibration has three features."""
    fit = {"mean": [0.1, 0.2, 0.3], "scale": [0.5, 0.5, 2.0], "weights": [1.0, 4.0, 0.5],
           "bias": -0.3}  # fmt: skip
    assert invalid_fits({"score": fit, "peak": fit}) == []
    curve = similarity_curve([clip(np.random.default_rng(0), 50, True)])
    similarity, lead, lead_root = calibration_features(curve, best_offset(curve))[:3]
    logit = (similarity - 0.1) * 2 + (lead - 0.2) * 8 + (lead_root - 0.3) / 4 - 0.3
    assert peak_probability(curve, {"peak": fit}) == pytest.approx(1 / (1 + np.exp(-logit)))
    four = fit | {name: [*fit[name], 1.0] for name in ("mean", "scale", "weights")}
    assert invalid_fits({"score": fit, "peak": four}) == ["peak"]


def test_from_2_s_of_speech_on_another_fit_counts(fitted):
    certain, doubtful = ({**fitted["peak"], "weights": [0.0] * 5, "bias": bias} for bias in (3, -3))
    calibration = {"score": fitted["score"], "peak": doubtful, "long_peak": certain}
    assert invalid_fits(calibration) == []
    offsets = np.arange(-REACH, REACH + 1)
    similarity = 0.3 * np.exp(-0.5 * (offsets / 5) ** 2)
    for n_windows, bias in ((41, -3), (42, 3)):
        curve = supported_curve(offsets, similarity, n_windows)
        assert peak_probability(curve, calibration) == pytest.approx(1 / (1 + np.exp(-bias)))
    assert invalid_fits(calibration | {"long_score": {"bias": 1.0}}) == ["long_score"]


def test_long_speech_is_calibrated_where_most_clips_are_short():
    """One fit for all lengths understates it: certainty grows faster than √length here."""
    rng = np.random.default_rng(5)
    in_sync = [clip(rng, 75, True, strength=0.14) for _ in range(60)]
    fitted = fit_calibration(in_sync, [clip(rng, 75, False) for _ in range(60)], REACH)
    assert set(fitted) >= {"long_score", "long_peak"}
    draws = [(curve, correct) for curve, _, correct in fresh(1200, 6, 0.14)
             if curve.n_windows >= 42]  # fmt: skip
    truths = np.array([correct for _, correct in draws])
    probabilities = np.array([peak_probability(curve, fitted) for curve, _ in draws])
    assert calibration_error(probabilities, truths) < 0.12
    # With few long ones there is no such fit.
    short = [clip(rng, 30, True) for _ in range(30)]
    assert set(fit_calibration(short, [clip(rng, 30, False)] * 30, REACH)) == set(UNFITTED)


def test_without_support_there_is_no_probability(fitted):
    offsets = np.arange(-20, 21)
    unsupported = np.full(41, np.nan)
    near_only = np.where(np.abs(offsets) < 6, 0.5, np.nan)
    empty, narrow = (supported_curve(offsets, values, 0) for values in (unsupported, near_only))
    assert calibration_features(empty) is None and calibration_features(narrow) is None
    for curve in (empty, narrow):
        assert sync_probability(curve, fitted) is None
        assert peak_probability(curve, fitted) is None


def test_without_both_classes_nothing_is_fitted():
    rng = np.random.default_rng(0)
    assert fit_calibration([], [], REACH) == UNFITTED
    assert fit_calibration([], [clip(rng, 30, False)], REACH) == UNFITTED
    silent = clip(rng, 30, True)
    silent.usable[:] = False
    assert fit_calibration([silent], [], REACH) == UNFITTED


def test_perfectly_separable_clips_give_finite_weights():
    rng = np.random.default_rng(0)
    fitted = fit_calibration([clip(rng, 100, True, strength=0.9)], [clip(rng, 100, False)], REACH)
    assert all(np.isfinite(fitted[name]["weights"]).all() for name in fitted)
    assert max(map(abs, fitted["score"]["weights"])) < 30


def is_plain(value) -> bool:
    if isinstance(value, dict):
        return all(type(key) is str and is_plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(is_plain, value))
    return type(value) in (float, int, str)


def test_the_result_is_plain_and_repeatable(fitted):
    assert is_plain(fitted) and set(UNFITTED) == {"score", "peak"}
    assert set(fitted) == {"score", "peak", "long_score", "long_peak"}
    assert json.loads(json.dumps(fitted)) == fitted
    rng = np.random.default_rng(0)
    in_sync = [clip(rng, 100, True) for _ in range(12)]
    assert fit_calibration(in_sync, [clip(rng, 100, False) for _ in range(12)], REACH) == fitted


def test_the_unfitted_guess_ranks_pairs():
    rng = np.random.default_rng(0)
    curve = similarity_curve([clip(rng, 75, True).shifted(0, REACH)])
    other = similarity_curve([clip(rng, 75, False).shifted(0, REACH)])
    assert sync_probability(curve, UNFITTED) > 0.5 > sync_probability(other, UNFITTED)


def test_flat_curves_are_no_evidence():
    """An untrained model ripples by a thousandth; that must not become certainty."""
    rng = np.random.default_rng(3)

    def flat(rows: int = 60) -> Evidence:
        ripple = rng.normal(-0.135, 2e-4, (rows, 481)).astype(np.float32)
        return Evidence(ripple, np.ones(ripple.shape, bool))

    fitted = fit_calibration([flat() for _ in range(8)], [], reach=120)
    for _ in range(20):
        for excerpt in (flat().as_file(0, 120), flat().shifted(0, 120)):
            curve = similarity_curve([excerpt])
            assert 0.2 < sync_probability(curve, fitted) < 0.8
            assert peak_probability(curve, fitted) < 0.8


def test_the_fit_minimises_the_ridge_loss_of_balanced_classes_and_speakers():
    """In the minimum, the gradient of the mean log-loss and the ridge cancel out."""
    rng = np.random.default_rng(4)
    labels = rng.random(200) < 0.2
    features = rng.normal(labels[:, None] * [0.5, 1.0, 2.0], 1.0, (200, 3))
    speakers = ["anna"] * 150 + ["ben"] * 50
    fit = _fit_logistic(list(zip(features, labels.tolist(), speakers, strict=True)))
    scaled = (features - fit["mean"]) / fit["scale"]
    predicted = 1 / (1 + np.exp(-(scaled @ fit["weights"] + fit["bias"])))
    # An example of Ben's counts three times as much as one of Anna's; each class, one half.
    of_speaker = np.array([1.0] * 150 + [3.0] * 50)
    sums = np.where(labels, of_speaker[labels].sum(), of_speaker[~labels].sum())
    sample_weights = 0.5 * of_speaker / sums
    residuals = sample_weights * (predicted - labels)
    gradient = scaled.T @ residuals + RIDGE * np.array(fit["weights"])
    assert np.abs(gradient).max() < 1e-8 and abs(residuals.sum()) < 1e-8


@pytest.mark.parametrize(
    ("n_windows", "asked", "required"),
    [(46, 0.5, 0.5), (500, 0.5, 0.5), (21, 0.5, 0.6), (31, 0.5, 0.6 - 0.1 * 10 / 25),
     (10, 0.6, 0.72), (10, 0.0, 0.0), (10, 0.8, 0.95), (10, 0.97, 0.97), (10, 1.0, 1.0)],
)  # fmt: skip
def test_more_is_required_of_less_than_2_s_of_speech(n_windows, asked, required):
    """2 s are 46 windows of 5 frames, 1 s are 21."""
    curve = supported_curve(np.arange(-20, 21), np.zeros(41), n_windows)
    assert required_probability(curve, asked) == pytest.approx(required)


def test_the_speech_that_counts_is_that_at_the_offset():
    """A file of 3 s whose audio is late: only 1.2 s of both can be compared at the best offset."""
    offsets = np.arange(-REACH, REACH + 1)
    similarity = np.where(offsets == 40, 0.3, 0.0)
    count = np.interp(offsets, (0, 40), (71, 25)).astype(int)
    curve = Curve(offsets, similarity, 1 - similarity, count, 0.0)
    assert curve.n_windows == 71
    assert calibration_features(curve, 40)[2] == pytest.approx(0.3, abs=1e-3)  # lead × √1 s
    assert required_probability(curve, 0.5) == pytest.approx(0.6 - 0.1 * 4 / 25)

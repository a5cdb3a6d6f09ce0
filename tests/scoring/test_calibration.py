"""Probabilities that mean what they say, on simulated curves."""

import json

import numpy as np
import pytest

from src.scoring.calibration import (
    UNFITTED,
    calibration_features,
    fit_calibration,
    peak_probability,
    sync_probability,
)
from src.scoring.evidence import Curve, Evidence, curve_of

REACH = 60


def clip(rng, windows: int, related: bool, reach: int = 2 * REACH, strength: float = 0.35):
    """Similarities of a clip in sync (or of foreign sound): noise, and a peak at 0."""
    offsets = np.arange(-reach, reach + 1)
    peak = np.exp(-0.5 * (offsets / 5) ** 2)
    noise = rng.normal(0, 1, (windows, len(offsets) + 16))
    noise = np.apply_along_axis(np.convolve, 1, noise, np.ones(17) / 17**0.5, "valid")
    similarity = 0.3 * noise + (strength * peak if related else 0)
    return Evidence(np.clip(similarity, -1, 1).astype(np.float32),
                    np.ones(similarity.shape, bool))  # fmt: skip


@pytest.fixture(scope="module")
def fitted() -> dict:
    rng = np.random.default_rng(0)
    in_sync = [clip(rng, 100, True) for _ in range(12)]
    return fit_calibration(in_sync, [clip(rng, 100, False) for _ in range(12)], REACH)


def fresh(n: int, seed: int, strength: float = 0.18):
    """(curve of 1 to 3 seconds, truth about its score, truth about its peak), newly drawn."""
    rng = np.random.default_rng(seed)
    for number in range(n):
        kind = number % 4
        windows = int(rng.choice([25, 50, 75]))
        evidence = clip(rng, windows, kind != 3, strength=strength)
        steps = (int(rng.integers(-3, 4)) if kind < 2
                 else int(rng.integers(12, REACH + 1) * rng.choice([-1, 1])))  # fmt: skip
        curve = curve_of([evidence.shifted(steps, REACH)])
        best = int(curve.offsets[np.nanargmax(curve.similarity)])
        yield curve, kind < 2, kind != 3 and abs(best + steps) <= 4


def calibration_error(chances: np.ndarray, truths: np.ndarray, bins: int = 5) -> float:
    """Expected calibration error."""
    place = np.minimum((chances * bins).astype(int), bins - 1)
    return sum(
        abs(chances[place == b].mean() - truths[place == b].mean()) * (place == b).mean()
        for b in range(bins)
        if (place == b).any()
    )


def test_probabilities_are_calibrated_on_fresh_clips():
    rng = np.random.default_rng(5)
    # Weak evidence, so that there is something to be unsure about.
    in_sync = [clip(rng, 75, True, strength=0.18) for _ in range(40)]
    foreign = [clip(rng, 75, False) for _ in range(20)]
    fitted = fit_calibration(in_sync, foreign, REACH)
    draws = list(fresh(600, seed=6))
    for judge, which in ((sync_probability, 1), (peak_probability, 2)):
        chances = np.array([judge(draw[0], fitted) for draw in draws])
        truths = np.array([draw[which] for draw in draws])
        assert 0.2 < truths.mean() < 0.8
        ranks = chances[truths][:, None] > chances[~truths]
        assert ranks.mean() > 0.75, "the likelier, the truer"
        assert calibration_error(chances, truths) < 0.15
    # The measure can fail.
    assert calibration_error(np.full(len(truths), 0.99), truths) > 0.2


def test_clear_evidence_is_not_understated():
    """What keeps the weights finite must not pull the chances to the middle."""
    rng = np.random.default_rng(5)
    in_sync = [clip(rng, 75, True, strength=0.26) for _ in range(40)]
    fitted = fit_calibration(in_sync, [clip(rng, 75, False) for _ in range(20)], REACH)
    draws = list(fresh(600, seed=6, strength=0.26))
    chances = np.array([sync_probability(curve, fitted) for curve, _, _ in draws])
    assert calibration_error(chances, np.array([draw[1] for draw in draws]), bins=10) < 0.02


def test_strong_evidence_is_told_apart(fitted):
    rng = np.random.default_rng(1)
    chances = {"in sync": [], "shifted": [], "foreign": []}
    for _ in range(20):
        in_sync, foreign = clip(rng, 75, True), clip(rng, 75, False)
        for name, evidence in (
            ("in sync", in_sync.shifted(2, REACH)),
            ("shifted", in_sync.shifted(30, REACH)),
            ("foreign", foreign.shifted(0, REACH)),
        ):
            chances[name].append(sync_probability(curve_of([evidence]), fitted))
    assert min(chances["in sync"]) > 0.8
    assert max(chances["shifted"]) < 0.2 and max(chances["foreign"]) < 0.2


def test_a_shifted_clip_is_out_of_sync_but_its_peak_is_sure(fitted):
    curve = curve_of([clip(np.random.default_rng(2), 75, True).shifted(30, REACH)])
    assert sync_probability(curve, fitted) < 0.2
    assert peak_probability(curve, fitted) > 0.8
    foreign = curve_of([clip(np.random.default_rng(3), 75, False).shifted(0, REACH)])
    assert peak_probability(foreign, fitted) < 0.2


def test_more_evidence_makes_surer(fitted):
    offsets = np.arange(-REACH, REACH + 1)
    similarity = 0.25 * np.exp(-0.5 * (offsets / 5) ** 2)
    chances = [
        peak_probability(Curve(offsets, similarity, 1 - similarity, windows), fitted)
        for windows in (10, 25, 100, 400)
    ]
    assert chances == sorted(chances) and chances[0] < chances[-1]


@pytest.mark.parametrize(
    ("off_ms", "low", "high"),
    [(0, 0.97, 1), (40, 0.9, 1), (60, 0.2, 0.8), (80, 0, 0.1), (110, 0, 0.02)],
)
def test_the_score_ends_where_being_in_sync_does(fitted, off_ms, low, high):
    """Within ±1 frame, rounded to frames: up to 60 ms. From 3 frames on the readings tell."""
    for sign in (-1, 1):
        curves = [
            curve_of([clip(np.random.default_rng(seed), 250, True).shifted(steps, REACH)])
            for seed in range(6)
            for steps in [sign * off_ms // 10]
        ]
        assert low <= np.mean([sync_probability(curve, fitted) for curve in curves]) <= high


def test_readings_of_a_curve():
    offsets = np.arange(-20, 21)
    similarity = np.zeros(41)
    similarity[20 + 3], similarity[20 - 15], similarity[20 + 8] = 0.6, 0.2, 0.9
    found = calibration_features(Curve(offsets, similarity, 1 - similarity, 50))
    # Best within ±1 frame; lead over what is 3 frames away or more; that times √2 seconds.
    assert found.tolist() == pytest.approx([0.6, 0.4, 0.4 * 2**0.5])


def test_without_support_there_is_no_probability(fitted):
    offsets = np.arange(-20, 21)
    nothing = np.full(41, np.nan)
    near_only = np.where(np.abs(offsets) < 6, 0.5, np.nan)
    empty, narrow = (Curve(offsets, values, 1 - values, 0) for values in (nothing, near_only))
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


def plain(value) -> bool:
    if isinstance(value, dict):
        return all(type(key) is str and plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(plain, value))
    return type(value) in (float, int, str)


def test_the_result_is_plain_and_repeatable(fitted):
    assert plain(fitted) and set(fitted) == {"score", "peak"} == set(UNFITTED)
    assert json.loads(json.dumps(fitted)) == fitted
    rng = np.random.default_rng(0)
    in_sync = [clip(rng, 100, True) for _ in range(12)]
    assert fit_calibration(in_sync, [clip(rng, 100, False) for _ in range(12)], REACH) == fitted


def test_before_anything_was_fitted_the_guess_is_ordered():
    rng = np.random.default_rng(0)
    curve = curve_of([clip(rng, 75, True).shifted(0, REACH)])
    other = curve_of([clip(rng, 75, False).shifted(0, REACH)])
    assert sync_probability(curve, UNFITTED) > 0.5 > sync_probability(other, UNFITTED)


def test_flat_curves_are_no_evidence():
    """A model that has learned nothing ripples by a thousandth; that must not become certainty."""
    dice = np.random.default_rng(3)

    def flat(rows: int = 60) -> Evidence:
        ripple = dice.normal(-0.135, 2e-4, (rows, 481)).astype(np.float32)
        return Evidence(ripple, np.ones(ripple.shape, bool))

    fitted = fit_calibration([flat()], [], reach=120)
    for _ in range(20):
        curve = curve_of([flat().shifted(0, 120)])
        assert 0.2 < sync_probability(curve, fitted) < 0.8
        assert peak_probability(curve, fitted) < 0.8

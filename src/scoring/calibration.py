"""Similarity by offset -> probabilities.

The sync score is the probability that a pair, as given, is in sync; ``peak_probability`` is the
one that the best offset is correct. Each is a logistic regression (Platt: Probabilistic outputs for
support vector machines, 1999) on features of the curve, fitted to excerpts of validation clips, cut
like files and as parts of longer ones: in sync, with the audio shifted by 3 frames or more, and
with other clips' audio. Every speaker counts the same in the score; in the other, which decides
what is reported, that let more offsets of other speakers' audio through. Between 1 and 3 frames
these features change little, and the position of the peak decides. From 2 s of speech on, both have
a fit of their own.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from math import erf, sqrt

import numpy as np

from ..core.constants import FPS, FRAME_MS, HOPS_PER_FRAME, WINDOW_FRAMES
from .evidence import Curve, Evidence, best_offset, peak_ms, similarity_curve

NEAR = HOPS_PER_FRAME  # ±1 frame: in sync
FAR = 3 * HOPS_PER_FRAME  # from 3 frames on: out of sync
N_FEATURES = 5
OLDER_N_FEATURES = 3  # of checkpoints from before the spread of the curve counted
# In sync is what is within ±1 frame once rounded to frames. The peak of 1 s of video has an error
# of this standard deviation (9 ms over 866 excerpts of 16 held-out speakers).
SCORE_TOLERANCE_MS = 1.5 * FRAME_MS
PEAK_ERROR_MS = 10.0
RIDGE = 0.0005  # keeps weights finite where the validation clips are perfectly separable
SEED = 0
# Differences in similarity smaller than this are noise: an untrained model gives flat curves, whose
# ripples must not be scaled up to certainty.
MIN_SCALE = 0.05
MIN_SPREAD = 0.01  # the same, for the standard deviation of a curve
EXCERPT_FRAMES = (FPS, 2 * FPS, 3 * FPS)  # of the validation clips, besides the whole clips

# One fit for all lengths understates longer speech: of validation clips and their degraded copies,
# 2 s and more, 63 of 100 offsets of a certainty of 0.2 to 0.3 were correct, 85 of one of 0.4 to
# 0.5. Fewer examples of either class are too few for a fit of its own. A clip of 2 s has 46
# windows; some may be in a short pause.
LONG_WINDOWS = 2 * FPS - 2 * (WINDOW_FRAMES - 1)
LONG_PREFIX = "long_"
MIN_LONG_EXAMPLES = 40  # each excerpt is two: cut like a file, and not

# Without a fit: a lead of 0.1 over the other offsets suggests sync.
_GUESS = {"mean": [0.0] * N_FEATURES, "scale": [1.0] * N_FEATURES,
          "weights": [0.0, 10.0, 1.0, 0.0, 0.0], "bias": -1.0}  # fmt: skip
UNFITTED = {"score": _GUESS, "peak": _GUESS}

# Another speaker's single words fit by chance more often than longer speech: of 565 words of 1.2 s
# of validation speakers, 4.4 % of the mismatched pairs had 0.5 or more, 3.0 % had 0.6 or more.
SHORT_FACTOR, MAX_REQUIRED = 1.2, 0.95
SHORT_WINDOWS = FPS - WINDOW_FRAMES + 1  # 1 s of speech
SAFE_WINDOWS = 2 * FPS - WINDOW_FRAMES + 1  # 2 s: from here on nothing more is required

LARGEST = 1e9  # of a calibration's numbers: products of three of them stay finite

Examples = list[tuple[np.ndarray, bool, str]]  # features, whether in sync, and who speaks


def invalid_fits(calibration: dict) -> list[str]:
    """Which of ``score`` and ``peak`` are not as ``fit_calibration`` gives them, from any file:
    missing, of another length, or with numbers that are none. Those of longer speech may be
    missing."""
    optional = [LONG_PREFIX + name for name in UNFITTED if LONG_PREFIX + name in calibration]
    return [name for name in (*UNFITTED, *optional) if not _is_fit(calibration.get(name))]


def _is_fit(fit: object) -> bool:
    if not isinstance(fit, dict):
        return False
    try:
        lists = [fit["mean"], fit["scale"], fit["weights"]]
        numbers = [*chain(*lists), fit["bias"]]
    except (KeyError, TypeError):
        return False
    return (
        len({len(values) for values in lists}) == 1
        and len(lists[0]) in (OLDER_N_FEATURES, N_FEATURES)
        and all(type(number) in (int, float) for number in numbers)
        and all(abs(number) <= LARGEST for number in numbers)  # false for NaN
        and all(scale >= 1 / LARGEST for scale in fit["scale"])
    )


def calibration_features(curve: Curve, centre: int = 0) -> np.ndarray | None:
    """The features of the offset ``centre`` (in hops), float [5], or None without support there.

    The best similarity within ±1 frame of it, the lead over the best one 3 frames or more away,
    and that lead × √seconds of speech at ``centre``, as means get more certain with length; then
    how far the similarity and the lead stand out from the similarities 3 frames or more away, in
    standard deviations of those, as a logarithm. A blurred face or a noisy recording lowers the
    peak and the ripples around it alike: the last two stay.
    """
    distance = np.abs(curve.offsets - centre)
    near, far = curve.similarity[distance <= NEAR], curve.similarity[distance >= FAR]
    if np.isnan(near).all() or np.isnan(far).all():
        return None
    similarity = np.nanmax(near)
    lead = similarity - np.nanmax(far)
    spread = max(float(np.nanstd(far)), MIN_SPREAD)
    prominence = (similarity - np.nanmean(far)) / spread
    return np.array([
        similarity, lead, lead * np.sqrt(curve.windows_at(centre) / FPS), np.arcsinh(prominence),
        np.arcsinh(lead / spread),
    ])  # fmt: skip


def sync_probability(curve: Curve, calibration: dict) -> float | None:
    """The sync score: the probability, 0…1, that the pair as given is in sync. None without
    support."""
    probability = probability_at(curve, 0, calibration)
    return None if probability is None else probability * _within_a_frame(curve)


def _within_a_frame(curve: Curve) -> float:
    """The probability, 0…1, that an offset of less than 3 frames is one of ±1, by the position of
    its peak. A peak that leads by less than ``MIN_SCALE`` counts in proportion."""
    inner = np.abs(curve.offsets) < FAR
    inner = replace(curve, similarity=np.where(inner, curve.similarity, np.nan))
    features = calibration_features(curve, best_offset(inner))
    clarity = 0.0 if features is None else np.clip(features[1] / MIN_SCALE, 0, 1)
    margin_ms = SCORE_TOLERANCE_MS - abs(peak_ms(inner))
    outside = 0.5 * (1 - erf(margin_ms / (PEAK_ERROR_MS * sqrt(2))))
    return float(1 - clarity * outside)


def probability_at(curve: Curve, offset: int, calibration: dict) -> float | None:
    """The probability, 0…1, that lips and audio match at ``offset`` hops or less than 3 frames
    away. None without support."""
    return _probability(curve, offset, calibration, "score")


def peak_probability(curve: Curve, calibration: dict) -> float | None:
    """The probability, 0…1, that the best offset of the curve is correct (within ±1 frame)."""
    best = best_offset(curve)
    if best is None:
        return None
    return _probability(curve, best, calibration, "peak")


def required_probability(curve: Curve, min_probability: float) -> float:
    """The certainty from which the best offset of a curve is reported, 0…1:
    ``min_probability`` from 2 s of speech at this offset on, ``SHORT_FACTOR`` times that under 1 s,
    and in between what lies between them."""
    best = best_offset(curve)
    n_windows = 0 if best is None else curve.windows_at(best)
    factor = np.interp(n_windows, (SHORT_WINDOWS, SAFE_WINDOWS), (SHORT_FACTOR, 1.0))
    return max(min_probability, min(float(factor) * min_probability, MAX_REQUIRED))


def _probability(curve: Curve, offset: int, calibration: dict, name: str) -> float | None:
    features = calibration_features(curve, offset)
    if features is None:
        return None
    fit = calibration[name]
    if curve.windows_at(offset) >= LONG_WINDOWS:
        fit = calibration.get(LONG_PREFIX + name, fit)
    scaled = (features[: len(fit["mean"])] - fit["mean"]) / fit["scale"]
    logit = float(scaled @ np.array(fit["weights"]) + fit["bias"])
    return float(1 / (1 + np.exp(-np.clip(logit, -30, 30))))


def fit_calibration(
    matched: list[Evidence],
    mismatched: list[Evidence],
    reach: int,
    speakers: tuple[Sequence[str], Sequence[str]] | None = None,
) -> dict:
    """Fit both probabilities.

    Args:
        matched: evidence of validation clips in sync, for offsets of at least ``2 * reach`` hops.
        mismatched: evidence of validation clips with another clip's audio, likewise.
        reach: of the search range in which pairs are scored, in hops.
        speakers: who speaks in ``matched`` and in ``mismatched``, each of whom counts the same in
            ``score``; None: every excerpt does.

    Returns:
        plain numbers, for ``score`` and for ``peak``: ``mean, scale, weights`` of the features
        and ``bias``; with ``long_`` before the name: of 2 s of speech and more, where there are
        enough examples.
    """
    examples: dict[str, Examples] = {
        prefix + name: [] for prefix in ("", LONG_PREFIX) for name in UNFITTED
    }

    def add(name: str, curve: Curve, offset: int, is_true: bool, speaker: str = "") -> None:
        features = calibration_features(curve, offset)
        if features is not None:
            examples[name].append((features, is_true, speaker))
            if curve.windows_at(offset) >= LONG_WINDOWS:
                examples[LONG_PREFIX + name].append((features, is_true, speaker))

    if speakers is None:
        speakers = [""] * len(matched), [""] * len(mismatched)
    of_matched = zip(matched, speakers[0], strict=True)
    of_mismatched = zip(mismatched, speakers[1], strict=True)
    for evidence, hops, is_match, speaker in _shifted_excerpts(of_matched, of_mismatched, reach):
        for excerpt in (evidence.as_file(hops, reach), evidence.shifted(hops, reach)):
            curve = similarity_curve([excerpt])
            add("score", curve, 0, is_match and abs(hops) < FAR, speaker)
            best = best_offset(curve)
            if best is not None:
                add("peak", curve, best, is_match and abs(best + hops) <= NEAR)
    return {
        name: _fit_logistic(rows) if _smaller_class(rows) else _GUESS
        for name, rows in examples.items()
        if name in UNFITTED or _smaller_class(rows) >= MIN_LONG_EXAMPLES
    }


def _smaller_class(examples: Examples) -> int:
    """How many examples the smaller of the two classes has."""
    n_true = sum(label for _, label, _ in examples)
    return min(n_true, len(examples) - n_true)


def _shifted_excerpts(
    matched: Iterable[tuple[Evidence, str]], mismatched: Iterable[tuple[Evidence, str]], reach: int
) -> Iterator[tuple[Evidence, int, bool, str]]:
    """(evidence, hops by which to shift it, whether it is of a matched pair, who speaks) of all
    excerpts.

    Matched ones are shifted four times, by less than a frame and by 3 frames or more.
    """
    rng = np.random.default_rng(SEED)
    for clip, speaker in matched:
        for excerpt in _excerpts(clip):
            for hops in rng.integers(-NEAR + 1, NEAR, 2):
                yield excerpt, int(hops), True, speaker
            for hops in rng.integers(FAR, reach + 1, 2) * rng.choice([-1, 1], 2):
                yield excerpt, int(hops), True, speaker
    for clip, speaker in mismatched:
        for excerpt in _excerpts(clip):
            yield excerpt, 0, False, speaker


def _excerpts(clip: Evidence) -> Iterator[Evidence]:
    """The whole clip, and its excerpts of 1, 2 and 3 seconds."""
    yield clip
    for n_windows in EXCERPT_FRAMES:
        for start in range(0, len(clip.similarity) - n_windows + 1, n_windows):
            yield clip.part(start, start + n_windows)


def _fit_logistic(examples: Examples) -> dict:
    """Ridge logistic regression in which both classes weigh the same.

    Minimises Σ wᵢ · log-loss + ``RIDGE``/2 · ‖weights‖², where the wᵢ of each class sum to 1/2 and
    are proportional to 1/n, n the examples of its speaker; scikit-learn's C is 1 / ``RIDGE``.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    columns = zip(*examples, strict=True)
    features, labels, speakers = map(np.array, columns)
    mean, scale = features.mean(0), np.maximum(features.std(0), MIN_SCALE)
    _, numbers, counts = np.unique(speakers, return_inverse=True, return_counts=True)
    sample_weights = 1 / counts[numbers]
    for of_class in (labels, ~labels):
        sample_weights[of_class] *= 0.5 / sample_weights[of_class].sum()
    regression = LogisticRegression(C=1 / RIDGE, solver="newton-cholesky", tol=1e-10, max_iter=100)
    with warnings.catch_warnings():  # features that are all alike have nothing to search along
        warnings.filterwarnings("ignore", "Line search", category=ConvergenceWarning)
        regression.fit((features - mean) / scale, labels, sample_weights)
    return {
        "mean": mean.tolist(), "scale": scale.tolist(),
        "weights": regression.coef_[0].tolist(), "bias": float(regression.intercept_[0]),
    }  # fmt: skip

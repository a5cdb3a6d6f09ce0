"""Similarity over offsets -> probabilities.

The score is the chance that a pair, as given, is in sync; beside it stands the chance that the
best offset is the right one. Each is a logistic regression (Platt 1999) on three readings of the
curve, fitted on validation clips: as they are, with the sound moved by 3 frames or more, and
with other clips' sound. In between, from 1 to 3 frames, those readings change little, and where the
peak lies decides.
"""

from dataclasses import replace
from math import erf, sqrt

import numpy as np

from ..core.constants import FPS, HOPS_PER_FRAME
from .evidence import Curve, Evidence, best_offset, curve_of, peak_ms

NEAR = HOPS_PER_FRAME  # ±1 frame: what counts as in sync
FAR = 3 * HOPS_PER_FRAME  # from 3 frames on: what counts as out of sync
N_FEATURES = 3
# In sync is what is within ±1 frame once it is rounded to frames. Of pieces of 1 s the peak is
# right to so much (standard deviation; 866 pieces of 16 strangers: 9 ms).
IN_SYNC_MS = 1.5 * 1000 / FPS
SPREAD_MS = 10.0
RIDGE = 0.0005  # keeps weights finite where the validation clips are told apart perfectly
SEED = 0
# Differences in similarity smaller than this are noise: a model that has learned nothing gives
# flat curves, and their ripples must not be stretched into certainty.
LEAST_SCALE = 0.05

# Before anything was fitted: a lead of 0.1 over a second speaks for sync.
_GUESS = {"mean": [0.0] * N_FEATURES, "scale": [1.0] * N_FEATURES, "weights": [0.0, 10.0, 1.0],
          "bias": -1.0}  # fmt: skip
UNFITTED = {"score": _GUESS, "peak": _GUESS}


def calibration_features(curve: Curve, centre: int = 0) -> np.ndarray | None:
    """What is judged about the offset ``centre``, float [3], or None without support there.

    The best similarity within ±1 frame of it, the lead over the best one 3 frames or more away,
    and that lead times √seconds, since averages grow surer with length.
    """
    distance = np.abs(curve.offsets - centre)
    near, far = curve.similarity[distance <= NEAR], curve.similarity[distance >= FAR]
    if np.isnan(near).all() or np.isnan(far).all():
        return None
    level = np.nanmax(near)
    lead = level - np.nanmax(far)
    return np.array([level, lead, lead * np.sqrt(curve.windows / FPS)])


def sync_probability(curve: Curve, calibration: dict) -> float | None:
    """The score: the chance, 0…1, that the pair as given is in sync. None without support."""
    near = probability_at(curve, 0, calibration)
    return None if near is None else near * _within_a_frame(curve)


def _within_a_frame(curve: Curve) -> float:
    """The chance, 0…1, that an offset of less than 3 frames is one of ±1: by where its peak is.
    A ripple that leads by less than what counts as noise says nothing of that."""
    inner = np.abs(curve.offsets) < FAR
    inner = replace(curve, similarity=np.where(inner, curve.similarity, np.nan))
    values = calibration_features(curve, best_offset(inner))
    clear = 0.0 if values is None else np.clip(values[1] / LEAST_SCALE, 0, 1)
    beyond = 0.5 * (1 - erf((IN_SYNC_MS - abs(peak_ms(inner))) / (SPREAD_MS * sqrt(2))))
    return float(1 - clear * beyond)


def probability_at(curve: Curve, offset: int, calibration: dict) -> float | None:
    """The chance, 0…1, that mouth and sound belong together at ``offset`` steps or less than 3
    frames from there. None without support."""
    return _probability(calibration_features(curve, offset), calibration["score"])


def peak_probability(curve: Curve, calibration: dict) -> float | None:
    """The chance, 0…1, that the best offset of the curve is the right one (within ±1 frame)."""
    best = best_offset(curve)
    return (
        None
        if best is None
        else _probability(calibration_features(curve, best), calibration["peak"])
    )


def _probability(values: np.ndarray | None, fitted: dict) -> float | None:
    if values is None:
        return None
    scaled = (values - fitted["mean"]) / fitted["scale"]
    logit = float(scaled @ np.array(fitted["weights"]) + fitted["bias"])
    return float(1 / (1 + np.exp(-np.clip(logit, -30, 30))))


def fit_calibration(in_sync: list[Evidence], foreign: list[Evidence], reach: int) -> dict:
    """Fit both probabilities.

    Args:
        in_sync: evidence of validation clips, for offsets up to at least ``2 * reach`` steps.
        foreign: evidence of validation clips with another clip's sound, likewise.
        reach: steps looked at when a pair is judged.

    Returns:
        plain numbers, for ``score`` and for ``peak``: ``mean, scale, weights`` of the readings
        and ``bias``.
    """
    dice = np.random.default_rng(SEED)
    notes = {"score": [], "peak": []}

    def note(evidence: Evidence, steps: int, in_sync: bool):
        curve = curve_of([evidence.shifted(steps, reach).spoken()])
        values = calibration_features(curve)
        if values is not None:
            notes["score"].append((values, in_sync and abs(steps) < FAR))
        best = best_offset(curve)
        if best is not None:
            values = calibration_features(curve, best)
            if values is not None:
                notes["peak"].append((values, in_sync and abs(best + steps) <= NEAR))

    for clip in in_sync:
        for part in _parts(clip):
            for steps in dice.integers(-NEAR + 1, NEAR, 2):
                note(part, int(steps), True)
            for steps in dice.integers(FAR, reach + 1, 2) * dice.choice([-1, 1], 2):
                note(part, int(steps), True)
    for clip in foreign:
        for part in _parts(clip):
            note(part, 0, False)
    return {
        name: _logistic(rows) if len({label for _, label in rows}) == 2 else _GUESS
        for name, rows in notes.items()
    }


def _parts(clip: Evidence) -> list[Evidence]:
    """The whole clip and its pieces of 1, 2 and 3 seconds."""
    parts = [clip]
    for frames in (25, 50, 75):
        for start in range(0, len(clip.similarity) - frames + 1, frames):
            parts.append(clip.part(start, start + frames))
    return parts


def _logistic(notes: list[tuple[np.ndarray, bool]]) -> dict:
    """Ridge logistic regression by Newton's method; both classes weigh the same."""
    rows = np.array([values for values, _ in notes])
    labels = np.array([label for _, label in notes], float)
    mean, scale = rows.mean(0), np.maximum(rows.std(0), LEAST_SCALE)
    x = np.hstack([(rows - mean) / scale, np.ones((len(rows), 1))])
    weight = np.where(labels == 1, 0.5 / labels.sum(), 0.5 / (1 - labels).sum())
    ridge = RIDGE * np.diag([1.0] * N_FEATURES + [0.0])
    theta = np.zeros(N_FEATURES + 1)
    for _ in range(30):
        chance = 1 / (1 + np.exp(-np.clip(x @ theta, -30, 30)))
        gradient = x.T @ (weight * (chance - labels)) + ridge @ theta
        curvature = (x * (weight * chance * (1 - chance))[:, None]).T @ x + ridge
        step = np.linalg.solve(curvature + 1e-9 * np.eye(len(theta)), gradient)
        theta -= step
        if np.abs(step).max() < 1e-8:
            break
    return {
        "mean": mean.tolist(), "scale": scale.tolist(),
        "weights": theta[:-1].tolist(), "bias": float(theta[-1]),
    }  # fmt: skip

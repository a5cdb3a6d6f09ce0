"""Selects the model of the offset over time: the simplest that the evidence does not contradict.

The models, each fitted to the evidence by second: a constant offset, a linear drift (``drift.py``),
and constant segments with jumps, at cuts or anywhere (``changepoints.py``). They are compared by
cross-validation (Stone 1974): a richer model is selected if it predicts seconds it was not fitted
to better than a simpler one, by a paired test of the differences. Jumps at cuts have hardly any
freedom, and have a test of their own.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ..core.constants import HOP_MS
from .changepoints import MIN_SEGMENT_S, fit_between, fit_constant, jumps_at_cuts, search_jumps
from .drift import MAX_DRIFT_PPM, fit_drift
from .timeline import EvidenceBySecond, Segment, Timeline

MIN_GAIN = 3.0  # standard errors by which a richer model must predict better than a simpler one
MIN_GAIN_BETWEEN = 1.0  # likewise between two models that both do so than a constant offset
FOLDS = 4  # every fourth second is held out
MIN_DRIFT_MS = 20  # over the whole length: less is no drift

# Fits a model: of the evidence by second, the seconds to use and the length in seconds.
Fit = Callable[[EvidenceBySecond, np.ndarray, float], tuple[Segment, ...]]


def fit_timeline(
    seconds: EvidenceBySecond,
    length_s: float,
    cuts: Sequence[float] = (),
    min_jump_gain: float = MIN_GAIN,
) -> Timeline | None:
    """The simplest model that the evidence does not contradict; None without any speech.

    Args:
        seconds: the evidence by second.
        length_s: of the video.
        cuts: seconds at which the video is cut, rising.
        min_jump_gain: standard errors by which jumps must predict better than a constant offset.
    """
    if not seconds.has_speech.any():
        return None
    every = np.ones(len(seconds.evidence), bool)
    constant = Timeline("constant", fit_constant(seconds, every, length_s))
    at_cuts = Timeline("jumps", jumps_at_cuts(cuts, seconds, every, length_s))
    jumps_s = [segment.end_s for segment in at_cuts.segments[:-1]]
    if seconds.has_speech.sum() < 4 * MIN_SEGMENT_S:
        return at_cuts if jumps_s else constant
    constant_score = score = _cross_validate(fit_constant, seconds, length_s)
    timeline = constant
    if jumps_s:
        timeline = at_cuts
        score = _cross_validate(
            lambda *arguments: fit_between(jumps_s, *arguments), seconds, length_s
        )
    for kind, fit, least in (
        ("drift", fit_drift, MIN_GAIN), ("jumps", search_jumps, min_jump_gain)
    ):  # fmt: skip
        candidate_score = _cross_validate(fit, seconds, length_s)
        if not _predicts_better(candidate_score, constant_score, least):
            continue
        min_gain = MIN_GAIN if timeline.kind == "drift" else MIN_GAIN_BETWEEN
        if timeline.kind != "constant" and not _predicts_better(candidate_score, score, min_gain):
            continue
        candidate = Timeline(kind, fit(seconds, every, length_s))
        if not _is_constant(candidate, length_s):
            timeline, score = candidate, candidate_score
    return _add_jumps_at_cuts(timeline, cuts, seconds) if timeline.kind == "jumps" else timeline


def exceeds_max_drift(timeline: Timeline) -> bool:
    """Whether the drift is larger than can be measured: the true one may be larger still."""
    return timeline.kind == "drift" and abs(timeline.ppm) > MAX_DRIFT_PPM


def _is_constant(timeline: Timeline, length_s: float) -> bool:
    """Whether a drift or jumps amount to one offset."""
    if timeline.kind == "drift":
        return abs(timeline.segments[0].slope) * length_s < MIN_DRIFT_MS
    return len(timeline.segments) == 1


def _add_jumps_at_cuts(
    timeline: Timeline, cuts: Sequence[float], seconds: EvidenceBySecond
) -> Timeline:
    """Split segments at cuts where the offset jumps too: large jumps hide small ones."""
    segments = []
    for segment in timeline.segments:
        used = (seconds.times >= segment.start_s) & (seconds.times < segment.end_s)
        inside = [cut_s for cut_s in cuts if segment.start_s < cut_s < segment.end_s]
        parts = jumps_at_cuts(inside, seconds, used, segment.end_s) if inside else (segment,)
        if len(parts) == 1:
            parts = (segment,)
        segments += [replace(parts[0], start_s=segment.start_s), *parts[1:]]
    return replace(timeline, segments=tuple(segments))


def _cross_validate(fit: Fit, seconds: EvidenceBySecond, length_s: float) -> np.ndarray:
    """The evidence of each second for a model that was fitted to other seconds, float [N]."""
    numbers = np.arange(len(seconds.evidence))
    score = np.zeros(len(numbers))
    for fold in range(FOLDS):
        used = numbers % FOLDS != fold
        model = Timeline("", fit(seconds, used, length_s))
        for number in numbers[~used]:
            score[number] = _evidence_at(seconds.evidence[number], model.offset_at(number + 0.5))
    return score


def _evidence_at(evidence: np.ndarray, offset_ms: float) -> float:
    """The evidence of a second for an offset; 0 outside the search range.

    Args:
        evidence: float [2 M + 1].
    """
    column = offset_ms / HOP_MS + len(evidence) // 2
    return float(np.interp(column, np.arange(len(evidence)), evidence, left=0, right=0))


def _predicts_better(rich: np.ndarray, simple: np.ndarray, min_gain: float = MIN_GAIN) -> bool:
    """Whether a model predicts held-out seconds better than another, by ``min_gain`` standard
    errors of the summed difference.

    The errors come from how the differences scatter around their mean: in a short clip, their sum
    of squares would mostly consist of the gain itself.

    Args:
        rich, simple: of ``_cross_validate``, float [N].
    """
    gain = rich - simple
    gain = gain[gain != 0]  # seconds without speech do not count
    return len(gain) > 0 and bool(gain.sum() > min_gain * gain.std() * np.sqrt(len(gain)))

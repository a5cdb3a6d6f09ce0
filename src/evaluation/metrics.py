"""Accuracy, ROC, calibration: figures of many clips."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..core.constants import HOP_MS, HOPS_PER_FRAME
from ..scoring.evidence import TOLERANCE_FRAMES, Evidence, curve_of, hits_at, peak_ms

BINS = 10  # of the reliability diagram


@dataclass
class OffsetReport:
    """How well offsets are found on clips whose sound is in sync.

    Attributes:
        clips: number of clips with enough speech to be measured.
        share_at: share of places found within ±1 frame, by K in frames.
        places: number of places, by K.
        whole_clip: share of whole clips found within ±1 frame.
        median_error_ms: median absolute error of whole clips.
    """

    clips: int
    share_at: dict[int, float]
    places: dict[int, int]
    whole_clip: float
    median_error_ms: float


def offset_report(clips: list[Evidence], lengths: tuple[int, ...] = (5, 15)) -> OffsetReport:
    """Measure offset accuracy (the truth is 0) over all clips together."""
    share, places = {}, {}
    for frames in lengths:
        hits = np.concatenate([np.zeros(0, bool), *(hits_at(clip, frames)[0] for clip in clips)])
        places[frames] = len(hits)
        share[frames] = float(hits.mean()) if len(hits) else float("nan")
    found = [peak_ms(curve_of([clip])) for clip in clips]
    errors = np.abs([offset for offset in found if offset is not None])
    frame_ms = HOPS_PER_FRAME * HOP_MS
    # ±1 frame, as for K: the offset rounded to whole frames.
    right = np.round(errors / frame_ms) <= TOLERANCE_FRAMES
    nothing = not len(errors)
    return OffsetReport(
        len(errors), share, places,
        float("nan") if nothing else float(right.mean()),
        float("nan") if nothing else float(np.median(errors)),
    )  # fmt: skip


def auc_of(scores: np.ndarray, labels: np.ndarray) -> float:
    """Area under the ROC curve: the chance that a true pair scores higher than a false one; ties
    count half. NaN without both kinds.

    Args:
        scores: float [N].
        labels: bool [N].
    """
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, scores)) if _both(labels) else float("nan")


def eer_of(scores: np.ndarray, labels: np.ndarray) -> float:
    """Equal error rate: where as many true pairs are refused as false ones are accepted, both as
    shares of their kind; interpolated between thresholds. NaN without both kinds."""
    from sklearn.metrics import roc_curve

    if not _both(labels):
        return float("nan")
    accepted, kept, _ = roc_curve(labels, scores, drop_intermediate=False)
    gap = (1 - kept) - accepted  # falls from 1 to −1
    after = int(np.argmax(gap <= 0))
    share = gap[after - 1] / (gap[after - 1] - gap[after])
    return float(accepted[after - 1] + share * (accepted[after] - accepted[after - 1]))


def _both(labels: np.ndarray) -> bool:
    return bool(len(labels)) and bool(labels.any()) and not labels.all()


@dataclass
class Reliability:
    """Predicted chances against what came true, by ten equal bins of the prediction.

    Attributes:
        predicted: mean prediction of each bin; NaN where it is empty.
        observed: share that came true; likewise.
        weight: share of all predictions.
    """

    predicted: np.ndarray
    observed: np.ndarray
    weight: np.ndarray

    @property
    def ece(self) -> float:
        """Expected calibration error: Σ weight · |predicted − observed| (Guo et al. 2017)."""
        filled = self.weight > 0
        if not filled.any():
            return float("nan")
        gap = np.abs(self.predicted - self.observed)[filled]
        return float((gap * self.weight[filled]).sum())


def reliability_of(chances: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> Reliability:
    """Compare predicted chances with what came true.

    Args:
        chances: float [N], 0…1.
        labels: bool [N].
        weights: float [N], what each counts.
    """
    bins = np.minimum((chances * BINS).astype(int), BINS - 1)
    total = np.bincount(bins, weights, BINS)
    with np.errstate(invalid="ignore"):
        return Reliability(
            np.bincount(bins, weights * chances, BINS) / total,
            np.bincount(bins, weights * labels, BINS) / total,
            total / max(total.sum(), 1e-12),
        )


def bootstrap_speakers(speakers: list[str], draws: int) -> Iterator[np.ndarray]:
    """Bootstrap over speakers (Efron 1979): there are fewer of them than clips, and the clips of
    one are alike.

    Args:
        speakers: of each clip.

    Yields:
        how often each clip counts, int [clips], once a draw; nothing for fewer than two speakers.
    """
    names, number = np.unique(speakers, return_inverse=True)
    dice = np.random.default_rng(0)
    for _ in range(draws if len(names) > 1 else 0):
        drawn = dice.integers(0, len(names), len(names))
        yield np.bincount(drawn, minlength=len(names))[number]

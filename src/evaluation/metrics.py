"""Offset accuracy, ROC, calibration: metrics over many clips."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..core.constants import FRAME_MS
from ..scoring.evidence import TOLERANCE_FRAMES, Evidence, offset_hits, peak_ms, similarity_curve

N_BINS = 10  # of the reliability diagram


@dataclass
class OffsetReport:
    """Offset accuracy on clips that are in sync.

    Attributes:
        n_clips: clips with enough speech to be measured.
        accuracy_at: share of positions correct within ±1 frame, by clip length K in frames.
        positions_at: number of positions, by K.
        clip_accuracy: share of whole clips correct within ±1 frame.
        median_error_ms: median absolute error of whole clips.
    """

    n_clips: int
    accuracy_at: dict[int, float]
    positions_at: dict[int, int]
    clip_accuracy: float
    median_error_ms: float


def offset_report(clips: list[Evidence], lengths: tuple[int, ...] = (5, 15)) -> OffsetReport:
    """Measure offset accuracy (the ground truth is 0) over all clips together.

    Args:
        clips: for offsets of at least ±15 frames.
        lengths: K, in frames.
    """
    accuracy_at, positions_at = {}, {}
    for frames in lengths:
        hits = np.concatenate([[], *(offset_hits(clip, frames)[0] for clip in clips)])
        positions_at[frames], accuracy_at[frames] = len(hits), share(hits)
    offsets_ms = [peak_ms(similarity_curve([clip])) for clip in clips]
    errors_ms = np.abs([offset_ms for offset_ms in offsets_ms if offset_ms is not None])
    return OffsetReport(
        len(errors_ms), accuracy_at, positions_at,
        share(is_correct(errors_ms)), percentile(errors_ms, 50),
    )  # fmt: skip


def is_correct(errors_ms: np.ndarray) -> np.ndarray:
    """Whether offsets are correct: their absolute errors, rounded to frames, within ±1 frame."""
    return np.round(errors_ms / FRAME_MS) <= TOLERANCE_FRAMES


def share(flags: np.ndarray) -> float:
    """The share of true flags, 0…1; NaN of none."""
    return float(np.mean(flags)) if len(flags) else float("nan")


def percentile(values: np.ndarray | list[float], percent: float) -> float:
    """A percentile of some values; NaN of none."""
    return float(np.percentile(values, percent)) if len(values) else float("nan")


def roc_auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Area under the ROC curve: the probability that a positive pair scores higher than a negative
    one; ties count half. NaN without both kinds.

    Args:
        scores: float [N].
        labels: bool [N].
    """
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, scores)) if _has_both(labels) else float("nan")


def equal_error_rate(scores: np.ndarray, labels: np.ndarray) -> float:
    """The rate at which false accepts equal false rejects, each as a share of its kind, linearly
    interpolated between thresholds. NaN without both kinds.

    Args:
        scores: float [N].
        labels: bool [N].
    """
    from sklearn.metrics import roc_curve

    if not _has_both(labels):
        return float("nan")
    false_accepts, true_accepts, _ = roc_curve(labels, scores, drop_intermediate=False)
    gap = (1 - true_accepts) - false_accepts  # falls from 1 to −1
    after = int(np.argmax(gap <= 0))
    fraction = gap[after - 1] / (gap[after - 1] - gap[after])
    before = false_accepts[after - 1]
    return float(before + fraction * (false_accepts[after] - before))


def _has_both(labels: np.ndarray) -> bool:
    return bool(len(labels)) and bool(labels.any()) and not labels.all()


@dataclass
class Reliability:
    """Reliability diagram: predicted probabilities against outcomes, in ten equal bins.

    Attributes:
        predicted: float [10], mean prediction of each bin; NaN where it is empty.
        observed: float [10], share of true outcomes; likewise.
        weight: float [10], share of all predictions.
    """

    predicted: np.ndarray
    observed: np.ndarray
    weight: np.ndarray

    @property
    def ece(self) -> float:
        """Expected calibration error, 0…1: Σ weight · |predicted − observed| (Guo et al.: On
        calibration of modern neural networks, 2017). NaN without predictions."""
        is_filled = self.weight > 0
        if not is_filled.any():
            return float("nan")
        gap = np.abs(self.predicted - self.observed)[is_filled]
        return float((gap * self.weight[is_filled]).sum())


def measure_reliability(
    probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> Reliability:
    """Compare predicted probabilities with outcomes.

    Args:
        probabilities: float [N], 0…1.
        labels: bool [N], the outcomes.
        weights: float [N], ≥ 0.
    """
    bins = np.minimum((probabilities * N_BINS).astype(int), N_BINS - 1)
    total = np.bincount(bins, weights, N_BINS)
    with np.errstate(invalid="ignore"):
        return Reliability(
            np.bincount(bins, weights * probabilities, N_BINS) / total,
            np.bincount(bins, weights * labels, N_BINS) / total,
            total / max(total.sum(), 1e-12),
        )


def bootstrap_speakers(speakers: list[str], n_samples: int) -> Iterator[np.ndarray]:
    """Bootstrap over speakers (Efron 1979): there are fewer of them than clips, and the clips of
    one are alike.

    Args:
        speakers: of each clip.
        n_samples: bootstrap samples.

    Yields:
        how often each clip counts, int [clips], for each bootstrap sample; nothing for fewer than
        two speakers.
    """
    names, numbers = np.unique(speakers, return_inverse=True)
    rng = np.random.default_rng(0)
    for _ in range(n_samples if len(names) > 1 else 0):
        drawn = rng.integers(0, len(names), len(names))
        yield np.bincount(drawn, minlength=len(names))[numbers]

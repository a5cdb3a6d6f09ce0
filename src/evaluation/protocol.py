"""The test protocol: what is measured of each clip, and the metrics made of it.

Every clip is measured around its clip offset, the ground truth (``Sample.offset_ms``; 0 where none
is known). The metrics, their formulas and sources: docs/evaluation.md.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from zlib import crc32

import numpy as np

from ..checkpoints.checkpoint import TrainedModel
from ..core.constants import FPS, HOP_MS, WINDOW_FRAMES
from ..dataset.samples import Sample
from ..scoring.calibration import (
    FAR,
    peak_probability,
    required_probability,
    sync_probability,
)
from ..scoring.clip_evidence import compute_evidence
from ..scoring.evidence import (
    SEARCH_REACH,
    Curve,
    Evidence,
    at_edge,
    lse_metrics,
    offset_hits,
    peak_ms,
    similarity_curve,
)
from .measure import mismatched_evidence
from .metrics import (
    Reliability,
    bootstrap_speakers,
    equal_error_rate,
    is_correct,
    measure_reliability,
    percentile,
    roc_auc,
    share,
)

LENGTHS = (5, 7, 9, 11, 13, 15, FPS, 2 * FPS, 3 * FPS)  # frames
EXCERPT_LENGTHS = (FPS, 3 * FPS)  # frames of the excerpts that are scored in and out of sync
INJECTED_HOPS = (-50, -41, -33, -22, -13, -6, -1, 0, 3, 9, 17, 26, 34, 43, 50)
N_SHIFTED = 2  # shifted pairs per excerpt
BOOTSTRAP_SAMPLES = 1000  # of an interval


@dataclass
class PairScores:
    """Sync scores of excerpts of a clip with audio that is in sync, shifted, or another clip's.

    Attributes:
        in_sync, shifted, mismatched: float [N], 0…1.
        n_silent: excerpts skipped because of too little speech.
    """

    in_sync: list[float] = field(default_factory=list)
    shifted: list[float] = field(default_factory=list)
    mismatched: list[float] = field(default_factory=list)
    n_silent: int = 0


@dataclass
class ClipMeasurement:
    """What was measured of one clip.

    Attributes:
        sample: the clip, with its ground truth.
        hits: by K in frames: bool [positions], whether the offset is correct.
        n_silent: by K: positions skipped because of a pause.
        errors_ms: float [len(INJECTED_HOPS)], measured minus injected offset; NaN where nothing
            could be measured.
        lse: (LSE-D, LSE-C), or None.
        pairs: by length of the excerpts in frames.
        undetermined: whether no offset would be reported for the clip; None without speech.
        mismatched_undetermined: likewise for its video with another clip's audio.
    """

    sample: Sample
    hits: dict[int, np.ndarray]
    n_silent: dict[int, int]
    errors_ms: np.ndarray
    lse: tuple[float, float] | None
    pairs: dict[int, PairScores]
    undetermined: bool | None
    mismatched_undetermined: bool | None


def measure_clip(
    trained: TrainedModel, sample: Sample, partner: Sample, min_probability: float
) -> ClipMeasurement:
    """Measure one clip.

    Args:
        partner: with whose audio it makes a mismatched pair; the sample itself: none is made.
        min_probability: an offset less likely correct is undetermined.

    Raises:
        DatasetError: its file is missing or damaged.
    """
    evidence = compute_evidence(trained.model, *sample.read(), 2 * SEARCH_REACH)
    mismatched = None
    if partner is not sample:
        mismatched = mismatched_evidence(trained.model, sample, partner, 2 * SEARCH_REACH)
    true_ms = sample.offset_ms - sample.shift_ms  # what shifting by whole hops leaves
    within_range = evidence.shifted(0, SEARCH_REACH)
    hits, n_silent = {}, {}
    for frames in LENGTHS:
        hits[frames], n_silent[frames] = offset_hits(within_range, frames)
    curve = similarity_curve([within_range.with_speech()])
    calibration = trained.calibration
    rng = np.random.default_rng(crc32(sample.id.encode()))  # other shifts in every clip
    return ClipMeasurement(
        sample, hits, n_silent,
        np.array([_error_ms(evidence, hops, true_ms) for hops in INJECTED_HOPS]),
        None if peak_ms(curve) is None else lse_metrics(curve),
        {
            frames: _score_excerpts(evidence, mismatched, frames, calibration, rng)
            for frames in EXCERPT_LENGTHS
        },
        _is_undetermined(evidence, calibration, min_probability),
        _is_undetermined(mismatched, calibration, min_probability) if mismatched else None,
    )  # fmt: skip


def _error_ms(evidence: Evidence, hops: int, true_ms: float) -> float:
    """Measured minus true offset with the audio delayed by ``hops``; NaN without support."""
    offset_ms = peak_ms(similarity_curve([evidence.shifted(hops, SEARCH_REACH).with_speech()]))
    return math.nan if offset_ms is None else offset_ms - (true_ms - hops * HOP_MS)


def _is_undetermined(evidence: Evidence, calibration: dict, min_probability: float) -> bool | None:
    """Whether no offset would be reported; None without speech."""
    curve = similarity_curve([evidence.shifted(0, SEARCH_REACH).with_speech()])
    if not curve.n_windows:
        return None
    return not is_reported(curve, calibration, min_probability)


def is_reported(curve: Curve, calibration: dict, min_probability: float) -> bool:
    """Whether the best offset of a curve with speech would be reported."""
    probability = peak_probability(curve, calibration)
    if probability is None or at_edge(curve):
        return False
    return probability >= required_probability(curve, min_probability)


def _score_excerpts(
    evidence: Evidence,
    mismatched: Evidence | None,
    frames: int,
    calibration: dict,
    rng: np.random.Generator,
) -> PairScores:
    """Scores of the consecutive excerpts of a clip.

    Args:
        evidence, mismatched: of the clip with its own and with another clip's audio, for offsets
            of at least ``2 * SEARCH_REACH`` hops.
        frames: length of the excerpts.
        rng: draws the shifts.
    """
    pairs = PairScores()
    n_windows = frames - WINDOW_FRAMES + 1
    for start in range(0, len(evidence.similarity) - n_windows + 1, n_windows):
        shifts = rng.integers(FAR, SEARCH_REACH + 1, N_SHIFTED) * rng.choice([-1, 1], N_SHIFTED)
        excerpt = evidence.part(start, start + n_windows)
        score = _score(excerpt, 0, calibration)
        if score is None:
            pairs.n_silent += 1
            continue
        pairs.in_sync.append(score)
        scores = [_score(excerpt, int(hops), calibration) for hops in shifts]
        pairs.shifted += [score for score in scores if score is not None]
        if mismatched is not None and start + n_windows <= len(mismatched.similarity):
            score = _score(mismatched.part(start, start + n_windows), 0, calibration)
            pairs.mismatched += [] if score is None else [score]
    return pairs


def _score(excerpt: Evidence, hops: int, calibration: dict) -> float | None:
    """The sync score with the audio delayed by ``hops``; None with too little speech."""
    shifted = excerpt.shifted(hops, SEARCH_REACH)
    return sync_probability(similarity_curve([shifted.with_speech()]), calibration)


def compute_metrics(
    clips: list[ClipMeasurement], counts: np.ndarray | None = None
) -> dict[str, float]:
    """The metrics of some clips together.

    Args:
        counts: how often each clip counts, int [clips]; None: once.

    Returns:
        shares 0…1 and ms by name; NaN where there is nothing to measure. The names are keys of
        ``evaluate.py --json``; in them, ``foreign`` stands for mismatched pairs.
    """
    if counts is not None:
        clips = [clip for clip, n in zip(clips, counts, strict=True) for _ in range(n)]
    metrics = {
        length_label(frames): share(np.concatenate([[], *(clip.hits[frames] for clip in clips)]))
        for frames in LENGTHS
    }
    errors_ms = np.concatenate([[], *(clip.errors_ms for clip in clips)])
    errors_ms = np.abs(errors_ms[~np.isnan(errors_ms)])
    metrics["whole clip"] = share(is_correct(errors_ms))
    metrics["median error ms"] = percentile(errors_ms, 50)
    metrics["95th percentile ms"] = percentile(errors_ms, 95)
    for frames in EXCERPT_LENGTHS:
        metrics |= _verification_metrics([clip.pairs[frames] for clip in clips], frames // FPS)
    metrics["ECE"] = clip_reliability(clips).ece if clips else math.nan
    distances = [clip.lse for clip in clips if clip.lse]
    metrics["LSE-D"] = float(np.mean([d for d, _ in distances])) if distances else math.nan
    metrics["LSE-C"] = float(np.mean([c for _, c in distances])) if distances else math.nan
    metrics["undetermined, own sound"] = share(
        [clip.undetermined for clip in clips if clip.undetermined is not None]
    )
    metrics["undetermined, foreign sound"] = share(
        [clip.mismatched_undetermined for clip in clips if clip.mismatched_undetermined is not None]
    )
    return metrics


def _verification_metrics(pairs: list[PairScores], seconds: int) -> dict[str, float]:
    """AUC and EER of excerpts in sync against shifted and against mismatched ones."""
    metrics = {}
    positives = _join(pairs, "in_sync")
    for name, kind in (("shifted", "shifted"), ("foreign", "mismatched")):
        scores = np.concatenate([positives, _join(pairs, kind)])
        labels = np.arange(len(scores)) < len(positives)
        metrics[f"AUC {name} {seconds} s"] = roc_auc(scores, labels)
        metrics[f"EER {name} {seconds} s"] = equal_error_rate(scores, labels)
    return metrics


def _join(pairs: list[PairScores], kind: str) -> np.ndarray:
    """The scores of one kind, of all clips, float [N]."""
    return np.concatenate([[], *(getattr(scores, kind) for scores in pairs)])


def clip_reliability(clips: list[ClipMeasurement]) -> Reliability:
    """Scores of all excerpts against whether they are in sync.

    Pairs in and out of sync weigh the same, and among the latter shifted and mismatched ones.
    Empty without pairs of both kinds.
    """
    pairs = [clip.pairs[frames] for clip in clips for frames in EXCERPT_LENGTHS]
    positives = _join(pairs, "in_sync")
    negatives = [_join(pairs, kind) for kind in ("shifted", "mismatched")]
    negatives = [scores for scores in negatives if len(scores)]
    if not len(positives) or not negatives:
        return measure_reliability(np.zeros(0), np.zeros(0, bool), np.zeros(0))
    weights = [np.full(len(positives), 0.5 / len(positives))]
    weights += [np.full(len(scores), 0.5 / len(negatives) / len(scores)) for scores in negatives]
    scores = np.concatenate([positives, *negatives])
    labels = np.arange(len(scores)) < len(positives)
    return measure_reliability(scores, labels, np.concatenate(weights))


def bootstrap_intervals(
    clips: list[ClipMeasurement], n_samples: int
) -> dict[str, tuple[float, float]]:
    """95 % intervals of the metrics, by bootstrap over speakers; NaN for fewer than two."""
    speakers = [clip.sample.speaker_id for clip in clips]
    samples = [compute_metrics(clips, counts) for counts in bootstrap_speakers(speakers, n_samples)]
    intervals = {}
    for name in compute_metrics(clips):
        values = [metrics[name] for metrics in samples if not math.isnan(metrics[name])]
        intervals[name] = (percentile(values, 2.5), percentile(values, 97.5))
    return intervals


def group_clips(
    clips: list[ClipMeasurement], key: Callable[[Sample], str]
) -> dict[str, list[ClipMeasurement]]:
    """Clips by source or by speaker, in the order of these names."""
    groups: dict[str, list[ClipMeasurement]] = {}
    for clip in clips:
        groups.setdefault(key(clip.sample), []).append(clip)
    return dict(sorted(groups.items()))


def length_label(frames: int) -> str:
    """The name of a clip length: K up to 15 frames, seconds from there on."""
    return f"K = {frames}" if frames < FPS else f"{frames // FPS} s"

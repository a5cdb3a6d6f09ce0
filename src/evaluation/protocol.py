"""The test protocol: what is measured of each clip, and the figures made of it.

Every clip is measured around its own offset, its truth (``Sample.offset_ms``; 0 where none is
known). The figures, their formulas and sources: docs/evaluation.md.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from zlib import crc32

import numpy as np

from ..checkpoints.checkpoint import TrainedModel
from ..core.constants import FPS, HOP_MS, HOPS_PER_FRAME, WINDOW_FRAMES
from ..dataset.samples import Sample
from ..scoring.calibration import FAR, peak_probability, sync_probability
from ..scoring.clip_evidence import evidence_of
from ..scoring.evidence import (
    SEARCH_REACH,
    TOLERANCE_FRAMES,
    Evidence,
    at_edge,
    curve_of,
    hits_at,
    lse,
    peak_ms,
)
from .metrics import Reliability, auc_of, bootstrap_speakers, eer_of, reliability_of

LENGTHS = (5, 7, 9, 11, 13, 15, FPS, 2 * FPS, 3 * FPS)  # frames
SEGMENTS = (FPS, 3 * FPS)  # frames of the pieces that are told in or out of sync
INJECTED = (-50, -41, -33, -22, -13, -6, -1, 0, 3, 9, 17, 26, 34, 43, 50)  # steps of 10 ms
SHIFTS = 2  # shifted pairs made of each piece
DRAWS = 1000  # of speakers, for an interval


@dataclass
class Pairs:
    """Scores of pieces of a clip with sound that is in sync, shifted, or another clip's.

    Attributes:
        synced, shifted, foreign: float [N], 0…1.
        silent: pieces left out because too little is spoken in them.
    """

    synced: list[float] = field(default_factory=list)
    shifted: list[float] = field(default_factory=list)
    foreign: list[float] = field(default_factory=list)
    silent: int = 0


@dataclass
class Measured:
    """What was measured of one clip.

    Attributes:
        sample: it, with its truth.
        hits: by K in frames: bool [places], whether the offset was found.
        silent: by K: places left out for want of speech.
        errors_ms: float [len(INJECTED)], offset found minus offset made; NaN where nothing could
            be measured.
        lse: (LSE-D, LSE-C), or None.
        pairs: by frames of a piece.
        undetermined: whether no offset would be told for the clip as it is; None without speech.
        foreign_undetermined: likewise for its picture with another clip's sound.
    """

    sample: Sample
    hits: dict[int, np.ndarray]
    silent: dict[int, int]
    errors_ms: np.ndarray
    lse: tuple[float, float] | None
    pairs: dict[int, Pairs]
    undetermined: bool | None
    foreign_undetermined: bool | None


def measure_clip(
    trained: TrainedModel, sample: Sample, stranger: Sample, least_probability: float
) -> Measured:
    """Measure one clip.

    Args:
        stranger: whose sound stands for a wrong one; the sample itself: there is none.
        least_probability: an offset less likely right is undetermined.

    Raises:
        DatasetError: its file is missing or damaged.
    """
    track = sample.read()
    evidence = evidence_of(trained.model, *track, 2 * SEARCH_REACH)
    rest = sample.offset_ms - sample.moved_ms  # what moving by whole steps leaves
    foreign = None
    if stranger is not sample:
        n = min(sample.n_frames, stranger.n_frames)
        sound = stranger.read(0, n)
        foreign = evidence_of(
            trained.model, track.crop[:n], sound.mfcc, sound.speech, 2 * SEARCH_REACH
        )
    dice = np.random.default_rng(crc32(sample.id.encode()))  # other shifts in every clip
    hits, silent = {}, {}
    within = evidence.shifted(0, SEARCH_REACH)
    for frames in LENGTHS:
        hits[frames], silent[frames] = hits_at(within, frames)
    curve = curve_of([within.spoken()])
    return Measured(
        sample, hits, silent,
        np.array([_error_ms(evidence, steps, rest) for steps in INJECTED]),
        None if peak_ms(curve) is None else lse(curve),
        {
            frames: _pairs(evidence, foreign, frames, trained.calibration, dice)
            for frames in SEGMENTS
        },
        _undetermined(evidence, trained.calibration, least_probability),
        _undetermined(foreign, trained.calibration, least_probability) if foreign else None,
    )  # fmt: skip


def _error_ms(evidence: Evidence, steps: int, rest: float) -> float:
    """What is found minus what is there once the sound is delayed by so many steps."""
    found = peak_ms(curve_of([evidence.shifted(steps, SEARCH_REACH).spoken()]))
    return math.nan if found is None else found - (rest - steps * HOP_MS)


def _undetermined(evidence: Evidence, calibration: dict, least: float) -> bool | None:
    curve = curve_of([evidence.shifted(0, SEARCH_REACH).spoken()])
    if not curve.windows:
        return None
    chance = peak_probability(curve, calibration)
    return chance is None or chance < least or at_edge(curve)


def _pairs(
    evidence: Evidence,
    foreign: Evidence | None,
    frames: int,
    calibration: dict,
    dice: np.random.Generator,
) -> Pairs:
    """Scores of the pieces of a clip, one after the other."""
    pairs = Pairs()
    windows = frames - WINDOW_FRAMES + 1

    def score(source: Evidence, start: int, steps: int) -> float | None:
        piece = source.part(start, start + windows).shifted(steps, SEARCH_REACH)
        return sync_probability(curve_of([piece.spoken()]), calibration)

    for start in range(0, len(evidence.similarity) - windows + 1, windows):
        steps = dice.integers(FAR, SEARCH_REACH + 1, SHIFTS) * dice.choice([-1, 1], SHIFTS)
        true = score(evidence, start, 0)
        if true is None:
            pairs.silent += 1
            continue
        pairs.synced.append(true)
        pairs.shifted += [
            s for s in (score(evidence, start, int(n)) for n in steps) if s is not None
        ]
        if foreign is not None and start + windows <= len(foreign.similarity):
            wrong = score(foreign, start, 0)
            pairs.foreign += [] if wrong is None else [wrong]
    return pairs


def figures_of(clips: list[Measured], times: np.ndarray | None = None) -> dict[str, float]:
    """The figures of some clips together.

    Args:
        times: how often each clip counts, int [clips]; None: once.

    Returns:
        shares 0…1 and ms by name; NaN where there is nothing to measure.
    """
    chosen = (
        clips if times is None else [c for c, n in zip(clips, times, strict=True) for _ in range(n)]
    )
    figures = {}
    for frames in LENGTHS:
        figures[name_of(frames)] = _share(np.concatenate([[], *(c.hits[frames] for c in chosen)]))
    errors = np.concatenate([[], *(c.errors_ms for c in chosen)])
    errors = np.abs(errors[~np.isnan(errors)])
    right = np.round(errors / (HOPS_PER_FRAME * HOP_MS)) <= TOLERANCE_FRAMES
    figures["whole clip"] = _share(right)
    figures["median error ms"] = _percentile(errors, 50)
    figures["95th percentile ms"] = _percentile(errors, 95)
    for frames in SEGMENTS:
        seconds = frames // FPS
        synced, shifted, foreign = (
            np.concatenate([[], *(getattr(c.pairs[frames], kind) for c in chosen)])
            for kind in ("synced", "shifted", "foreign")
        )
        for kind, wrong in (("shifted", shifted), ("foreign", foreign)):
            scores = np.concatenate([synced, wrong])
            labels = np.arange(len(scores)) < len(synced)
            figures[f"AUC {kind} {seconds} s"] = auc_of(scores, labels)
            figures[f"EER {kind} {seconds} s"] = eer_of(scores, labels)
    figures["ECE"] = calibration_of(chosen).ece if chosen else math.nan
    distances = [c.lse for c in chosen if c.lse]
    figures["LSE-D"] = float(np.mean([d for d, _ in distances])) if distances else math.nan
    figures["LSE-C"] = float(np.mean([c for _, c in distances])) if distances else math.nan
    told = [c.undetermined for c in chosen if c.undetermined is not None]
    figures["undetermined, own sound"] = _share(np.array(told, bool))
    told = [c.foreign_undetermined for c in chosen if c.foreign_undetermined is not None]
    figures["undetermined, foreign sound"] = _share(np.array(told, bool))
    return figures


def calibration_of(clips: list[Measured]) -> Reliability:
    """Scores of all pieces against whether they are in sync: as much of either, and among the
    latter as much shifted as foreign sound. Empty without one of either."""
    synced, shifted, foreign = (
        np.concatenate([[], *(getattr(c.pairs[f], kind) for c in clips for f in SEGMENTS)])
        for kind in ("synced", "shifted", "foreign")
    )
    wrong = [scores for scores in (shifted, foreign) if len(scores)]
    if not len(synced) or not wrong:
        return reliability_of(np.zeros(0), np.zeros(0, bool), np.zeros(0))
    weights = [np.full(len(synced), 0.5 / len(synced))]
    weights += [np.full(len(scores), 0.5 / len(wrong) / len(scores)) for scores in wrong]
    scores = np.concatenate([synced, *wrong])
    return reliability_of(scores, np.arange(len(scores)) < len(synced), np.concatenate(weights))


def intervals_of(clips: list[Measured], draws: int = DRAWS) -> dict[str, tuple[float, float]]:
    """95 % intervals of the figures, by drawing speakers; NaN for fewer than two."""
    speakers = [clip.sample.person for clip in clips]
    drawn = [figures_of(clips, times) for times in bootstrap_speakers(speakers, draws)]
    intervals = {}
    for name in figures_of(clips):
        values = [figures[name] for figures in drawn if not math.isnan(figures[name])]
        intervals[name] = (_percentile(values, 2.5), _percentile(values, 97.5))
    return intervals


def by_group(clips: list[Measured], key: Callable[[Sample], str]) -> dict[str, list[Measured]]:
    """Clips by source or by speaker, by name."""
    groups: dict[str, list[Measured]] = {}
    for clip in clips:
        groups.setdefault(key(clip.sample), []).append(clip)
    return dict(sorted(groups.items()))


def name_of(frames: int) -> str:
    """How a length is called: K up to 15 frames, seconds from there on."""
    return f"K = {frames}" if frames < FPS else f"{frames // FPS} s"


def _share(flags: np.ndarray) -> float:
    return float(np.mean(flags)) if len(flags) else math.nan


def _percentile(values: Sequence[float], share: float) -> float:
    return float(np.percentile(values, share)) if len(values) else math.nan

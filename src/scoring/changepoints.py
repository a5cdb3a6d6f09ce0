"""Jumps of the offset: at the cuts of the video, or anywhere.

Clips are joined at cuts, and each brings its own clip offset. As it is known where such a jump can
be, only whether there is one has to be decided: neighbouring shots are merged, the most similar
first, as long as their offsets differ by no more than their errors explain. The error of an offset
is estimated by reweighting the seconds (Bayesian bootstrap, Rubin 1981): a shot without a clear
correlation has a large one, and makes no jump.

Jumps anywhere else, as after an edit of the audio alone, are searched by dynamic programming.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..core.constants import FRAME_MS, HOP_MS
from .evidence import PEAK_FIT_HOPS, parabola_vertex
from .timeline import EvidenceBySecond, Segment, peak_hops

BOOTSTRAP_SAMPLES = 100  # sets of weights
SEED = 0
MIN_SHOT_SPEECH_S = 3  # shots with less are merged with a neighbour
MIN_JUMP_AT_CUT_MS = FRAME_MS  # shots that differ by less have one offset
MIN_SHOT_DISTANCE = 3.0  # standard errors by which two shots must differ; more with many cuts
# Standard deviations of the offset between seconds of one shot, and between shots of one recording,
# whose people turn and come closer, however long they are. Measured on real clips; a few seconds
# do not suffice to estimate them.
SECOND_MS, SHOT_MS = 15.0, 12.0

MIN_SEGMENT_S = 3  # of speech in a segment between jumps that lie anywhere
MIN_JUMP_MS = 20  # segments that differ by less are merged
JUMP_COST = 3.0  # of a jump, in standard deviations of the evidence of a second by chance


@dataclass
class ShotSegment:
    """Consecutive shots with one offset.

    Attributes:
        start_s: the cut at which they begin.
        n_seconds: with speech, of those that are used.
        totals: float32 [1 + BOOTSTRAP_SAMPLES, 2 M + 1], the evidence, unweighted and reweighted.
    """

    start_s: float
    n_seconds: int
    totals: np.ndarray

    def __post_init__(self):
        peaks_ms = _peaks_ms(self.totals)
        self.offset_ms = float(peaks_ms[0])
        sampling = np.square(peaks_ms[1:] - peaks_ms[0]).mean()
        self.variance = float(sampling + SECOND_MS**2 / max(1, self.n_seconds))

    def __add__(self, other: "ShotSegment") -> "ShotSegment":
        return ShotSegment(
            self.start_s, self.n_seconds + other.n_seconds, self.totals + other.totals
        )

    def distance_to(self, other: "ShotSegment") -> float:
        """The difference of the offsets, in standard errors."""
        difference_ms = abs(self.offset_ms - other.offset_ms)
        return difference_ms / np.sqrt(self.variance + other.variance + SHOT_MS**2)

    def merging_loss(self, other: "ShotSegment") -> float:
        """The evidence lost if both had one offset."""
        first, second = self.totals[0], other.totals[0]
        return float(first.max() + second.max() - (first + second).max())


def jumps_at_cuts(
    cuts: Sequence[float], seconds: EvidenceBySecond, used: np.ndarray, length_s: float
) -> tuple[Segment, ...]:
    """Segments of constant offset with jumps at some of the cuts; one segment if there is none.

    Args:
        cuts: seconds, rising.
        seconds: the evidence by second.
        used: bool [N], the seconds to fit.
        length_s: of the video.
    """
    rows = np.flatnonzero(used & seconds.has_speech)
    if not len(cuts) or len(rows) < 2 * MIN_SHOT_SPEECH_S:
        return fit_constant(seconds, used, length_s)
    shots = _merge_shots(_shots_of(cuts, seconds, rows))
    return fit_between([shot.start_s for shot in shots[1:]], seconds, used, length_s)


def _shots_of(
    cuts: Sequence[float], seconds: EvidenceBySecond, rows: np.ndarray
) -> list[ShotSegment]:
    """The shots that hold any of the seconds ``rows``."""
    weights = np.random.default_rng(SEED).exponential(size=(BOOTSTRAP_SAMPLES, len(rows)))
    weights = np.vstack([np.ones(len(rows)), weights])
    starts = np.array([-np.inf, *cuts])
    shot_numbers = np.searchsorted(starts, seconds.times[rows], side="right") - 1
    shots = []
    for number in np.unique(shot_numbers):
        in_shot = shot_numbers == number
        totals = (weights[:, in_shot] @ seconds.evidence[rows[in_shot]]).astype(np.float32)
        shots.append(ShotSegment(float(starts[number]), int(in_shot.sum()), totals))
    return shots


def _merge_shots(shots: list[ShotSegment]) -> list[ShotSegment]:
    """Merge neighbours until every shot has speech enough and differs from the next one."""
    # The more cuts, the larger is the largest difference that occurs by chance.
    min_distance = np.sqrt(MIN_SHOT_DISTANCE**2 + 2 * np.log(max(1, len(shots) - 1)))
    while len(shots) > 1:
        index = _short_shot(shots)
        if index is None:
            distances = np.array([first.distance_to(second) for first, second in pairwise(shots)])
            jumps_ms = np.abs(np.diff([shot.offset_ms for shot in shots]))
            is_one = (distances < min_distance) | (jumps_ms < MIN_JUMP_AT_CUT_MS)
            if not is_one.any():
                break
            index = int(np.argmin(np.where(is_one, distances, np.inf)))
        shots[index : index + 2] = [shots[index] + shots[index + 1]]
    return shots


def _short_shot(shots: list[ShotSegment]) -> int | None:
    """Index of the shot to merge with the next because one of them has too little speech."""
    shortest = int(np.argmin([shot.n_seconds for shot in shots]))
    if shots[shortest].n_seconds >= MIN_SHOT_SPEECH_S:
        return None
    sides = [index for index in (shortest - 1, shortest) if 0 <= index < len(shots) - 1]
    return min(sides, key=lambda index: shots[index].merging_loss(shots[index + 1]))


def _peaks_ms(totals: np.ndarray) -> np.ndarray:
    """``timeline.peak_hops`` of many curves at once, in ms: float [B, 2 M + 1] -> [B].

    Not refined within ``PEAK_FIT_HOPS`` of the edges.
    """
    width = totals.shape[1]
    best = totals.argmax(1)
    around = np.arange(-PEAK_FIT_HOPS, PEAK_FIT_HOPS + 1)
    near = np.take_along_axis(totals, np.clip(best[:, None] + around, 0, width - 1), 1)
    is_inner = (best >= PEAK_FIT_HOPS) & (best < width - PEAK_FIT_HOPS)
    vertex = np.where(is_inner, parabola_vertex(around, near.T), 0.0)
    return (best - width // 2 + vertex) * HOP_MS


def fit_constant(
    seconds: EvidenceBySecond, used: np.ndarray, length_s: float
) -> tuple[Segment, ...]:
    """One segment with the best offset.

    Args:
        seconds, used, length_s: as of ``jumps_at_cuts``.
    """
    return fit_between([], seconds, used, length_s)


def fit_between(
    jumps: Sequence[float], seconds: EvidenceBySecond, used: np.ndarray, length_s: float
) -> tuple[Segment, ...]:
    """Segments of constant offset between given jumps.

    Args:
        jumps: seconds, rising.
        seconds, used, length_s: as of ``jumps_at_cuts``.
    """
    segments = []
    for start_s, end_s in pairwise([0.0, *jumps, length_s]):
        inside = used & (seconds.times >= start_s)
        if end_s < length_s:
            inside &= seconds.times < end_s
        offset_ms = peak_hops(seconds.evidence[inside].sum(0)) * HOP_MS
        segments.append(Segment(start_s, end_s, offset_ms))
    return tuple(segments)


def search_jumps(
    seconds: EvidenceBySecond, used: np.ndarray, length_s: float
) -> tuple[Segment, ...]:
    """Segments of constant offset with the most evidence, less ``JUMP_COST`` for each jump.

    Args:
        seconds, used, length_s: as of ``jumps_at_cuts``.
    """
    rows = np.flatnonzero(used & seconds.has_speech)
    sums = np.vstack([np.zeros(seconds.evidence.shape[1]), seconds.evidence[rows].cumsum(0)])
    min_rows = max(1, -(-MIN_SEGMENT_S * used.sum() // len(used)))
    edges = _best_edges(sums, min_rows, _jump_cost(seconds.evidence[rows]))
    if edges is None:
        return fit_constant(seconds, used, length_s)
    edges = _without_small_jumps(edges, sums)
    segments = []
    for (start, end), offset_ms in zip(pairwise(edges), _offsets_ms(edges, sums), strict=True):
        start_s = 0.0 if start == 0 else (rows[start - 1] + 1 + rows[start]) / 2
        end_s = length_s if end == len(rows) else (rows[end - 1] + 1 + rows[end]) / 2
        segments.append(Segment(float(start_s), float(end_s), offset_ms))
    return tuple(segments)


def _jump_cost(evidence: np.ndarray) -> float:
    """The evidence a jump must gain.

    ``JUMP_COST`` times the expected maximum of as many normal variables as there are seconds and
    offsets, √(2 ln n) standard deviations, which are estimated by the median absolute deviation.
    """
    deviation = np.median(np.abs(evidence)) * 1.4826
    return JUMP_COST * deviation * np.sqrt(2 * np.log(max(2, evidence.size)))


def _best_edges(sums: np.ndarray, min_rows: int, cost: float) -> list[int] | None:
    """Rows at which the best segments begin and end (dynamic programming); None: too few rows.

    Args:
        sums: float [N + 1, 2 M + 1], running sums of the evidence.
        min_rows: shortest segment.
        cost: of a jump.
    """
    count, width = len(sums) - 1, sums.shape[1]
    score = np.full(count + 1, -np.inf)
    score[0], previous = 0.0, np.zeros(count + 1, int)
    # The best start of a segment depends on its offset but not on its end: one for each offset.
    best_score, best_start = np.full(width, -np.inf), np.zeros(width, int)
    for end in range(min_rows, count + 1):
        start = end - min_rows
        if np.isfinite(score[start]):
            candidate = score[start] - (cost if start else 0) - sums[start]
            best_start[candidate > best_score] = start
            best_score = np.maximum(best_score, candidate)
        offset = int((sums[end] + best_score).argmax())
        score[end], previous[end] = sums[end, offset] + best_score[offset], best_start[offset]
    if not np.isfinite(score[count]):
        return None
    edges = [count]
    while edges[0]:
        edges.insert(0, int(previous[edges[0]]))
    return edges


def _without_small_jumps(edges: list[int], sums: np.ndarray) -> list[int]:
    """Merge segments whose offsets differ by less than ``MIN_JUMP_MS``, the closest first."""
    edges = list(edges)
    while len(edges) > 2:
        jumps_ms = np.abs(np.diff(_offsets_ms(edges, sums)))
        if jumps_ms.min() >= MIN_JUMP_MS:
            break
        del edges[1 + int(jumps_ms.argmin())]
    return edges


def _offsets_ms(edges: list[int], sums: np.ndarray) -> list[float]:
    """The best offset of each segment."""
    return [peak_hops(total) * HOP_MS for total in np.diff(sums[edges], axis=0)]

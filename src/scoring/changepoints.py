"""Steps of the offset where the picture is cut.

Clips are joined at cuts, and each brings an offset of its own. As it is known where a step can be,
nothing is chosen but whether there is one: shots next to each other are merged, the likest first,
as long as their offsets differ by no more than chance explains. How far an offset is from the
truth by chance is found by weighing the seconds anew (the Bayesian bootstrap, Rubin 1981): a shot
without a clear relation shows a wide spread, and no step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..core.constants import HOP_MS
from .evidence import FIT_STEPS
from .timeline import EvidenceBySecond, Segment, peak_hops

DRAWS = 100  # of weights
SEED = 0
LEAST_SPEECH_S = 3  # shots with less go with a neighbour
LEAST_STEP_MS = 40  # shots that differ by less are one: a frame
SURE_STEP = 3.0  # standard errors by which two shots must differ; more where there are many cuts
# Seconds of one shot differ by about this much, and shots of one recording, whose people turn and
# come closer, by this much however long they are. Both are known from real clips; a few seconds
# alone cannot tell.
SECOND_MS, SHOT_MS = 15.0, 12.0


@dataclass
class _ShotSegment:
    """Shots in a row with one offset.

    Attributes:
        begin_s: where the picture is cut.
        seconds: with speech, of those that are asked.
        totals: float32 [1 + DRAWS, 2 M + 1], the evidence, as it is and as drawn.
    """

    begin_s: float
    seconds: int
    totals: np.ndarray

    def __post_init__(self):
        peaks = _peaks_ms(self.totals)
        self.offset_ms = float(peaks[0])
        chance = np.square(peaks[1:] - peaks[0]).mean() + SECOND_MS**2 / max(1, self.seconds)
        self.variance = float(chance)

    def __add__(self, other: "_ShotSegment") -> "_ShotSegment":
        return _ShotSegment(self.begin_s, self.seconds + other.seconds, self.totals + other.totals)

    def apart(self, other: "_ShotSegment") -> float:
        """By how many standard errors the offsets differ."""
        gap = abs(self.offset_ms - other.offset_ms)
        return gap / np.sqrt(self.variance + other.variance + SHOT_MS**2)

    def lost(self, other: "_ShotSegment") -> float:
        """What is shown less if both had one offset."""
        own, more = self.totals[0], other.totals[0]
        return float(own.max() + more.max() - (own + more).max())


def jumps_at_cuts(
    cuts: Sequence[float], seconds: EvidenceBySecond, kept: np.ndarray, length_s: float
) -> tuple[Segment, ...]:
    """Constant pieces with steps at some of the cuts; one piece where there is none.

    Args:
        cuts: seconds, rising.
        kept: bool [N], the seconds that are asked.
        length_s: of the picture.
    """
    rows = np.flatnonzero(kept & seconds.heard)
    if not len(cuts) or len(rows) < 2 * LEAST_SPEECH_S:
        return offsets_between([], seconds, kept, length_s)
    weights = np.random.default_rng(SEED).exponential(size=(DRAWS, len(rows)))
    weights = np.vstack([np.ones(len(rows)), weights])
    begins = np.array([-np.inf, *cuts])
    number = np.searchsorted(begins, seconds.times[rows], side="right") - 1
    shots = []
    for one in np.unique(number):
        own = rows[number == one]
        totals = (weights[:, number == one] @ seconds.gain[own]).astype(np.float32)
        shots.append(_ShotSegment(float(begins[one]), len(own), totals))
    sure = np.sqrt(SURE_STEP**2 + 2 * np.log(max(1, len(shots) - 1)))
    while len(shots) > 1:
        at = _short(shots)
        if at is None:
            gaps = [one.apart(other) for one, other in pairwise(shots)]
            far = [abs(one.offset_ms - other.offset_ms) for one, other in pairwise(shots)]
            one_offset = (np.array(gaps) < sure) | (np.array(far) < LEAST_STEP_MS)
            if not one_offset.any():
                break
            at = int(np.argmin(np.where(one_offset, gaps, np.inf)))
        shots[at : at + 2] = [shots[at] + shots[at + 1]]
    return offsets_between([shot.begin_s for shot in shots[1:]], seconds, kept, length_s)


def _short(shots: list[_ShotSegment]) -> int | None:
    """Which shot to merge with the next one because one of them has too little speech."""
    least = int(np.argmin([shot.seconds for shot in shots]))
    if shots[least].seconds >= LEAST_SPEECH_S:
        return None
    sides = [at for at in (least - 1, least) if 0 <= at < len(shots) - 1]
    return min(sides, key=lambda at: shots[at].lost(shots[at + 1]))


def offsets_between(
    at: Sequence[float], seconds: EvidenceBySecond, kept: np.ndarray, length_s: float
) -> tuple[Segment, ...]:
    """Constant pieces that end at these seconds."""
    pieces = []
    for first, last in pairwise([0.0, *at, length_s]):
        inside = kept & (seconds.times >= first)
        if last < length_s:
            inside &= seconds.times < last
        offset = peak_hops(seconds.gain[inside].sum(0)) * HOP_MS
        pieces.append(Segment(first, last, offset))
    return tuple(pieces)


def _peaks_ms(totals: np.ndarray) -> np.ndarray:
    """As ``timeline.peak_hops``, of many curves at once; float [B, 2 M + 1] -> ms [B]."""
    width = totals.shape[1]
    best = totals.argmax(1)
    around = np.arange(-FIT_STEPS, FIT_STEPS + 1)
    inner = (best >= FIT_STEPS) & (best < width - FIT_STEPS)
    near = np.take_along_axis(totals, np.clip(best[:, None] + around, 0, width - 1), 1)
    squares = around**2 - (around**2).mean()
    slope, bend = near @ around / (around @ around), near @ squares / (squares @ squares)
    with np.errstate(divide="ignore", invalid="ignore"):
        refined = np.where(inner & (bend < 0), -slope / (2 * bend), 0.0)
    return (best - width // 2 + np.clip(refined, -FIT_STEPS, FIT_STEPS)) * HOP_MS

"""Which course of the offset the evidence tells of, the simplest that it does not contradict.

Evidence is summed by second. Stories are told of it, each the best of its kind: one offset; an
offset that grows in a line (``drift.py``: a clock that is wrong by so many parts in a million);
offsets that stay until they jump, somewhere, or where the picture is cut (``steps.py``). The
simplest is believed until a richer one fits seconds it was not fitted to better, by more than
chance explains (cross-validation, as in Stone 1974, with paired differences). Steps at cuts have
hardly anything to choose: they are believed on less, see there.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from ..core.constants import HOP_MS
from .changepoints import jumps_at_cuts, offsets_between
from .drift import MOST_PPM, drifting
from .timeline import EvidenceBySecond, Segment, Timeline, peak_hops

SURE = 3.0  # standard errors by which a richer story must fit better
SETTLED = 1.0  # the same, of stories that have both been shown to fit better than one offset
FOLDS = 4  # every fourth second judges what is fitted to the others
LEAST_PIECE_S = 3  # shorter stretches are no piece of their own
LEAST_DRIFT_MS = 20  # over the whole length: less is not told from none
LEAST_JUMP_MS = 20  # pieces that differ by less are one
JUMP_COST = 3.0  # of a jump, in deviations of what a second shows by chance


def fit_timeline(
    seconds: EvidenceBySecond, length_s: float, cuts: Sequence[float] = ()
) -> Timeline | None:
    """The simplest story that the evidence does not contradict; None without any evidence.

    Args:
        length_s: of the picture.
        cuts: seconds at which the picture is cut, rising.
    """
    if not seconds.heard.any():
        return None
    every = np.ones(len(seconds.gain), bool)
    kind, found = "constant", _constant(seconds, every, length_s)
    steps = jumps_at_cuts(cuts, seconds, every, length_s)
    if seconds.heard.sum() < 4 * LEAST_PIECE_S:
        return Timeline("jumps" if len(steps) > 1 else kind, steps if len(steps) > 1 else found)
    one = _held_out(seconds, _constant, length_s)
    best = one
    if len(steps) > 1:
        at = [piece.end_s for piece in steps[:-1]]
        kind, found = "jumps", steps
        best = _held_out(seconds, lambda *given: offsets_between(at, *given), length_s)
    for name, fit in (("drift", drifting), ("jumps", _jumps)):
        shown = _held_out(seconds, fit, length_s)
        if not _better(shown, one):
            continue
        if kind == "constant" or _better(shown, best, SURE if kind == "drift" else SETTLED):
            story = fit(seconds, every, length_s)
            if not _is_one(name, story, length_s):
                kind, found, best = name, story, shown
    if kind == "jumps":
        found = _stepped(found, cuts, seconds)
    return Timeline(kind, found)


def beyond(timeline: Timeline) -> bool:
    """Whether the line is steeper than what is looked for: the true one may be steeper still."""
    return timeline.kind == "drift" and abs(timeline.ppm) > MOST_PPM


def _is_one(name: str, story: tuple[Segment, ...], length_s: float) -> bool:
    """Whether a story says no more than that there is one offset."""
    if name == "drift":
        return abs(story[0].slope) * length_s < LEAST_DRIFT_MS
    return len(story) == 1


def _stepped(
    pieces: tuple[Segment, ...], cuts: Sequence[float], seconds: EvidenceBySecond
) -> tuple[Segment, ...]:
    """Pieces, each with the steps that are in it: jumps that are large hide small ones."""
    found = []
    for piece in pieces:
        inside = (seconds.times >= piece.start_s) & (seconds.times < piece.end_s)
        within = [cut for cut in cuts if piece.start_s < cut < piece.end_s]
        parts = jumps_at_cuts(within, seconds, inside, piece.end_s) if within else (piece,)
        if len(parts) == 1:
            parts = (piece,)
        found += [replace(parts[0], start_s=piece.start_s), *parts[1:]]
    return tuple(found)


def _held_out(seconds: EvidenceBySecond, fit, length_s: float) -> np.ndarray:
    """What each second shows for a story that was fitted to others, float [N]."""
    number = np.arange(len(seconds.gain))
    shown = np.zeros(len(number))
    for fold in range(FOLDS):
        kept = number % FOLDS != fold
        story = Timeline("", fit(seconds, kept, length_s))
        for second in number[~kept]:
            shown[second] = _gain_at(seconds.gain[second], story.at(second + 0.5))
    return shown


def _gain_at(gain: np.ndarray, offset_ms: float) -> float:
    """What a second shows for an offset; nothing for or against one that was not looked at."""
    place = offset_ms / HOP_MS + len(gain) // 2
    return float(np.interp(place, np.arange(len(gain)), gain, left=0, right=0))


def _better(rich: np.ndarray, simple: np.ndarray, sure: float = SURE) -> bool:
    """Whether a story fits better than another by more than chance explains.

    Chance is how far the seconds differ from their mean: in a short clip, a sum of squares would be
    made up of what is to be shown.
    """
    more = rich - simple
    more = more[more != 0]  # seconds without speech say nothing
    return len(more) > 0 and bool(more.sum() > sure * more.std() * np.sqrt(len(more)))


def _constant(seconds: EvidenceBySecond, kept: np.ndarray, length_s: float) -> tuple[Segment, ...]:
    return (Segment(0.0, length_s, peak_hops(seconds.gain[kept].sum(0)) * HOP_MS),)


def _jumps(seconds: EvidenceBySecond, kept: np.ndarray, length_s: float) -> tuple[Segment, ...]:
    """The course of constant pieces along which most is shown, less the cost of each jump
    (dynamic programming; a piece has at least ``LEAST_PIECE_S`` seconds of speech)."""
    number = np.flatnonzero(kept & (seconds.windows > 0))
    gain = seconds.gain[number]
    count, width = gain.shape
    least = max(1, -(-LEAST_PIECE_S * kept.sum() // len(kept)))
    by_chance = np.median(np.abs(gain)) * 1.4826
    cost = JUMP_COST * by_chance * np.sqrt(2 * np.log(max(2, count * width)))
    sums = np.vstack([np.zeros(width), gain.cumsum(0)])
    score = np.full(count + 1, -np.inf)
    score[0], before = 0.0, np.zeros(count + 1, int)
    # The best begin of a piece depends on its offset, but not on its end: it is kept for each.
    best, begin = np.full(width, -np.inf), np.zeros(width, int)
    for end in range(least, count + 1):
        start = end - least
        if np.isfinite(score[start]):
            shown = score[start] - (cost if start else 0) - sums[start]
            begin[shown > best] = start
            best = np.maximum(best, shown)
        offset = int((sums[end] + best).argmax())
        score[end], before[end] = sums[end, offset] + best[offset], begin[offset]
    if not np.isfinite(score[count]):
        return _constant(seconds, kept, length_s)
    edges = [count]
    while edges[0]:
        edges.insert(0, int(before[edges[0]]))
    offsets = [peak_hops(total) * HOP_MS for total in np.diff(sums[edges], axis=0)]
    while len(offsets) > 1 and np.abs(np.diff(offsets)).min() < LEAST_JUMP_MS:
        del edges[1 + int(np.abs(np.diff(offsets)).argmin())]
        offsets = [peak_hops(total) * HOP_MS for total in np.diff(sums[edges], axis=0)]
    pieces = []
    for (start, end), offset in zip(pairwise(edges), offsets, strict=True):
        first = 0.0 if start == 0 else (number[start - 1] + 1 + number[start]) / 2
        last = length_s if end == count else (number[end - 1] + 1 + number[end]) / 2
        pieces.append(Segment(float(first), float(last), offset))
    return tuple(pieces)

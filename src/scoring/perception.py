"""What an offset means to viewers (ITU-R BT.1359-1), and probabilities as they are printed."""

import math
from typing import get_args

from ..core.constants import FRAME_MS
from .result_types import OffsetTimeline, Perceived

IN_SYNC_MS = FRAME_MS  # the verdict says "in sync" within ±1 frame
# ITU-R BT.1359-1: offsets (> 0: the audio leads) from which viewers notice it, and from which they
# no longer accept it.
DETECTABLE_MS = (-125, 45)
ACCEPTABLE_MS = (-185, 90)
KINDS: tuple[Perceived, ...] = get_args(Perceived)


def perceived(offset_ms: float) -> Perceived:
    """What viewers make of an offset, by ITU-R BT.1359-1: of its whole ms, as it is reported."""
    offset_ms = round(offset_ms)
    if DETECTABLE_MS[0] < offset_ms < DETECTABLE_MS[1]:
        return "undetectable"
    return "detectable" if ACCEPTABLE_MS[0] < offset_ms < ACCEPTABLE_MS[1] else "unacceptable"


def worst_ms(offset_ms: float, timeline: OffsetTimeline | None) -> float:
    """The offset in ms that viewers object to most; > 0, the audio leads.

    The median of a drift or of jumps says nothing of that: it may be 0.

    Args:
        offset_ms: the median.
        timeline: None: the offset is constant.
    """
    if timeline is None or timeline.kind == "constant":
        return offset_ms
    ends = [ms for part in timeline.segments for ms in (part.offset_ms, part.end_offset_ms)]
    return max(ends, key=lambda ms: (KINDS.index(perceived(ms)), abs(ms)))


def capped_probability(probability: float, digits: int = 2) -> float:
    """A probability, 0–1, as it is printed with so many digits: never rounded up to certainty.

    Whole percent (two digits) are rounded down, so that "99%" is not too much; more digits are left
    to the format, below 1.
    """
    if digits > 2:
        return min(probability, 1 - 10**-digits)
    whole = math.floor(round(probability * 10**digits, 6))
    return min(whole, 10**digits - 1) / 10**digits


def format_score(score: float | None, digits: int = 2) -> str:
    """A score for people, such as ``0.99``, never rounded up to certainty; ``–`` for None."""
    return "–" if score is None else f"{capped_probability(score, digits):.{digits}f}"

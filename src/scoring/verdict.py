"""What an offset means to viewers (ITU-R BT.1359-1), and the result in words."""

import math

from ..core.constants import FRAME_MS
from ..i18n.messages import tr

IN_SYNC_MS = FRAME_MS  # the verdict says "in sync" within ±1 frame
# ITU-R BT.1359-1: offsets (> 0: the sound is early) that viewers notice, and that they accept.
DETECTABLE_MS = (-125, 45)
ACCEPTABLE_MS = (-185, 90)
KINDS = ("undetectable", "detectable", "unacceptable")


def perceived(offset_ms: float) -> str:
    """What viewers make of an offset, by ITU-R BT.1359-1: one of ``KINDS``. Of the offset in whole
    ms, as it is told."""
    offset_ms = round(offset_ms)
    if DETECTABLE_MS[0] < offset_ms < DETECTABLE_MS[1]:
        return "undetectable"
    return "detectable" if ACCEPTABLE_MS[0] < offset_ms < ACCEPTABLE_MS[1] else "unacceptable"


def worst_ms(offset_ms: float, timeline: dict | None) -> float:
    """The offset that viewers mind most, > 0: the sound is early. The median of a drift or of jumps
    says nothing of that: it may be 0.

    Args:
        offset_ms, timeline: as in ``details``; None: constant.
    """
    if not timeline or timeline["kind"] == "constant":
        return offset_ms
    ends = [piece[end] for piece in timeline["pieces"] for end in ("offset_ms", "end_offset_ms")]
    return max(ends, key=lambda ms: (KINDS.index(perceived(ms)), abs(ms)))


def verdict(offset_ms: float, timeline: dict | None = None) -> str:
    """A result in words.

    Args:
        offset_ms, timeline: as in ``details``; None: constant.
    """
    kind, pieces = (timeline["kind"], timeline["pieces"]) if timeline else ("constant", [])
    if kind == "drift":
        moved = tr("audio drifts by {ppm:+.0f} ppm, from {first:+.0f} to {last:+.0f} ms",
                   ppm=timeline["drift_ppm"], first=pieces[0]["offset_ms"],
                   last=pieces[-1]["end_offset_ms"])  # fmt: skip
    elif kind == "jumps":
        offsets = ", ".join(f"{piece['offset_ms']:+.0f}" for piece in pieces)
        moved = tr("audio jumps ({offsets} ms)", offsets=offsets)
    elif abs(offset_ms) < IN_SYNC_MS:
        moved = tr("in sync (offset {ms:+.0f} ms)", ms=offset_ms)
    elif offset_ms > 0:
        moved = tr("audio leads by {ms:.0f} ms", ms=offset_ms)
    else:
        moved = tr("audio lags by {ms:.0f} ms", ms=-offset_ms)
    how = {
        "undetectable": tr("too little to be noticed"),
        "detectable": tr("noticeable, but acceptable"),
        "unacceptable": tr("not acceptable"),
    }[perceived(worst_ms(offset_ms, timeline))]
    return tr("{moved}: {how} (ITU-R BT.1359)", moved=moved, how=how)


def correction(details: dict, before: float | None, after: float | None) -> str:
    """What was mended, in words, with the score before and after.

    Args:
        details: of the pair as it was given.
    """
    scores = {"before": format_score(before), "after": format_score(after)}
    offset_ms, timeline = details["offset_ms"], details["timeline"]
    if timeline["kind"] == "drift":
        return tr("audio drifted by {ppm:+.0f} ppm, corrected; score {before} → {after}",
                  ppm=timeline["drift_ppm"], **scores)  # fmt: skip
    if timeline["kind"] == "jumps":
        offsets = ", ".join(f"{piece['offset_ms']:+.0f}" for piece in timeline["pieces"])
        return tr("audio jumped ({offsets} ms), corrected piece by piece; score {before} → {after}",
                  offsets=offsets, **scores)  # fmt: skip
    if round(offset_ms) == 0:
        return tr("audio is in sync; score {before} → {after}", **scores)
    if offset_ms > 0:
        return tr(
            "audio led by {ms:.0f} ms, corrected; score {before} → {after}", ms=offset_ms, **scores
        )
    return tr(
        "audio lagged by {ms:.0f} ms, corrected; score {before} → {after}", ms=-offset_ms, **scores
    )


def capped_probability(chance: float) -> float:
    """A chance in whole percent (0.97), never rounded up to certainty."""
    return min(math.floor(round(chance * 100, 6)), 99) / 100


def format_score(score: float | None) -> str:
    """A score for a person, never rounded up to certainty."""
    return "–" if score is None else f"{capped_probability(score):.2f}"

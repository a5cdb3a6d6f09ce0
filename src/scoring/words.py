"""A result in words, made from its codes and numbers, in the language asked for.

The one place where a result becomes text: console, JSON, report, plots and annotated copy show what
is made here. The notes of a clip are in ``core.notes``, as the index of samples holds them, too.
"""

from ..core.notes import note_text
from ..i18n.messages import tr, use_language
from .perception import IN_SYNC_MS, format_score
from .result_types import (
    DriftOutOfRange,
    DriftTooFast,
    Edge,
    NoSpeech,
    OffsetResult,
    OffsetTimeline,
    Reason,
    TooShort,
    Weak,
)

__all__ = ["correction_text", "note_text", "reason_text", "verdict_text"]


def verdict_text(result: OffsetResult, language: str | None = None) -> str:
    """The result in one line: ``audio lags by 120 ms: not noticeable (ITU-R BT.1359)``.

    Args:
        language: such as ``"zh_CN"``; None: the user's.
    """
    with use_language(language):
        if result.reason is not None:
            return tr("undetermined: {why}", why=_reason(result.reason))
        how = {
            "undetectable": tr("not noticeable"),
            "detectable": tr("noticeable, but acceptable"),
            "unacceptable": tr("not acceptable"),
        }[result.bt1359]
        return tr("{moved}: {how} (ITU-R BT.1359)", moved=_offset(result), how=how)


def _offset(result: OffsetResult) -> str:
    timeline, offset_ms = result.timeline, result.offset_ms
    if timeline.kind == "drift":
        return tr("audio drifts by {ppm:+.0f} ppm, from {first:+.0f} to {last:+.0f} ms",
                  ppm=timeline.drift_ppm, first=timeline.segments[0].offset_ms,
                  last=timeline.segments[-1].end_offset_ms)  # fmt: skip
    if timeline.kind == "jumps":
        return tr("audio jumps ({offsets} ms)", offsets=_offsets(timeline))
    if abs(offset_ms) < IN_SYNC_MS:
        return tr("in sync (offset {ms:+.0f} ms)", ms=round(offset_ms))
    if offset_ms > 0:
        return tr("audio leads by {ms:.0f} ms", ms=offset_ms)
    return tr("audio lags by {ms:.0f} ms", ms=-offset_ms)


def _offsets(timeline: OffsetTimeline) -> str:
    return ", ".join(f"{segment.offset_ms:+.0f}" for segment in timeline.segments)


def reason_text(reason: Reason, language: str | None = None) -> str:
    """Why no offset is reported.

    Args:
        language: such as ``"zh_CN"``; None: the user's.
    """
    with use_language(language):
        return _reason(reason)


def _reason(reason: Reason) -> str:
    match reason:
        case NoSpeech():
            return tr("no speech while a face is visible")
        case TooShort():
            return tr("too little speech while a face is visible: at least {ms} ms required",
                      ms=reason.required_ms)  # fmt: skip
        case Weak():
            return tr("no clear correlation between lips and audio")
        case Edge():
            return tr("the offset may be outside the search range (±{ms} ms): "
                      "increase inference.max_offset_frames", ms=reason.limit_ms)  # fmt: skip
        case DriftOutOfRange(max_offset_frames=None):
            return tr("audio drifts by {ppm:+.0f} ppm and exceeds ±{ms} ms at {second:.0f} s: "
                      "split the video",
                      ppm=reason.drift_ppm, ms=reason.limit_ms, second=reason.time_s)  # fmt: skip
        case DriftOutOfRange():
            return tr("audio drifts by {ppm:+.0f} ppm and leaves the search range (±{ms} ms) at "
                      "{second:.0f} s: set inference.max_offset_frames={frames}",
                      ppm=reason.drift_ppm, ms=reason.limit_ms, second=reason.time_s,
                      frames=reason.max_offset_frames)  # fmt: skip
        case DriftTooFast():
            return tr("audio drifts by {ppm:+.0f} ppm or more; drift above {most} ppm cannot be "
                      "measured", ppm=reason.drift_ppm, most=reason.limit_ppm)  # fmt: skip
    raise TypeError(f"no reason: {reason!r}")


def correction_text(
    result: OffsetResult, score_after: float | None, language: str | None = None
) -> str:
    """What was corrected, with the score before and after.

    Args:
        result: of the pair as given; it has an offset.
        score_after: of the corrected pair.
        language: such as ``"zh_CN"``; None: the user's.
    """
    with use_language(language):
        scores = {"before": format_score(result.score), "after": format_score(score_after)}
        offset_ms, timeline = result.offset_ms, result.timeline
        if timeline.kind == "drift":
            return tr("audio drifted by {ppm:+.0f} ppm, corrected; score {before} → {after}",
                      ppm=timeline.drift_ppm, **scores)  # fmt: skip
        if timeline.kind == "jumps":
            return tr("audio jumped ({offsets} ms), corrected by segment; score {before} → {after}",
                      offsets=_offsets(timeline), **scores)  # fmt: skip
        if round(offset_ms) == 0:
            return tr("audio is in sync; score {before} → {after}", **scores)
        if offset_ms > 0:
            return tr("audio led by {ms:.0f} ms, corrected; score {before} → {after}",
                      ms=offset_ms, **scores)  # fmt: skip
        return tr("audio lagged by {ms:.0f} ms, corrected; score {before} → {after}",
                  ms=-offset_ms, **scores)  # fmt: skip

"""A result in plain sentences, for people who do not know the field, in the language asked for."""

from collections.abc import Sequence
from pathlib import Path

from ..core.command_text import command_text
from ..core.constants import FPS, FRAME_MS
from ..core.files import display_path
from ..i18n.messages import tr, use_language
from ..scoring.perception import (
    ACCEPTABLE_MS,
    DETECTABLE_MS,
    IN_SYNC_MS,
    capped_probability,
    worst_ms,
)
from ..scoring.result import SyncResult
from ..scoring.result_builder import MAX_OFFSET_FRAMES
from ..scoring.result_types import DriftOutOfRange, DriftTooFast, Reason
from ..scoring.words import reason_text

VERY_CERTAIN, FAIRLY_CERTAIN = 0.95, 0.8  # probabilities from which an offset is called so


def headline(result: SyncResult, language: str | None = None) -> str:
    """The result in one sentence.

    Args:
        language: such as ``"zh_CN"``; None: the user's.
    """
    with use_language(language):
        if result.undetermined:
            return tr("Sync could not be determined.")
        if result.offset_probability < FAIRLY_CERTAIN:
            return tr("Not certain, but likely: {text}", text=_headline(result))
        return _headline(result)


def _headline(result: SyncResult) -> str:
    offset_ms = result.offset_ms
    if result.timeline.kind == "drift":
        return tr("Audio and video drift apart.")
    if result.timeline.kind == "jumps":
        return tr("The audio offset jumps within the video.")
    return offset_headline(offset_ms)


def offset_headline(offset_ms: float) -> str:
    """A constant offset in one sentence; > 0: the audio leads."""
    if abs(offset_ms) < IN_SYNC_MS:
        return tr("Audio and video are in sync.")
    if offset_ms > 0:
        return tr("Audio is {ms:.0f} ms early.", ms=offset_ms)
    return tr("Audio is {ms:.0f} ms late.", ms=-offset_ms)


def sentences(result: SyncResult, language: str | None = None) -> list[tuple[str, str]]:
    """(heading, sentences) each: the result, whether viewers notice it, how certain it is, and
    what to do.

    Args:
        language: such as ``"zh_CN"``; None: the user's.
    """
    with use_language(language):
        if result.undetermined:
            return [
                (tr("Why?"), _sentence(reason_text(result.reason))),
                (tr("What to do"), _advice_undetermined(result)),
            ]
        return [
            (tr("Result"), _offset(result)),
            (tr("Noticeable?"), _noticeable(result)),
            (tr("How certain is this?"), _certainty(result)),
            (tr("What to do"), _advice(result)),
        ]


def _offset(result: SyncResult) -> str:
    offset_ms, timeline = result.offset_ms, result.timeline
    if timeline.kind == "drift":
        segment = timeline.segments[0]
        return tr(
            "Audio and video run at different speeds ({ppm:+.0f} ppm). Audio is {first} at the "
            "start and {last} at the end.",
            ppm=timeline.drift_ppm, first=_early_or_late(segment.offset_ms),
            last=_early_or_late(segment.end_offset_ms),
        )  # fmt: skip
    if timeline.kind == "jumps":
        parts = [
            tr("{moved} from {first:.1f} to {last:.1f} s",
               first=segment.start_s, last=segment.end_s, moved=_early_or_late(segment.offset_ms))
            for segment in timeline.segments
        ]  # fmt: skip
        return tr("Audio or video was cut, or part of it is missing. Audio is {parts}.",
                  parts=tr("; ").join(parts))  # fmt: skip
    if abs(offset_ms) < IN_SYNC_MS:
        return tr("Lips and audio are {ms:.0f} ms apart, less than one frame ({frame} ms).",
                  ms=abs(offset_ms), frame=FRAME_MS)  # fmt: skip
    values = {"ms": abs(offset_ms), "n": abs(round(offset_ms)) / FRAME_MS, "fps": FPS}
    if offset_ms > 0:
        return tr("The audio leads the lips by {ms:.0f} ms ({n:.1f} frames at {fps} fps).",
                  **values)  # fmt: skip
    return tr("The audio lags the lips by {ms:.0f} ms ({n:.1f} frames at {fps} fps).", **values)


def _early_or_late(offset_ms: float) -> str:
    if round(offset_ms) == 0:
        return tr("in sync")
    if offset_ms > 0:
        return tr("{ms:.0f} ms early", ms=offset_ms)
    return tr("{ms:.0f} ms late", ms=-offset_ms)


def _noticeable(result: SyncResult) -> str:
    leads = worst_ms(result.offset_ms, result.timeline) > 0
    limits = {
        "noticed": abs(DETECTABLE_MS[leads]), "accepted": abs(ACCEPTABLE_MS[leads]),
        "kind": tr("early audio") if leads else tr("late audio"),
    }  # fmt: skip
    answer = {
        "undetectable": tr("No, too small to notice."),
        "detectable": tr("Yes, to attentive viewers; still acceptable."),
        "unacceptable": tr("Yes; not acceptable to viewers."),
    }[result.bt1359]
    return tr(
        "{answer} By ITU-R BT.1359, {kind} is noticeable from {noticed} ms and not acceptable from "
        "{accepted} ms.", answer=answer, **limits,
    )  # fmt: skip


def certainty_word(probability: float) -> str:
    """A probability, 0…1, that an offset is correct, in words."""
    if probability >= VERY_CERTAIN:
        return tr("Very certain")
    if probability >= FAIRLY_CERTAIN:
        return tr("Fairly certain")
    return tr("Uncertain, check by eye")


def _certainty(result: SyncResult) -> str:
    probability = result.offset_probability
    return tr(
        "{word}: {chance:.0%} of results with this much evidence are correct to within one frame "
        "(±{frame} ms). Probability that the pair is in sync as given: {score:.0%}.",
        word=certainty_word(probability), chance=capped_probability(probability), frame=FRAME_MS,
        score=capped_probability(result.score),
    )  # fmt: skip


def _advice(result: SyncResult) -> str:
    offset_ms = result.offset_ms
    if result.timeline.kind != "constant":
        return tr("Run the command below to correct it over time.")
    if abs(offset_ms) < IN_SYNC_MS:
        return tr("No correction is needed.")
    if result.bt1359 == "undetectable":
        return tr("No correction is needed. To correct it anyway, run the command below.")
    if offset_ms > 0:
        return tr("Delay the audio by {ms:.0f} ms: run the command below.", ms=offset_ms)
    return tr("Advance the audio by {ms:.0f} ms: run the command below.", ms=-offset_ms)


def correction_command(result: SyncResult, options: Sequence[str] = ()) -> str | None:
    """The command that corrects the pair; None where there is nothing to correct.

    Args:
        options: more of its arguments, such as those with which the pair was scored.
    """
    if result.undetermined:
        return None
    if result.timeline.kind == "constant" and abs(result.offset_ms) < IN_SYNC_MS:
        return None
    model = str(display_path(Path(result.model.file)))
    parts = ["python", "src/inference.py", "--checkpoint", model, "--video", result.video]
    if result.audio != result.video:
        parts += ["--audio", result.audio]
    return command_text([*parts, *options])


def _advice_undetermined(result: SyncResult) -> str:
    if result.status == "edge":
        return _advice_edge(result.reason, max(result.curve.offset_ms) // FRAME_MS)
    return {
        "no_speech": tr("Use a clip in which a visible person speaks, or check that the right "
                        "audio is given."),
        "too_short": tr("Use a longer clip: a few seconds of speech with the face visible."),
        "weak": tr("Check that the audio is from this take (dubbing and voice-over have no "
                   "offset), or use a longer clip. If the audio may be many seconds off, search "
                   "further: --set inference.far_offset_s=15"),
    }[result.status]  # fmt: skip


def _advice_edge(reason: Reason, searched_frames: int) -> str:
    """A drift says how wide a range takes it in; else twice the range is worth a try."""
    match reason:
        case DriftOutOfRange():
            frames = reason.max_offset_frames
        case DriftTooFast():
            frames = None
        case _:
            frames = min(2 * searched_frames, MAX_OFFSET_FRAMES)
    if frames is None or frames <= searched_frames:
        return tr("Split the video, or check that the audio is from this take.")
    return tr("Widen the search range: --set inference.max_offset_frames={frames}", frames=frames)


def _sentence(text: str) -> str:
    """With a capital and a full stop, as the language has them."""
    return tr("{text}.", text=text[:1].upper() + text[1:])

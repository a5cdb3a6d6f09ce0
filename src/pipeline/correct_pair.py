"""Correct a pair, measure the result, and correct what is left."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..core.errors import OutputError
from ..core.files import check_output_path, folder_created, written_atomically
from ..core.progress import Progress
from ..correction.duration import check_fit
from ..correction.remux import retime_audio
from ..i18n.messages import tr
from ..media.stream_choice import StreamChoice
from ..media.suffixes import OUTPUT_SUFFIXES
from ..scoring.local_offsets import local_outliers
from ..scoring.result import SyncResult
from ..scoring.timeline import Timeline
from ..scoring.words import correction_text, note_text, reason_text
from .output_names import Source, check_not_foreign

CORRECTED_TOLERANCE_MS = 20  # a corrected pair is measured again and must be this close to zero
MAX_ROUNDS = 3  # each corrects what the one before left


class Engine(Protocol):
    """A ``LipSyncInference``, as far as it is needed here."""

    def measure(
        self, video_path: str | Path, audio_path: str | Path | None = None,
        face: str | int = "speaking", progress: Progress = ..., streams: StreamChoice = ...,
    ) -> SyncResult: ...  # fmt: skip


def correct_pair(
    engine: Engine,
    video_path: str | Path,
    audio_path: str | Path | None,
    output_path: str | Path,
    face: str | int,
    fit: str,
    progress: Progress,
    streams: StreamChoice,
    overwrite: bool,
) -> tuple[bool, str, dict]:
    """``LipSyncInference.correct_sync``."""
    check_fit(fit)
    output = check_output_path(output_path, [video_path, audio_path], OUTPUT_SUFFIXES)
    source = Source(video_path, audio_path, streams)
    if not overwrite:
        check_not_foreign(output, source)
    before = engine.measure(video_path, audio_path, face, progress, streams)
    measured = {
        "score_before": before.score, "score": None, "details": before.to_dict(), "notes": [],
    }  # fmt: skip
    if before.undetermined:
        why = reason_text(before.reason)
        return False, tr("nothing changed: {why}", why=why), measured
    length_s = before.duration_s
    used = StreamChoice(before.video_stream, before.audio_stream)  # they come first in the output

    def retime(timeline: Timeline, match_duration: str) -> list[str]:
        try:
            return retime_audio(
                video_path, audio_path, temporary_path, timeline, match_duration, used,
                source.note,
            )  # fmt: skip
        except OutputError as error:  # name the output that was asked for
            text = str(error).replace(str(temporary_path), str(output))
            raise OutputError(text) from None

    try:
        with folder_created(output.parent), written_atomically(output) as temporary_path:
            correction = _correct_until_in_sync(
                # Repeated video does not match its audio: it is measured before.
                lambda timeline: retime(timeline, "pad" if fit == "loop" else fit),
                lambda: engine.measure(
                    temporary_path, face=face, progress=progress, streams=StreamChoice(1, 1)
                ),
                before.timeline.to_timeline(),
                length_s,
            )
            notes = correction.notes
            if fit == "loop":
                notes = retime(correction.applied, "loop")
            if not overwrite:  # another run may have written it meanwhile
                check_not_foreign(output, source)
    except _NotCorrectedError as error:
        return False, tr("nothing written: {why}", why=error), measured
    after = correction.after
    remaining = after.timeline.to_timeline()
    deviations = local_outliers(after.offsets, remaining, after_correction=True)
    measured |= {
        "score": after.score,
        "notes": [*notes, *map(note_text, deviations)],
        "residual_ms": round(remaining.largest_offset(length_s), 1),
        "applied_ms": round(correction.applied.median_offset(length_s), 1),
    }
    return True, correction_text(before, after.score), measured


class _NotCorrectedError(Exception):
    """The measured result is no better: nothing is written. Its text says why."""


@dataclass(frozen=True)
class _Correction:
    """A correction that holds.

    Attributes:
        applied: the offset over time by which the audio was moved.
        notes: what could not be preserved.
        after: the measured result.
    """

    applied: Timeline
    notes: list[str]
    after: SyncResult


def _correct_until_in_sync(
    retime: Callable[[Timeline], list[str]],
    measure: Callable[[], SyncResult],
    timeline: Timeline,
    length_s: float,
) -> _Correction:
    """Correct and measure in turns, until the result is in sync.

    Args:
        retime: writes the pair with its audio moved along a timeline; returns notes.
        measure: measures what was written.
        timeline: the offset over time of the pair as given.
        length_s: of the video.

    Raises:
        _NotCorrectedError: the result is undetermined, or still out of sync after ``MAX_ROUNDS``.
    """
    applied, residual_ms = timeline, 0.0
    for _ in range(MAX_ROUNDS):
        notes = retime(applied)
        after = measure()
        if after.undetermined:
            why = reason_text(after.reason)
            raise _NotCorrectedError(tr("after the correction, {why}", why=why))
        remaining = after.timeline.to_timeline()
        residual_ms = remaining.largest_offset(length_s)
        if abs(residual_ms) <= CORRECTED_TOLERANCE_MS:
            return _Correction(applied, notes, after)
        applied = applied.plus(remaining, length_s)
    raise _NotCorrectedError(
        tr("the corrected audio is still {ms:+.0f} ms out of sync", ms=residual_ms)
    )

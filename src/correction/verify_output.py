"""Reads a written video back: whether it is complete, and what its container could not hold."""

from pathlib import Path

from ..core.errors import MediaError, OutputError
from ..i18n.messages import tr
from ..media.streams import VideoSource, read_source
from .duration import DurationMatch

DURATION_TOLERANCE_S = 0.15  # the last audio packet may be longer than the audio in it


def verify_output(
    path: Path, output_path: str | Path, source: VideoSource, target: DurationMatch, copied: bool
) -> list[str]:
    """Compare a written video with its source.

    Args:
        path: the written file.
        output_path: the name it will get.
        source: where its frames come from.
        target: the frames and seconds it should have.
        copied: whether the video was stream-copied.

    Returns:
        notes: what the container could not hold.

    Raises:
        OutputError: frames or seconds are missing.
    """
    try:
        output = read_source(path)
        fault = _find_fault(output, source, target, copied)
    except MediaError as error:
        fault = str(error)
    if fault:
        raise OutputError(
            tr("cannot write {path}: {why}", path=output_path, why=fault)
        )  # fmt: skip
    notes = []
    if source.n_chapters and not output.n_chapters:
        notes.append(tr("chapters dropped: not supported by the output container"))
    if source.title and not output.title:
        notes.append(tr("title dropped: not supported by the output container"))
    return notes


def _find_fault(
    output: VideoSource, source: VideoSource, target: DurationMatch, copied: bool
) -> str | None:
    # A decoder may drop frames where they are damaged or re-encoded.
    tolerance = 0 if copied and source.is_intact else 2 + target.n_frames // 50
    min_frames = target.n_frames - tolerance - (source.n_hidden_frames if copied else 0)
    if not min_frames <= output.n_frames <= target.n_frames + tolerance:
        return tr("the output has {found} frames instead of {expected}",
                  found=output.n_frames, expected=target.n_frames)  # fmt: skip
    audio = output.audio_streams[0] if output.audio_streams else None
    audio_s = audio.end_s - output.first_frame_s if audio else 0.0
    for duration_s in (output.duration_s, audio_s):
        tolerance_s = DURATION_TOLERANCE_S + (2 + tolerance) / source.fps
        if abs(duration_s - target.duration_s) > tolerance_s:
            return tr("the output is {found:.2f} s long instead of {expected:.2f} s",
                      found=duration_s, expected=target.duration_s)  # fmt: skip
    return None

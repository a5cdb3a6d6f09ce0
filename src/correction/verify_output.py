"""Reads a written video back: whether all that came in went out, and what its container could not
hold."""

from dataclasses import dataclass
from pathlib import Path

from ..core.errors import MediaError, OutputError
from ..i18n.messages import tr
from ..media.reader import FrameCount, count_frames
from ..media.stream_choice import StreamChoice
from ..media.streams import VideoSource, read_source
from .duration import AudioExtent, DurationMatch, measure_audio

DURATION_TOLERANCE_S = 0.15  # the last audio packet may be longer than the audio in it
USED_STREAMS = StreamChoice(1, 1)  # of an output: those that were used come first
# Frames and audio at times that are taken: more would be lost.
MAX_LOST_FRAMES, MAX_LOST_AUDIO_S, MAX_LOST_SHARE = 12, 0.5, 0.02


@dataclass(frozen=True)
class SourceContent:
    """What an output is made of.

    Attributes:
        video: the file with the frames.
        frames: how many of these can be decoded.
        audio: what can be decoded of the audio.
    """

    video: VideoSource
    frames: FrameCount
    audio: AudioExtent


def verify_output(
    path: Path,
    output_path: str | Path,
    content: SourceContent,
    target: DurationMatch,
    copied: bool,
) -> list[str]:
    """Compare a written video with what it was made of: both are decoded.

    Args:
        path: the written file.
        output_path: the name it will get.
        content: what came in.
        target: the frames and seconds that should go out.
        copied: whether the video was stream-copied.

    Returns:
        notes: what the container could not hold.

    Raises:
        OutputError: frames or seconds are missing.
    """
    source = content.video
    try:
        output = read_source(path, USED_STREAMS)
        fault = (
            _find_collision(content)
            or _find_fault(output, source, target, copied)
            or _find_loss(path, output, content, target)
        )
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


def _find_collision(content: SourceContent) -> str | None:
    """What of the source would be lost, as something else is due at the same time."""
    frames, audio = content.frames, content.audio
    n_lost = frames.n_decoded - frames.n_displayed
    if n_lost > max(MAX_LOST_FRAMES, MAX_LOST_SHARE * frames.n_decoded):
        return tr("{n} of {frames} frames would be lost: their timestamps go back",
                  n=n_lost, frames=frames.n_decoded)  # fmt: skip
    if audio.overlap_s > max(MAX_LOST_AUDIO_S, MAX_LOST_SHARE * audio.decoded_s):
        return tr("{lost:.1f} of {all:.1f} s of audio would be lost: their timestamps go back",
                  lost=audio.overlap_s, all=audio.decoded_s)  # fmt: skip
    return None


def _find_fault(
    output: VideoSource, source: VideoSource, target: DurationMatch, copied: bool
) -> str | None:
    """What the packets of the output show."""
    # A decoder may drop frames where they are damaged or re-encoded.
    tolerance = 0 if copied and source.is_intact else 2 + target.n_frames // 50
    min_frames = target.n_frames - tolerance - (source.n_hidden_frames if copied else 0)
    if not min_frames <= output.n_frames <= target.n_frames + tolerance:
        return tr("the output has {found} frames instead of {expected}",
                  found=output.n_frames, expected=target.n_frames)  # fmt: skip
    tolerance_s = DURATION_TOLERANCE_S + (2 + tolerance) / source.fps
    if abs(output.duration_s - target.duration_s) > tolerance_s:
        return tr("the output is {found:.2f} s long instead of {expected:.2f} s",
                  found=output.duration_s, expected=target.duration_s)  # fmt: skip
    return None


def _find_loss(
    path: Path, output: VideoSource, content: SourceContent, target: DurationMatch
) -> str | None:
    """What decoding the output shows, compared with decoding the source."""
    source, frames = content.video, content.frames
    share = min(1.0, frames.n_displayed / max(1, source.n_frames))
    n_expected = round(target.n_frames * share)
    n_found = count_frames(path, USED_STREAMS).n_displayed
    tolerance = 2 + n_expected // 50 + source.n_hidden_frames
    if n_found < n_expected - tolerance:
        return tr("{found} frames of the output can be decoded instead of {expected}",
                  found=n_found, expected=n_expected)  # fmt: skip
    audio_s = 0.0
    if output.audio is not None:
        sample_rate = output.audio.sample_rate or 48000
        audio_s = measure_audio(path, sample_rate, USED_STREAMS).decoded_s
    tolerance_s = DURATION_TOLERANCE_S + (2 + tolerance) / source.fps
    if abs(audio_s - target.duration_s) > tolerance_s:
        return tr("{found:.2f} s of audio of the output can be decoded instead of {expected:.2f} s",
                  found=audio_s, expected=target.duration_s)  # fmt: skip
    return None

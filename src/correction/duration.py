"""Duration of the corrected video where video and audio are not equally long."""

from dataclasses import dataclass
from pathlib import Path

from ..core.errors import ConfigError
from ..i18n.messages import tr
from ..media.reader import audio_blocks
from ..media.stream_choice import DEFAULT_STREAMS, StreamChoice
from ..media.streams import VideoSource
from ..scoring.timeline import Timeline
from .fits import FITS


@dataclass(frozen=True)
class DurationMatch:
    """Duration of the output.

    Attributes:
        duration_s: of video and audio, in seconds.
        n_frames: of the video, over all its repetitions.
        n_plays: how often the video is played, the last time perhaps in part.
        is_cut: whether frames at the end of the video are dropped.
    """

    duration_s: float
    n_frames: int
    n_plays: int = 1
    is_cut: bool = False


def check_fit(fit: str) -> None:
    """Raises ConfigError unless ``fit`` is one of ``FITS``."""
    if fit not in FITS:
        raise ConfigError(
            tr("fit {fit}: allowed: {known}", fit=fit, known=", ".join(FITS))
        )  # fmt: skip


def match_duration(
    source: VideoSource, fit: str, audio_end_s: float, copied: bool
) -> DurationMatch:
    """The duration of the output.

    Args:
        source: the video.
        fit: one of ``FITS``.
        audio_end_s: where the corrected audio ends, in seconds from the first frame.
        copied: whether the video is stream-copied, so that it can end only where
            ``VideoSource.find_end`` allows.
    """
    duration_s, frame_s = source.duration_s, 1 / source.fps
    whole = DurationMatch(duration_s, source.find_end(duration_s, copied)[0])
    if fit == "trim" and audio_end_s < duration_s - frame_s:
        n_frames, end_s = source.find_end(max(audio_end_s, frame_s), copied)
        return DurationMatch(end_s, n_frames, is_cut=n_frames < whole.n_frames)
    if fit == "loop" and audio_end_s > duration_s + frame_s:
        n_whole = int((audio_end_s - frame_s) // duration_s)
        n_frames, end_s = source.find_end(audio_end_s - n_whole * duration_s, copied)
        return DurationMatch(
            n_whole * duration_s + end_s, n_whole * whole.n_frames + n_frames, n_whole + 1,
            n_frames < whole.n_frames,
        )  # fmt: skip
    return whole


@dataclass(frozen=True)
class AudioExtent:
    """What is decoded of an audio stream.

    Attributes:
        end_s: where it ends, in seconds from the first frame of the video.
        decoded_s: seconds of audio, without the gaps in it.
        overlap_s: of these, seconds at times that earlier audio has, too.
    """

    end_s: float
    decoded_s: float
    overlap_s: float


def measure_audio(
    path: str | Path, sample_rate: int, streams: StreamChoice = DEFAULT_STREAMS
) -> AudioExtent:
    """Decode all of the audio: durations in headers are not always correct.

    Args:
        path: the audio.
        sample_rate: Hz.
        streams: which of several audio streams.

    Raises:
        MissingFileError, UnreadableMediaError, NoAudioError.
    """
    end, n_decoded, n_overlapping = 0, 0, 0
    has_begun = False
    for start, block in audio_blocks(path, sample_rate, streams=streams):
        n_samples = block.shape[1]
        if has_begun:
            n_overlapping += min(n_samples, max(0, end - start))
        end = max(end, start + n_samples) if has_begun else start + n_samples
        has_begun = True
        n_decoded += n_samples
    return AudioExtent(end / sample_rate, n_decoded / sample_rate, n_overlapping / sample_rate)


def audio_end(duration_s: float, timeline: Timeline) -> float:
    """Where audio retimed along a timeline ends, in seconds from the first frame of the video.

    Args:
        duration_s: where it ends before.
        timeline: the offsets to be corrected.
    """
    for segment in reversed(timeline.segments):
        # t − offset(t) / 1000 = duration, on the line of the segment
        speed = 1 - segment.slope / 1000
        intercept_s = (segment.offset_ms - segment.slope * segment.start_s) / 1000
        end_s = (duration_s + intercept_s) / speed
        if end_s >= segment.start_s:
            return end_s if segment is timeline.segments[-1] else min(end_s, segment.end_s)
    return 0.0

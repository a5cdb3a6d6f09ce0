"""Videos that every browser plays: H.264 and AAC, small."""

import subprocess
from itertools import islice
from pathlib import Path

import av
import imageio_ffmpeg

from ..core.constants import FPS, SAMPLE_RATE
from ..core.errors import OutputError
from ..correction.remux import shift_audio
from ..i18n.messages import tr
from ..media.container import open_media, path_argument
from ..media.reader import read_audio, read_frames
from ..media.stream_choice import StreamChoice
from ..media.writer import write_clip
from ..scoring.result import SyncResult
from .worker import Work

MAX_SIDE = 960  # px of a preview
EXCERPT_S = 8.0  # of what is heard with an offset by hand
EXCERPT_SIDE = 640
PLAYABLE_SUFFIXES = {".mp4", ".m4v", ".mov"}
PLAYABLE_VIDEO, PLAYABLE_AUDIO = {"h264"}, {"aac", "mp3"}
PLAYABLE_PIXELS = {"yuv420p", "yuvj420p"}


def is_playable(path: Path) -> bool:
    """Whether every browser plays a file as it is.

    Raises:
        MediaError: it cannot be read.
    """
    if path.suffix.lower() not in PLAYABLE_SUFFIXES:
        return False
    with open_media(path) as container:
        videos, audios = container.streams.video, container.streams.audio
        if len(videos) != 1 or len(audios) != 1 or None in (
            videos[0].codec_context, audios[0].codec_context
        ):  # fmt: skip
            return False
        video, audio = videos[0].codec_context, audios[0].codec_context
        return (
            video.name in PLAYABLE_VIDEO
            and video.pix_fmt in PLAYABLE_PIXELS
            and audio.name in PLAYABLE_AUDIO
        )


def make_preview(work: Work, video: Path, audio: Path | None, name: str) -> Path:
    """The video itself where a browser plays it, else a small copy; with the audio as given.

    Args:
        work: its folder gets the copy.
        audio: a file of its own; None: that of the video.
        name: of the copy, without a suffix.

    Raises:
        MediaError: the files cannot be read.
        OutputError: the copy cannot be written.
    """
    if audio is not None:
        pair = work.folder / f"{name}_pair.mkv"
        shift_audio(video, audio, pair, 0.0)
        video = pair
    elif is_playable(video):
        return video
    output = work.folder / f"{name}.mp4"
    _encode(work, video, output)
    return output


def _encode(work: Work, video: Path, output: Path) -> None:
    """Re-encode a file with ffmpeg, and report how far it is."""
    with av.open(path_argument(video)) as container:
        duration_s = (container.duration or 0) / av.time_base
    side = f"'min({MAX_SIDE},iw)':'min({MAX_SIDE},ih)':force_original_aspect_ratio=decrease"
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-progress", "pipe:1", "-y",
        "-i", path_argument(video), "-map", "0:v:0", "-map", "0:a:0?", "-sn", "-dn",
        "-vf", f"scale={side}:force_divisible_by=2",
        "-c:v", "libx264", "-preset", "veryfast", "-crf", "26", "-pix_fmt", "yuv420p",
        "-c:a", "aac", "-ac", "2", "-movflags", "+faststart", path_argument(output),
    ]  # fmt: skip
    stage = tr("preparing the preview")
    work.report(stage, None)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8"
    ) as process:
        for line in process.stdout:
            name, _, value = line.partition("=")
            if name == "out_time_us" and value.strip().isdigit() and duration_s:
                work.report(stage, min(1.0, int(value) / 1e6 / duration_s))
    if process.returncode:
        raise OutputError(
            tr("cannot write {path}: {why}", path=output.name, why=tr("ffmpeg failed"))
        )


def make_excerpt(work: Work, result: SyncResult, output: Path) -> None:
    """A few seconds with the most speech, in which offsets can be heard; at 25 fps.

    Args:
        result: of the pair, whose files are read.
        output: .mp4, with the audio as given.
    """
    video, audio = StreamChoice.of_pair(result.to_dict())
    seconds = [0.0 if score is None else 1.0 for score in result.per_second]
    n = int(EXCERPT_S)
    sums = [sum(seconds[start : start + n]) for start in range(max(1, len(seconds) - n + 1))]
    start_s = sums.index(max(sums))
    frames = islice(
        work.progress(
            read_frames(result.video, streams=video), tr("cutting out an excerpt"),
            (start_s + EXCERPT_S) * FPS,
        ),
        start_s * FPS, round((start_s + EXCERPT_S) * FPS),
    )  # fmt: skip
    samples = read_audio(result.audio, audio)
    first = start_s * SAMPLE_RATE
    part = samples[first : first + round(EXCERPT_S * SAMPLE_RATE)]
    write_clip(output, (_small(frame.bgr) for frame in frames), FPS, part)


def _small(pixels):
    """A frame with sides of at most ``EXCERPT_SIDE``, even."""
    import cv2

    height, width = pixels.shape[:2]
    scale = min(1.0, EXCERPT_SIDE / max(height, width))
    sides = [max(2, round(side * scale / 2) * 2) for side in (width, height)]
    return cv2.resize(pixels, sides, interpolation=cv2.INTER_AREA)

"""Decode, probe, encode, mux: the only room that knows containers and clocks.

Time zero of a file is its first picture (of a file without pictures: its first sample). Frames
come on a 25 fps grid, sound at 16 kHz, both placed by the container's presentation times, so a
late sound track, a variable frame rate or a gap keeps its place.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from src.errors import (
    MissingFileError,
    NoAudioError,
    NoVideoError,
    UnreadableMediaError,
)
from src.messages import tr
from src.picture import Picture, Scaler

FPS = 25  # frames per second of the grid
SAMPLE_RATE = 16000  # Hz
SAMPLES_PER_FRAME = SAMPLE_RATE // FPS

# A sound packet whose stamp is further than this from where the samples before it ended starts
# anew at its stamp. Containers that count in milliseconds (mkv, flv) jitter by up to 1 ms.
AUDIO_JUMP_S = 0.005
# Gaps longer than these are broken clocks: to fill them would take all memory.
MAX_GAP_S = 30
MAX_SOUND_GAP_S = 1800

VIDEO_SUFFIXES = {
    ".mp4", ".avi", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".flv", ".m4v", ".ts", ".wmv", ".3gp"
}  # fmt: skip
AUDIO_SUFFIXES = (".wav", ".mp3", ".m4a", ".flac", ".aac", ".ogg")


@dataclass(frozen=True)
class MediaInfo:
    """What a file holds. Times in seconds on the container's own clock; 0 where unknown.

    ``picture_s`` is how long the header says the picture lasts, ``duration_s`` the whole file;
    ``n_pictures`` how many pictures it says there are.
    """

    path: Path
    has_video: bool
    has_audio: bool
    fps: float = 0.0
    width: int = 0
    height: int = 0
    video_start_s: float = 0.0
    audio_start_s: float = 0.0
    duration_s: float = 0.0
    picture_s: float = 0.0
    n_pictures: int = 0
    audio_rate: int = 0
    audio_channels: int = 0
    audio_bit_rate: int = 0


@dataclass
class ReadReport:
    """What reading the pictures of a file met.

    Attributes:
        pictures: how many were decoded.
        damaged: how many of these, or of the packets that gave none, are damaged.
    """

    pictures: int = 0
    damaged: int = 0


def path_argument(path: str | Path) -> str:
    """A path as ffmpeg takes it: absolute, so that none looks like a protocol or an option."""
    return str(Path(path).absolute())


@contextmanager
def opened(path: str | Path):
    """Open a media file for reading; every way that fails becomes one readable error."""
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(tr("file not found: {path}", path=path))
    try:
        container = av.open(path_argument(path), metadata_errors="replace")
    except PermissionError:
        raise UnreadableMediaError(tr("no permission to read {path}", path=path)) from None
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise _unreadable(path, error) from None
    try:
        yield container
    except av.error.FFmpegError as error:
        raise _unreadable(path, error) from None
    finally:
        container.close()


def _unreadable(path: Path, error: Exception) -> UnreadableMediaError:
    why = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return UnreadableMediaError(
        tr("cannot read {path}: {why}; is it a complete media file?", path=path, why=why)
    )


def video_stream(container: av.container.InputContainer) -> av.VideoStream | None:
    """The first real picture stream: cover art in a sound file is not a video."""
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            return stream
    return None


def _start(container, stream) -> float:
    """First presentation time of a stream in seconds, as far as the header knows it."""
    if stream is not None and stream.start_time is not None:
        return float(stream.start_time * stream.time_base)
    return container.start_time / av.time_base if container.start_time else 0.0


def probe(path: str | Path) -> MediaInfo:
    """Read a file's header.

    Raises:
        MissingFileError, UnreadableMediaError.
    """
    with opened(path) as container:
        video = video_stream(container)
        audio = container.streams.audio[0] if container.streams.audio else None
        duration = container.duration / av.time_base if container.duration else 0.0
        info = {"duration_s": duration}
        if video is not None:
            info |= {
                "fps": float(video.average_rate or video.guessed_rate or 0),
                "width": video.codec_context.width,
                "height": video.codec_context.height,
                "video_start_s": _start(container, video),
                "picture_s": _promised_s(container, video),
                "n_pictures": video.frames,
            }
        if audio is not None:
            info |= {
                "audio_start_s": _start(container, audio),
                "audio_rate": audio.codec_context.sample_rate,
                "audio_channels": audio.codec_context.channels,
                "audio_bit_rate": audio.codec_context.bit_rate or 0,
            }
        return MediaInfo(Path(path), video is not None, audio is not None, **info)


def _promised_s(container, stream) -> float:
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    # Matroska writes when a track ends into a tag: 00:01:02.345000000
    parts = stream.metadata.get("DURATION", "").split(":")
    try:
        end = sum(float(part) * 60**place for place, part in enumerate(reversed(parts)))
    except ValueError:
        return 0.0
    return max(0.0, end - _start(container, stream))


def _decode(container, stream, report: ReadReport | None = None) -> Iterator:
    """Decoded frames of one stream; a damaged packet is passed over, not the end of the file."""
    report = report or ReadReport()
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.error.InvalidDataError:
            return  # the demuxer lost its way: what was read so far counts
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            report.damaged += 1
            continue
        for frame in frames:
            report.pictures += 1
            report.damaged += frame.is_corrupt
            yield frame


def _deinterlaced(frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    """Pictures made of two fields 20 ms apart become whole ones of the first field (bwdif)."""
    graph, shape = None, None
    for frame in frames:
        if graph is None and not frame.interlaced_frame:
            yield frame
            continue
        found = (frame.width, frame.height, frame.format.name, frame.time_base)
        if found != shape:
            yield from _filtered(graph, None)
            graph, shape = _weaver(frame), found
        yield from _filtered(graph, frame)
    yield from _filtered(graph, None)


def _weaver(frame: av.VideoFrame) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
    )
    source.link_to(weave := graph.add("bwdif", "mode=send_frame:deint=interlaced"))
    weave.link_to(graph.add("buffersink"))
    graph.configure()
    return graph


def _filtered(graph: av.filter.Graph | None, frame: av.VideoFrame | None) -> Iterator:
    """What the graph gives for a frame; for None: what it still holds."""
    if graph is None:
        return
    graph.push(frame)
    while True:
        try:
            yield graph.pull()
        except (BlockingIOError, EOFError):
            return


def frame_rate(stream: av.VideoStream) -> float:
    """Pictures a second, as the header has it."""
    return float(stream.average_rate or stream.guessed_rate or FPS)


def _timed_pictures(
    container, stream, report: ReadReport | None = None
) -> Iterator[tuple[float, av.VideoFrame]]:
    """(presentation time in seconds, picture), times rising."""
    # AVI knows no presentation times (those the demuxer reports are guesses), but the place of
    # each chunk in the file, and its pictures come out of the decoder in the order of these.
    unstamped = container.format.name == "avi"
    delay = None
    shown_at = -float("inf")
    for frame in _deinterlaced(_decode(container, stream, report)):
        if unstamped:
            if delay is None:
                delay = frame.dts or 0
            at = None if frame.dts is None else float((frame.dts - delay) * frame.time_base)
        else:
            at = frame.time
        if at is None:
            at = shown_at + 1 / frame_rate(stream) if shown_at > -float("inf") else 0.0
        if at > shown_at:
            shown_at = at
            yield at, frame


def read_pictures(
    path: str | Path, threads: int = 0, report: ReadReport | None = None
) -> Iterator[Picture]:
    """Pictures on the 25 fps grid, streamed.

    Picture ``i`` is the one nearest in presentation time to ``first + i / 25`` seconds, where
    ``first`` is the time of the first picture. A picture that stands longer is given repeatedly
    (the same object). Interlaced pictures are deinterlaced.

    Args:
        path: a video file.
        threads: decoder threads; 0 lets the decoder choose.
        report: filled with what was met.

    Raises:
        MissingFileError, UnreadableMediaError, NoVideoError.
    """
    with opened(path) as container:
        stream = video_stream(container)
        if stream is None:
            raise NoVideoError(tr("{path} has no video stream", path=path))
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = threads
        aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
        rate, scaler = frame_rate(stream), Scaler()
        first = shown = None
        shown_at = 0.0
        index = 0
        for at, frame in _timed_pictures(container, stream, report):
            picture = Picture(frame, aspect, scaler)
            if first is None:
                first = at
            if shown is not None and at - shown_at > MAX_GAP_S:
                raise _broken_clock(path, at - shown_at, shown_at - first)
            while shown is not None and first + index / FPS < (shown_at + at) / 2:
                yield shown
                index += 1
            shown, shown_at = picture, at
        if shown is None:
            raise UnreadableMediaError(
                tr("cannot read {path}: {why}; is it a complete media file?",
                   path=path, why=tr("no picture could be decoded"))
            )  # fmt: skip
        # The last picture stands for one frame of the source.
        while first + index / FPS < shown_at + 1 / rate - 1e-6:
            yield shown
            index += 1


def _broken_clock(path: str | Path, gap: float, at: float) -> UnreadableMediaError:
    return UnreadableMediaError(
        tr("cannot read {path}: {why}; is it a complete media file?", path=path,
           why=tr("its time stamps jump by {gap:.0f} s after {at:.1f} s", gap=gap, at=at))
    )  # fmt: skip


def first_picture_s(path: str | Path) -> float:
    """Presentation time of the first picture that can be decoded, in seconds.

    The header's start time is not asked: it counts pictures a decoder drops, too.

    Raises:
        MissingFileError, UnreadableMediaError, NoVideoError.
    """
    with opened(path) as container:
        stream = video_stream(container)
        if stream is None:
            raise NoVideoError(tr("{path} has no video stream", path=path))
        for at, _ in _timed_pictures(container, stream):
            return at
        return _start(container, stream)


def read_audio(path: str | Path) -> np.ndarray:
    """The sound of a file: float32 [samples], mono, 16 kHz, range −1…1.

    Sample ``n`` belongs to ``zero + n / 16000`` seconds, where ``zero`` is the first picture of
    the file or, without pictures, its first sample. Gaps are silence; what sounds before zero
    is left out.

    Raises:
        MissingFileError, UnreadableMediaError, NoAudioError.
    """
    parts = list(stream_audio(path))
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def stream_audio(path: str | Path) -> Iterator[np.ndarray]:
    """The sound of ``read_audio`` in consecutive pieces of at most a few seconds."""
    end = 0
    for start, block in sound_blocks(path, SAMPLE_RATE, mono=True):
        for gap in range(end, start, SAMPLE_RATE):
            yield np.zeros(min(SAMPLE_RATE, start - gap), np.float32)
        skip = max(0, end - start)
        if skip < block.shape[1]:
            mono = block[0] if len(block) == 1 else block.mean(0)
            yield mono[skip:]
            end = start + block.shape[1]


def sound_blocks(
    path: str | Path, rate: int, mono: bool = False
) -> Iterator[tuple[int, np.ndarray]]:
    """The sound of a file, streamed in order: (place of the first sample, float32 [channels, n]).

    Place 0 is the zero of ``read_audio``; places count samples at ``rate`` Hz. With ``mono``,
    surround sound is mixed down to one channel; otherwise the channels are those of the file.

    Raises:
        MissingFileError, UnreadableMediaError, NoAudioError.
    """
    with opened(path) as container:
        if not container.streams.audio:
            raise NoAudioError(tr("{path} has no sound", path=path))
        stream = container.streams.audio[0]
        zero = first_picture_s(path) if video_stream(container) is not None else None
        # Raw AAC cannot say that its first block is the encoder's run-up.
        run_up = container.format.name == "aac"
        resampler, layout, shape, expected, start = None, None, None, 0.0, 0
        for frame in _decode(container, stream):
            at = frame.time if frame.time is not None else expected
            if zero is None:
                zero = at + (frame.samples / frame.sample_rate if run_up else 0)
            if layout is None:
                layout = "mono" if mono and frame.layout.nb_channels > 2 else frame.layout.name
            found = (frame.sample_rate, frame.layout.name, frame.format.name)
            if resampler is None or abs(at - expected) > AUDIO_JUMP_S or found != shape:
                for block in _resampled(resampler, None):
                    yield start, block
                    start += block.shape[1]
                resampler = av.AudioResampler(format="flt", layout=layout, rate=rate)
                if at - max(zero, expected) > MAX_SOUND_GAP_S:
                    raise _broken_clock(path, at - expected, expected - zero)
                shape, expected, start = found, at, round((at - zero) * rate)
            frame.pts = None  # the resampler would stuff or drop samples to follow the stamps
            expected += frame.samples / frame.sample_rate
            for block in _resampled(resampler, frame):
                yield start, block
                start += block.shape[1]
        if resampler is None:
            raise UnreadableMediaError(
                tr("cannot read {path}: {why}; is it a complete media file?",
                   path=path, why=tr("no sound could be decoded"))
            )  # fmt: skip
        for block in _resampled(resampler, None):
            yield start, block
            start += block.shape[1]


def _resampled(resampler: av.AudioResampler | None, frame) -> list[np.ndarray]:
    """What the resampler gives for a frame; for None: what it still holds."""
    if resampler is None:
        return []
    # Interleaved: PyAV 18 crashes on frames of eight planes.
    return [
        part.to_ndarray().reshape(-1, part.layout.nb_channels).T
        for part in resampler.resample(frame)
    ]

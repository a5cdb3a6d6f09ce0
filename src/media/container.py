"""Media files as they lie on disk: what is in them, and their packets decoded one by one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av

from ..core.errors import MissingFileError, UnreadableMediaError
from ..i18n.messages import tr

VIDEO_SUFFIXES = {
    ".mp4", ".avi", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".flv", ".m4v", ".ts", ".wmv", ".3gp"
}  # fmt: skip
AUDIO_SUFFIXES = (".wav", ".mp3", ".m4a", ".flac", ".aac", ".ogg")


@dataclass(frozen=True)
class MediaInfo:
    """What a file holds. Times in seconds on the container's own clock; 0 where unknown.

    ``video_s`` is how long the header says the picture lasts, ``duration_s`` the whole file;
    ``n_source_frames`` how many pictures it says there are.
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
    video_s: float = 0.0
    n_source_frames: int = 0
    audio_rate: int = 0
    audio_channels: int = 0
    audio_bit_rate: int = 0


@dataclass
class ReadReport:
    """What reading the pictures of a file met, or its sound.

    Attributes:
        pictures: how many were decoded; of a sound, pieces.
        damaged: how many of these are damaged.
        lost: packets that gave none.
    """

    pictures: int = 0
    damaged: int = 0
    lost: int = 0

    @property
    def n_all(self) -> int:
        """How many there should be."""
        return self.pictures + self.lost

    @property
    def n_damaged(self) -> int:
        """How many of these are damaged or lost."""
        return self.damaged + self.lost

    @property
    def damage(self) -> float:
        """Their share."""
        return self.n_damaged / max(1, self.n_all)


def path_argument(path: str | Path) -> str:
    """A path as ffmpeg takes it: absolute, so that none looks like a protocol or an option."""
    return str(Path(path).absolute())


def check_file(path: str | Path) -> None:
    """Refuse, in words, what a decoder would fail at, or wait for without end.

    Raises:
        MissingFileError: there is no file; a folder, say, or a pipe.
        UnreadableMediaError: it cannot be opened, or is empty.
    """
    path = Path(path)
    try:
        if not path.exists():
            if path.is_symlink():
                raise MissingFileError(
                    tr("{path} is a link that leads nowhere: to {target}",
                       path=path, target=os.readlink(path))
                )  # fmt: skip
            raise MissingFileError(tr("file not found: {path}", path=path))
        if not path.is_file():
            kind = tr("a folder") if path.is_dir() else tr("a pipe or a device")
            raise MissingFileError(tr("{path} is {kind}, not a file", path=path, kind=kind))
        with open(path, "rb") as file:
            if not file.read(1):
                raise UnreadableMediaError(
                    tr("cannot read {path}: {why}", path=path, why=tr("the file is empty"))
                )
    except PermissionError:
        raise UnreadableMediaError(tr("no permission to read {path}", path=path)) from None
    except OSError as error:
        raise UnreadableMediaError(
            tr("cannot read {path}: {why}", path=path, why=error.strerror or error)
        ) from None


@contextmanager
def open_media(path: str | Path):
    """Open a media file for reading; every way that fails becomes one readable error."""
    path = Path(path)
    check_file(path)
    try:
        container = av.open(path_argument(path), metadata_errors="replace")
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise _unreadable(path, error) from None
    try:
        yield container
    except av.error.FFmpegError as error:
        raise _unreadable(path, error) from None
    finally:
        container.close()


def _unreadable(path: Path, error: Exception) -> UnreadableMediaError:
    """ffmpeg's words are written for programmers, and "permission" may be that of a decoder."""
    why = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if isinstance(error, (av.error.InvalidDataError, av.error.ArgumentError, PermissionError)):
        why = tr("no sense can be made of its content")
    elif isinstance(error, EOFError):
        why = tr("it ends too early")
    elif isinstance(error, MemoryError):
        why = tr("it asks for more memory than there is")
    elif isinstance(error, av.error.PatchWelcomeError):
        why = tr("it is of a kind no decoder knows")
    return UnreadableMediaError(
        tr("cannot read {path}: {why}; is it a complete media file?", path=path, why=why)
    )


def check_decoder(path: str | Path, stream: av.stream.Stream) -> None:
    if stream.codec_context is None:
        raise UnreadableMediaError(
            tr("cannot read {path}: {why}", path=path,
               why=tr("no decoder knows the format of its {kind}",
                      kind=tr("picture") if stream.type == "video" else tr("sound")))
        )  # fmt: skip


def video_stream(container: av.container.InputContainer) -> av.VideoStream | None:
    """The first real picture stream: cover art in a sound file is not a video."""
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            return stream
    return None


def start_of(container, stream) -> float:
    """First presentation time of a stream in seconds, as far as the header knows it."""
    if stream is not None and stream.start_time is not None:
        return float(stream.start_time * stream.time_base)
    return container.start_time / av.time_base if container.start_time else 0.0


def probe(path: str | Path) -> MediaInfo:
    """Read a file's header.

    Raises:
        MissingFileError, UnreadableMediaError.
    """
    with open_media(path) as container:
        video = video_stream(container)
        audio = container.streams.audio[0] if container.streams.audio else None
        duration = container.duration / av.time_base if container.duration else 0.0
        info = {"duration_s": duration}
        if video is not None:
            check_decoder(path, video)
            info |= {
                "fps": float(video.average_rate or video.guessed_rate or 0),
                "width": video.codec_context.width,
                "height": video.codec_context.height,
                "video_start_s": start_of(container, video),
                "video_s": _promised_s(container, video),
                "n_source_frames": video.frames,
            }
        if audio is not None and audio.codec_context is not None:
            info |= {
                "audio_start_s": start_of(container, audio),
                "audio_rate": audio.codec_context.sample_rate,
                "audio_channels": audio.codec_context.channels,
                "audio_bit_rate": audio.codec_context.bit_rate or 0,
            }
        return MediaInfo(Path(path), video is not None, audio is not None, **info)


def _promised_s(container, stream) -> float:
    if container.format.name == "avi" and stream.average_rate:
        # The duration is made to fit the length of the file; the number of frames is what was.
        return float(stream.frames / stream.average_rate)
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    # Matroska writes when a track ends into a tag: 00:01:02.345000000
    parts = stream.metadata.get("DURATION", "").split(":")
    try:
        end = sum(float(part) * 60**place for place, part in enumerate(reversed(parts)))
    except ValueError:
        return 0.0
    return max(0.0, end - start_of(container, stream))


def decode(container, stream, report: ReadReport | None = None) -> Iterator:
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
        except av.error.FFmpegError:  # decoders have many names for what they cannot read
            report.lost += 1
            continue
        for frame in frames:
            report.pictures += 1
            report.damaged += frame.is_corrupt
            yield frame


def broken_clock(path: str | Path, gap: float, at: float) -> UnreadableMediaError:
    return UnreadableMediaError(
        tr("cannot read {path}: {why}; is it a complete media file?", path=path,
           why=tr("its time stamps jump by {gap:.0f} s after {at:.1f} s", gap=gap, at=at))
    )  # fmt: skip

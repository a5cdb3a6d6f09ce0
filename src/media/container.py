"""Media files: opened, their headers read, their packets decoded one by one."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import av

from ..core.errors import ConfigError, MissingFileError, UnreadableMediaError
from ..i18n.messages import tr
from .appended_files import check_not_appended
from .decoded_parts import DecodedParts
from .formats import input_options
from .joined_clock import JoinedClock, other_codec_error, read_joined_clock
from .stream_choice import DEFAULT_STREAMS, StreamChoice

Item = TypeVar("Item")

# Of demuxers. A transport stream that goes on with streams of other numbers, as where recordings
# are joined, continues the ones before.
OPEN_OPTIONS = {"merge_pmt_versions": "1"}
ENCRYPTED_TAGS = {"drms", "drmi", "enca", "encv"}  # FairPlay's, and those of others
MAX_TRIED_PACKETS = 50  # of a stream that may be one that cannot be decoded


@dataclass(frozen=True)
class MediaInfo:
    """Header of a file. Times in seconds on the container's own clock; 0 where unknown.

    ``video_s`` is the duration of the video, ``duration_s`` that of the whole file, and
    ``n_source_frames`` the number of video frames, all as declared in the header.
    ``video_stream`` and ``audio_stream`` are the numbers, from 1, of the streams described;
    ``other_videos`` and ``other_audios`` describe the others of their kind, by number.
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
    video_stream: int = 1
    audio_stream: int = 1
    other_videos: tuple[tuple[int, str], ...] = ()
    other_audios: tuple[tuple[int, str], ...] = ()


@dataclass
class ReadReport:
    """Damage met while the video or the audio of a file was decoded.

    Attributes:
        frames: how many were decoded; of audio, audio frames.
        corrupt: how many of these are damaged.
        lost: packets that could not be decoded.
        superseded: decoded frames of a video that are not displayed, as their time is not after
            that of the frame before.
    """

    frames: int = 0
    corrupt: int = 0
    lost: int = 0
    superseded: int = 0

    @property
    def n_expected(self) -> int:
        """How many frames there should be."""
        return self.frames + self.lost

    @property
    def n_damaged(self) -> int:
        """How many of these are damaged or lost."""
        return self.corrupt + self.lost

    @property
    def damaged_share(self) -> float:
        """``n_damaged`` as a share of ``n_expected``, 0–1."""
        return self.n_damaged / max(1, self.n_expected)


class Reading(Iterator[Item]):
    """What is decoded of a file, one item after the other.

    Attributes:
        report: what was decoded so far, and the damage met on the way.
    """

    def __init__(self, read: Callable[[ReadReport], Iterator[Item]]):
        self.report = ReadReport()
        self._items = read(self.report)

    def __next__(self) -> Item:
        return next(self._items)


def path_argument(path: str | Path) -> str:
    """A path for ffmpeg: absolute, so that none is taken for a protocol or an option."""
    return str(Path(path).absolute())


def check_file(path: str | Path) -> None:
    """Reject with a clear message what a decoder would fail on, or wait for forever.

    Raises:
        MissingFileError: there is no file, but nothing, a folder or a pipe.
        UnreadableMediaError: it cannot be opened, or is empty.
    """
    path = Path(path)
    try:
        if not path.exists():
            if path.is_symlink():
                raise MissingFileError(
                    tr("{path} is a broken link to {target}",
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
    """Open a media file for reading; every failure becomes one readable error.

    Raises:
        MissingFileError, UnreadableMediaError.
    """
    path = Path(path)
    check_file(path)
    try:
        options = input_options(path) | OPEN_OPTIONS
        container = av.open(path_argument(path), metadata_errors="replace", options=options)
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise _unreadable(path, error) from None
    try:
        yield container
    except av.error.FFmpegError as error:
        raise _unreadable(path, error) from None
    finally:
        container.close()


def _unreadable(path: Path, error: Exception) -> UnreadableMediaError:
    """ffmpeg's messages address programmers, and "permission" may be that of a decoder."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if isinstance(error, (av.error.InvalidDataError, av.error.ArgumentError, PermissionError)):
        reason = tr("unrecognised content")
    elif isinstance(error, EOFError):
        reason = tr("unexpected end of file")
    elif isinstance(error, MemoryError):
        reason = tr("not enough memory")
    elif isinstance(error, av.error.PatchWelcomeError):
        reason = tr("unsupported format")
    return UnreadableMediaError(
        tr("cannot read {path}: {why}; is it a complete media file?", path=path, why=reason)
    )


def check_decoder(path: str | Path, stream: av.stream.Stream) -> None:
    """Raises UnreadableMediaError where there is no decoder for the stream's codec."""
    if stream.codec_context is None:
        raise UnreadableMediaError(
            tr("cannot read {path}: {why}", path=path,
               why=tr("unsupported {kind} codec",
                      kind=tr("video") if stream.type == "video" else tr("audio")))
        )  # fmt: skip


def find_video_stream(
    container: av.container.InputContainer, number: int | None = None
) -> av.VideoStream | None:
    """The video stream of a number, or the default one; None without video.

    The default one is the first with the default flag that can be decoded, else the first that can
    be decoded. Cover art is not a video stream.

    Args:
        number: among the video streams, from 1; None: the default one.

    Raises:
        ConfigError: there is no stream of this number.
    """
    return _choose(container, video_streams(container), number)


def find_audio_stream(
    container: av.container.InputContainer, number: int | None = None
) -> av.AudioStream | None:
    """As ``find_video_stream``, of audio."""
    return _choose(container, list(container.streams.audio), number)


def video_streams(container: av.container.InputContainer) -> list[av.VideoStream]:
    """All video streams; cover art is not one."""
    cover = av.stream.Disposition.attached_pic
    return [stream for stream in container.streams.video if not stream.disposition & cover]


def _choose(
    container: av.container.InputContainer, streams: list, number: int | None
) -> av.stream.Stream | None:
    if not streams:
        return None
    if number is not None and not 1 <= number <= len(streams):
        kind = tr("video") if streams[0].type == "video" else tr("audio")
        raise ConfigError(
            tr("{path} has no {kind} track {number}: it has {n}", path=container.name,
               kind=kind, number=number, n=len(streams))
        )  # fmt: skip
    if number is not None or len(streams) == 1:
        return streams[(number or 1) - 1]
    flag = av.stream.Disposition.default
    by_flag = sorted(streams, key=lambda stream: not stream.disposition & flag)
    index = _first_decodable(
        container.name, os.stat(container.name).st_mtime_ns,
        tuple(stream.index for stream in by_flag),
    )  # fmt: skip
    return next(stream for stream in streams if stream.index == index)


@lru_cache(maxsize=256)
def _first_decodable(path: str, mtime_ns: int, indexes: tuple[int, ...]) -> int:
    """The first of several streams of which a frame can be decoded; the first one if of none.

    A header does not say it: phones write codecs of which only the name is known.

    Args:
        mtime_ns: of the file, which may be replaced by another one.
    """
    for index in indexes:
        with open_media(path) as container:
            stream = container.streams[index]
            if stream.codec_context is None:
                continue
            report = ReadReport()
            packets = _first_packets(container, stream, report)
            if next(decode_packets(packets, report), None) is not None:
                return index
    return indexes[0]


def _first_packets(container, stream, report: ReadReport) -> Iterator[av.Packet]:
    for packet in container.demux(stream):
        yield packet
        if report.lost >= MAX_TRIED_PACKETS:
            return


def start_time_s(container: av.container.InputContainer, stream: av.stream.Stream | None) -> float:
    """First presentation time of a stream, or of the container, in seconds, from the header."""
    if stream is not None and stream.start_time is not None:
        return float(stream.start_time * stream.time_base)
    return container.start_time / av.time_base if container.start_time else 0.0


def probe(path: str | Path, streams: StreamChoice = DEFAULT_STREAMS) -> MediaInfo:
    """Read a file's header; where recordings are joined, the duration is that of all of them.

    Raises:
        MissingFileError, UnreadableMediaError.
        ConfigError: a stream of ``streams`` does not exist.
    """
    with open_media(path) as container:
        video = find_video_stream(container, streams.video)
        audio = find_audio_stream(container, streams.audio)
        duration = container.duration / av.time_base if container.duration else 0.0
        info = {"duration_s": duration}
        for kind, chosen, all_streams in (
            ("video", video, video_streams(container)),
            ("audio", audio, list(container.streams.audio)),
        ):
            if chosen is not None:
                info[f"{kind}_stream"] = all_streams.index(chosen) + 1
                info[f"other_{kind}s"] = tuple(
                    (number, _describe(stream))
                    for number, stream in enumerate(all_streams, 1) if stream is not chosen
                )  # fmt: skip
        if video is not None:
            check_decoder(path, video)
            info |= {
                "fps": float(video.average_rate or video.guessed_rate or 0),
                "width": video.codec_context.width,
                "height": video.codec_context.height,
                "video_start_s": start_time_s(container, video),
                "video_s": _declared_duration_s(container, video),
                "n_source_frames": video.frames,
            }
        if audio is not None and audio.codec_context is not None:
            info |= {
                "audio_start_s": start_time_s(container, audio),
                "audio_rate": audio.codec_context.sample_rate,
                "audio_channels": audio.codec_context.channels,
                "audio_bit_rate": audio.codec_context.bit_rate or 0,
            }
        clock = joined_clock(path)
        if clock.breaks_s:  # the header is that of the first part
            info |= {"duration_s": clock.duration_s, "video_s": clock.duration_s,
                     "n_source_frames": 0}  # fmt: skip
        return MediaInfo(Path(path), video is not None, audio is not None, **info)


def describe_streams(streams: tuple[tuple[int, str], ...]) -> list[str]:
    """Streams of ``MediaInfo``, each as ``2 (aac, eng)``."""
    return [f"{number} ({text})" if text else str(number) for number, text in streams]


def _describe(stream: av.stream.Stream) -> str:
    """A stream in a few words: ``aac, eng``; empty where nothing is known."""
    context = stream.codec_context
    words = [context.codec.canonical_name if context is not None else "",
             stream.metadata.get("language", "").replace("und", "")]  # fmt: skip
    if context is not None and stream.type == "video":
        words.append(f"{context.width}×{context.height}")
    return ", ".join(filter(None, words))


def _declared_duration_s(container: av.container.InputContainer, stream: av.stream.Stream) -> float:
    if container.format.name == "avi" and stream.average_rate:
        # The demuxer derives the duration from the size of the file, not so the number of frames.
        return float(stream.frames / stream.average_rate)
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    # Matroska stores the end of a track in a tag: 00:01:02.345000000
    parts = stream.metadata.get("DURATION", "").split(":")
    try:
        end_s = sum(float(part) * 60**power for power, part in enumerate(reversed(parts)))
    except ValueError:
        return 0.0
    return max(0.0, end_s - start_time_s(container, stream))


def joined_clock(path: str | Path) -> JoinedClock:
    """The clock of a file whose own breaks, as where recordings are joined byte by byte.

    Raises:
        MissingFileError, UnreadableMediaError.
    """
    check_file(path)
    status = Path(path).stat()
    return _joined_clock(path_argument(path), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _joined_clock(path: str, size: int, modified_ns: int) -> JoinedClock:
    """``size`` and ``modified_ns`` tell whether the file is still the one that was read."""
    with open_media(path) as container:
        check_not_appended(path, container.format.name)
        return read_joined_clock(path, container, find_video_stream(container))


def read_packets(container: av.container.InputContainer, *streams) -> Iterator[av.Packet]:
    """The packets of a file that was just opened, on one clock; of all streams, or of these.

    Raises whatever reading them raises.
    """
    try:
        yield from joined_clock(container.name).corrected(container.demux(*streams))
    except IndexError:
        return  # PyAV has no object for a stream that begins late, and fails at the end of the file


def decode(container, stream, report: ReadReport) -> Iterator:
    """Decoded frames of one stream, on the clock of ``joined_clock``; a damaged packet is skipped,
    counted and does not end the stream.

    Raises:
        UnreadableMediaError: the stream is encrypted, or one of several recordings that are joined
            cannot be decoded.
    """
    parts = DecodedParts(joined_clock(container.name), stream.index)

    def packets() -> Iterator[av.Packet]:
        for packet in _unencrypted(container, stream):
            parts.add_packet(packet)
            yield packet

    for frame in decode_packets(packets(), report):
        parts.add_frame(frame)
        yield frame
    if parts.is_one_missing:
        raise other_codec_error(container.name)


def _unencrypted(container, stream) -> Iterator[av.Packet]:
    """The packets of a stream.

    Raises:
        UnreadableMediaError: they are encrypted: decoders take them for damage, or for silence.
    """
    is_tagged = _codec_tag(stream) in ENCRYPTED_TAGS
    for packet in read_packets(container, stream):
        if is_tagged or packet.has_sidedata("encryption_info"):
            kind = tr("video") if stream.type == "video" else tr("audio")
            raise UnreadableMediaError(
                tr("the {kind} of {path} is encrypted (DRM): use a copy without it",
                   kind=kind, path=container.name)
            )  # fmt: skip
        yield packet


def _codec_tag(stream: av.stream.Stream) -> str:
    """The four letters by which a container names a codec; empty where they are a number."""
    try:
        return stream.codec_context.codec_tag
    except UnicodeDecodeError:  # as of AAC in avi
        return ""


def decode_packets(packets: Iterator[av.Packet], report: ReadReport) -> Iterator:
    """Decoded frames of packets that come one by one; damaged ones are skipped and counted."""
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.InvalidDataError):
            return  # the demuxer cannot go on: what was read so far counts
        try:
            frames = packet.decode()
        except av.error.FFmpegError:  # decoders raise many kinds of errors on damaged packets
            report.lost += 1
            continue
        for frame in frames:
            report.frames += 1
            report.corrupt += frame.is_corrupt
            yield frame


def timestamp_jump_error(path: str | Path, gap_s: float, time_s: float) -> UnreadableMediaError:
    return UnreadableMediaError(
        tr("cannot read {path}: {why}; is it a complete media file?", path=path,
           why=tr("timestamps jump by {gap:.0f} s at {at:.1f} s", gap=gap_s, at=time_s))
    )  # fmt: skip

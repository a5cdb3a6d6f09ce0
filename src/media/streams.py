"""The video and all other streams of a file, from its packets: nothing is decoded but a frame."""

import math
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import av
import numpy as np

from ..core.errors import NoAudioError
from ..i18n.messages import tr
from .container import (
    ReadReport,
    check_decoder,
    decode,
    find_audio_stream,
    find_video_stream,
    open_media,
    read_packets,
    start_time_s,
)
from .frame import HDR_TRANSFERS
from .reader import first_frame_s, frame_rate
from .stream_choice import DEFAULT_STREAMS, StreamChoice

TAGS = ("language", "title")  # of a stream; other tags describe its encoding
N_PROBED_FRAMES = 8  # the first frame of interlaced video may be progressive
TIMESTAMP_TOLERANCE_S = 0.002  # closer timestamps are the same time


@dataclass(frozen=True)
class StreamInfo:
    """One stream of a file.

    Attributes:
        index: among all streams of the file.
        number: among those of its kind, from 0.
        kind: ``video``, ``cover`` (cover art), ``audio``, ``subtitle``, ``attachment`` or ``data``.
        codec: the canonical name, "" for an unknown one.
        bit_rate: bits per second, from the sizes of its packets; 0 without any.
        end_s: when its last packet ends, on the container's clock; −inf without any.
        tags: language and title, as far as the file has them.
        disposition: in ffmpeg's notation: ``default+forced``, or ``0``.
        sample_rate: Hz, of audio.
        channels: of audio.
        layout: ffmpeg's name of the channel layout.
        sample_format: ``s16``, ``fltp``, … of decoded audio.
    """

    index: int
    number: int
    kind: str
    codec: str
    bit_rate: int = 0
    end_s: float = -math.inf
    tags: dict = field(default_factory=dict)
    disposition: str = "0"
    sample_rate: int = 0
    channels: int = 0
    layout: str = ""
    sample_format: str = ""

    @property
    def flags(self) -> list[str]:
        """The flags of ``disposition``."""
        return [] if self.disposition == "0" else self.disposition.split("+")

    @property
    def is_default(self) -> bool:
        """Whether it has the default flag."""
        return "default" in self.flags

    def as_decoded(self, sample_rate: int, channels: int) -> "StreamInfo":
        """The stream as a decoder outputs it, which may know more than the header."""
        layout = self.layout if channels == self.channels else default_layout(channels)
        return replace(self, sample_rate=sample_rate, channels=channels, layout=layout)


@dataclass(frozen=True)
class VideoSource:
    """A file with video.

    Attributes:
        container: ffmpeg's name of the format.
        start_s: start time of the container, on its own clock.
        first_frame_s: time of the first frame that can be decoded, on that clock.
        duration_s: seconds from there to the end of the last frame.
        fps: frames per second, from the header.
        n_frames: packets of the video, from the first one at which a copy can start.
        frame_times_s: float [n_frames], presentation times from ``first_frame_s`` on, in the order
            of the file; None where the timestamps are unreliable.
        is_intact: whether all frames can be decoded, as far as the file says.
        video: the video stream that is used.
        audio: the audio stream that is used, or None.
        streams: all, in the order of the file.
        rotation: degrees by which a player rotates the frames.
        is_interlaced: whether its first frames are.
        hdr: ``HLG`` or ``PQ``, the transfer of high dynamic range, or "".
        n_chapters: how many there are.
        title: of the file, or None.
        tag_names: of the file, in lower case.
    """

    container: str
    start_s: float
    first_frame_s: float
    duration_s: float
    fps: float
    n_frames: int
    frame_times_s: np.ndarray | None
    is_intact: bool
    video: StreamInfo
    audio: StreamInfo | None
    streams: tuple[StreamInfo, ...]
    rotation: int
    is_interlaced: bool
    hdr: str
    n_chapters: int
    title: str | None
    tag_names: frozenset[str]

    @property
    def is_constant_rate(self) -> bool:
        """Whether the frame rate is constant."""
        if self.frame_times_s is None:
            return True
        deviation = np.abs(np.diff(np.sort(self.frame_times_s)) - 1 / self.fps)
        return bool(deviation.max(initial=0) <= TIMESTAMP_TOLERANCE_S)

    @property
    def n_hidden_frames(self) -> int:
        """Frames that are decoded, but come before the first one that is displayed."""
        times = self.frame_times_s
        return 0 if times is None else int((times < -TIMESTAMP_TOLERANCE_S).sum())

    @property
    def audio_streams(self) -> list[StreamInfo]:
        """The streams with audio."""
        return [stream for stream in self.streams if stream.kind == "audio"]

    def find_end(self, time_s: float, copied: bool) -> tuple[int, float]:
        """The first position at or after a time where the video can end.

        Frames that are copied are in decoding order. They can end only where none before the end
        is displayed after one behind it: with B-frames up to a few frames later.

        Returns:
            (frames before it, its time in seconds); the end of the video, if that is earlier.
        """
        if self.frame_times_s is None:
            n_frames = min(self.n_frames, max(1, int(np.ceil(time_s * self.fps - 0.05))))
            return n_frames, n_frames / self.fps
        displayed = np.sort(self.frame_times_s)
        ends = np.append(displayed[1:], self.duration_s)
        possible = ends >= min(time_s, self.duration_s) - TIMESTAMP_TOLERANCE_S
        possible &= displayed >= -TIMESTAMP_TOLERANCE_S
        if copied:
            possible &= np.maximum.accumulate(self.frame_times_s) <= displayed + 1e-6
        last = int(np.flatnonzero(possible)[0]) if possible.any() else len(ends) - 1
        n_displayed = int((displayed[: last + 1] >= -TIMESTAMP_TOLERANCE_S).sum())
        return last + 1 if copied else n_displayed, float(ends[last])


def read_source(path: str | Path, streams: StreamChoice = DEFAULT_STREAMS) -> VideoSource:
    """Read all packets of a video file; ``streams``: which of several are used.

    Raises:
        MissingFileError, UnreadableMediaError, NoVideoError.
    """
    first_s = first_frame_s(path, streams)
    with open_media(path) as container:
        stream = find_video_stream(container, streams.video)
        first_frames = list(islice(decode(container, stream, ReadReport()), N_PROBED_FRAMES))
        rotation = first_frames[0].rotation if first_frames else 0
        is_interlaced = any(frame.interlaced_frame for frame in first_frames)
        hdr = HDR_TRANSFERS.get(int(first_frames[0].color_trc), "") if first_frames else ""
    with open_media(path) as container:
        stream = find_video_stream(container, streams.video)
        audio = find_audio_stream(container, streams.audio)
        statistics = {other.index: _PacketStatistics() for other in container.streams}
        times, has_timestamps, is_intact = [], True, True
        is_avi = container.format.name == "avi"
        packets = read_packets(container)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except av.error.InvalidDataError:
                is_intact = False
                break
            if not packet.size:
                continue
            statistics[packet.stream.index].add(packet)
            if packet.stream.index != stream.index or not (times or packet.is_keyframe):
                continue
            is_intact &= not (packet.is_corrupt or packet.is_discard)
            if packet.pts is None or (is_avi and packet.pts != packet.dts):
                has_timestamps = False
            times.append(first_s if packet.pts is None else float(packet.pts * packet.time_base))
        fps = frame_rate(stream)
        frame_times_s = np.array(times) - first_s
        has_timestamps = has_timestamps and len(times) > 0
        duration_s = float(frame_times_s.max()) + 1 / fps if has_timestamps else len(times) / fps
        starts_hidden = has_timestamps and bool((frame_times_s < -TIMESTAMP_TOLERANCE_S).any())
        infos = _describe_streams(container, statistics)
        return VideoSource(
            container=container.format.name,
            start_s=start_time_s(container, None),
            first_frame_s=first_s,
            duration_s=duration_s,
            fps=fps,
            n_frames=len(times),
            frame_times_s=frame_times_s if has_timestamps else None,
            is_intact=is_intact and not starts_hidden,
            video=infos[stream.index],
            audio=None if audio is None else infos[audio.index],
            streams=infos,
            rotation=rotation,
            is_interlaced=is_interlaced,
            hdr=hdr,
            n_chapters=len(container.chapters()),
            title=container.metadata.get("title"),
            tag_names=frozenset(key.lower() for key in container.metadata),
        )


def read_cover_art(path: str | Path, stream: StreamInfo) -> bytes:
    """The image file that is a stream's cover art."""
    with open_media(path) as container:
        return bytes(next(container.demux(container.streams[stream.index])))


def read_audio_stream(path: str | Path, streams: StreamChoice = DEFAULT_STREAMS) -> StreamInfo:
    """The audio stream that is used of a file, which need not contain video.

    Raises:
        MissingFileError, UnreadableMediaError, NoAudioError.
    """
    with open_media(path) as container:
        stream = find_audio_stream(container, streams.audio)
        if stream is None:
            raise NoAudioError(tr("{path} has no audio", path=path))
        check_decoder(path, stream)
        statistics = {other.index: _PacketStatistics() for other in container.streams}
        packets = read_packets(container, stream)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, av.error.InvalidDataError):
                break
            if packet.size:
                statistics[stream.index].add(packet)
        return _describe_streams(container, statistics)[stream.index]


class _PacketStatistics:
    """Bytes and seconds of a stream, summed over its packets."""

    def __init__(self):
        self._bytes, self._first_s, self.end_s = 0, math.inf, -math.inf

    def add(self, packet: av.Packet) -> None:
        self._bytes += packet.size
        if packet.pts is not None:
            time_s = float(packet.pts * packet.time_base)
            self._first_s = min(self._first_s, time_s)
            end_s = time_s + float((packet.duration or 0) * packet.time_base)
            self.end_s = max(self.end_s, end_s)

    @property
    def bit_rate(self) -> int:
        duration_s = self.end_s - self._first_s
        return round(8 * self._bytes / duration_s) if 0 < duration_s < math.inf else 0


def _describe_streams(
    container: av.container.InputContainer, statistics: dict[int, _PacketStatistics]
) -> tuple[StreamInfo, ...]:
    infos, n_by_kind = [], {}
    for stream in container.streams:
        kind, context = stream.type, getattr(stream, "codec_context", None)
        if stream.disposition & av.stream.Disposition.attached_pic:
            kind = "cover"
        number = n_by_kind.get(kind, 0)
        n_by_kind[kind] = number + 1
        packets = statistics[stream.index]
        properties = {"tags": _read_tags(stream), "disposition": _disposition(stream),
                      "bit_rate": packets.bit_rate, "end_s": packets.end_s}  # fmt: skip
        if context is not None:
            properties["bit_rate"] = packets.bit_rate or context.bit_rate or 0
        if context is not None and kind == "audio":
            properties |= {
                "sample_rate": context.sample_rate, "channels": context.channels,
                "layout": _layout(context),
                "sample_format": context.format.name if context.format else "",
            }  # fmt: skip
        codec = context.codec.canonical_name if context is not None else ""
        infos.append(StreamInfo(stream.index, number, kind, codec, **properties))
    return tuple(infos)


def _read_tags(stream: av.stream.Stream) -> dict[str, str]:
    tags = {key: stream.metadata[key] for key in TAGS if stream.metadata.get(key)}
    if tags.get("language") == "und":
        del tags["language"]
    if stream.metadata.get("name"):  # the title in mp4
        tags.setdefault("title", stream.metadata["name"])
    return tags


def _layout(context: av.AudioCodecContext) -> str:
    name = context.layout.name  # "2 channels" where the file does not say which
    return default_layout(context.channels) if " " in name else name


def _disposition(stream: av.stream.Stream) -> str:
    names = [flag.name for flag in av.stream.Disposition if stream.disposition & flag]
    return "+".join(names) or "0"


def default_layout(channels: int) -> str:
    """ffmpeg's name of the usual layout of so many channels."""
    names = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
    return names.get(channels, f"{channels}c")

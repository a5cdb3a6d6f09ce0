"""What a look through all packets of a file says: its picture and its tracks, without decoding."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import av
import numpy as np

from ..core.errors import NoAudioError
from ..i18n.messages import tr
from .container import check_decoder, decode, open_media, start_of, video_stream
from .reader import first_frame_s, frame_rate

TAGS = ("language", "title")  # what is said about a track; the rest describes its encoding
SAME_S = 0.002  # stamps that are closer are the same time


@dataclass(frozen=True)
class StreamInfo:
    """One stream of a file.

    Attributes:
        index: its place in the file.
        number: its place among those of its kind.
        kind: ``video``, ``cover`` (a still picture), ``audio``, ``subtitle``, ``attachment`` or
            ``data``.
        codec: the canonical name, "" where no decoder knows it.
        bit_rate: bits a second, from the sizes of its packets; 0 without any.
        end_s: when its last packet ends, on the container's clock; −inf where it has none.
        tags: its language and its title, where the file says them.
        disposition: as ffmpeg takes it: ``default+forced``, or ``0``.
        rate: Hz, of a sound.
        channels: of a sound.
        layout: ffmpeg's name of these.
        sample_format: ``s16``, ``fltp``, … of a decoded sound.
    """

    index: int
    number: int
    kind: str
    codec: str
    bit_rate: int = 0
    end_s: float = -math.inf
    tags: dict = field(default_factory=dict)
    disposition: str = "0"
    rate: int = 0
    channels: int = 0
    layout: str = ""
    sample_format: str = ""

    def decoded(self, rate: int, channels: int) -> "StreamInfo":
        """The track as it comes out of a decoder, which may know more than the header."""
        layout = self.layout if channels == self.channels else layout_of(channels)
        return replace(self, rate=rate, channels=channels, layout=layout)


@dataclass(frozen=True)
class VideoSource:
    """A file with pictures.

    Attributes:
        container: name of the file's format.
        begin_s: time at which the container says it begins, on its own clock.
        first_s: time of the first picture that can be decoded, on that clock.
        length_s: seconds from there to the end of the last picture.
        fps: pictures a second, as the header has it.
        n_pictures: packets of the picture, from the first one a copy can begin with.
        times: float [n_pictures], when each is shown, in seconds from ``first_s``, in the order
            of the file; None where the stamps cannot be trusted.
        whole: whether all of them can be decoded, as far as the file says.
        picture: the track with the pictures.
        tracks: all, in the order of the file.
        rotation: degrees by which the pictures are turned when they are shown.
        chapters: how many there are.
        title: of the film, or None.
        tags: names of all that is said about the film, in small letters.
    """

    container: str
    begin_s: float
    first_s: float
    length_s: float
    fps: float
    n_source_frames: int
    times: np.ndarray | None
    whole: bool
    picture: StreamInfo
    tracks: tuple[StreamInfo, ...]
    rotation: int
    chapters: int
    title: str | None
    tags: frozenset[str]

    @property
    def even(self) -> bool:
        """Whether the pictures follow each other at one rate."""
        return self.times is None or bool(
            np.abs(np.diff(np.sort(self.times)) - 1 / self.fps).max(initial=0) <= SAME_S
        )

    @property
    def hidden(self) -> int:
        """Pictures that are decoded, but come before the first one that is shown."""
        return 0 if self.times is None else int((self.times < -SAME_S).sum())

    @property
    def sounds(self) -> list[StreamInfo]:
        """The tracks with sound."""
        return [track for track in self.tracks if track.kind == "audio"]

    def cut(self, at_s: float, copied: bool) -> tuple[int, float]:
        """The first place at or after a time where the picture can end.

        Pictures that are copied stand in the file in the order in which they are decoded. They can
        end only where none of those before is shown after one that is left out: with B-frames
        that is up to a few pictures later.

        Returns:
            (pictures before it, its time in seconds); the end of the picture, if it is before.
        """
        if self.times is None:
            count = min(self.n_source_frames, max(1, int(np.ceil(at_s * self.fps - 0.05))))
            return count, count / self.fps
        shown = np.sort(self.times)
        ends = np.append(shown[1:], self.length_s)
        possible = ends >= min(at_s, self.length_s) - SAME_S
        possible &= shown >= -SAME_S
        if copied:
            possible &= np.maximum.accumulate(self.times) <= shown + 1e-6
        last = int(np.flatnonzero(possible)[0]) if possible.any() else len(ends) - 1
        count = last + 1 if copied else int((shown[: last + 1] >= -SAME_S).sum())
        return count, float(ends[last])


def read_source(path: str | Path) -> VideoSource:
    """Look through a film.

    Raises:
        MissingFileError, UnreadableMediaError, NoVideoError.
    """
    first = first_frame_s(path)
    with open_media(path) as container:
        frame = next(decode(container, video_stream(container)), None)
        rotation = 0 if frame is None else frame.rotation
    with open_media(path) as container:
        stream = video_stream(container)
        sizes = {other.index: _Size() for other in container.streams}
        stamps, stamped, whole = [], True, True
        unstamped = container.format.name == "avi"
        packets = container.demux()
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except av.error.InvalidDataError:
                whole = False
                break
            if not packet.size:
                continue
            sizes[packet.stream.index].add(packet)
            if packet.stream.index != stream.index or not (stamps or packet.is_keyframe):
                continue
            whole &= not (packet.is_corrupt or packet.is_discard)
            if packet.pts is None or (unstamped and packet.pts != packet.dts):
                stamped = False
            stamps.append(first if packet.pts is None else float(packet.pts * packet.time_base))
        fps = frame_rate(stream)
        times = np.array(stamps) - first
        length_s = float(times.max()) + 1 / fps if stamped and len(times) else len(times) / fps
        tracks = _tracks(container, sizes)
        return VideoSource(
            container=container.format.name,
            begin_s=start_of(container, None),
            first_s=first,
            length_s=length_s,
            fps=fps,
            n_source_frames=len(times),
            times=times if stamped and len(times) else None,
            whole=whole and not (stamped and (times < -SAME_S).any()),
            picture=next(track for track in tracks if track.index == stream.index),
            tracks=tracks,
            rotation=rotation,
            chapters=len(container.chapters()),
            title=container.metadata.get("title"),
            tags=frozenset(key.lower() for key in container.metadata),
        )


def read_cover_art(path: str | Path, track: StreamInfo) -> bytes:
    """The file that is a cover picture."""
    with open_media(path) as container:
        return bytes(next(container.demux(container.streams[track.index])))


def read_sound(path: str | Path) -> StreamInfo:
    """The sound of a file that holds no film, or of which only the sound is wanted.

    Raises:
        MissingFileError, UnreadableMediaError, NoAudioError.
    """
    with open_media(path) as container:
        if not container.streams.audio:
            raise NoAudioError(tr("{path} has no sound", path=path))
        stream = container.streams.audio[0]
        check_decoder(path, stream)
        sizes = {other.index: _Size() for other in container.streams}
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, av.error.InvalidDataError):
                break
            if packet.size:
                sizes[stream.index].add(packet)
        found = _tracks(container, sizes)
        return next(track for track in found if track.index == stream.index)


class _Size:
    """How many bytes of a stream are played in how many seconds."""

    def __init__(self):
        self._bytes, self._first_s, self.last_s = 0, math.inf, -math.inf

    def add(self, packet: av.Packet) -> None:
        self._bytes += packet.size
        if packet.pts is not None:
            at = float(packet.pts * packet.time_base)
            self._first_s = min(self._first_s, at)
            self.last_s = max(self.last_s, at + float((packet.duration or 0) * packet.time_base))

    @property
    def bit_rate(self) -> int:
        seconds = self.last_s - self._first_s
        return round(8 * self._bytes / seconds) if 0 < seconds < math.inf else 0


def _tracks(
    container: av.container.InputContainer, sizes: dict[int, _Size]
) -> tuple[StreamInfo, ...]:
    found, numbers = [], {}
    for stream in container.streams:
        kind, context = stream.type, getattr(stream, "codec_context", None)
        if stream.disposition & av.stream.Disposition.attached_pic:
            kind = "cover"
        number = numbers.get(kind, 0)
        numbers[kind] = number + 1
        tags = {key: stream.metadata[key] for key in TAGS if stream.metadata.get(key)}
        if tags.get("language") == "und":
            del tags["language"]
        if stream.metadata.get("name"):  # that is what mp4 calls it
            tags.setdefault("title", stream.metadata["name"])
        size = sizes[stream.index]
        about = {"tags": tags, "disposition": _flags(stream), "bit_rate": size.bit_rate,
                 "end_s": size.last_s}  # fmt: skip
        if context is not None:
            about["bit_rate"] = about["bit_rate"] or context.bit_rate or 0
        if context is not None and kind == "audio":
            about |= {"rate": context.sample_rate, "channels": context.channels,
                      "layout": _layout(context),
                      "sample_format": context.format.name if context.format else ""}  # fmt: skip
        codec = context.codec.canonical_name if context is not None else ""
        found.append(StreamInfo(stream.index, number, kind, codec, **about))
    return tuple(found)


def _layout(context: av.AudioCodecContext) -> str:
    name = context.layout.name
    return layout_of(context.channels) if " " in name else name  # "1 channels": which is not said


def _flags(stream: av.stream.Stream) -> str:
    names = [flag.name for flag in av.stream.Disposition if stream.disposition & flag]
    return "+".join(names) or "0"


def layout_of(channels: int) -> str:
    """ffmpeg's name of the usual order of so many channels."""
    names = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
    return names.get(channels, f"{channels}c")

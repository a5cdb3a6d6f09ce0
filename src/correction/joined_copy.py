"""Recordings joined byte by byte are copied on one clock, for ffmpeg reads the file's own."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import av

from ..core.errors import OutputError
from ..i18n.messages import tr
from ..media.container import joined_clock, open_media, path_argument, read_packets

# ffmpeg's names of the formats of source and copy: one that holds the same codecs.
COPY_FORMATS = {
    "flv": "flv", "matroska,webm": "matroska", "ogg": "matroska", "mpeg": "matroska",
}  # fmt: skip
DEFAULT_FORMAT = "mpegts"
REORDER_S = 1.0  # frames are decoded no more than this before they are displayed
SUFFIXES = {"flv": ".flv", "matroska": ".mkv", "mpegts": ".ts"}


@contextmanager
def on_one_clock(path: str | Path, folder: Path, output_path: str | Path) -> Iterator[Path]:
    """A file whose clock does not break: a copy without re-encoding, or the file itself.

    Args:
        path: a file with video.
        folder: where the copy is written; it is removed when the block ends.
        output_path: the name of the output, for messages.

    Raises:
        MissingFileError, UnreadableMediaError, OutputError.
    """
    if not joined_clock(path).breaks_s:
        yield Path(path)
        return
    with TemporaryDirectory(prefix=".joined-", dir=folder, ignore_cleanup_errors=True) as copies:
        yield _copy(path, Path(copies), output_path)


def _copy(path: str | Path, folder: Path, output_path: str | Path) -> Path:
    with open_media(path) as source:
        name = COPY_FORMATS.get(source.format.name, DEFAULT_FORMAT)
        copy = folder / f"joined{SUFFIXES[name]}"
        try:
            with av.open(path_argument(copy), "w", format=name) as target:
                _copy_packets(source, target)
        except (OSError, ValueError) as error:  # av.error.FFmpegError is one of them
            reason = getattr(error, "strerror", None) or str(error)
            raise OutputError(
                tr("cannot write {path}: {why}", path=output_path, why=reason)
            ) from None
        return copy


def _copy_packets(
    source: av.container.InputContainer, target: av.container.OutputContainer
) -> None:
    streams = {}
    for stream in source.streams:
        if stream.type in ("video", "audio"):
            streams[stream.index] = target.add_stream_from_template(stream)
        elif stream.type == "subtitle":
            with suppress(ValueError):  # of a kind that the format cannot hold
                streams[stream.index] = target.add_stream_from_template(stream)
    latest: dict[
        int, tuple[int | None, int | None]
    ] = {}  # decoding and presentation time, by stream
    has_no_dts = source.format.name == "matroska,webm"  # those of the demuxer are guesses
    packets = read_packets(source)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.InvalidDataError):  # as far as it can be read
            return
        index = packet.stream.index
        if not packet.size or index not in streams:
            continue
        dts, pts = latest.get(index, (None, None))
        if packet.pts is None and pts is not None:  # damaged: it follows the packets before
            packet.pts = pts + (packet.duration or 1)
        if has_no_dts and packet.stream.type == "video" and packet.pts is not None:
            latest_pts = packet.pts if pts is None else max(packet.pts, pts)
            packet.dts = latest_pts - round(REORDER_S / packet.time_base)
        if None not in (packet.dts, dts) and packet.dts <= dts:
            packet.dts = dts + 1  # a part that begins with more reordering than the one before
        if None not in (packet.dts, packet.pts):
            packet.pts = max(packet.pts, packet.dts)
        times = [time for time in (pts, packet.pts) if time is not None]
        latest[index] = dts if packet.dts is None else packet.dts, max(times, default=None)
        packet.stream = streams[index]
        target.mux(packet)

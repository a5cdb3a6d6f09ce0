"""What of the source a container can hold: streams that are copied, converted or dropped, tags."""

from dataclasses import dataclass
from pathlib import Path

import av

from ..core.errors import OutputError
from ..i18n.messages import tr
from ..media.streams import StreamInfo, VideoSource

# Of containers that do not list what they support.
SUPPORTED_CODECS = {
    "mpegts": {"h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4", "aac", "mp2", "mp3", "ac3",
               "eac3", "opus", "dvb_subtitle"},
    "mpeg": {"mpeg1video", "mpeg2video", "mp2", "ac3"},
}  # fmt: skip
TEXT_SUBTITLES = ("subrip", "ass", "ssa", "mov_text", "webvtt", "text")  # not bitmaps
SUBTITLE_ENCODERS = {
    "matroska": "srt", "webm": "webvtt", "mp4": "mov_text", "mov": "mov_text", "ipod": "mov_text",
    "3gp": "mov_text",
}  # fmt: skip
COVER_ART_METHODS = {"mp4": "copy", "ipod": "copy", "matroska": "attach"}
COVER_ART_TYPES = {"mjpeg": "image/jpeg", "png": "image/png"}
ROTATION_CONTAINERS = ("mp4", "mov", "ipod", "3gp", "matroska", "webm")  # rotation metadata
# Tags that the iTunes metadata of mp4 has a name for; others need ``use_metadata_tags``.
ITUNES_TAGS = {
    "title", "artist", "album", "album_artist", "comment", "composer", "copyright", "date",
    "description", "genre", "grouping", "lyrics", "synopsis", "show", "episode_id", "network",
    "track", "disc", "keywords", "location", "creation_time", "encoder", "major_brand",
    "minor_version", "compatible_brands",
}  # fmt: skip


@dataclass(frozen=True)
class OutputContainer:
    """The container of the output.

    Attributes:
        name: ffmpeg's name of the format.
        codecs: canonical names of the codecs it supports.
    """

    name: str
    codecs: frozenset[str]


@dataclass(frozen=True)
class MappedStream:
    """A stream of the source that the output holds, too.

    Attributes:
        stream: of the source.
        codec: ``copy``, ``attach`` (it becomes an attachment), or the encoder it is converted with.
    """

    stream: StreamInfo
    codec: str = "copy"


def find_container(output_path: str | Path, temporary_path: Path) -> OutputContainer:
    """The container that belongs to a suffix.

    Args:
        output_path: the name of the output, for messages.
        temporary_path: an empty file of the same suffix.

    Raises:
        OutputError: no container has this suffix.
    """
    try:
        with av.open(str(temporary_path), "w") as container:
            name, codecs = container.format.name, set(container.supported_codecs)
    except (ValueError, av.error.FFmpegError):
        raise OutputError(
            tr("{path}: unknown video format; use .mp4, .mov, .mkv or .webm", path=output_path)
        ) from None
    codecs = {_canonical_name(codec) for codec in codecs} | SUPPORTED_CODECS.get(name, set())
    return OutputContainer(name, frozenset(codecs))


def _canonical_name(codec: str) -> str:
    for mode in "rw":
        try:
            return av.Codec(codec, mode).canonical_name
        except ValueError:  # av.codec.codec.UnknownCodecError is one
            continue
    return codec


def can_stream_copy(source: VideoSource, container: OutputContainer, looped: bool) -> bool:
    """Whether a container can hold the video without re-encoding; ``looped``: several times."""
    # ffmpeg assigns new timestamps to video copied from a program stream, and wrong ones.
    has_timestamps = source.frame_times_s is not None and source.container != "mpeg"
    has_timestamps = has_timestamps and container.name != "asf"
    fits = source.container == container.name
    fits = fits or (source.video.codec in container.codecs and has_timestamps)
    fits = fits and (not source.rotation or container.name in ROTATION_CONTAINERS)
    return fits and (not looped or (has_timestamps and source.is_intact))


def map_streams(
    source: VideoSource, container: OutputContainer
) -> tuple[list[MappedStream], list[str]]:
    """The streams of the source, apart from its video and audio, that the output can hold.

    Returns:
        these, and a note for each that is converted or dropped.
    """
    mapped, notes = [], []
    for stream in source.streams:
        if stream.index == source.video.index or stream.kind == "audio":
            continue
        if stream.kind == "data" and _has_chapter_track(source):
            continue
        codec = _choose_codec(stream, container)
        label = describe_stream(stream)
        if codec is None:
            notes.append(tr("{track} dropped: not supported by the output container", track=label))
            continue
        if codec not in ("copy", "attach"):
            notes.append(tr("{track} converted to {codec}", track=label, codec=codec))
        mapped.append(MappedStream(stream, codec))
    return mapped, notes


def describe_stream(stream: StreamInfo) -> str:
    """A stream as messages name it: ``audio track 2 (aac, eng)``."""
    kinds = {
        "video": tr("video track"), "cover": tr("cover art"), "audio": tr("audio track"),
        "subtitle": tr("subtitle track"), "attachment": tr("attachment"),
    }  # fmt: skip
    name = f"{kinds.get(stream.kind, tr('data track'))} {stream.number + 1}"
    properties = [text for text in (stream.codec, stream.tags.get("language")) if text]
    return f"{name} ({', '.join(properties)})" if properties else name


def _has_chapter_track(source: VideoSource) -> bool:
    """The data stream of an mp4 with chapters holds their titles; chapters are copied anyway."""
    return "mp4" in source.container and source.n_chapters > 0


def _choose_codec(stream: StreamInfo, container: OutputContainer) -> str | None:
    """How a stream gets into the container, see ``MappedStream``; None: not at all."""
    if stream.kind == "cover":
        return COVER_ART_METHODS.get(container.name) if stream.codec in COVER_ART_TYPES else None
    if stream.kind == "attachment":
        return "copy" if container.name == "matroska" else None
    if stream.kind == "data" or not stream.codec:
        return None
    if stream.codec in container.codecs:
        return "copy"
    if stream.kind == "subtitle" and stream.codec in TEXT_SUBTITLES:
        return SUBTITLE_ENCODERS.get(container.name)
    return None


def needs_metadata_tags(source: VideoSource, container: OutputContainer) -> bool:
    """Whether an mp4 must store tags that the iTunes metadata has no name for."""
    return container.name in ("mp4", "mov") and not source.tag_names <= ITUNES_TAGS

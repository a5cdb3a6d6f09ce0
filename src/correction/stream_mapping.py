"""What goes along with the picture and the mended sound: further tracks, tags, chapters."""

from dataclasses import dataclass
from pathlib import Path

import av

from ..core.errors import OutputError
from ..i18n.messages import tr
from ..media.streams import StreamInfo, VideoSource

# Containers that do not say what they can hold.
HELD = {
    "mpegts": {"h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4", "aac", "mp2", "mp3", "ac3",
               "eac3", "opus", "dvb_subtitle"},
    "mpeg": {"mpeg1video", "mpeg2video", "mp2", "ac3"},
}  # fmt: skip
TEXTS = ("subrip", "ass", "ssa", "mov_text", "webvtt", "text")  # subtitles that are letters
TEXT_CODECS = {
    "matroska": "srt", "webm": "webvtt", "mp4": "mov_text", "mov": "mov_text", "ipod": "mov_text",
    "3gp": "mov_text",
}  # fmt: skip
WITH_COVERS = {"mp4": "copy", "ipod": "copy", "matroska": "attach"}
COVERS = {"mjpeg": "image/jpeg", "png": "image/png"}
# Text tags that mp4 files hold in the way of iTunes; others take another way.
PLAIN_TAGS = {
    "title", "artist", "album", "album_artist", "comment", "composer", "copyright", "date",
    "description", "genre", "grouping", "lyrics", "synopsis", "show", "episode_id", "network",
    "track", "disc", "keywords", "location", "creation_time", "encoder", "major_brand",
    "minor_version", "compatible_brands",
}  # fmt: skip


@dataclass(frozen=True)
class MappedStream:
    """A track that goes along.

    Attributes:
        track: of the film.
        codec: ``copy``, ``attach`` (a track that becomes an attached file), or what it is
            converted to.
    """

    track: StreamInfo
    codec: str = "copy"


def container_of(output_path: str | Path, aside: Path) -> tuple[str, set[str]]:
    """The container of a suffix: its name, and those of the codecs it can hold.

    Args:
        output_path: the name that was asked for.
        aside: an empty file of the same suffix.

    Raises:
        OutputError: no container goes by the suffix.
    """
    try:
        with av.open(str(aside), "w") as container:
            name, held = container.format.name, set(container.supported_codecs)
    except (ValueError, av.error.FFmpegError):
        raise OutputError(
            tr("{path}: no video container goes by this name; use .mp4, .mov, .mkv or .webm",
               path=output_path)
        ) from None  # fmt: skip
    return name, {_canonical(codec) for codec in held} | HELD.get(name, set())


def _canonical(codec: str) -> str:
    for mode in "rw":
        try:
            return av.Codec(codec, mode).canonical_name
        except ValueError:  # av.codec.codec.UnknownCodecError is one
            continue
    return codec


def map_streams(
    film: VideoSource, container: str, held: set[str]
) -> tuple[list[MappedStream], list[str]]:
    """The film's tracks beside its picture and its sounds that the output can hold.

    Args:
        container: name of the output's format.
        held: codecs it can hold.

    Returns:
        them, and a note for each that is converted or left out.
    """
    kept, notes = [], []
    for track in film.tracks:
        if track.index == film.picture.index or track.kind == "audio":
            continue
        if track.kind == "data" and _written_anew(film):
            continue
        codec = _way(track, container, held)
        if codec is None:
            notes.append(tr("{track} is left out: the output cannot hold it", track=name_of(track)))
            continue
        if codec not in ("copy", "attach"):
            notes.append(
                tr("{track} is converted to {codec}", track=name_of(track), codec=codec)
            )  # fmt: skip
        kept.append(MappedStream(track, codec))
    return kept, notes


def name_of(track: StreamInfo) -> str:
    """A track in words."""
    kinds = {
        "video": tr("picture track"), "cover": tr("cover picture"), "audio": tr("sound track"),
        "subtitle": tr("subtitle track"), "attachment": tr("attached file"),
    }  # fmt: skip
    name = f"{kinds.get(track.kind, tr('data track'))} {track.number + 1}"
    inside = ", ".join(part for part in (track.codec, track.tags.get("language")) if part)
    return f"{name} ({inside})" if inside else name


def _written_anew(film: VideoSource) -> bool:
    """The data track of an mp4 that has chapters is these, which are kept as chapters."""
    return "mp4" in film.container and film.chapters > 0


def _way(track: StreamInfo, container: str, held: set[str]) -> str | None:
    if track.kind == "cover":
        return WITH_COVERS.get(container) if track.codec in COVERS else None
    if track.kind == "attachment":
        return "copy" if container == "matroska" else None
    if track.kind == "data" or not track.codec:
        return None
    if track.codec in held:
        return "copy"
    if track.kind == "subtitle" and track.codec in TEXTS:
        return TEXT_CODECS.get(container)
    return None


def needs_own_tags(film: VideoSource, container: str) -> bool:
    """Whether a mp4 has to hold tags it knows no name for."""
    return container in ("mp4", "mov") and not film.tags <= PLAIN_TAGS

"""A note in a video on what it was made from, so that only its successor replaces it.

It is a hash of the content of its sources, and tells nothing about them; where others than the
default tracks were chosen, it ends with their numbers. mp4 and mov get it in a box of its own at
the end of the file, as their tags belong to the user; other containers as a tag. ts and mpg hold
none. Images (.png) and pages (.html) hold it as a comment.
"""

import re
from hashlib import sha256
from pathlib import Path

from ..core.errors import ConfigError, MediaError
from ..core.files import file_sha256
from .container import open_media, probe
from .stream_choice import DEFAULT_STREAMS, StreamChoice

TAG_BY_SUFFIX = {".mkv": "LIPSYNC_SOURCE", ".webm": "LIPSYNC_SOURCE", ".flv": "LIPSYNC_SOURCE",
                 ".wmv": "LIPSYNC_SOURCE", ".avi": "ISRC"}  # fmt: skip
COMMENT_SUFFIXES = {".png", ".html", ".htm"}
COMMENT_BYTES = 4096  # the comment is within so much of the beginning or the end of the file
TEXT = "lipsync-source:"
NOTE_LENGTH = 32  # hexadecimal digits
# A choice of tracks, at the end of a note: a mark that a hash hardly ever has there, and numbers.
TRACKS_MARK = "0000"
TRACKS_LENGTH = len(TRACKS_MARK) + 3 * 2
# A box of ISO/IEC 14496-12: its length, the type uuid, and a UUID of our own.
BOX_HEADER = (
    (8 + 16 + NOTE_LENGTH).to_bytes(4, "big") + b"uuid"
    + bytes.fromhex("8f0c1a52b9d34e6fa1c7e05d6b3f9240")
)  # fmt: skip


def source_note(
    video: str | Path, audio: str | Path | None, streams: StreamChoice = DEFAULT_STREAMS
) -> str | None:
    """The note for what is made from a video and an audio file; None: they cannot be read.

    Args:
        audio: None: the video's own audio.
        streams: which of their tracks.
    """
    try:
        parts = [file_sha256(Path(path)) if path is not None else "" for path in (video, audio)]
        tracks = chosen_tracks(video, audio, streams)
    except (OSError, ValueError, MediaError, ConfigError):  # missing, or no name of a file
        return None
    return sha256(" ".join(parts).encode()).hexdigest()[: NOTE_LENGTH - len(tracks)] + tracks


def chosen_tracks(video: str | Path, audio: str | Path | None, streams: StreamChoice) -> str:
    """The end of the note of a choice of tracks: their numbers; empty for the default ones.

    Raises:
        MediaError, ConfigError: the files cannot be read, or have no such tracks.
    """
    if streams == DEFAULT_STREAMS:
        return ""
    numbers, default_numbers = (
        _track_numbers(video, audio, choice) for choice in (streams, DEFAULT_STREAMS)
    )
    if numbers == default_numbers:
        return ""
    return TRACKS_MARK + "".join(f"{number % 256:02x}" for number in numbers)


def _track_numbers(
    video: str | Path, audio: str | Path | None, streams: StreamChoice
) -> tuple[int, int, int]:
    """Numbers of the video track, of the audio track, and of its only channel, from 1; 0: all."""
    info = probe(video, streams if audio is None else streams.of_video())
    audio_info = info if audio is None else probe(audio, streams.of_audio())
    return info.video_stream, audio_info.audio_stream, streams.channel or 0


def noted_tracks(note: str) -> str:
    """``chosen_tracks`` of what a note is in."""
    end = note[NOTE_LENGTH - TRACKS_LENGTH :]
    return end if end.startswith(TRACKS_MARK) else ""


def view_note(note: str, kind: str) -> str:
    """The note for a view of a kind (a plot, a report, …) of what has a note: no view is taken for
    another one, nor for a corrected video."""
    return sha256(f"{note} {kind}".encode()).hexdigest()[:NOTE_LENGTH]


def note_comment(note: str) -> str:
    """The comment that holds a note in an image or a page."""
    return f"{TEXT}{note}"


def note_tag(suffix: str, note: str) -> str | None:
    """The tag ``name=value`` that holds a note in a container; None: it has none for it."""
    name = TAG_BY_SUFFIX.get(suffix.lower())
    return f"{name}={TEXT}{note}" if name else None


def append_note(path: Path, note: str) -> None:
    """Add a note to an mp4 or mov file that is complete; other files stay as they are.

    Raises:
        OSError: the file cannot be written.
    """
    with open(path, "r+b") as file:
        if not _has_boxes(file.read(8)):
            return
        file.seek(0, 2)
        file.write(BOX_HEADER + note.encode())


def read_note(path: Path) -> str | None:
    """The note in a file; None: it has none, or cannot be read."""
    try:
        with open(path, "rb") as file:
            if _has_boxes(file.read(8)):
                length = len(BOX_HEADER) + NOTE_LENGTH
                file.seek(max(0, file.seek(0, 2) - length))
                box = file.read(length)
                return box[len(BOX_HEADER) :].decode("latin-1") if _is_note(box) else None
        suffix = path.suffix.lower()
        if suffix in COMMENT_SUFFIXES:
            texts = _ends_of(path)
        elif suffix in TAG_BY_SUFFIX:
            with open_media(path) as container:
                texts = " ".join(container.metadata.values())
        else:
            return None
    except (OSError, MediaError):
        return None
    found = re.search(rf"{TEXT}([0-9a-f]{{{NOTE_LENGTH}}})", texts)
    return found[1] if found else None


def _ends_of(path: Path) -> str:
    """Where an image or a page holds its comment: in its beginning or its end."""
    with open(path, "rb") as file:
        start = file.read(COMMENT_BYTES)
        file.seek(max(len(start), file.seek(0, 2) - COMMENT_BYTES))
        return (start + file.read()).decode("latin-1")


def _has_boxes(start: bytes) -> bool:
    return start[4:] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")


def _is_note(box: bytes) -> bool:
    return box.startswith(BOX_HEADER)

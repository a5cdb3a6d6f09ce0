"""A note in a video on what it was made from, so that only its successor replaces it.

It is a hash of the content of its sources, and tells nothing about them. mp4 and mov get it in a
box of its own at the end of the file, as their tags belong to the user; other containers as a tag.
ts and mpg hold none.
"""

import re
from hashlib import sha256
from pathlib import Path

from ..core.errors import MediaError
from ..core.files import file_sha256
from .container import open_media

TAG_BY_SUFFIX = {".mkv": "LIPSYNC_SOURCE", ".webm": "LIPSYNC_SOURCE", ".flv": "LIPSYNC_SOURCE",
                 ".wmv": "LIPSYNC_SOURCE", ".avi": "ISRC"}  # fmt: skip
TEXT = "lipsync-source:"
NOTE_LENGTH = 32  # hexadecimal digits
# A box of ISO/IEC 14496-12: its length, the type uuid, and a UUID of our own.
BOX_HEADER = (
    (8 + 16 + NOTE_LENGTH).to_bytes(4, "big") + b"uuid"
    + bytes.fromhex("8f0c1a52b9d34e6fa1c7e05d6b3f9240")
)  # fmt: skip


def source_note(video: str | Path, audio: str | Path | None) -> str | None:
    """The note for what is made from a video and an audio file; None: they cannot be read.

    Args:
        audio: None: the video's own audio.
    """
    try:
        parts = [file_sha256(Path(path)) if path is not None else "" for path in (video, audio)]
    except (OSError, ValueError):  # missing, or no name of a file
        return None
    return sha256(" ".join(parts).encode()).hexdigest()[:NOTE_LENGTH]


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
        if path.suffix.lower() not in TAG_BY_SUFFIX:
            return None
        with open_media(path) as container:
            texts = " ".join(container.metadata.values())
    except (OSError, MediaError):
        return None
    found = re.search(rf"{TEXT}([0-9a-f]{{{NOTE_LENGTH}}})", texts)
    return found[1] if found else None


def _has_boxes(start: bytes) -> bool:
    return start[4:] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")


def _is_note(box: bytes) -> bool:
    return box.startswith(BOX_HEADER)

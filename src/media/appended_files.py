"""Files to which another one was appended that no decoder reads: half of the content is missing."""

import mmap
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..core.errors import UnreadableMediaError
from ..i18n.messages import tr

MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
# The bytes with which a file begins, and which it holds once; by ffmpeg's name of the format.
SIGNATURES = {
    "asf": bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
    "mxf": bytes.fromhex("060e2b34020501010d0102010102"),  # of a header partition
}
MAX_BOX_BYTES = 1 << 24  # of a fragment's header; larger ones are damage


def check_not_appended(path: str | Path, format_name: str) -> None:
    """Reject a file that is two: their index says what is in the first one only.

    Args:
        path: an existing file.
        format_name: ffmpeg's name of its format.

    Raises:
        UnreadableMediaError.
    """
    with open(path, "rb") as file:
        if format_name == MP4:
            is_appended = _has_second_movie(file)
        elif format_name == "wav":
            is_appended = _has_second_riff(file)
        elif format_name in SIGNATURES:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                signature = SIGNATURES[format_name]
                first = content.find(signature)
                is_appended = first >= 0 and content.find(signature, first + 1) >= 0
        else:
            return
    if is_appended:
        raise UnreadableMediaError(
            tr("{path} holds two recordings, one after the other, and only the first can be "
               "read: split the file, or join the originals in a video editor", path=path)
        )  # fmt: skip


def _has_second_movie(file: BinaryIO) -> bool:
    """Whether an mp4 has a second index with content of its own. Indexes are also repeated: as a
    copy, or by recorders in front of each fragment."""
    counts = Counter()
    first_time = None  # of the fragments
    for kind, start, size in _boxes(file):
        counts[kind] += 1
        if kind == b"moov":
            is_first_fragment = True  # of this index
        elif kind == b"moof" and counts[b"moov"] and is_first_fragment and size <= MAX_BOX_BYTES:
            is_first_fragment = False
            file.seek(start)
            time = _fragment_time(file.read(size))
            if None not in (time, first_time) and time <= first_time:
                return True
            first_time = time if first_time is None else first_time
    n_contents = max(counts[b"ftyp"], counts[b"mdat"])
    return not counts[b"moof"] and counts[b"moov"] > 1 and n_contents > 1


def _boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, size) of the boxes at the top of an mp4."""
    end = file.seek(0, os.SEEK_END)
    start = 0
    while start + 8 <= end:
        file.seek(start)
        header = file.read(16)
        size, kind = int.from_bytes(header[:4], "big"), header[4:8]
        if size == 1:
            size = int.from_bytes(header[8:16], "big")
        elif size == 0:
            size = end - start
        if size < 8:
            return
        yield kind, start, size
        start += size


def _fragment_time(fragment: bytes) -> int | None:
    """Decoding time of the first track in a fragment, in its own units; None: not given."""
    position = fragment.find(b"tfdt")
    if position < 0 or len(fragment) < position + 16:
        return None
    n_bytes = 8 if fragment[position + 4] else 4  # by the version
    return int.from_bytes(fragment[position + 8 : position + 8 + n_bytes], "big")


def _has_second_riff(file: BinaryIO) -> bool:
    header = file.read(8)
    size = int.from_bytes(header[4:8], "little")
    file.seek(8 + size + size % 2)
    return header[:4] == b"RIFF" and file.read(4) == b"RIFF"

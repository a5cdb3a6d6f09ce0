"""Which formats are opened: containers that hold their media themselves, and no lists of files.

A text can be named ``talk.mp4`` and list other files; ffmpeg would follow it anywhere. So only
these demuxers are allowed, whatever a file is called. HLS lists (``.m3u8``) are opened where the
user names one, as far as everything in them lies in their folder.
"""

import os
import re
from pathlib import Path

from ..core.errors import UnreadableMediaError
from ..i18n.messages import tr

# ffmpeg's names of demuxers. None of these opens another file than the one it is given.
VIDEO_FORMATS = (
    "mov", "matroska", "avi", "asf", "asf_o", "flv", "live_flv", "kux", "mpeg", "mpegts", "mxf",
    "gxf", "lxf", "dv", "nut", "nsv", "rm", "ogg", "wtv", "ty", "dhav", "pva", "ivf", "mpegvideo",
    "h261", "h263", "h264", "hevc", "vvc", "m4v", "av1", "obu", "vc1", "vc1test", "dirac",
    "cavsvideo", "avs2", "avs3", "mjpeg", "smjpeg", "yuv4mpegpipe", "gif", "apng",
)  # fmt: skip
AUDIO_FORMATS = (
    "wav", "w64", "aiff", "caf", "au", "flac", "mp3", "aac", "loas", "ac3", "eac3", "dts", "dtshd",
    "truehd", "mlp", "amr", "amrnb", "amrwb", "ape", "wv", "tta", "tak", "mpc", "mpc8", "dsf",
    "iff", "oma", "spdif", "voc", "sox", "ircam", "nistsphere", "gsm", "qcp", "shn", "xwma",
)  # fmt: skip
CONTAINERS = ",".join(VIDEO_FORMATS + AUDIO_FORMATS)
LIST_SUFFIXES = {".m3u8"}
LIST_STARTS = (b"ffconcat version", b"#EXTM3U")
MAX_LIST_BYTES = 1 << 22
MAX_LIST_DEPTH = 2  # an HLS list names the lists of its variants, and these name files
MAX_LISTS = 100
MAX_NAME = 4000  # ffmpeg cuts longer lines


def input_options(path: str | Path) -> dict[str, str]:
    """Options with which ffmpeg opens this file, and nothing that the file names elsewhere.

    Args:
        path: an existing file.

    Raises:
        UnreadableMediaError: it is a list of files, other than one of HLS whose files are all in
            its folder.
    """
    path = Path(path)
    if not _starts_list(path):
        return {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
    if path.suffix.lower() not in LIST_SUFFIXES:
        raise _refused(path, tr("it is a list of files, not a media file"))
    _check_list(path, Path(os.path.realpath(path)).parent, MAX_LIST_DEPTH, set())
    return {"format_whitelist": f"hls,{CONTAINERS}", "protocol_whitelist": "file,crypto"}


def _starts_list(path: Path) -> bool:
    with open(path, "rb") as file:
        start = file.read(64)
    return start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(LIST_STARTS)


def _check_list(path: Path, folder: Path, depth: int, checked: set[Path]) -> None:
    """Raises UnreadableMediaError unless everything in an HLS list is inside ``folder``."""
    if path in checked:
        return
    if depth == 0 or len(checked) >= MAX_LISTS or path.stat().st_size > MAX_LIST_BYTES:
        raise _refused(path, tr("it lists too many lists of files"))
    for name in _listed_names(path.read_bytes()):
        parts = re.split(r"[/\\]", name)
        is_elsewhere = re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", name) or parts[0] == ""
        listed = path.parent / name
        if is_elsewhere or ".." in parts or len(name) > MAX_NAME:
            raise _outside(path, name)
        if not Path(os.path.realpath(listed)).is_relative_to(folder):  # through a link
            raise _outside(path, name)
        if os.path.isfile(listed) and _starts_list(listed):
            _check_list(listed, folder, depth - 1, checked)
    checked.add(path)


def _listed_names(content: bytes) -> list[str]:
    """The files that an HLS list names, in its lines and in the attributes of its tags."""
    names = []
    for line in re.split(rb"[\r\n\0]+", content):  # where ffmpeg ends a line
        text = line.decode(errors="surrogateescape").rstrip()
        if text.startswith("#"):
            names += re.findall(r'URI="?([^",]*)', text)
        elif text:
            names.append(text)
    return [name for name in names if name]


def _outside(path: Path, name: str) -> UnreadableMediaError:
    return _refused(path, tr("it lists {name}, which is outside its folder", name=name[:200]))


def _refused(path: Path, why: str) -> UnreadableMediaError:
    return UnreadableMediaError(tr("cannot read {path}: {why}", path=path, why=why))

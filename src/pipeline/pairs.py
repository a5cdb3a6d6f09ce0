"""Pairs of video and audio, read from lists and folders."""

import codecs
import csv
import io
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..core.config import Config
from ..core.errors import DatasetError, MissingFileError
from ..dataset.clips import find_clips
from ..i18n.messages import tr
from ..media.stream_choice import DEFAULT_STREAMS
from ..media.suffixes import AUDIO_SUFFIXES, OUTPUT_SUFFIXES, VIDEO_SUFFIXES
from .output_names import OutputNames, Owner, Source

DELIMITERS = ",;\t"
OLDER_ENCODINGS = ("gb18030", "cp1252", "cp1250", "cp1251", "big5", "cp932")
MEDIA_SUFFIXES = {*VIDEO_SUFFIXES, *AUDIO_SUFFIXES}


@dataclass(frozen=True)
class Pair:
    """A video and its audio, and what to do with them.

    Attributes:
        video, audio: the files; audio None: the video's own audio track.
        output: where the corrected video goes; None: the pair is only scored.
        options: more arguments of ``LipSyncInference.correct_sync``, by name.
        overwrite: a file that has the name of the output may be replaced, whatever it is.
    """

    video: str
    audio: str | None
    output: Path | None
    options: tuple[tuple[str, object], ...] = ()
    overwrite: bool = False


def with_outputs(
    pairs: Iterable[tuple[str | Path, str | Path | None]],
    folder: Path | None,
    overwrite: bool = False,
    recorded: dict[Owner, list[Path]] | None = None,
    **options,
) -> list[Pair]:
    """Pairs with a name for the output of each: ``<video name>_synced<suffix>``, numbered where
    that is in use (see ``OutputNames``).

    Args:
        pairs: (video, audio or None) each.
        folder: where the outputs go; None: pairs are only scored.
        overwrite, recorded: of ``OutputNames``.
        options: of ``LipSyncInference.correct_sync``, for all; default streams are left out.
    """
    pairs = list(pairs)
    options = {name: value for name, value in options.items() if value != DEFAULT_STREAMS}
    streams = options.get("streams", DEFAULT_STREAMS)
    names = OutputNames((path for pair in pairs for path in pair), overwrite, recorded)
    result = []
    for video, audio in pairs:
        output, is_replaceable = None, False
        if folder is not None:
            plain = synced_path(folder, video)
            output, is_replaceable = names.choose(plain, Source(video, audio, streams))
        texts = str(video), None if audio is None else str(audio)
        result.append(Pair(*texts, output, tuple(options.items()), is_replaceable))
    return result


def synced_path(folder: Path, video: str | Path) -> Path:
    """``<video name>_synced<suffix>`` in a folder; a container that can only be read becomes
    .mkv."""
    video = Path(video)
    suffix = video.suffix if video.suffix.lower() in OUTPUT_SUFFIXES else ".mkv"
    return folder / f"{video.stem}_synced{suffix}"


def read_list(path: str | Path) -> list[tuple[str, str | None]]:
    """The pairs of a list.

    Args:
        path: CSV with the columns ``video`` and, where the audio is a file of its own, ``audio``;
            without a header they are the first and the second. Separated by commas, semicolons or
            tabs, in any encoding that spreadsheets write. Files are looked up from the current
            folder, and then from the folder of the list.

    Raises:
        MissingFileError: there is no such list.
        DatasetError: it is no list of pairs.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(tr("the list {path} is missing", path=path))
    tables = [
        [[cell.strip() for cell in row] for row in table if any(map(str.strip, row))]
        for table in _tables(path, DELIMITERS)
    ]
    # Names with umlauts or commas can be read in several ways: the one whose files exist is right.
    rows = max(tables, key=lambda rows: _plausibility(rows, path.parent))
    if not rows:
        raise DatasetError(tr("{path} is empty: each line must be video,audio", path=path))
    columns, rows = _columns(rows)
    pairs = []
    for row in rows:
        video, audio = (
            row[index] if index is not None and index < len(row) else ""
            for index in columns.values()
        )
        if not video:
            raise DatasetError(
                tr("{path}: a line names no video: {line}", path=path, line=",".join(row))
            )
        pairs.append((_locate(video, path.parent), _locate(audio, path.parent) if audio else None))
    return pairs


def _columns(rows: list[list[str]]) -> tuple[dict[str, int | None], list[list[str]]]:
    """Where ``video`` and ``audio`` are, and the rows below the header, if there is one."""
    columns = {"video": 0, "audio": 1}
    header = [cell.lower() for cell in rows[0]]
    if "video" not in header:
        return columns, rows
    return {name: header.index(name) if name in header else None for name in columns}, rows[1:]


def _plausibility(rows: list[list[str]], folder: Path) -> tuple[int, bool, int]:
    """How much speaks for a table being read correctly: how many of its files exist, whether it
    has a header, and how many of its cells look like a video or audio file."""
    if not rows:
        return 0, False, 0
    columns, below = _columns(rows)
    cells = [row[index] for row in below for index in columns.values()
             if index is not None and index < len(row)]  # fmt: skip
    n_existing = sum(
        os.path.exists(cell) or os.path.exists(folder / cell) for cell in cells if cell
    )
    n_media = sum(Path(cell).suffix.lower() in MEDIA_SUFFIXES for cell in cells)
    return n_existing, below is not rows, n_media


def read_csv(path: Path) -> list[list[str]]:
    """Rows of a table, in the encodings that spreadsheets write.

    Raises:
        DatasetError: it is no table.
    """
    return _tables(path, ",")[0]


def _tables(path: Path, delimiters: str) -> list[list[list[str]]]:
    """The rows of a table in each way in which it can be read, the most likely one first.

    Raises:
        DatasetError: there is none.
    """
    tables = []
    for text in _decoded(path.read_bytes()):
        # A name with NUL is one of no file: its row fails, and not, as in Python 3.10, all.
        text = text.replace("\0", r"\x00")
        hint = re.match(r"sep=(.)\r?\n", text)  # a line that Excel writes and reads
        for delimiter in hint[1] if hint else delimiters:
            lines = io.StringIO(text[hint.end() :] if hint else text, newline="")
            with suppress(csv.Error):
                tables.append(list(csv.reader(lines, delimiter=delimiter)))
    if not tables:
        raise DatasetError(tr("{path} is not a CSV table", path=path))
    return tables


def _decoded(content: bytes) -> list[str]:
    """A text by its byte order mark, in UTF-8, or in each of the older encodings in which it is
    one."""
    encodings = ["utf-8-sig"]
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ["utf-16"]
    elif b"\0" in content[:2]:
        encodings = ["utf-16-be" if content[0] == 0 else "utf-16-le"]
    for names in (encodings, OLDER_ENCODINGS if encodings == ["utf-8-sig"] else ()):
        texts = []
        for encoding in names:
            with suppress(UnicodeDecodeError):
                texts.append(content.decode(encoding))
        if texts:
            return texts
    return []


def _locate(name: str, folder: Path) -> str:
    """The file, in ``folder`` where the current one does not have it."""
    path = folder / name
    return str(path) if not os.path.exists(name) and os.path.exists(path) else name


def pairs_in(
    config: Config, video_dir: str | Path, audio_dir: str | Path | None
) -> list[tuple[str, str | None]]:
    """The videos of a folder, each with the audio file of the same name in another one.

    Args:
        audio_dir: None: the videos' own audio tracks.

    Returns:
        (video, audio) each; None: the video's own audio track, also where the other folder has no
        file of its name.

    Raises:
        MissingFileError: there is no such folder.
        DatasetError: there is no video, or no audio file with the name of any.
    """
    if not os.path.isdir(video_dir):
        raise MissingFileError(
            tr("folder not found: {path}; name the one with the videos with --video-dir",
               path=video_dir)
        )  # fmt: skip
    if audio_dir is not None and not os.path.isdir(audio_dir):
        raise MissingFileError(
            tr("folder not found: {path}; name the one with the audio files with --audio-dir, or "
               "omit it to use the videos' own audio", path=audio_dir)
        )  # fmt: skip
    audio_folder = video_dir if audio_dir is None else audio_dir
    folders = {"video_dir": str(video_dir), "audio_dir": str(audio_folder)}
    clips = find_clips(config.data.model_copy(update=folders))
    if audio_dir is not None and not any(clip.audio for clip in clips):
        raise DatasetError(
            tr("no audio file in {audios} has the name of a video in {videos}, such as "
               "{example}.wav: rename them, or omit --audio-dir to use the videos' own audio",
               audios=audio_dir, videos=video_dir, example=clips[0].video.stem)
        )  # fmt: skip
    return [
        (str(clip.video), str(clip.audio) if audio_dir is not None and clip.audio else None)
        for clip in clips
    ]

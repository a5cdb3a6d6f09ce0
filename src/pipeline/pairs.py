"""Pairs of video and audio, read from lists and folders."""

import csv
import io
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..core.config import Config
from ..core.errors import DatasetError, MissingFileError
from ..dataset.clips import find_clips
from ..i18n.messages import tr
from .output_names import OutputNames, Owner, Source


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
        options: of ``LipSyncInference.correct_sync``, for all.
    """
    pairs = list(pairs)
    names = OutputNames((path for pair in pairs for path in pair), overwrite, recorded)
    result = []
    for video, audio in pairs:
        output, is_replaceable = None, False
        if folder is not None:
            plain = synced_path(folder, video)
            output, is_replaceable = names.choose(plain, Source(video, audio))
        texts = str(video), None if audio is None else str(audio)
        result.append(Pair(*texts, output, tuple(options.items()), is_replaceable))
    return result


def synced_path(folder: Path, video: str | Path) -> Path:
    """``<video name>_synced<suffix>`` in a folder."""
    video = Path(video)
    return folder / f"{video.stem}_synced{video.suffix}"


def read_list(path: str | Path) -> list[tuple[str, str | None]]:
    """The pairs of a list.

    Args:
        path: CSV with the columns ``video`` and, where the audio is a file of its own, ``audio``;
            without a header they are the first and the second. Files are looked up from the current
            folder, and then from the folder of the list.

    Raises:
        MissingFileError: there is no such list.
        DatasetError: it is no list of pairs.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(tr("the list {path} is missing", path=path))
    rows = [[cell.strip() for cell in row] for row in read_csv(path) if any(map(str.strip, row))]
    if not rows:
        raise DatasetError(tr("{path} is empty: each line must be video,audio", path=path))
    columns = {"video": 0, "audio": 1}
    header = [cell.lower() for cell in rows[0]]
    if "video" in header:
        columns = {name: header.index(name) if name in header else None for name in columns}
        rows = rows[1:]
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


def read_csv(path: Path) -> list[list[str]]:
    """Rows of a table, in the encodings that spreadsheets write.

    Raises:
        DatasetError: it is no table.
    """
    content = path.read_bytes()
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return list(csv.reader(io.StringIO(content.decode(encoding), newline="")))
        except UnicodeDecodeError:
            continue
        except csv.Error:
            break
    raise DatasetError(tr("{path} is not a CSV table", path=path))


def _locate(name: str, folder: Path) -> str:
    """The file, in ``folder`` where the current one does not have it."""
    path = folder / name
    return str(path) if not Path(name).exists() and path.exists() else name


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

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


@dataclass(frozen=True)
class Pair:
    """What is to be done with a video and its sound.

    Attributes:
        video, audio: the files; the sound may be None: the video's own.
        output: where the mended video goes; None: the pair is only judged.
        options: more arguments of ``LipSyncInference.correct_sync``, by name.
    """

    video: str
    audio: str | None
    output: Path | None
    options: tuple[tuple[str, object], ...] = ()


def free_name(folder: Path, video: Path, taken: set[Path]) -> Path:
    """``<video name>_synced<suffix>``, numbered where that name is taken: by the output of
    another video of a batch, or by an input."""
    number = 1
    while True:
        tail = "_synced" if number == 1 else f"_synced_{number}"
        path = folder / f"{video.stem}{tail}{video.suffix}"
        if path.resolve() not in taken:
            taken.add(path.resolve())
            return path
        number += 1


def with_outputs(
    pairs: Iterable[tuple[str | Path, str | Path | None]], folder: Path | None, **options
) -> list[Pair]:
    """Pairs with a name for the output of each.

    Args:
        pairs: (video, sound or None) each.
        folder: where the outputs go; None: pairs are only judged.
        options: of ``LipSyncInference.correct_sync``, for all.
    """
    pairs = list(pairs)
    taken = {Path(path).resolve() for pair in pairs for path in pair if path is not None}
    return [
        Pair(
            str(video), None if audio is None else str(audio),
            None if folder is None else free_name(folder, Path(video), taken),
            tuple(options.items()),
        )
        for video, audio in pairs
    ]  # fmt: skip


def read_list(path: str | Path) -> list[tuple[str, str | None]]:
    """The pairs of a list.

    Args:
        path: CSV with the columns ``video`` and, where the sound is a file of its own, ``audio``;
            without a head they are the first and the second. Files are looked for from the current
            folder, and then from the folder of the list.

    Raises:
        MissingFileError: there is no such list.
        DatasetError: it is no list of pairs.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(tr("the list {path} is missing", path=path))
    rows = [[cell.strip() for cell in row] for row in _read_csv(path) if any(map(str.strip, row))]
    if not rows:
        raise DatasetError(tr("{path} lists nothing: a line is video,audio", path=path))
    place = {"video": 0, "audio": 1}
    head = [cell.lower() for cell in rows[0]]
    if "video" in head:
        place = {name: head.index(name) if name in head else None for name in place}
        rows = rows[1:]
    pairs = []
    for row in rows:
        video, audio = (
            row[at] if at is not None and at < len(row) else "" for at in place.values()
        )
        if not video:
            raise DatasetError(
                tr("{path}: a line names no video: {line}", path=path, line=",".join(row))
            )
        pairs.append((_found(video, path.parent), _found(audio, path.parent) if audio else None))
    return pairs


def _read_csv(path: Path) -> list[list[str]]:
    """Rows of a table, in the encodings that spreadsheets write."""
    content = path.read_bytes()
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return list(csv.reader(io.StringIO(content.decode(encoding), newline="")))
        except UnicodeDecodeError:
            continue
        except csv.Error:
            break
    raise DatasetError(tr("{path} is no CSV table", path=path))


def _found(name: str, folder: Path) -> str:
    beside = folder / name
    return str(beside) if not Path(name).exists() and beside.exists() else name


def pairs_in(
    config: Config, video_dir: str | Path, audio_dir: str | Path | None
) -> list[tuple[str, str | None]]:
    """The videos of a folder, each with the sound of its name in another one.

    Args:
        audio_dir: None: the videos' own sound.

    Returns:
        (video, sound) each; None: the video's own, also where the other folder has none of its
        name.

    Raises:
        MissingFileError: there is no such folder.
        DatasetError: there is no video, or no sound of the name of any.
    """
    if not os.path.isdir(video_dir):
        raise MissingFileError(
            tr("there is no folder {path}: name with --video-dir the one with the videos",
               path=video_dir)
        )  # fmt: skip
    if audio_dir is not None and not os.path.isdir(audio_dir):
        raise MissingFileError(
            tr("there is no folder {path}: name with --audio-dir the one with the sounds, or leave "
               "it out to use the videos' own", path=audio_dir)
        )  # fmt: skip
    sounds = video_dir if audio_dir is None else audio_dir
    folders = {"video_dir": str(video_dir), "audio_dir": str(sounds)}
    clips = find_clips(config.data.model_copy(update=folders))
    if audio_dir is not None and not any(clip.audio for clip in clips):
        raise DatasetError(
            tr("no sound in {audios} has the name of a video in {videos}, such as {example}.wav: "
               "rename them, or leave out --audio-dir to use the videos' own",
               audios=audio_dir, videos=video_dir, example=clips[0].video.stem)
        )  # fmt: skip
    return [
        (str(clip.video), str(clip.audio) if audio_dir is not None and clip.audio else None)
        for clip in clips
    ]

"""Which clips there are: videos and the audio that goes with each."""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..core.config import DataConfig
from ..core.errors import DatasetError
from ..i18n.messages import tr
from ..media.suffixes import AUDIO_SUFFIXES, VIDEO_SUFFIXES

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clip:
    """A video and its audio.

    Attributes:
        name: path of the video relative to the video folder, with ``/``.
        video: the video file.
        audio: the audio file, or None: the video's own audio track.
    """

    name: str
    video: Path
    audio: Path | None

    @property
    def speaker(self) -> str:
        """The folder in the video folder; empty where the clip is in none."""
        return self.name.split("/")[0] if "/" in self.name else ""


def find_clips(settings: DataConfig) -> list[Clip]:
    """All videos under ``data.video_dir``, each with the audio file of its name, if any.

    ``videos/anna/one.mp4`` goes with ``audios/anna/one.wav`` or ``audios/one.wav``, of any of
    ``AUDIO_SUFFIXES``; a video of that name in the audio folder is taken for its audio. Links are
    followed. What is named like a video but is none is listed, too: processing says why.

    Raises:
        DatasetError: there is no video.
    """
    videos, audios = Path(settings.video_dir), Path(settings.audio_dir)
    paths = sorted(path for path in _walk(videos) if path.suffix.lower() in VIDEO_SUFFIXES)
    if not paths:
        raise DatasetError(
            tr("no video in {folder}: put talking-head videos there (mp4, avi, mov, mkv, webm, …), "
               "and audio files of the same names, if any, into {audios}",
               folder=videos, audios=audios)
        )  # fmt: skip
    names = [path.relative_to(videos) for path in paths]
    find_audio = _AudioFinder(videos, audios)
    return [
        Clip(name.as_posix(), path, find_audio(name))
        for name, path in zip(names, paths, strict=True)
    ]


def find_unused(settings: DataConfig, clips: list[Clip]) -> list[tuple[str, str]]:
    """The files in the folders of videos and audio that belong to no clip: (path, reason).

    Args:
        clips: all that ``find_clips`` found there.
    """
    used = {path for clip in clips for path in (clip.video, clip.audio)}
    videos, audios = Path(settings.video_dir), Path(settings.audio_dir)
    reasons = {}
    if audios.is_dir():
        for path in _walk(audios):
            reasons[path] = tr("no video has this name")
            if path.suffix.lower() not in (*AUDIO_SUFFIXES, *VIDEO_SUFFIXES):
                reasons[path] = tr("not the name of an audio file")
    for path in _walk(videos):
        reasons[path] = tr("not the name of a video file")
    return [
        (str(path), reason) for path, reason in sorted(reasons.items())
        if path not in used and not path.name.startswith(".") and path.is_file()
    ]  # fmt: skip


def _walk(top: Path) -> Iterator[Path]:
    """Everything under a folder, through links, but no folder twice: a folder that is really
    under it comes by its own path and not by a link's."""
    visited, queue = set(), [top]
    while queue:
        for folder, subfolders, files in os.walk(queue.pop(0), onerror=_warn_unlisted):
            real_path = os.path.realpath(folder)
            if real_path in visited:
                subfolders.clear()
                continue
            visited.add(real_path)
            yield from (Path(folder) / name for name in [*subfolders, *files])
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            paths = [Path(folder) / name for name in subfolders]
            queue += filter(os.path.islink, paths)  # ``os.walk`` does not follow them


def _warn_unlisted(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        logger.warning(tr("cannot list {path}: {why}", path=error.filename, why=error.strerror))


class _AudioFinder:
    """Finds the audio file of a video's name, in the folder of the same name or in ``audios``."""

    def __init__(self, videos: Path, audios: Path):
        self._audios = audios
        is_apart = os.path.realpath(videos) != os.path.realpath(audios)
        suffixes = [*AUDIO_SUFFIXES, *(sorted(VIDEO_SUFFIXES) if is_apart else [])]
        self._ranks = {suffix: rank for rank, suffix in enumerate(suffixes)}
        self._files_by_folder: dict[Path, dict[str, Path]] = {}

    def __call__(self, video_name: Path) -> Path | None:
        for folder in (self._audios / video_name.parent, self._audios):
            path = self._files(folder).get(video_name.stem)
            if path is not None:
                return path
        return None

    def _files(self, folder: Path) -> dict[str, Path]:
        """The best audio file of each name in a folder."""
        if folder not in self._files_by_folder:
            names = os.listdir(folder) if folder.is_dir() else []
            paths = [folder / name for name in sorted(names)]
            paths = [path for path in paths if path.suffix.lower() in self._ranks]
            paths.sort(key=lambda path: self._ranks[path.suffix.lower()], reverse=True)
            self._files_by_folder[folder] = {path.stem: path for path in paths if path.is_file()}
        return self._files_by_folder[folder]

"""Which clips there are: videos and the audio that goes with each."""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath

from ..core.config import DataConfig
from ..core.errors import DatasetError
from ..core.storage import is_url
from ..i18n.messages import tr
from ..media.suffixes import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from .remote_files import RemoteFile, remote_files

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
    video: Path | RemoteFile
    audio: Path | RemoteFile | None

    @property
    def speaker(self) -> str:
        """The folder in the video folder; empty where the clip is in none."""
        return self.name.split("/")[0] if "/" in self.name else ""


def find_clips(settings: DataConfig) -> list[Clip]:
    """All videos under ``data.video_dir``, each with the audio file of its name, if any.

    ``videos/anna/one.mp4`` goes with ``audios/anna/one.wav`` or ``audios/one.wav``, of any of
    ``AUDIO_SUFFIXES``; a video of that name in the audio folder is taken for its audio. Links are
    followed. What is named like a video but is none is listed, too: processing says why. Both
    places may be URLs.

    Raises:
        DatasetError: there is no video.
        ConfigError, StorageError: a URL cannot be used, or read.
    """
    videos = _videos_in(settings.video_dir)
    if not videos:
        raise DatasetError(
            tr("no video in {folder}: put talking-head videos there (mp4, avi, mov, mkv, webm, …), "
               "and audio files of the same names, if any, into {audios}",
               folder=settings.video_dir, audios=settings.audio_dir)
        )  # fmt: skip
    find_audio = _audio_finder(settings)
    return [Clip(name.as_posix(), path, find_audio(name)) for name, path in videos.items()]


def _videos_in(place: str) -> dict[PurePath, Path | RemoteFile]:
    """The videos in a folder or at a URL, by their paths relative to it, in order."""
    if is_url(place):
        files = remote_files(place)
    else:
        files = {path.relative_to(place): path for path in sorted(_walk(Path(place)))}
    return {name: path for name, path in files.items() if path.suffix.lower() in VIDEO_SUFFIXES}


def find_unused(settings: DataConfig, clips: list[Clip]) -> list[tuple[str, str]]:
    """The files in the folders of videos and audio that belong to no clip: (path, reason).

    Args:
        clips: all that ``find_clips`` found there.
    """
    used = {str(path) for clip in clips for path in (clip.video, clip.audio)}
    reasons = {}
    for path in _files_in(settings.audio_dir):
        reasons[str(path)] = tr("no video has this name")
        if path.suffix.lower() not in (*AUDIO_SUFFIXES, *VIDEO_SUFFIXES):
            reasons[str(path)] = tr("not the name of an audio file")
    for path in _files_in(settings.video_dir):
        reasons[str(path)] = tr("not the name of a video file")
    paths = sorted(reasons.keys() - used, key=PurePath)
    return [(path, reasons[path]) for path in paths]


def _files_in(place: str) -> list[Path] | list[RemoteFile]:
    """The files in a folder or at a URL that are not hidden."""
    if is_url(place):
        return list(remote_files(place).values())
    if not os.path.isdir(place):
        return []
    return [p for p in _walk(Path(place)) if not p.name.startswith(".") and p.is_file()]


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

    def __init__(self, audios: Path, is_apart: bool):
        self._audios = audios
        suffixes = [*AUDIO_SUFFIXES, *(sorted(VIDEO_SUFFIXES) if is_apart else [])]
        self._ranks = {suffix: rank for rank, suffix in enumerate(suffixes)}
        self._files_by_folder: dict[PurePath, dict[str, Path | RemoteFile]] = {}

    def __call__(self, video_name: PurePath) -> Path | RemoteFile | None:
        for folder in (self._audios / video_name.parent, self._audios):
            path = self._files(folder).get(video_name.stem)
            if path is not None:
                return path
        return None

    def _files(self, folder: PurePath) -> dict[str, Path | RemoteFile]:
        """The best audio file of each name in a folder."""
        if folder not in self._files_by_folder:
            paths = [p for p in self._listed(folder) if p.suffix.lower() in self._ranks]
            paths.sort(key=lambda path: self._ranks[path.suffix.lower()], reverse=True)
            self._files_by_folder[folder] = {path.stem: path for path in paths}
        return self._files_by_folder[folder]

    def _listed(self, folder: PurePath) -> list[Path] | list[RemoteFile]:
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        return [Path(folder, name) for name in names if os.path.isfile(os.path.join(folder, name))]


class _RemoteAudioFinder(_AudioFinder):
    """The same at a URL."""

    def __init__(self, url: str, is_apart: bool):
        super().__init__(PurePosixPath(), is_apart)
        self._by_folder: dict[PurePath, list[RemoteFile]] = {}
        for path, file in remote_files(url).items():
            self._by_folder.setdefault(path.parent, []).append(file)

    def _listed(self, folder: PurePath) -> list[RemoteFile]:
        return self._by_folder.get(folder, [])


def _audio_finder(settings: DataConfig) -> _AudioFinder:
    videos, audios = settings.video_dir, settings.audio_dir
    if is_url(audios):
        return _RemoteAudioFinder(audios, audios.rstrip("/") != videos.rstrip("/"))
    is_apart = is_url(videos) or os.path.realpath(videos) != os.path.realpath(audios)
    return _AudioFinder(Path(audios), is_apart)

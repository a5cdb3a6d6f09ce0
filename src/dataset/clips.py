"""Which clips there are: videos and the audio that goes with each."""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..core.config import DataConfig
from ..core.errors import DatasetError
from ..i18n.messages import tr
from ..media.container import AUDIO_SUFFIXES, VIDEO_SUFFIXES

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

    ``videos/anna/one.mp4`` goes with ``audios/anna/one.wav`` or ``audios/one.wav``. Links are
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
    return [
        Clip(name.as_posix(), path, _find_audio(name, audios))
        for name, path in zip(names, paths, strict=True)
    ]


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


def _find_audio(video_name: Path, audios: Path) -> Path | None:
    """The audio file of a video's name, in the folder of the same name or in ``audios``."""
    for folder in (audios / video_name.parent, audios):
        for suffix in AUDIO_SUFFIXES:
            for spelling in (suffix, suffix.upper()):
                candidate = folder / (video_name.stem + spelling)
                if os.path.isfile(candidate):
                    return candidate
    return None

"""Which clips there are: videos and the sound that goes with each."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..core.config import DataConfig
from ..core.errors import DatasetError
from ..i18n.messages import tr
from ..media.container import AUDIO_SUFFIXES, VIDEO_SUFFIXES


@dataclass(frozen=True)
class Clip:
    """A video and its sound.

    Attributes:
        name: path of the video relative to the video folder, with ``/``.
        video: the video file.
        audio: the sound file, or None: the video's own sound.
    """

    name: str
    video: Path
    audio: Path | None

    @property
    def speaker(self) -> str:
        """The folder under the video folder; empty where the clip lies in none."""
        return self.name.split("/")[0] if "/" in self.name else ""


def find_clips(settings: DataConfig) -> list[Clip]:
    """All videos under ``data.video_dir``, each with the sound file of its name, if any.

    ``videos/anna/one.mp4`` goes with ``audios/anna/one.wav`` or ``audios/one.wav``. Links are
    followed. What is named like a video but is none is listed, too: processing says why.

    Raises:
        DatasetError: there is no video.
    """
    videos, audios = Path(settings.video_dir), Path(settings.audio_dir)
    paths = sorted(path for path in _walk(videos) if path.suffix.lower() in VIDEO_SUFFIXES)
    if not paths:
        raise DatasetError(
            tr("no video in {folder}: put clips of talking people there (mp4, avi, mov, mkv, "
               "webm, …), and their sound, if it is apart, into {audios} under the same name",
               folder=videos, audios=audios)
        )  # fmt: skip
    return [
        Clip(path.relative_to(videos).as_posix(), path, _sound_of(path.relative_to(videos), audios))
        for path in paths
    ]


def _walk(top: Path) -> Iterator[Path]:
    """Everything under a folder, through links, but no folder twice: where it really is, if that
    is under the folder, too."""
    visited, waiting = set(), [top]
    while waiting:
        for folder, folders, files in os.walk(waiting.pop(0), onerror=_unlisted):
            place = os.path.realpath(folder)
            if place in visited:
                folders.clear()
                continue
            visited.add(place)
            yield from (Path(folder) / name for name in [*folders, *files])
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            inner = [Path(folder) / name for name in folders]
            waiting += filter(os.path.islink, inner)  # ``walk`` passes them by


def _unlisted(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        print(tr("cannot list {path}: {why}", path=error.filename, why=error.strerror),
              file=sys.stderr)  # fmt: skip


def _sound_of(name: Path, audios: Path) -> Path | None:
    for base in (audios / name.parent, audios):
        for suffix in AUDIO_SUFFIXES:
            for written in (suffix, suffix.upper()):
                candidate = base / (name.stem + written)
                if os.path.isfile(candidate):
                    return candidate
    return None

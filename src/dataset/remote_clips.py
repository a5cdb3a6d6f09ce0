"""Clips at a URL (``s3://bucket/videos``, what fsspec knows): listed, and copied to a worker."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ..core.storage import fetch, join, versions_below

if TYPE_CHECKING:
    from .clips import Clip


@dataclass(frozen=True)
class RemoteFile:
    """A file at a URL.

    Attributes:
        url: where it is.
        version: changes with its content: its size, and its ETag or when it was written.
    """

    url: str
    version: str

    @property
    def name(self) -> str:
        """Its last part."""
        return PurePosixPath(self.url).name

    @property
    def stem(self) -> str:
        """Its name without the ending."""
        return PurePosixPath(self.url).stem

    @property
    def suffix(self) -> str:
        """The ending of its name, with the dot."""
        return PurePosixPath(self.url).suffix

    def __str__(self) -> str:
        return self.url


def remote_files(place: str) -> dict[PurePosixPath, RemoteFile]:
    """All files below a URL, by their paths relative to it, in order; hidden ones are left out.

    Raises:
        ConfigError: nothing is installed that knows such URLs.
        StorageError: it cannot be read.
    """
    versions = versions_below(place)
    paths = sorted(map(PurePosixPath, versions))
    return {
        path: RemoteFile(join(place, str(path)), versions[str(path)])
        for path in paths
        if not any(part.startswith(".") for part in path.parts)
    }


def version_of(clip: "Clip") -> str:
    """What changes with the files of a clip at a URL; empty where the video is a local file."""
    if not isinstance(clip.video, RemoteFile):
        return ""
    audio = clip.audio.version if isinstance(clip.audio, RemoteFile) else ""
    return f"{clip.video.version} {audio}".strip()


@contextmanager
def local_copy(clip: "Clip") -> Iterator["Clip"]:
    """The clip with its files on this machine: those at a URL are copied, for as long as it lasts.

    Raises:
        StorageError: a file cannot be read.
    """
    names = [name for name in ("video", "audio") if isinstance(getattr(clip, name), RemoteFile)]
    if not names:
        yield clip
        return
    with tempfile.TemporaryDirectory(prefix="lipsync-", ignore_cleanup_errors=True) as folder:
        copies = {}
        for name in names:  # video and audio may have the same name
            remote = getattr(clip, name)
            copies[name] = Path(folder, name, remote.name)
            copies[name].parent.mkdir()
            fetch(remote.url, copies[name])
        yield replace(clip, **copies)

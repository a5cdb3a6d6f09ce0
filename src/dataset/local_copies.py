"""Clips at a URL, copied to the machine of the worker that processes them."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ..core.storage import fetch
from .clips import Clip
from .remote_files import RemoteFile


def version_of(clip: Clip) -> str:
    """What changes with the files of a clip at a URL; empty where the video is a local file."""
    if not isinstance(clip.video, RemoteFile):
        return ""
    audio = clip.audio.version if isinstance(clip.audio, RemoteFile) else ""
    return f"{clip.video.version} {audio}".strip()


@contextmanager
def local_copy(clip: Clip) -> Iterator[Clip]:
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

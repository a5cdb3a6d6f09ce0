"""Who uses the page: a folder of their own for each, which nobody else sees, and which goes away.

A visitor is known by a random name in a cookie. Files have random names for the browser, too: what
it asks for is looked up among those of this visitor, and a path is never taken from it.
"""

import logging
import re
import secrets
import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.errors import ConfigError
from ..core.files import real_path
from ..i18n.messages import tr
from .temporary_root import TemporaryRoot

KEPT_S = 3600  # after the last thing that a visitor did
SWEEP_EVERY_S = 60
MAX_NAME_BYTES = 120

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Visitor:
    """Someone with the page open.

    Attributes:
        name: random, in the cookie.
        folder: what belongs to the visitor; made when it is first needed.
        is_admitted: the password was given, where there is one.
        tabs: what each tab of the page shows, by its name; ``is_busy`` says whether work goes on.
        lock: held where ``tabs`` and the files are changed.
    """

    name: str
    folder: Path
    is_admitted: bool = False
    tabs: dict[str, Any] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    _uploads: set[Path] = field(default_factory=set)
    _shown: dict[str, Path] = field(default_factory=dict)
    _used_at: float = field(default_factory=time.monotonic)

    def touch(self, longer_s: float = 0.0) -> None:
        """Keep the files for as long again, or so many seconds longer."""
        self._used_at = max(self._used_at, time.monotonic() + longer_s)

    def idle_s(self) -> float:
        """Seconds since the visitor did something; below 0 where the files are kept longer."""
        return time.monotonic() - self._used_at

    def is_busy(self) -> bool:
        """Whether something is being done for the visitor."""
        return any(tab.is_busy for tab in list(self.tabs.values()))

    def new_folder(self) -> Path:
        """An empty folder with a random name."""
        folder = self.folder / secrets.token_hex(16)
        folder.mkdir(parents=True, mode=0o700)
        return folder

    def note_upload(self, path: str) -> None:
        """A file that arrived for this visitor, by the name that the server gave it."""
        with self.lock:
            self._uploads.add(real_path(path))

    def owns_upload(self, path: str) -> bool:
        """Whether a file arrived for this visitor, and for nobody else."""
        return real_path(path) in self._uploads

    def take_upload(self, path: str | Path, folder: Path) -> Path:
        """Copy an uploaded file into a folder of this visitor.

        Args:
            path: as the browser says it: it is only compared with those that arrived.
            folder: of ``new_folder``.

        Returns:
            the copy, under a name that no other file of the folder has.

        Raises:
            ConfigError: no such file arrived for this visitor, or it was deleted.
        """
        with self.lock:
            upload = real_path(path)
            if upload not in self._uploads or not upload.is_file():
                raise ConfigError(tr("the file is no longer here: choose it again"))
            target = folder / free_name(folder, upload.name)
            shutil.copyfile(upload, target)
            return target

    def show(self, path: Path) -> str:
        """The random name by which the browser of this visitor may ask for a file."""
        with self.lock:
            for handle, shown in self._shown.items():
                if shown == path:
                    return handle
            handle = secrets.token_urlsafe(24)
            self._shown[handle] = path
            return handle

    def shown_file(self, handle: str) -> Path | None:
        """The file of a random name; None: this visitor has none of that name."""
        path = self._shown.get(handle)
        return path if path is not None and path.is_file() else None

    def forget(self, folder: Path) -> None:
        """Delete a folder of this visitor with what is in it."""
        with self.lock:
            self._shown = {
                handle: path for handle, path in self._shown.items() if folder not in path.parents
            }
        shutil.rmtree(folder, ignore_errors=True)

    def delete(self) -> None:
        """Delete the files, but for uploads: another visitor may have sent the same file, which has
        the same name then. They go by their own age."""
        with self.lock:
            self._uploads.clear()
            self._shown.clear()
            shutil.rmtree(self.folder, ignore_errors=True)


class Visitors:
    """All visitors, and the folder that holds theirs.

    Args:
        kept_s: after so many seconds without doing anything, a visitor's files are deleted.
    """

    def __init__(self, kept_s: float = KEPT_S):
        self._root = TemporaryRoot("lipsync-page-")
        self.root = self._root.path
        self.uploads = self.root / "uploads"  # where files arrive
        self.uploads.mkdir()
        self._kept_s = kept_s
        self._visitors: dict[str, Visitor] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        threading.Thread(target=self._sweep_forever, name="sweep", daemon=True).start()

    def find(self, name: str | None) -> Visitor | None:
        """The visitor of a cookie; None: there is none of that name."""
        with self._lock:
            return self._visitors.get(name or "")

    def add(self) -> Visitor:
        """A new visitor."""
        name = secrets.token_urlsafe(32)
        visitor = Visitor(name, self.root / secrets.token_hex(16))
        with self._lock:
            self._visitors[name] = visitor
        return visitor

    def sweep(self) -> None:
        """Delete what is older than it may be."""
        with self._lock:
            for name, visitor in list(self._visitors.items()):
                if visitor.idle_s() > self._kept_s and not visitor.is_busy():
                    del self._visitors[name]
                    visitor.delete()
        oldest = time.time() - self._kept_s
        for path in self.uploads.rglob("*"):  # those that nobody took
            try:
                if path.is_file() and path.stat().st_mtime < oldest:
                    path.unlink()
            except OSError as error:  # it is going away by itself
                logger.debug("%s: %s", path, error)

    def _sweep_forever(self) -> None:
        while not self._ended.wait(SWEEP_EVERY_S):
            self.sweep()

    def close(self) -> None:
        """Delete everything."""
        self._ended.set()
        self._root.delete()


def free_name(folder: Path, name: str) -> str:
    """``safe_name``, numbered where the folder has a file of that name."""
    plain = Path(safe_name(name))
    number, free = 1, plain
    while (folder / free).exists():
        number += 1
        free = Path(f"{plain.stem}_{number}{plain.suffix}")
    return str(free)


def safe_name(name: str) -> str:
    """A file name that is one everywhere: no folder, no control character, not too long, and
    neither hidden nor like an option; its suffix stays."""
    plain = re.sub(r"[\x00-\x1f\x7f-\x9f/\\:*?\"<>|\ud800-\udfff]+", "_", name).lstrip(".- ")
    path = Path(plain or "file")
    stem, suffix = path.stem, path.suffix[:12]
    room = MAX_NAME_BYTES - len(suffix.encode())
    return (stem.encode()[:room].decode(errors="ignore") or "file") + suffix

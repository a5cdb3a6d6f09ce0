"""The folder of a server in the temporary folder of the system: it goes with the server.

A server that is killed cannot delete it. Then its lock is free, and the next server that starts
deletes it.
"""

import os
import shutil
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from ..core.errors import LipSyncError
from ..core.locks import locked

LOCK_NAME = ".lock"
MIN_AGE_S = 60  # a younger one may just be about to lock its folder


class TemporaryRoot:
    """A new folder that only this user can read; those of servers that were killed are deleted.

    Args:
        prefix: of its name, which says whose it is.

    Attributes:
        path: the folder.
    """

    def __init__(self, prefix: str):
        _delete_left_behind(prefix)
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        self._lock = ExitStack()
        self._lock.enter_context(locked(self.path / LOCK_NAME, self.path))

    def delete(self) -> None:
        """Delete it with everything in it."""
        self._lock.close()
        shutil.rmtree(self.path, ignore_errors=True)


def _delete_left_behind(prefix: str) -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with suppress(OSError, LipSyncError):  # another user's, or in use
            if _is_own_and_old(folder):
                with locked(folder / LOCK_NAME, folder):
                    shutil.rmtree(folder, ignore_errors=True)


def _is_own_and_old(folder: Path) -> bool:
    """Whether a folder, and no link to one, is of this user, and was not made just now."""
    status = folder.lstat()
    is_own = not hasattr(os, "getuid") or status.st_uid == os.getuid()
    age_s = time.time() - (folder / LOCK_NAME).stat().st_mtime
    return is_own and not folder.is_symlink() and age_s > MIN_AGE_S

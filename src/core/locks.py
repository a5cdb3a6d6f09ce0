"""One run at a time where files are kept and changed: locks that say who holds them."""

import getpass
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import lock_descriptor

from ..i18n.messages import tr
from .errors import InUseError, OutputError

logger = logging.getLogger(__name__)

POLL_S = 0.05


@contextmanager
def locked(path: Path, what: str | Path, wait_s: float = 0.0) -> Iterator[None]:
    """Keep other runs away while the block runs, on this machine and on those that share the disk.

    The lock ends with the process, however that ends. Its file says who holds it, and goes with it.

    Args:
        path: of the lock's file, in an existing folder.
        what: is locked, for messages: a folder or a file.
        wait_s: how long to wait for another run.

    Raises:
        InUseError: another run holds it; the message says who.
        OutputError: the folder cannot be written.
    """
    descriptor = _acquire(path, what, wait_s)
    try:
        yield
    finally:
        if os.name != "nt":
            # While it is still locked: who opened it before notices, see _is_at.
            path.unlink(missing_ok=True)
        os.close(descriptor)
        if os.name == "nt":
            with suppress(OSError):  # open files cannot be removed there: another run has it
                path.unlink()


def check_unlocked(path: Path, what: str | Path) -> None:
    """Raise InUseError, as ``locked`` does, where another run holds this lock."""
    if path.exists():
        with locked(path, what):
            pass


def _acquire(path: Path, what: str | Path, wait_s: float) -> int:
    """The descriptor of the lock's file, locked."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise OutputError(
                tr("cannot write {path}: {why}", path=path, why=error.strerror or error)
            ) from None
        try:
            is_held = lock_descriptor(descriptor, blocking=False)
        except OSError as error:  # some network disks know no locks
            logger.warning(
                tr("{path} cannot be locked ({why}): do not run two commands on it at once",
                   path=what, why=error.strerror or error)
            )  # fmt: skip
            return descriptor
        if is_held and _is_at(descriptor, path):
            _write_owner(descriptor)
            return descriptor
        os.close(descriptor)
        if not is_held and time.monotonic() >= deadline:
            raise InUseError(_held_text(path, what))
        time.sleep(0 if is_held else POLL_S)


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one of that name: the run that held it removes it."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _write_owner(descriptor: int) -> None:
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without a list of users
        user = str(os.getuid()) if hasattr(os, "getuid") else "?"
    owner = {"user": user, "host": socket.gethostname(), "process": os.getpid(),
             "since": time.strftime("%Y-%m-%d %H:%M:%S")}  # fmt: skip
    with suppress(OSError):  # a full disk: the lock holds all the same
        os.ftruncate(descriptor, 0)
        # On Windows the first byte is the lock, and cannot be read by others.
        os.write(descriptor, (" " + json.dumps(owner)).encode())


def _held_text(path: Path, what: str | Path) -> str:
    """Who holds a lock, and what to do."""
    try:
        with open(path, "rb", buffering=0) as file:
            file.seek(1)
            owner = json.loads(file.read(4096))
        owner = {name: owner[name] for name in ("user", "host", "process", "since")}
        if owner["host"] != socket.gethostname():
            # A disk of the network may keep the lock of a machine that was switched off.
            return tr("{path} is in use by {user} on {host} (process {process}, since {since}): "
                      "wait until that run has ended, or use another folder; if that machine has "
                      "stopped meanwhile, remove {lock}", path=what, lock=path,
                      **owner)  # fmt: skip
        return tr("{path} is in use by {user} on {host} (process {process}, since {since}): wait "
                  "until that run has ended, or use another folder", path=what,
                  **owner)  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):  # it is just being taken or given back
        return tr("{path} is in use by another run: wait until it has ended, or use another folder",
                  path=what)  # fmt: skip

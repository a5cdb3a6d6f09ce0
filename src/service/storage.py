"""The jobs that the service knows, each with a folder of its own that goes away some time later.

A job is known by a random name, and by nothing else: without it, nobody sees that there is a job.
"""

import secrets
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ..i18n.messages import tr
from ..web.jobs import DONE, Job
from ..web.temporary_root import TemporaryRoot
from .refusal import RefusedError
from .tasks import Finished

SWEEP_EVERY_S = 30
RETRY_AFTER_S = 10  # where the queue is full
OUTPUTS = "out"  # in the folder of a job


@dataclass(eq=False)
class Entry:
    """A job with its files.

    Attributes:
        id: random.
        kind: ``score``, ``correct`` or ``present``.
        folder: for what is sent; what is made goes into ``outputs``.
        created_at, ended_at: seconds since 1970; None: not yet.
        job: None: the request is still arriving.
        result: what the job has found, as JSON values; None: nothing yet.
        files: what it has written, by name.
    """

    id: str
    kind: str
    folder: Path
    created_at: float
    ended_at: float | None = None
    job: Job | None = None
    result: dict | None = None
    files: dict[str, Path] = field(default_factory=dict)

    @property
    def outputs(self) -> Path:
        """The folder for what is made."""
        return self.folder / OUTPUTS

    @property
    def is_busy(self) -> bool:
        """Whether it takes a place in the queue."""
        return self.job is None or self.job.is_busy

    def take(self, finished: Finished) -> None:
        """Keep what the job has found."""
        self.result = finished.result
        self.files = {name: self.outputs / name for name in finished.files}


class Storage:
    """All jobs, and the folder that holds theirs.

    Args:
        max_jobs: so many wait or run at a time.
        kept_s: so long after its end a job is forgotten with its files.
        clock: seconds since 1970.
    """

    def __init__(self, max_jobs: int, kept_s: float, clock: Callable[[], float] = time.time):
        self._max_jobs, self._kept_s, self._clock = max_jobs, kept_s, clock
        self._root = TemporaryRoot("lipsync-service-")
        self._entries: dict[str, Entry] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        threading.Thread(target=self._sweep_forever, name="sweep", daemon=True).start()

    def reserve(self, kind: str) -> Entry:
        """A place for a job whose request is about to arrive.

        Raises:
            RefusedError: there is none.
        """
        with self._lock:
            if self._ended.is_set():
                raise RefusedError(503, tr("the service is ending: try again later"))
            if sum(entry.is_busy for entry in self._entries.values()) >= self._max_jobs:
                raise RefusedError(
                    429,
                    tr("{n} jobs are waiting or running already: try again later",
                       n=self._max_jobs),
                    {"Retry-After": str(RETRY_AFTER_S)},
                )  # fmt: skip
            folder = self._root.path / secrets.token_hex(16)
            entry = Entry(secrets.token_urlsafe(24), kind, folder, self._clock())
            entry.outputs.mkdir(parents=True, mode=0o700)
            self._entries[entry.id] = entry
            return entry

    def note_end(self, entry: Entry) -> None:
        """Take note that a job has ended; what is not its result is deleted."""
        entry.ended_at = self._clock()
        if entry.job.state != DONE:
            shutil.rmtree(entry.folder, ignore_errors=True)
            return
        kept = {entry.outputs, *entry.files.values()}
        with suppress(FileNotFoundError):  # the service is ending
            for path in [*entry.folder.iterdir(), *entry.outputs.iterdir()]:
                if path not in kept:
                    _delete(path)

    def expires_at(self, entry: Entry) -> float | None:
        """When a job is forgotten, seconds since 1970; None: it has not ended."""
        return None if entry.ended_at is None else entry.ended_at + self._kept_s

    def find(self, name: str) -> Entry:
        """The job of a name.

        Raises:
            RefusedError: there is none, or none any more.
        """
        entry = self._entries.get(name)
        if entry is None or entry.job is None or self._is_expired(entry):
            raise RefusedError(404, tr("there is no such job, or it was deleted since"))
        return entry

    def delete(self, entry: Entry) -> None:
        """Forget a job, and delete its files."""
        with self._lock:
            self._entries.pop(entry.id, None)
        shutil.rmtree(entry.folder, ignore_errors=True)

    def sweep(self) -> None:
        """Delete what is older than it may be."""
        with self._lock:
            expired = [entry for entry in self._entries.values() if self._is_expired(entry)]
        for entry in expired:
            self.delete(entry)

    def close(self) -> None:
        """Delete everything."""
        self._ended.set()
        with self._lock:
            self._entries.clear()
        self._root.delete()

    def _is_expired(self, entry: Entry) -> bool:
        expires_at = self.expires_at(entry)
        return expires_at is not None and self._clock() >= expires_at

    def _sweep_forever(self) -> None:
        while not self._ended.wait(SWEEP_EVERY_S):
            self.sweep()


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)

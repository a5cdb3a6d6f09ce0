"""Work that waits in a queue, is done by a process, and can be cancelled."""

import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..i18n.messages import language
from .worker import CancelledError, FailedError, Task, Worker

WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"

MIN_SHARE = 0.05  # of a stage, from which its time is estimated


@dataclass(eq=False)
class Job:
    """One thing to do.

    Attributes:
        task, inputs: as in ``Worker.run``.
        folder: for its outputs; deleted where there are none.
        on_done: called with the result, in the thread that did it.
        on_part: called with each part of the result that comes before; then the folder stays, also
            where the job is cancelled or fails.
        on_end: called at the end, whatever it is, after the state has changed.
        language: of its messages.
        state: one of the constants above.
        stage: what is being done, in words.
        share: of the stage, 0–1; None: unknown.
        text: why it failed.
        stage_began_at: ``time.monotonic()`` when the stage began.
    """

    task: Task
    inputs: dict
    folder: Path
    on_done: Callable[[Any], None]
    on_part: Callable[[Any], None] | None = None
    on_end: Callable[[], None] = lambda: None
    language: str = field(default_factory=language)
    state: str = WAITING
    stage: str = ""
    share: float | None = None
    text: str = ""
    stage_began_at: float = 0.0
    _cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def is_busy(self) -> bool:
        """Whether it is still to be done."""
        return self.state in (WAITING, RUNNING)

    def cancel(self) -> None:
        """Stop it; returns at once."""
        self._cancelled.set()

    def report(self, stage: str, share: float | None) -> None:
        """Take note of how far it is."""
        if stage != self.stage or (share or 0) < (self.share or 0):
            self.stage_began_at = time.monotonic()
        self.stage, self.share = stage, share

    @property
    def left_s(self) -> float | None:
        """Seconds until the end of the stage, by its pace so far; None: it cannot be said yet."""
        if self.share is None or self.share < MIN_SHARE:
            return None
        spent_s = time.monotonic() - self.stage_began_at
        return spent_s * (1 - self.share) / self.share

    def run(self, worker: Worker) -> None:
        """Do it."""
        if self._cancelled.is_set():
            self.end(CANCELLED)
            return
        self.state = RUNNING
        try:
            result = worker.run(
                self.task, self.inputs, self.folder, self.language, self.report,
                self._cancelled.is_set, self.on_part or (lambda part: None),
            )  # fmt: skip
        except CancelledError:
            self.end(CANCELLED)
        except FailedError as error:
            self.text = str(error)
            self.end(FAILED)
        else:
            self.on_done(result)
            self.end(DONE)

    def end(self, state: str) -> None:
        """Take note of how it ended; what it has written without a result is deleted."""
        if state != DONE and self.on_part is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.state = state
        self.on_end()


class Queue:
    """Jobs in the order of their arrival, done by so many processes at a time.

    Args:
        make_worker: a new process.
        n_workers: how many.
        is_eager: start the processes before they are needed.
    """

    def __init__(
        self, make_worker: Callable[[], Worker], n_workers: int = 1, is_eager: bool = False
    ):
        self._is_eager = is_eager
        self._waiting: list[Job] = []
        self._changed = threading.Condition()
        self._is_closed = False
        self._workers = [make_worker() for _ in range(n_workers)]
        self._threads = [
            threading.Thread(target=self._work, args=(worker,), daemon=True, name="queue")
            for worker in self._workers
        ]
        for thread in self._threads:
            thread.start()

    def add(self, job: Job) -> None:
        """Have a job done when its turn comes."""
        with self._changed:
            self._waiting.append(job)
            self._changed.notify()

    def n_before(self, job: Job) -> int:
        """How many jobs are waiting before this one."""
        with self._changed:
            return self._waiting.index(job) if job in self._waiting else 0

    def cancel(self, job: Job) -> None:
        """Stop a job, also one that waits."""
        job.cancel()
        with self._changed:
            is_waiting = job in self._waiting
            if is_waiting:
                self._waiting.remove(job)
        if is_waiting:
            job.end(CANCELLED)

    @property
    def is_working(self) -> bool:
        """Whether jobs are done: not after ``close``."""
        return all(thread.is_alive() for thread in self._threads)

    def _work(self, worker: Worker) -> None:
        while True:
            if self._is_eager and not self._is_closed:
                worker.start()
            with self._changed:
                while not self._waiting and not self._is_closed:
                    self._changed.wait()
                if self._is_closed:
                    return
                job = self._waiting.pop(0)
            job.run(worker)

    def close(self) -> None:
        """End all work."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        for worker in self._workers:
            worker.kill()

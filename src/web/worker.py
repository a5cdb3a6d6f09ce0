"""A process that does the work of the page, and can be ended in the middle of anything.

A progress function can only be stopped where it is called; a decoder or an encoder that is busy is
not. So the work is in a process of its own, with all processes that it starts: they end at once.
"""

import logging
import os
import signal
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from typing import Any, Protocol

from ..core.console import console_logging
from ..core.errors import LipSyncError
from ..core.progress import Item
from ..i18n.messages import tr, use_language
from ..pipeline.engine import EngineSpec, LipSyncInference

MIN_REPORT_S = 0.2  # between two reports of progress
POLL_S = 0.1  # so often it is asked whether to cancel
JOIN_S = 5.0  # a killed process is gone by then

logger = logging.getLogger(__name__)


class CancelledError(Exception):
    """The visitor has cancelled the work."""


class FailedError(LipSyncError):
    """The work failed; the text says why, in the language of the visitor."""


class CrashedError(FailedError):
    """The process ended in the middle of the work."""


@dataclass(frozen=True)
class Input:
    """What is handed to a task while it runs."""

    value: Any


@dataclass
class Work:
    """What a task gets to work with, in the process.

    Attributes:
        load: the model, which is loaded once.
        spec: what it is built from.
        folder: for outputs and temporary files; the working folder is the one above it.
        report: says (stage, share that is done 0–1 or None).
        part: hands over a part of the result before the end.
        receive: waits for what ``Worker.send`` sends, and returns it.
    """

    load: Callable[[], LipSyncInference]
    spec: EngineSpec
    folder: Path
    report: Callable[[str, float | None], None]
    part: Callable[[Any], None]
    receive: Callable[[], Any]
    _latest: float = field(default=0.0)

    @property
    def engine(self) -> LipSyncInference:
        """The loaded model."""
        return self.load()

    def progress(self, items: Iterable[Item], stage: str, total: float) -> Iterable[Item]:
        """A ``Progress`` of the library."""
        self.report(stage, 0.0 if total else None)
        for number, item in enumerate(items):
            now = time.monotonic()
            if now - self._latest >= MIN_REPORT_S:
                self._latest = now
                self.report(stage, min(1.0, number / total) if total else None)
            yield item


class Task(Protocol):
    """What a process does: a function of a module, with inputs that can be pickled."""

    def __call__(self, work: Work, **inputs) -> Any: ...


class Worker:
    """A process with the model loaded; it is started when it is first needed, and again after its
    end.

    Args:
        spec: the model that scores.
        is_preloaded: load it before there is a task.
    """

    def __init__(self, spec: EngineSpec, is_preloaded: bool = True):
        self._spec, self._is_preloaded = spec, is_preloaded
        self._process = self._connection = None
        self._sending = threading.Lock()  # while it is held, the connection is not closed

    def start(self) -> None:
        """Start the process, which takes seconds; it loads the model meanwhile."""
        if self._process is not None and self._process.is_alive():
            return
        spawn = get_context("spawn")
        self._connection, others_end = spawn.Pipe()
        self._process = spawn.Process(
            target=_serve, args=(others_end, self._spec, self._is_preloaded), daemon=True
        )
        self._process.start()
        others_end.close()

    def run(
        self,
        task: Task,
        inputs: dict,
        folder: Path,
        language: str,
        report: Callable[[str, float | None], None],
        is_cancelled: Callable[[], bool],
        on_part: Callable[[Any], None] = lambda part: None,
    ) -> Any:
        """Do a task, and wait for it.

        Args:
            task, inputs: what is done.
            folder: for its outputs; the folder above it is its working folder.
            language: of its messages.
            report: called with (stage, share that is done 0–1 or None).
            is_cancelled: asked all the time; then the process is ended.
            on_part: is handed the parts of the result that come before its end.

        Returns:
            what the task returned.

        Raises:
            CancelledError: it was cancelled.
            FailedError: it failed; CrashedError: its process crashed.
        """
        self.start()
        try:
            self._connection.send((task, inputs, folder, language))
            while True:
                if is_cancelled():
                    raise CancelledError
                if not self._connection.poll(POLL_S):
                    continue
                kind, value = self._connection.recv()
                if kind == "progress":
                    report(*value)
                elif kind == "part":
                    on_part(value)
                elif kind == "done":
                    return value
                else:
                    raise FailedError(value)
        except (EOFError, OSError):
            self.kill()
            with use_language(language):
                raise CrashedError(
                    tr("the program that reads this file crashed: convert the file, or try another")
                ) from None
        except CancelledError:
            self.kill()
            raise

    def send(self, value: Any) -> None:
        """Hand something to the task that runs; waits while the task is busy.

        Raises:
            OSError: the process has ended.
        """
        with self._sending:
            self._connection.send(Input(value))

    def kill(self) -> None:
        """End the process and all that it has started, at once."""
        process, self._process = self._process, None
        if process is None:
            return
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)  # it leads a group of its own
        process.kill()
        process.join(JOIN_S)
        with self._sending:
            self._connection.close()


# ---------------------------------------------------------------------------- in the process


def _serve(parent: connection.Connection, spec: EngineSpec, is_preloaded: bool) -> None:
    """Do tasks until the connection is closed."""
    if hasattr(os, "setsid"):
        os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is the main process's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()
    lock = threading.Lock()  # threads of the library report, too

    def send(*message) -> None:
        with lock, suppress(BrokenPipeError):
            parent.send(message)

    load = cache(spec.build)
    if is_preloaded:
        with suppress(LipSyncError):  # it is raised again, and reported, by the first task
            load()
    while True:
        try:
            message = parent.recv()
        except (EOFError, OSError):
            return
        if isinstance(message, Input):
            continue  # for a task that has ended
        task, inputs, folder, language = message
        with console_logging(), use_language(language):
            try:
                tempfile.tempdir = str(folder)
                os.chdir(folder.parent)  # names of files in messages and reports are short
                work = Work(
                    load, spec, folder,
                    lambda stage, share: send("progress", (stage, share)),
                    lambda part: send("part", part),
                    lambda: parent.recv().value,
                )  # fmt: skip
                send("done", task(work, **inputs))
            except LipSyncError as error:
                send("failed", str(error))
            # One file must not end the page, whatever a decoder makes of it.
            except Exception:
                logger.error(traceback.format_exc())
                text = tr("something went wrong that should not; the console of the page has "
                          "the details")  # fmt: skip
                send("failed", text)


def _end_with_parent() -> None:
    """End when the main process has been killed, with all that was started here."""
    parent_process().join()
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)
    os._exit(1)

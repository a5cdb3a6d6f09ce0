"""Jobs in several processes: one that crashes its process, or hangs, fails alone, and what ends the
main process (Ctrl+C, SIGTERM, SIGHUP) ends them all."""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from time import monotonic
from typing import Any

from ..i18n.messages import language, tr, use_language
from .console import console_logging, is_console_logging

MAX_WORKERS = 61  # what Windows can wait for
STOP_AGAIN_S = 0.05
GRACE_S = 5  # how long processes may take to clean up when they are asked to end


# (work, context, jobs, n_workers, timeout_s) -> (job, its result) in the order of completion, as
# ``map_in_processes``.
MapJobs = Callable[[Callable[[Any, Any], Any], Any, list, int, float], Iterator[tuple[Any, Any]]]


@dataclass(frozen=True)
class Crashed:
    """The result of a job that crashed its process twice, or so many workers of a cluster.

    Attributes:
        n_workers: of a cluster; 0: it was a process of this machine.
    """

    n_workers: int = 0


def crash_text(path: str | Path, result: Crashed) -> str:
    """Why a job on a file has no result."""
    if result.n_workers:
        return tr("unreadable: {path} ended {n} workers of the cluster, one after the other",
                  path=path, n=result.n_workers)  # fmt: skip
    return tr("unreadable: the decoder crashed on {path}", path=path)


@dataclass(frozen=True)
class TimedOut:
    """The result of a job that was stopped because it took longer than ``limit_s``."""

    limit_s: float


def timeout_text(path: str | Path, result: TimedOut) -> str:
    """Why a job on a file has no result."""
    return tr(
        "stopped after {limit:g} s on {path}: the decoder hangs on this file, or it needs more "
        "time (raise data.clip_timeout_s)", limit=result.limit_s, path=path,
    )  # fmt: skip


def map_in_processes(
    work: Callable[[Any, Any], Any], context: Any, jobs: list, n_workers: int, timeout_s: float = 0
) -> Iterator[tuple[Any, Any]]:
    """(job, its result) in the order of completion.

    Args:
        work: called as ``work(context, job)`` in a process of its own; must be importable. What
            it raises ends the run.
        context: sent to each process once.
        jobs: the second arguments, picklable.
        n_workers: processes; 0: one per core.
        timeout_s: how long a job may take; 0: as long as it likes.

    A job that crashes its process is tried once more alone; then its result is ``Crashed``. One
    that takes too long is stopped with its process, and its result is ``TimedOut``; the others go
    on. Where the caller stops early (an error, Ctrl+C), the processes are interrupted by an
    exception, so that they can remove unfinished files. On Windows, and where they do not end in
    time, they are killed, and removing those files is up to the caller.
    """
    workers = max(1, min(n_workers or cores(), len(jobs), MAX_WORKERS))
    setup = (work, context, is_console_logging(), language())
    suspects = []
    for job, result in _results(setup, jobs, workers, timeout_s):
        if isinstance(result, Crashed):
            suspects.append(job)  # it may have been short of memory for a moment
        else:
            yield job, result
    yield from _results(setup, suspects, 1, timeout_s)


def cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _results(
    setup: tuple, jobs: list, n_workers: int, timeout_s: float
) -> Iterator[tuple[Any, Any]]:
    """``map_in_processes`` with each job tried once; on an early exit the processes are stopped in
    the middle of their jobs."""
    waiting, workers = jobs[::-1], []
    try:
        while waiting or workers:
            while waiting and len(workers) < n_workers:
                workers.append(_Worker(setup, waiting.pop()))
            seconds = [worker.seconds_left(timeout_s) for worker in workers]
            connection.wait(
                [worker.connection for worker in workers],
                min((left for left in seconds if left is not None), default=None),
            )
            for worker in list(workers):
                is_late = worker.seconds_left(timeout_s) == 0
                if worker.connection.poll():
                    if worker.is_starting and worker.finish_start():
                        continue
                    job, result = worker.job, worker.receive()
                elif is_late:
                    job, result = worker.job, TimedOut(timeout_s)
                    _end([worker.process])
                else:
                    continue
                is_gone = isinstance(result, Crashed | TimedOut)
                if waiting and not is_gone:
                    worker.send(waiting.pop())
                else:
                    workers.remove(worker)
                    worker.close()
                yield job, result
    except BaseException:
        _end([worker.process for worker in workers])
        raise


class _Worker:
    """A process, and the job that it is doing.

    Attributes:
        connection: gets a message when it is ready, and one after each job; closed by its end.
        is_starting: it has not said that it is ready.
    """

    def __init__(self, setup: tuple, job: Any):
        spawn = get_context("spawn")
        self.connection, others_end = spawn.Pipe()
        self.process = spawn.Process(target=_serve, args=(others_end, *setup), daemon=True)
        with _interrupts_blocked():
            self.process.start()
        others_end.close()
        self.is_starting = True
        self.send(job)

    def send(self, job: Any) -> None:
        """Let it do a job."""
        self.job, self._started_at = job, monotonic()
        with suppress(BrokenPipeError):  # it has crashed: ``receive`` says so
            self.connection.send(job)

    def seconds_left(self, timeout_s: float) -> float | None:
        """How much longer its job may take, 0 at least; None: there is no limit, or it has not
        begun."""
        if not timeout_s or self.is_starting:
            return None
        return max(0.0, self._started_at + timeout_s - monotonic())

    def finish_start(self) -> bool:
        """Take the message that it is ready; False: it ended before."""
        self.is_starting, self._started_at = False, monotonic()
        return self._next_message() is not None

    def receive(self) -> Any:
        """The result of its job; what the job raised is raised."""
        message = self._next_message()
        if message is None:
            return Crashed()
        result, error, trace = message
        if error is not None:
            raise error from _InProcess(trace)
        return result

    def _next_message(self) -> tuple | None:
        try:
            return self.connection.recv()
        except (EOFError, OSError):  # the end of the process
            return None

    def close(self) -> None:
        """Let it end, and wait for that."""
        self.connection.close()
        self.process.join(GRACE_S)
        if self.process.is_alive():
            _end([self.process])


class _InProcess(Exception):
    """Where in its process a job raised an error."""

    def __str__(self) -> str:
        return "\n\n" + self.args[0]


def _end(processes: list) -> None:
    for process in processes:
        process.terminate()
    deadline = monotonic() + GRACE_S
    for process in processes:
        process.join(max(0.0, deadline - monotonic()))
        if process.is_alive():
            process.kill()
            process.join()


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block Ctrl+C and SIGHUP; a process that is started inside inherits that: so they never
    interrupt one that is still starting."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


# ---------------------------------------------------------------------------- in the process


def _serve(
    parent: connection.Connection, work: Callable, context: Any, log_to_console: bool,
    language_name: str,
) -> None:  # fmt: skip
    """Do jobs until the main process closes the connection."""
    try:
        _prepare()
        logging = console_logging if log_to_console else nullcontext
        parent.send(())
        while True:
            try:
                job = parent.recv()
            except (EOFError, OSError):
                return
            try:
                with logging(), use_language(language_name):
                    message = work(context, job), None, ""
                parent.send(message)
            except Exception as error:
                parent.send((None, error, traceback.format_exc()))
    except _Stopped:
        os._exit(1)  # at once: the job has cleaned up


def _prepare() -> None:
    """Set a process up: one thread, since there is a process per core, and its ways to end."""
    import cv2

    # Ctrl+C and a closed terminal are the main process's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    sys.unraisablehook = _stop_again
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # for torch, which is imported when it is needed


def _end_with_parent() -> None:
    """Exit when the main process has been killed: it can no longer stop its workers."""
    parent_process().join()
    os._exit(1)


class _Stopped(SystemExit):
    """The run has ended, and nothing waits for the job any more."""


def _stop(*_) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once only: the job is cleaning up
    raise _Stopped(1)


def _stop_again(unraisable) -> None:
    """Nothing that is raised gets out of what Python itself calls, as during an import: the job is
    stopped a moment later then."""
    if unraisable.exc_type is _Stopped:
        signal.signal(signal.SIGTERM, _stop)
        threading.Timer(STOP_AGAIN_S, os.kill, (os.getpid(), signal.SIGTERM)).start()
    else:
        sys.__unraisablehook__(unraisable)

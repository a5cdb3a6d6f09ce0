"""Jobs in several processes: one that crashes its process fails alone, and what ends the main
process (Ctrl+C, SIGTERM, SIGHUP) ends them all."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext
from multiprocessing import get_context, parent_process
from time import monotonic
from typing import Any

from ..i18n.messages import language, use_language
from .console import console_logging, is_console_logging

MAX_WORKERS = 61  # what Windows allows
GRACE_S = 5  # how long processes may take to clean up when they are asked to end


class Crashed:
    """The result of a job that crashed its process twice."""


def map_in_processes(
    work: Callable[[Any, Any], Any], context: Any, jobs: list, n_workers: int
) -> Iterator[tuple[Any, Any]]:
    """(job, its result) in the order of completion.

    Args:
        work: called as ``work(context, job)`` in a process of its own; must be importable. What
            it raises ends the run.
        context: sent to each process once.
        jobs: the second arguments, picklable.
        n_workers: processes; 0: one per core.

    A job that crashes its process is tried once more alone; then its result is ``Crashed``.
    Where the caller stops early (an error, Ctrl+C), the processes are interrupted by an exception,
    so that they can remove unfinished files; on Windows, and where they do not end in time, they
    are killed, and removing those files is up to the caller.
    """
    workers = max(1, min(n_workers or cores(), len(jobs), MAX_WORKERS))
    waiting, suspects = jobs[::-1], []
    while waiting:
        with _pool(work, context, workers) as pool:
            running: dict[Future, Any] = {}
            try:
                while waiting or running:
                    while waiting and len(running) < 2 * workers:
                        running[_submit(pool, waiting[-1])] = waiting[-1]
                        waiting.pop()
                    finished, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in [future for future in running if future in finished]:
                        result = future.result()
                        yield running.pop(future), result
            except BrokenProcessPool:
                # One of the running jobs crashed its process, and the pool with it.
                suspects += running.values()
    while suspects:
        with _pool(work, context, 1) as pool:
            try:
                while suspects:
                    result = _submit(pool, suspects[-1]).result()
                    yield suspects.pop(), result
            except BrokenProcessPool:
                yield suspects.pop(), Crashed()


def cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def _pool(work: Callable, context: Any, workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes for jobs; on an early exit they are stopped in the middle of their jobs."""
    pool = ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=_start_worker,
        initargs=(work, context, is_console_logging(), language()),
    )  # fmt: skip
    try:
        yield pool
    except BaseException:
        _end(list((pool._processes or {}).values()))
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _end(processes: list) -> None:
    for process in processes:
        process.terminate()
    deadline = monotonic() + GRACE_S
    for process in processes:
        process.join(max(0.0, deadline - monotonic()))
        if process.is_alive():
            process.kill()


def _submit(pool: ProcessPoolExecutor, job: Any) -> Future:
    """Submit a job; Ctrl+C and SIGHUP are blocked meanwhile, because the pool may start a process
    for it, which inherits that: so they never interrupt a process that is still starting."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        return pool.submit(_do, job)
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        return pool.submit(_do, job)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


_worker: dict = {}


def _start_worker(work: Callable, context: Any, log_to_console: bool, language_name: str) -> None:
    """Set a process up: one thread, since there is a process per core, and the parent's log and
    language."""
    import cv2

    # Ctrl+C and a closed terminal are the main process's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # for torch, which is imported when it is needed
    logging = console_logging if log_to_console else nullcontext
    _worker.update(work=work, context=context, logging=logging, language=language_name)


def _end_with_parent() -> None:
    """Exit when the main process has been killed: it can no longer stop its workers."""
    parent_process().join()
    os._exit(1)


class _Stopped(SystemExit):
    """The run has ended, and nothing waits for the job any more."""


def _stop(*_) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once only: the job is cleaning up
    raise _Stopped(1)


def _do(job: Any) -> Any:
    try:
        with _worker["logging"](), use_language(_worker["language"]):
            return _worker["work"](_worker["context"], job)
    except _Stopped:
        os._exit(1)  # the pool would take it for the job's result, and start the next one

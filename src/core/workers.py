"""Jobs over several processes: one that takes its process down costs only itself, and Ctrl+C
ends them all."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from time import monotonic
from typing import Any

MOST_WORKERS = 61  # what Windows allows
GRACE_S = 5  # processes that are told to end may take so long to remove what they left half-done


class Crashed:
    """The result of a job that took its process down twice."""


def map_in_processes(
    work: Callable[[Any, Any], Any], context: Any, jobs: list, n_workers: int
) -> Iterator[tuple[Any, Any]]:
    """(job, its result) in the order they get done.

    Args:
        work: called as ``work(context, job)`` in a process of its own; must be importable. What
            it raises ends the run.
        context: sent to each process once.
        jobs: what there is to do.
        n_workers: processes; 0: one for each core.

    A job that takes its process down is tried once more alone; then its result is ``Crashed``.
    Where the caller stops early (an error, Ctrl+C), the processes end in the middle of
    what they do, by an exception, so that they can remove what they leave half-done; on Windows,
    and where they do not end in time, at once: then that is the caller's to do.
    """
    workers = max(1, min(n_workers or cores(), len(jobs), MOST_WORKERS))
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
                    for future in [one for one in running if one in finished]:
                        result = future.result()
                        yield running.pop(future), result
            except BrokenProcessPool:
                # One of the running jobs took its process down, and the pool with it.
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
    """Processes that do jobs; left early, they drop the jobs they are at."""
    pool = ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=_start_worker, initargs=(work, context)
    )
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
    latest = monotonic() + GRACE_S
    for process in processes:
        process.join(max(0.0, latest - monotonic()))
        if process.is_alive():
            process.kill()


def _submit(pool: ProcessPoolExecutor, job: Any) -> Future:
    """Hand a job to the pool, which may start a process for it: a blocked Ctrl+C is inherited,
    so it never meets one that is still starting."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        return pool.submit(_do, job)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(_do, job)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_worker: dict = {}


def _start_worker(work: Callable, context: Any) -> None:
    """Each process keeps to one thread: there is one process a core."""
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is the main process's to handle
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # for torch, which is imported when it is needed
    _worker.update(work=work, context=context)


def _end_with_parent() -> None:
    """A main process that is killed cannot end its workers, which would wait for ever."""
    parent_process().join()
    os._exit(1)


class _Stopped(SystemExit):
    """Nobody waits for the job any more."""


def _stop(*_) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once: what was begun is being removed
    raise _Stopped(1)


def _do(job: Any) -> Any:
    try:
        return _worker["work"](_worker["context"], job)
    except _Stopped:
        os._exit(1)  # the pool would take it for the job's result, and begin another one

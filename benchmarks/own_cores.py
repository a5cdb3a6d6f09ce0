"""Workers that have a core each, and when they did their jobs."""

import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from itertools import pairwise
from typing import NamedTuple

from src.core.errors import ConfigError, DatasetError
from src.core.workers import Crashed, MapJobs, TimedOut, cores
from src.i18n.messages import tr


def available_cores(n_workers: int) -> list[int]:
    """A core for each worker; empty where processes cannot be kept on cores (macOS, Windows).

    Raises:
        ConfigError: there are fewer cores than workers.
    """
    if n_workers > cores():
        raise ConfigError(
            tr("--workers {n}: this machine has {cores} cores", n=n_workers, cores=cores())
        )
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []


def keep_on(chosen: Iterable[int]) -> None:
    """Keep this process on these cores, with the threads that it has."""
    for thread in os.listdir("/proc/self/task") if chosen else ():
        with suppress(ProcessLookupError):  # one that ends meanwhile
            os.sched_setaffinity(int(thread), chosen)


@contextmanager
def kept_on(chosen: list[int]) -> Iterator[None]:
    """This process, and what it starts meanwhile, keep to these cores."""
    if not chosen:
        yield
        return
    before = os.sched_getaffinity(0)
    keep_on(chosen)
    try:
        yield
    finally:
        keep_on(before)


@cache
def _take_core(folder: str, chosen: tuple[int, ...]) -> None:
    """Keep this worker on a core that none of the others of this run has."""
    for core in chosen:
        try:
            os.close(os.open(f"{folder}/{core}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        keep_on({core})
        return


class Span(NamedTuple):
    """When a worker did a job, in seconds of a clock that all processes share."""

    worker: int
    begin: float
    end: float


def _timed_on_own_core(context: tuple, job: object) -> tuple[object, Span]:
    work, own_context, folder, chosen = context
    _take_core(folder, chosen)
    begin = time.monotonic()
    result = work(own_context, job)
    return result, Span(os.getpid(), begin, time.monotonic())


class Watched:
    """A ``MapJobs`` whose workers have a core each.

    Attributes:
        spans: of all jobs that are done.
    """

    def __init__(self, map_jobs: MapJobs, chosen: list[int]):
        self._map_jobs, self._cores, self.spans = map_jobs, tuple(chosen), []

    def __call__(self, work: Callable, context: object, jobs: list, n_workers: int, limit_s: float):
        with tempfile.TemporaryDirectory(prefix="lipsync-") as taken:
            context = work, context, taken, self._cores
            results = self._map_jobs(_timed_on_own_core, context, jobs, n_workers, limit_s)
            with closing(results):
                for job, result in results:
                    if isinstance(result, Crashed | TimedOut):
                        yield job, result
                        continue
                    self.spans.append(result[1])
                    yield job, result[0]


def _by_worker(spans: list[Span]) -> list[list[Span]]:
    """The jobs of each worker, in their order."""
    by_worker = defaultdict(list)
    for span in sorted(spans, key=lambda span: span.begin):
        by_worker[span.worker].append(span)
    return list(by_worker.values())


def waiting_share(spans: list[Span]) -> float:
    """How long workers wait between two jobs, as a share of a job; a worker's first job, which
    loads libraries and models, counts neither.

    Raises:
        DatasetError: there are too few jobs for that.
    """
    pairs = [pair for own in _by_worker(spans) for pair in pairwise(own)]
    if not pairs:
        raise DatasetError(tr("too few clips to measure: raise --clips"))
    waits = sum(after.begin - before.end for before, after in pairs)
    return waits / sum(after.end - after.begin for _, after in pairs)


def rate(spans: list[Span], n_workers: int) -> float:
    """Jobs a second while all workers are at work: from when each has done its first job, as that
    one loads libraries and models, to when one of them has none left.

    Raises:
        DatasetError: there are too few jobs for that.
    """
    by_worker = _by_worker(spans)
    start = max(own[0].end for own in by_worker)
    stop = min(own[-1].end for own in by_worker)
    if len(by_worker) < n_workers or stop <= start:
        raise DatasetError(tr("too few clips to measure: raise --clips"))
    done = sum(
        max(0.0, min(span.end, stop) - max(span.begin, start)) / (span.end - span.begin)
        for span in spans
    )
    return done / (stop - start)

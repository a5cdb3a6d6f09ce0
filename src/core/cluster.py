"""Jobs on a Dask cluster: what ``workers.map_in_processes`` does, on the machines of a cluster.

Scheduling, retries and the network are Dask's. A job goes to a worker process when one is free; of
the threads that a worker may have, one is used, so that a job has its process for itself, as in
``workers``. All machines must see the same files under the same paths.
"""

import hashlib
import importlib.metadata
import logging
import os
import pickle
import platform
import queue
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from ..i18n.messages import language, tr, use_language
from .errors import ClusterError, ConfigError
from .files import ensure_folder, trial_file
from .workers import Crashed, MapJobs, TimedOut, cores

logger = logging.getLogger(__name__)

MAX_DEATHS = 3  # of workers under one job, before it is given up
CONNECT_S = 15.0
WAIT_S = 600.0  # for a scheduler or for workers that are gone to come back
POLL_S = 1.0
STOP_S = 30.0  # how much longer than its limit a job may take where nothing stops it from outside
TOPIC = "lipsync"  # of the events by which workers say which job they have begun
SEEN_PACKAGES = ("numpy", "torch", "av", "opencv-python", "onnxruntime")  # results depend on them

# Of an own cluster. Dask's profiler looks at each worker a hundred times a second and its tick
# fifty times: together they took a tenth of the time of a clip.
OWN_CLUSTER_SETTINGS = {
    "distributed.scheduler.allowed-failures": MAX_DEATHS - 1,
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.worker.memory.monitor-interval": "10s",
}

ENGINES = ("processes", "dask")
LOCAL, SLURM = "local", "slurm"


@contextmanager
def engine_opened(
    name: str, scheduler: str | None, n_workers: int, folder: Path
) -> Iterator[MapJobs | None]:
    """What does jobs on the engine of that name; None: processes of this machine.

    Args:
        name: of ``ENGINES``.
        scheduler: ``HOST:PORT``; ``slurm``: workers are Slurm jobs, as ``jobqueue.yaml`` of
            dask-jobqueue describes them; ``local``: processes of this machine. None: ``local``.
        n_workers: to start; 0: one per core. Where a cluster runs already, all of its workers.
        folder: where the jobs write: the workers must see it.

    Raises:
        ConfigError: Dask is not installed, or it is not asked for.
        ClusterError: there is no cluster, or it cannot be used.
        OutputError: the folder cannot be written.
    """
    if name != "dask":
        if scheduler is not None:
            raise ConfigError(tr("--scheduler goes with --engine dask"))
        yield None
        return
    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "critical")  # read as it is imported
    try:
        import dask
        import distributed
    except ImportError:
        raise ConfigError(
            tr("--engine dask needs Dask: pip install -r requirements-cluster.txt")
        ) from None
    ensure_folder(folder)
    with dask.config.set(OWN_CLUSTER_SETTINGS), _own_cluster(scheduler or LOCAL, n_workers) as own:
        cluster = _Cluster(distributed, own or scheduler)
        try:
            cluster.check(folder)
            yield cluster.map
        finally:
            cluster.close()


@contextmanager
def _own_cluster(scheduler: str, n_workers: int) -> Iterator[Any]:
    """A cluster of this run; None: one runs already."""
    import distributed

    if scheduler == LOCAL:
        cluster = distributed.LocalCluster(
            n_workers=n_workers or cores(), threads_per_worker=1, processes=True, memory_limit=0,
            dashboard_address=":0",
        )  # fmt: skip
    elif scheduler == SLURM:
        cluster = _slurm_cluster(n_workers)
    else:
        yield None
        return
    try:
        yield cluster
    finally:
        cluster.close()


def _slurm_cluster(n_workers: int):
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError:
        raise ConfigError(
            tr("--scheduler slurm needs dask-jobqueue: pip install -r requirements-cluster.txt")
        ) from None
    try:
        cluster = SLURMCluster()
        cluster.scale(n_workers or 1)
    # What is wrong with its settings, or with Slurm, shows as nearly anything.
    except Exception as error:
        raise ClusterError(
            tr("no workers from Slurm ({why}): describe them in ~/.config/dask/jobqueue.yaml",
               why=_one_line(error))
        ) from None  # fmt: skip
    return cluster


class _Cluster:
    """A connection to a cluster, which is made again where it is lost."""

    def __init__(self, distributed: Any, place: Any):
        self._distributed, self._place = distributed, place
        self._client = self._connect()
        link = self._client.dashboard_link
        logger.info(tr("cluster: {address}, dashboard: {link}", address=self.address, link=link))

    @property
    def address(self) -> str:
        return self._place if isinstance(self._place, str) else self._place.scheduler_address

    def _connect(self):
        try:
            return self._distributed.Client(self._place, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError, ImportError, TypeError) as error:
            raise ClusterError(
                tr("no Dask scheduler answers at {address} ({why}): start one with dask scheduler, "
                   "or correct --scheduler", address=self.address, why=_one_line(error))
            ) from None  # fmt: skip

    def close(self) -> None:
        with suppress(Exception):  # it may be gone: nothing is left to close then
            self._client.close(timeout=5)

    def workers(self) -> list[str]:
        """The addresses of the worker processes."""
        if self._client.status != "running":
            return []
        try:
            return list(self._client.scheduler_info(n_workers=-1)["workers"])
        except (OSError, TimeoutError):
            return []

    def check(self, folder: Path) -> None:
        """Refuse workers that would give other results, or that do not see the files."""
        self._wait_for_workers()
        run, distributed = self._client.run, self._distributed
        try:
            environments = run(environment)
        # A worker that lacks the program cannot even take the question.
        except (ImportError, AttributeError, pickle.PickleError) as error:
            raise ClusterError(
                tr("the workers at {address} cannot import this program ({why}): install it for "
                   "them, or start them with its folder in PYTHONPATH",
                   address=self.address, why=_one_line(error))
            ) from None  # fmt: skip
        except (OSError, distributed.comm.CommClosedError) as error:
            raise ClusterError(
                tr("the cluster at {address} does not answer: {why}",
                   address=self.address, why=_one_line(error))
            ) from None  # fmt: skip
        own = environment()
        for worker, other in environments.items():
            for name, version in own.items():
                if other.get(name) != version:
                    raise ClusterError(
                        tr("the worker {worker} has another version of {name} ({other}; here: "
                           "{own}): results would differ; install the same",
                           worker=worker, name=name, other=other.get(name), own=version)
                    )  # fmt: skip
        with trial_file(folder) as mark:
            for path in (Path.cwd(), mark.absolute()):
                for worker, is_there in run(os.path.exists, str(path)).items():
                    if not is_there:
                        raise ClusterError(
                            tr("the worker {worker} does not see {path}: use a disk that all "
                               "machines share, under the same path",
                               worker=worker, path=path if path.is_dir() else path.parent)
                        )  # fmt: skip

    def _wait_for_workers(self) -> None:
        """Wait until there is a worker."""
        deadline = time.monotonic() + WAIT_S
        while not self.workers():
            if time.monotonic() > deadline:
                raise ClusterError(
                    tr("the cluster at {address} has no workers: start some with dask worker "
                       "{address} --nthreads 1; what is finished is saved", address=self.address)
                )  # fmt: skip
            time.sleep(POLL_S)

    def reconnect(self) -> None:
        """Connect again, after the scheduler was restarted.

        Raises:
            ClusterError: it does not come back in time.
        """
        logger.warning(tr("the connection to the cluster is lost: waiting for it"))
        self.close()
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                self._client = self._connect()
                break
            except ClusterError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_S)
        self._wait_for_workers()

    def map(
        self, work: Callable, context: Any, jobs: list, n_workers: int, timeout_s: float = 0
    ) -> Iterator[tuple[Any, Any]]:
        """As ``workers.map_in_processes``; all workers are used."""
        return _Run(self, (work, context), jobs, timeout_s).results()

    def submit(self, *arguments):
        return self._client.submit(_do, *arguments, pure=False)

    def is_connected(self) -> bool:
        return self._client.status == "running"

    def subscribe(self, handler: Callable) -> None:
        self._client.subscribe_topic(TOPIC, handler)

    def cancel(self, futures: list) -> None:
        with suppress(Exception):  # the scheduler may be gone, and they with it
            self._client.cancel(futures)

    def restart_worker(self, address: str) -> None:
        """End a worker that hangs; its nanny starts another one."""
        with suppress(Exception):  # one without a nanny ends by itself, see ``_do``
            self._client.restart_workers([address], timeout=STOP_S, raise_for_error=False)


class _Run:
    """One call of ``map``: what waits and what is in flight."""

    def __init__(self, cluster: _Cluster, task: tuple, jobs: list, timeout_s: float):
        self._cluster, self._timeout_s = cluster, timeout_s
        self._call = pickle.dumps((*task, language(), os.getcwd()))
        self._waiting = list(range(len(jobs)))[::-1]
        self._jobs = jobs
        self._in_flight: dict[str, tuple[int, Any]] = {}  # name of the try -> (job, its future)
        self._done: queue.SimpleQueue = queue.SimpleQueue()
        self._begun: dict[str, tuple[float, str]] = {}  # name of the try -> (when, worker)
        self._n_workers, self._counted_at = 0, -POLL_S

    def results(self) -> Iterator[tuple[Any, Any]]:
        self._cluster.subscribe(self._note_begin)
        try:
            while self._waiting or self._in_flight:
                self._submit()
                with suppress(queue.Empty):
                    name = self._done.get(timeout=POLL_S)
                    if name in self._in_flight:
                        yield from self._collect(name)
                yield from self._stop_late()
                if not self._cluster.is_connected():
                    self._start_again()
        finally:
            self._cluster.cancel([future for _, future in self._in_flight.values()])

    def _submit(self) -> None:
        """Keep each worker busy, and none with two: a job that kills its worker is then the only
        suspect."""
        if time.monotonic() - self._counted_at > POLL_S:
            n_workers = len(self._cluster.workers())
            if not n_workers and self._n_workers and self._cluster.is_connected():
                logger.warning(tr("the cluster has no workers left: waiting for some"))
            self._n_workers, self._counted_at = n_workers, time.monotonic()
        while self._waiting and len(self._in_flight) < self._n_workers:
            job, name = self._waiting.pop(), uuid4().hex
            future = self._cluster.submit(
                self._call, name, pickle.dumps(self._jobs[job]), self._timeout_s
            )
            self._in_flight[name] = (job, future)
            future.add_done_callback(lambda _, name=name: self._done.put(name))

    def _note_begin(self, event: tuple) -> None:
        """A worker has begun a job; called in another thread."""
        _, message = event
        self._begun[message["name"]] = (time.monotonic(), message["worker"])

    def _collect(self, name: str) -> Iterator[tuple[Any, Any]]:
        """The result of a try that has ended."""
        job, future = self._in_flight[name]
        if future.status == "finished":
            try:
                result = future.result(timeout=WAIT_S)
            except Exception:  # its worker, or the scheduler, was lost with the result
                result = None
            if result is not None:
                self._forget(name)
                yield self._jobs[job], pickle.loads(result)
            elif self._cluster.is_connected():
                self._try_again(name)
        elif future.status == "error":
            self._forget(name)
            error = future.exception()
            if type(error).__name__ != "KilledWorker":
                raise error
            yield self._jobs[job], Crashed(n_workers=error.allowed_failures + 1)
        elif self._cluster.is_connected():  # cancelled, but not by this run
            self._try_again(name)
        # Else the connection is lost: all that is in flight starts again.

    def _forget(self, name: str) -> None:
        del self._in_flight[name]
        self._begun.pop(name, None)

    def _try_again(self, name: str) -> None:
        self._waiting.append(self._in_flight[name][0])
        self._forget(name)

    def _stop_late(self) -> Iterator[tuple[Any, Any]]:
        """Stop what takes too long."""
        for name, (began_at, worker) in list(self._begun.items()):
            is_late = self._timeout_s and time.monotonic() - began_at > self._timeout_s
            if is_late and name in self._in_flight:
                job, future = self._in_flight[name]
                if future.status == "pending":
                    self._cluster.cancel([future])
                    self._forget(name)
                    self._cluster.restart_worker(worker)
                    yield self._jobs[job], TimedOut(self._timeout_s)

    def _start_again(self) -> None:
        """Connect again and submit what was in flight: the new scheduler knows nothing of it."""
        self._cluster.reconnect()
        for name in list(self._in_flight):
            self._try_again(name)
        self._cluster.subscribe(self._note_begin)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


# ---------------------------------------------------------------------------- on the worker

_one_at_a_time = threading.Lock()  # jobs may change the folder, or seed what a process has once


def _do(call: bytes, name: str, job: bytes, timeout_s: float) -> bytes:
    """Do a job; what it raises ends the run."""
    import cv2
    from distributed import get_worker

    with _one_at_a_time:
        worker = get_worker()
        work, context, language_name, folder = _call(call)
        worker.log_event(TOPIC, {"name": name, "worker": worker.address})
        timer = threading.Timer(timeout_s + STOP_S, os._exit, (1,))
        if timeout_s:
            timer.daemon = True
            timer.start()
        cv2.setNumThreads(1)
        os.chdir(folder)
        temporary_folder = tempfile.tempdir
        try:
            with use_language(language_name):
                return pickle.dumps(work(context, pickle.loads(job)))
        finally:
            timer.cancel()
            tempfile.tempdir = temporary_folder


@lru_cache(maxsize=4)
def _call(call: bytes) -> tuple:
    """The same objects for the same call: what a process keeps for them, it keeps. Only the run
    that started the job sends it; Dask itself runs what reaches a worker."""
    return pickle.loads(call)


@lru_cache(maxsize=1)
def environment() -> dict[str, str]:
    """What results depend on, by name: this program and some libraries."""
    digest = hashlib.sha256()
    package = Path(__file__).resolve().parents[1]
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    versions = {"lipsync": digest.hexdigest()[:12], "Python": platform.python_version()}
    for name in SEEN_PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions

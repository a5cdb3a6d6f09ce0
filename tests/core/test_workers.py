"""Jobs over several processes: each is done once, whatever becomes of the others."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from src.core.errors import OutputError
from src.core.workers import Crashed, cores, map_in_processes

ROOT = Path(__file__).resolve().parents[2]


def double(context: dict, job: int) -> tuple[int, str, int]:
    time.sleep(0.01)
    return 2 * job, context["name"], os.getpid()


def dying(folder: Path, job: str) -> str:
    """Stands for work in which a decoder takes the whole process down."""
    with open(folder / "log", "a") as file:
        file.write(f"{job}\n")
    if job.startswith("deadly"):
        os._exit(139)
    if job == "fragile" and not (folder / "tried").exists():
        (folder / "tried").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.02)
    return job.upper()


def refusing(folder: Path, job: int) -> int:
    """Notes who does it; one job cannot be done, and no other could."""
    (folder / f"{os.getpid()}").touch()
    if job == 3:
        raise OutputError("cannot write it")
    time.sleep(0.05)
    return job


def lasting(folder: Path, job: int) -> int:
    """Stands for a decoder that is busy for long, and for code that lets nothing end it."""
    (folder / f"{os.getpid()}").touch()
    until = time.monotonic() + (0 if job == 0 else 60)
    while time.monotonic() < until:
        with suppress(BaseException):
            (folder / f"at {job}").touch()
            time.sleep(0.05)
    return job


def tidying(folder: Path, job: int) -> int:
    """Removes what it made, however it ends."""
    made = folder / f"half-done {job}"
    made.touch()
    (folder / f"{os.getpid()}").touch()
    try:
        time.sleep(60 * (job > 0))
    finally:
        made.unlink()
    return job


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not Path(f"/proc/{pid}").exists() or " Z " not in Path(f"/proc/{pid}/stat").read_text()


def workers_in(folder: Path) -> list[int]:
    """Those that left their number."""
    return [int(path.name) for path in folder.iterdir() if path.name.isdigit()]


def wait_for(condition, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# ---------------------------------------------------------------------------- results


def test_each_job_is_done_once_with_the_context():
    jobs = list(range(30))
    results = list(map_in_processes(double, {"name": "some"}, jobs, 2))
    assert sorted(job for job, _ in results) == jobs
    assert all(result[:2] == (2 * job, "some") for job, result in results)
    pids = {result[2] for _, result in results}
    assert 1 <= len(pids) <= 2 and os.getpid() not in pids


def test_one_worker_keeps_the_order():
    jobs = ["b", "a", "d", "c", "e"] * 3
    results = list(map_in_processes(double, {"name": ""}, jobs, 1))
    assert [job for job, _ in results] == jobs
    assert [result[0] for _, result in results] == [2 * job for job in jobs]


def test_no_jobs_need_no_process():
    assert list(map_in_processes(double, {}, [], 4)) == []


def test_zero_workers_mean_one_for_each_core():
    assert 1 <= cores() <= os.cpu_count()
    pids = {result[2] for _, result in map_in_processes(double, {"name": ""}, list(range(20)), 0)}
    assert len(pids) <= cores()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="nobody can be kept to a core")
def test_only_cores_this_process_may_use_are_counted():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert cores() == 1
    finally:
        os.sched_setaffinity(0, before)


# ---------------------------------------------------------------------------- crashes


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_dies_costs_only_its_job(tmp_path, workers):
    jobs = ["a", "deadly 1", "b", "c", "deadly 2", *map(str, range(12))]
    results = dict(map_in_processes(dying, tmp_path, jobs, workers))
    assert sorted(results) == sorted(jobs)
    for job, result in results.items():
        if job.startswith("deadly"):
            assert isinstance(result, Crashed)
        else:
            assert result == job.upper()
    tries = (tmp_path / "log").read_text().split("\n")
    assert {tries.count("deadly 1"), tries.count("deadly 2")} <= {1, 2}


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL there")
def test_a_job_that_dies_once_is_done_in_the_end(tmp_path):
    """Memory may have been short for a moment."""
    results = dict(map_in_processes(dying, tmp_path, ["a", "fragile", "b"], 2))
    assert results == {"a": "A", "fragile": "FRAGILE", "b": "B"}


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_what_work_raises_ends_the_run_and_its_processes(tmp_path):
    done = []
    with pytest.raises(OutputError, match="cannot write it"):
        for job, _ in map_in_processes(refusing, tmp_path, list(range(200)), 2):
            done.append(job)
    assert len(done) < 20
    pids = workers_in(tmp_path)
    assert pids and not any(alive(pid) for pid in pids)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_results_that_nobody_wants_any_more_end_the_processes(tmp_path):
    with closing(map_in_processes(lasting, tmp_path, [0, 1, 2], 2)) as results:
        assert next(results) == (0, 0)
        wait_for(lambda: (tmp_path / "at 1").exists())
        began = time.monotonic()
    assert time.monotonic() - began < 10
    assert not any(alive(pid) for pid in workers_in(tmp_path))


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_jobs_that_are_dropped_remove_what_they_made(tmp_path):
    with closing(map_in_processes(tidying, tmp_path, [0, 1, 2, 3, 4, 5], 2)) as results:
        assert next(results) == (0, 0)
        wait_for(lambda: len(list(tmp_path.glob("half-done *"))) == 2)
    assert list(tmp_path.glob("half-done *")) == []
    assert not any(alive(pid) for pid in workers_in(tmp_path))


# ---------------------------------------------------------------------------- the main process

MAIN = """
import sys
from pathlib import Path
from src.core.workers import map_in_processes
from tests.core.test_workers import lasting

if __name__ == "__main__":
    try:
        list(results_of(lasting, Path(sys.argv[1]), [1, 2, 3, 4], 2))
    except KeyboardInterrupt:
        print("stopped")
        sys.exit(130)
"""


def started(folder: Path) -> subprocess.Popen:
    """A process with two workers that are at their jobs."""
    script = folder / "main.py"
    script.write_text(MAIN)
    process = subprocess.Popen(
        [sys.executable, str(script), str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        encoding="utf-8", start_new_session=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    wait_for(lambda: len(workers_in(folder)) == 2)
    assert all(alive(pid) for pid in workers_in(folder))
    return process


@pytest.mark.skipif(os.name == "nt", reason="process groups of POSIX")
@pytest.mark.parametrize("to_all", [True, False])
def test_ctrl_c_ends_them_all(tmp_path, to_all):
    """A terminal sends it to all processes; ``kill -INT`` to one."""
    with started(tmp_path) as process:
        (os.killpg if to_all else os.kill)(process.pid, signal.SIGINT)
        printed, said = process.communicate(timeout=20)
    assert process.returncode == 130 and printed == "stopped\n" and said == ""
    assert not any(alive(pid) for pid in workers_in(tmp_path))


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_a_main_process_that_is_killed(tmp_path, how):
    """Else they wait for ever, each with its hundreds of megabytes."""
    with started(tmp_path) as process:
        process.send_signal(how)
        process.wait(timeout=20)
    wait_for(lambda: not any(alive(pid) for pid in workers_in(tmp_path)), 10)

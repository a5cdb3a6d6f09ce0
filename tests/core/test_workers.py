"""Jobs in several processes: each is done once, whatever happens to the others."""

import os
import signal
import subprocess
import sys
import time
import weakref
from contextlib import closing, suppress
from pathlib import Path

import pytest

from src.core import workers as workers_module
from src.core.errors import OutputError
from src.core.workers import Crashed, TimedOut, cores, map_in_processes
from src.i18n.messages import tr, use_language
from tests.support.limits import HANG_S

ROOT = Path(__file__).resolve().parents[2]


def double(context: dict, job: int) -> tuple[int, str, int]:
    time.sleep(0.01)
    return 2 * job, context["name"], os.getpid()


def dying(folder: Path, job: str) -> str:
    """Simulates work in which a decoder crashes the whole process."""
    with open(folder / "log", "a") as file:
        file.write(f"{job}\n")
    if job.startswith("deadly"):
        os._exit(139)
    if job == "fragile" and not (folder / "tried").exists():
        (folder / "tried").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.02)
    return job.upper()


def failing(folder: Path, job: int) -> int:
    """Records its process; one job raises an error that ends the run."""
    (folder / f"{os.getpid()}").touch()
    if job == 3:
        raise OutputError("cannot write it")
    time.sleep(0.05)
    return job


def lasting(folder: Path, job: int) -> int:
    """Simulates a decoder that is busy for long, and code that suppresses every exception."""
    (folder / f"{os.getpid()}").touch()
    until = time.monotonic() + (0 if job == 0 else 60)
    while time.monotonic() < until:
        with suppress(BaseException):
            (folder / f"at {job}").touch()
            time.sleep(0.05)
    return job


def hanging(folder: Path, job: str) -> str:
    """Hangs for ever: with ``deaf``, also when it is asked to end, as a decoder does; otherwise it
    removes its unfinished file."""
    while job.startswith("deaf"):
        (folder / f"{os.getpid()}").touch()
        with suppress(BaseException):
            time.sleep(HANG_S)
    if job.startswith("hanging"):
        unfinished = folder / f"half-done {job}"
        unfinished.touch()
        (folder / f"{os.getpid()}").touch()
        try:
            time.sleep(HANG_S)
        finally:
            unfinished.unlink()
    return job.upper()


def tidying(folder: Path, job: int) -> int:
    """Removes its unfinished file, however it ends."""
    unfinished = folder / f"half-done {job}"
    unfinished.touch()
    (folder / f"{os.getpid()}").touch()
    try:
        time.sleep(60 * (job > 0))
    finally:
        unfinished.unlink()
    return job


def stopped_in_a_callback(folder: Path, job: int) -> int:
    """Is asked to end while Python calls a function by itself, which lets no exception out."""
    path = folder / "unfinished"
    path.write_bytes(b"half")
    thing = type("Thing", (), {})()
    reference = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGTERM))
    try:
        del thing
        time.sleep(HANG_S)
    finally:
        path.unlink()
    return reference


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not Path(f"/proc/{pid}").exists() or " Z " not in Path(f"/proc/{pid}/stat").read_text()


def workers_in(folder: Path) -> list[int]:
    """The ids of the processes that recorded themselves."""
    return [int(path.name) for path in folder.iterdir() if path.name.isdigit()]


def wait_for(condition) -> None:
    deadline = time.monotonic() + HANG_S
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


def translated(_context: None, text: str) -> str:
    return tr(text)


def test_jobs_speak_the_language_of_the_caller():
    with use_language("zh_CN"):
        assert list(map_in_processes(translated, None, ["stopped"], 1)) == [("stopped", "已中断")]


def test_no_jobs_need_no_process():
    assert list(map_in_processes(double, {}, [], 4)) == []


def test_zero_workers_mean_one_for_each_core():
    assert 1 <= cores() <= os.cpu_count()
    pids = {result[2] for _, result in map_in_processes(double, {"name": ""}, list(range(20)), 0)}
    assert len(pids) <= cores()


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="no way to pin a process to a core"
)
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
def test_a_job_that_crashes_its_worker_fails_alone(tmp_path, workers):
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
def test_a_job_that_crashes_once_is_tried_again(tmp_path):
    """It may have run out of memory for a moment."""
    results = dict(map_in_processes(dying, tmp_path, ["a", "fragile", "b"], 2))
    assert results == {"a": "A", "fragile": "FRAGILE", "b": "B"}


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_error_of_a_job_ends_the_run_and_its_processes(tmp_path):
    done = []
    with pytest.raises(OutputError, match="cannot write it"):
        for job, _ in map_in_processes(failing, tmp_path, list(range(200)), 2):
            done.append(job)
    assert len(done) < 20
    pids = workers_in(tmp_path)
    assert pids and not any(alive(pid) for pid in pids)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_job_that_is_stopped_where_nothing_can_be_raised_ends_all_the_same(tmp_path, capfd):
    assert list(map_in_processes(stopped_in_a_callback, tmp_path, [1], 1)) == [(1, Crashed())]
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_closing_the_results_ends_the_processes(tmp_path):
    with closing(map_in_processes(lasting, tmp_path, [0, 1, 2], 2)) as results:
        assert next(results) == (0, 0)
        wait_for(lambda: (tmp_path / "at 1").exists())
        start = time.monotonic()
    assert time.monotonic() - start < 10
    assert not any(alive(pid) for pid in workers_in(tmp_path))


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_interrupted_jobs_remove_their_unfinished_files(tmp_path):
    with closing(map_in_processes(tidying, tmp_path, [0, 1, 2, 3, 4, 5], 2)) as results:
        assert next(results) == (0, 0)
        wait_for(lambda: len(list(tmp_path.glob("half-done *"))) == 2)
    assert list(tmp_path.glob("half-done *")) == []
    assert not any(alive(pid) for pid in workers_in(tmp_path))


# ---------------------------------------------------------------------------- time limit


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("workers", "jobs"), [(1, ["a", "hanging 1", "b"]), (2, ["a", "deaf 1", "b", "hanging 2", "c"])]
)
def test_a_job_that_hangs_is_given_up_and_the_others_go_on(tmp_path, monkeypatch, workers, jobs):
    monkeypatch.setattr(workers_module, "GRACE_S", 0.5)
    start = time.monotonic()
    results = dict(map_in_processes(hanging, tmp_path, jobs, workers, 2))
    assert time.monotonic() - start < HANG_S / 2
    assert sorted(results) == sorted(jobs)
    for job, result in results.items():
        assert result == (TimedOut(2) if " " in job else job.upper())
    pids = workers_in(tmp_path)
    assert len(pids) == workers and not any(alive(pid) for pid in pids)
    assert list(tmp_path.glob("half-done *")) == []


def test_only_the_time_of_a_job_itself_counts(tmp_path):
    """Not that of the start of its process, which may import large libraries."""
    assert list(map_in_processes(slow_in_starting, Slow(4), ["a"], 1, 3)) == [("a", "A")]


class Slow:
    """A context that takes so many seconds to be read."""

    def __init__(self, seconds: float):
        self.seconds = seconds

    def __setstate__(self, state: dict) -> None:
        time.sleep(state["seconds"])


def slow_in_starting(_context: Slow, job: str) -> str:
    return job.upper()


# ---------------------------------------------------------------------------- the main process

MAIN = """
import sys
from pathlib import Path
from src.core.workers import map_in_processes
from tests.core.test_workers import lasting

if __name__ == "__main__":
    try:
        list(map_in_processes(lasting, Path(sys.argv[1]), [1, 2, 3, 4], 2))
    except KeyboardInterrupt:
        print("stopped")
        sys.exit(130)
"""


def started(folder: Path) -> subprocess.Popen:
    """A process with two workers in the middle of their jobs."""
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
def test_ctrl_c_ends_all_processes(tmp_path, to_all):
    """A terminal sends it to all processes; ``kill -INT`` to one."""
    with started(tmp_path) as process:
        (os.killpg if to_all else os.kill)(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=HANG_S)
    assert process.returncode == 130 and out == "stopped\n" and err == ""
    assert not any(alive(pid) for pid in workers_in(tmp_path))


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_a_main_process_that_is_killed(tmp_path, signal_number):
    """Otherwise they would wait for ever, with hundreds of megabytes each."""
    with started(tmp_path) as process:
        process.send_signal(signal_number)
        process.wait(timeout=HANG_S)
    wait_for(lambda: not any(alive(pid) for pid in workers_in(tmp_path)))

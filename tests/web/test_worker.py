"""Work in a process: its results and errors, and that it ends at once with all it has started."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from src.core.errors import MediaError
from src.i18n.messages import language
from src.web.jobs import CANCELLED, DONE, FAILED, Job, Queue
from src.web.worker import CancelledError, FailedError, Worker
from tests.support.limits import wait_for

pytestmark = pytest.mark.slow  # each process imports torch


class NoModel:
    """Takes the place of an ``EngineSpec``: nothing is scored here."""

    def build(self):
        return object()


def count(work, n):
    total = sum(work.progress(range(n), "counting", n))
    return total, language(), Path.cwd().name


def refuse(work):
    raise MediaError("v.mp4 is bad")


def break_down(work):
    return 1 / 0


def crash(work):
    os._exit(3)


def start_others(work):
    """Starts a process that never ends, writes its number, and waits for it without looking at
    anything else."""
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100000)"])
    (work.folder / "other").write_text(str(other.pid))
    work.report("waiting", None)
    other.wait()


def compute_with_another(work):
    """Computes for ever, and so does a process that it has started."""
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    (work.folder / "other").write_text(str(other.pid))
    work.report("computing", None)
    while True:
        pass


@pytest.fixture(scope="module")
def worker():
    made = Worker(NoModel())
    yield made
    made.kill()


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "out"
    made.mkdir()
    return made


def run(worker, task, folder, report=lambda *_: None, is_cancelled=lambda: False, **inputs):
    return worker.run(task, inputs, folder, "zh_CN", report, is_cancelled)


def test_a_result_comes_back_with_reports_in_the_language_asked_for(worker, folder):
    reports = []
    assert run(worker, count, folder, lambda *report: reports.append(report), n=4) == (
        6, "zh_CN", folder.parent.name,
    )  # fmt: skip
    assert reports[0] == ("counting", 0.0)


def test_errors_are_sentences(worker, folder):
    with pytest.raises(FailedError, match=r"^v\.mp4 is bad$"):
        run(worker, refuse, folder)
    with pytest.raises(FailedError, match="终端"):
        run(worker, break_down, folder)
    with pytest.raises(FailedError, match="崩溃"):
        run(worker, crash, folder)
    assert run(worker, count, folder, n=2)[0] == 1  # it goes on


class Broken:
    """An ``EngineSpec`` that ends its process."""

    def build(self):
        os._exit(3)


def test_a_task_that_needs_no_model_loads_none(folder):
    made = Worker(Broken(), is_preloaded=False)
    try:
        assert run(made, count, folder, n=3)[0] == 3
    finally:
        made.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups")
def test_cancelling_ends_the_process_and_those_it_started(worker, folder):
    path = folder / "other"
    with pytest.raises(CancelledError):
        run(worker, start_others, folder, is_cancelled=lambda: path.exists() and path.read_text())
    wait_for(lambda: not is_running(int(path.read_text())))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups")
def test_a_cancelled_job_has_ended_with_all_its_processes_within_2_s(tmp_path):
    """Asked while it computes and looks at nothing; it takes about 0.2 s."""
    workers = []

    def make_worker():
        workers.append(Worker(NoModel()))
        return workers[-1]

    queue, folder = Queue(make_worker), tmp_path / "out"
    folder.mkdir()
    job = Job(compute_with_another, {}, folder, lambda _: None)
    try:
        queue.add(job)
        wait_for(lambda: job.stage == "computing")
        group, other = workers[0]._process.pid, int((folder / "other").read_text())
        began = time.monotonic()
        job.cancel()
        wait_for(lambda: not is_running(group) and not is_running(other))
        assert time.monotonic() - began < 2
        wait_for(lambda: job.state == CANCELLED)
    finally:
        queue.close()


def is_running(pid):
    """Whether there is a process; one whose status nobody has asked for yet has ended."""
    try:
        os.kill(pid, 0)
        status = Path(f"/proc/{pid}/stat")
        return not status.exists() or status.read_text().split(") ")[1][0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups")
def test_jobs_wait_for_each_other_and_are_cancelled_also_while_waiting(tmp_path):
    queue, results = Queue(lambda: Worker(NoModel())), []

    def job(name, task, **inputs):
        (tmp_path / name).mkdir()
        return Job(task, inputs, tmp_path / name, results.append)

    endless, second = job("a", start_others), job("b", count, n=3)
    third, bad = job("c", count, n=4), job("d", refuse)
    try:
        for added in (endless, second, third, bad):
            queue.add(added)
        wait_for(lambda: endless.stage == "waiting")
        assert queue.n_before(third) == 1
        queue.cancel(second)
        assert second.state == CANCELLED and results == []
        queue.cancel(endless)
        wait_for(lambda: not bad.is_busy)
        assert endless.state == CANCELLED and not endless.folder.exists()
        assert third.state == DONE and [result[0] for result in results] == [6]
        assert (bad.state, bad.text) == (FAILED, "v.mp4 is bad") and not bad.folder.exists()
    finally:
        queue.close()

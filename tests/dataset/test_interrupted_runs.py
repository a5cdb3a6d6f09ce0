"""A full disk, a kill or Ctrl+C: what was finished is kept, nothing half-written stays."""

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext

import pytest

from src.core.errors import OutputError
from src.core.workers import Crashed
from src.dataset import build
from src.dataset.index import INDEX_NAME
from src.preprocessing import track_file as sample_file
from tests.support.processing_helpers import (
    ROOT,
    arguments,
    by_clip,
    command,
    contents,
    files_of,
    processed,
    records_of,
    run_command,
    sample_names,
    touch,
    variant,
)

pytest_plugins = ("tests.support.processing_fixtures",)

# ---------------------------------------------------------------------------- a full disk


class Disk:
    """Stands for ``open`` on a disk with this much room."""

    def __init__(self, room: int):
        self.room = room

    def __call__(self, path, mode):
        disk, file = self, open(path, mode, buffering=0)  # noqa: SIM115 (the caller closes it)

        class File:
            def write(self, content):
                disk.room -= len(content)
                if disk.room < 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return file.write(content)

            def __getattr__(self, name):
                return getattr(file, name)

            def __enter__(self):
                return self

            def __exit__(self, *_):
                file.close()

        return File()


@pytest.mark.parametrize("room", [0, 5_000, 20_000, 150_000, 250_000, 380_000, 500_000])
def test_a_full_disk_ends_the_run_in_one_line(done, command_here, monkeypatch, short_clip, room):
    """All clips that are left would end the same way: they are not "skipped"."""
    old, before = by_clip(done), contents(done / "processed" / "samples")
    for number in range(3, 9):
        variant(short_clip, done / "videos" / f"{number}.mp4", number)
    monkeypatch.setattr(sample_file, "open", Disk(room), raising=False)
    code, out, err = command_here(done)
    assert code == 2 and "skipped" not in out
    line = err.splitlines()[-1]
    assert line.startswith(f"error: cannot write {done / 'processed'}")
    assert line.endswith(": No space left on device") and err.count("error") == 1
    assert not list((done / "processed").glob("*.csv.*")) and "Traceback" not in err
    new = by_clip(done)
    assert old.items() <= new.items() and len(new) < 8, "what was finished is kept"
    assert before.items() <= contents(done / "processed" / "samples").items()
    assert sample_names(done) == files_of(done), "nothing half-written stays"


SMALL_DISK = """
set -e
mount -t tmpfs -o size=1m none {mounted}
cp -r {folder}/processed {mounted}
set +e
{command} > {folder}/printed 2> {folder}/said
echo $? > {folder}/status
cp -r {mounted}/processed {folder}/after
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="mounts of Linux")
def test_a_disk_that_is_really_full(done, short_clip, tmp_path):
    (tmp_path / "mounted").mkdir()
    for number in range(3, 9):
        variant(short_clip, done / "videos" / f"{number}.mp4", number)
    going = command(done, processed_dir=tmp_path / "mounted" / "processed")
    script = SMALL_DISK.format(mounted=tmp_path / "mounted", folder=done, command=" ".join(going))
    made = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script], capture_output=True,
        text=True, check=False, timeout=120,
    )  # fmt: skip
    if not (done / "status").exists():
        pytest.skip(f"no disk can be mounted here: {made.stderr}")
    assert (done / "status").read_text() == "2\n"
    said = (done / "said").read_text().replace("\r", "\n").splitlines()
    assert said[-1].startswith(f"error: cannot write {tmp_path / 'mounted' / 'processed'}")
    assert said[-1].endswith(": No space left on device")
    others = [line for line in said[:-1] if line and not line.startswith("processing videos")]
    assert others == [] and "skipped" not in (done / "printed").read_text()
    old = by_clip(done)
    shutil.rmtree(done / "processed")
    (done / "after").rename(done / "processed")
    assert old.items() <= by_clip(done).items() and sample_names(done) == files_of(done)


# ---------------------------------------------------------------------------- kills


def test_what_a_killed_run_left_of_a_clip_is_removed(done, here, short_clip):
    """Whether the clip has changed since, is done already, or cannot be used any more."""
    variant(short_clip, done / "videos" / "2.mp4", 22)
    (done / "videos" / "3.mp4").write_text("no film")
    variant(short_clip, done / "videos" / "4.mp4", 4)
    for number in (1, 2, 3, 4):
        stem = build._file_stem(f"{number}.mp4")
        touch(done / "processed" / "samples" / f".{stem}" / "0.rows")
    report = processed(done)
    assert report.reused == 1 and len(report.skipped) == 1
    assert sample_names(done) == files_of(done)


@pytest.mark.parametrize("end", [KeyboardInterrupt, OutputError, None])
def test_what_a_process_left_when_it_went_down_is_removed(done, monkeypatch, end):
    """Not what belongs to a clip of another shard, which may be at work."""
    samples = done / "processed" / "samples"
    own, other = (samples / f".{build._file_stem(name)}" for name in ("1.mp4", "x.mp4"))

    def going_down(_work, _context, jobs, _n_workers):
        touch(own / "0.rows")
        touch(other / "0.rows")
        if end:
            raise end
        for job in jobs:
            yield job, Crashed()

    monkeypatch.setattr(build, "map_in_processes", going_down)
    with pytest.raises(end) if end else nullcontext():
        processed(done)
    assert other.exists() and not own.exists()


SAVING_ALWAYS = """
from src.core import cli
build.SAVE_EVERY_S = 0
if __name__ == "__main__":
    cli.run(data_processing.main)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="process groups of POSIX")
def test_a_run_that_is_killed_at_any_moment_leaves_a_whole_index(tmp_path, short_clip):
    for number in range(12):
        variant(short_clip, tmp_path / "videos" / f"{number:02}.mp4", number)
    (tmp_path / "main.py").write_text(SAVING_ALWAYS)
    going = [sys.executable, str(tmp_path / "main.py"), *arguments(tmp_path, num_workers=2)]
    samples, index = tmp_path / "processed" / "samples", tmp_path / "processed" / INDEX_NAME
    chance, finished = random.Random(0), 0
    for round_ in range(3):
        with subprocess.Popen(
            going, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        ) as process_:  # fmt: skip
            before, deadline = set(samples.glob("*.npy")), time.monotonic() + 60
            while set(samples.glob("*.npy")) == before and process_.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            time.sleep(chance.uniform(0, 0.3))
            if round_ % 2:
                os.killpg(process_.pid, signal.SIGKILL)
            else:
                process_.kill()  # the workers notice
        time.sleep(0.5)
        if index.exists():
            assert len(records_of(tmp_path)) >= finished
            finished = len(records_of(tmp_path))
    done = run_command(tmp_path)
    assert done.returncode == 0, done.stderr
    assert set(by_clip(tmp_path)) == {f"{number:02}.mp4" for number in range(12)}
    assert sample_names(tmp_path) == files_of(tmp_path), "nothing half-written stays"
    samples = {(tmp_path / "processed" / r["file"]).read_bytes() for r in records_of(tmp_path)}
    assert len(samples) == 1, "all clips look and sound the same"


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="process groups of POSIX")
def test_ctrl_c_loses_nothing_that_was_finished(tmp_path, short_clip):
    (tmp_path / "videos").mkdir()
    for number in range(20):
        shutil.copy(short_clip, tmp_path / "videos" / f"{number:02}.mp4")
    with subprocess.Popen(
        command(tmp_path, num_workers=2), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        encoding="utf-8", start_new_session=True,
    ) as process_:  # fmt: skip
        samples, deadline = tmp_path / "processed" / "samples", time.monotonic() + 60
        while len(list(samples.glob("[!.]*.npy"))) < 4 and time.monotonic() < deadline:
            time.sleep(0.02)
        os.killpg(process_.pid, signal.SIGINT)  # as a terminal does: to the workers, too
        began = time.monotonic()
        _, said = process_.communicate(timeout=60)
    assert process_.returncode == 130, said
    assert "Traceback" not in said and said.rstrip().endswith("again to go on")
    assert time.monotonic() - began < 10
    finished = by_clip(tmp_path)
    assert 3 <= len(finished) < 20
    assert all(record["n_frames"] == 20 for record in finished.values())
    assert not [name for name in sample_names(tmp_path) if name.startswith(".")]

    done = run_command(tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{len(finished)} clips were already done" in done.stdout
    assert len(by_clip(tmp_path)) == 20

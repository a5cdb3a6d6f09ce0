"""A full disk, a kill or Ctrl+C: finished samples are kept, no unfinished file stays."""

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
from src.preprocessing import sample_file
from tests.support.limits import HANG_S
from tests.support.processing_helpers import (
    ROOT,
    arguments,
    by_clip,
    command,
    contents,
    files_of,
    process_folder,
    records_of,
    run_command,
    sample_names,
    touch,
    write_variant,
)

pytest_plugins = ("tests.support.processing_fixtures",)

# ---------------------------------------------------------------------------- a full disk


class Disk:
    """Replaces ``open``, on a disk with so many free bytes."""

    def __init__(self, free: int):
        self.free = free

    def __call__(self, path, mode):
        disk, file = self, open(path, mode, buffering=0)  # noqa: SIM115 (the caller closes it)

        class File:
            def write(self, content):
                disk.free -= len(content)
                if disk.free < 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return file.write(content)

            def __getattr__(self, name):
                return getattr(file, name)

            def __enter__(self):
                return self

            def __exit__(self, *_):
                file.close()

        return File()


@pytest.mark.parametrize("free", [0, 5_000, 20_000, 150_000, 250_000, 380_000, 500_000])
def test_a_full_disk_ends_the_run_in_one_line(
    clip_folder, run_script, monkeypatch, short_clip, free
):
    """All remaining clips would fail the same way: they are not "skipped"."""
    old, before = by_clip(clip_folder), contents(clip_folder / "processed" / "samples")
    for number in range(3, 9):
        write_variant(short_clip, clip_folder / "videos" / f"{number}.mp4", number)
    monkeypatch.setattr(sample_file, "open", Disk(free), raising=False)
    code, out, err = run_script(clip_folder)
    assert code == 2 and "skipped" not in out
    line = err.splitlines()[-1]
    assert line.startswith(f"error: cannot write {clip_folder / 'processed'}")
    assert line.endswith(": No space left on device") and err.count("error") == 1
    assert not list((clip_folder / "processed").glob("*.csv.*")) and "Traceback" not in err
    new = by_clip(clip_folder)
    assert old.items() <= new.items() and len(new) < 8, "finished samples are kept"
    assert before.items() <= contents(clip_folder / "processed" / "samples").items()
    assert sample_names(clip_folder) == files_of(clip_folder), "no unfinished file stays"


SMALL_DISK = """
set -e
mount -t tmpfs -o size=1m none {mounted}
cp -r {folder}/processed {mounted}
set +e
{command} > {folder}/printed 2> {folder}/errors
echo $? > {folder}/status
cp -r {mounted}/processed {folder}/after
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="mounts of Linux")
def test_a_real_full_disk_ends_the_run_in_one_line(clip_folder, short_clip, tmp_path):
    (tmp_path / "mounted").mkdir()
    for number in range(3, 9):
        write_variant(short_clip, clip_folder / "videos" / f"{number}.mp4", number)
    arguments = command(clip_folder, processed_dir=tmp_path / "mounted" / "processed")
    script = SMALL_DISK.format(mounted=tmp_path / "mounted", folder=clip_folder,
                               command=" ".join(arguments))  # fmt: skip
    shell = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script], capture_output=True,
        text=True, check=False, timeout=HANG_S,
    )  # fmt: skip
    if not (clip_folder / "status").exists():
        pytest.skip(f"no disk can be mounted here: {shell.stderr}")
    assert (clip_folder / "status").read_text() == "2\n"
    lines = (clip_folder / "errors").read_text().replace("\r", "\n").splitlines()
    assert lines[-1].startswith(f"error: cannot write {tmp_path / 'mounted' / 'processed'}")
    assert lines[-1].endswith(": No space left on device")
    others = [line for line in lines[:-1] if line and not line.startswith("processing videos")]
    assert others == [] and "skipped" not in (clip_folder / "printed").read_text()
    old = by_clip(clip_folder)
    shutil.rmtree(clip_folder / "processed")
    (clip_folder / "after").rename(clip_folder / "processed")
    assert old.items() <= by_clip(clip_folder).items() and sample_names(clip_folder) == files_of(
        clip_folder
    )


# ---------------------------------------------------------------------------- kills


def test_unfinished_files_of_a_killed_run_are_removed(clip_folder, in_process, short_clip):
    """Whether the clip has changed since, is processed already, or cannot be used any more."""
    write_variant(short_clip, clip_folder / "videos" / "2.mp4", 22)
    (clip_folder / "videos" / "3.mp4").write_text("no video")
    write_variant(short_clip, clip_folder / "videos" / "4.mp4", 4)
    for number in (1, 2, 3, 4):
        stem = build._file_stem(f"{number}.mp4")
        for ending in ("", ".x1y2"):  # of an earlier version, and of one try
            touch(clip_folder / "processed" / "samples" / f".{stem}{ending}" / "0.rows")
    report = process_folder(clip_folder)
    assert report.n_reused == 1 and len(report.skipped) == 1
    assert sample_names(clip_folder) == files_of(clip_folder)


@pytest.mark.parametrize("end", [KeyboardInterrupt, OutputError, None])
def test_unfinished_files_of_a_crashed_process_are_removed(clip_folder, monkeypatch, end):
    """Except those of a clip of another shard, which may be in progress."""
    samples = clip_folder / "processed" / "samples"
    own_folder, other_folder = (
        samples / f".{build._file_stem(name)}.x1y2" for name in ("1.mp4", "x.mp4")
    )

    def crash(_work, _context, jobs, *_):
        touch(own_folder / "0.rows")
        touch(other_folder / "0.rows")
        if end:
            raise end
        for job in jobs:
            yield job, Crashed()

    monkeypatch.setattr(build, "map_in_processes", crash)
    with pytest.raises(end) if end else nullcontext():
        process_folder(clip_folder)
    assert other_folder.exists() and not own_folder.exists()


SAVE_ALWAYS = """
from src import data_processing
from src.core import cli
from src.dataset import build
build.SAVE_EVERY_S = 0
if __name__ == "__main__":
    cli.run(data_processing.main)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="process groups of POSIX")
def test_a_run_killed_at_any_moment_leaves_a_complete_index(tmp_path, short_clip):
    for number in range(12):
        write_variant(short_clip, tmp_path / "videos" / f"{number:02}.mp4", number)
    (tmp_path / "main.py").write_text(SAVE_ALWAYS)
    script = [sys.executable, str(tmp_path / "main.py"), *arguments(tmp_path, num_workers=2)]
    samples, index = tmp_path / "processed" / "samples", tmp_path / "processed" / INDEX_NAME
    rng, n_finished = random.Random(0), 0
    for round_ in range(3):
        with subprocess.Popen(
            script, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        ) as process:  # fmt: skip
            before, deadline = set(samples.glob("*.npy")), time.monotonic() + HANG_S
            while set(samples.glob("*.npy")) == before and process.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 0.3))
            if round_ % 2:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()  # the workers notice
        time.sleep(0.5)
        if index.exists():
            assert len(records_of(tmp_path)) >= n_finished
            n_finished = len(records_of(tmp_path))
    completed = run_command(tmp_path)
    assert completed.returncode == 0, completed.stderr
    assert set(by_clip(tmp_path)) == {f"{number:02}.mp4" for number in range(12)}
    assert sample_names(tmp_path) == files_of(tmp_path), "no unfinished file stays"
    samples = {(tmp_path / "processed" / r["file"]).read_bytes() for r in records_of(tmp_path)}
    assert len(samples) == 1, "all clips have the same video and audio"


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="process groups of POSIX")
@pytest.mark.parametrize("signal_name", ["SIGINT", "SIGTERM"])
def test_ctrl_c_keeps_finished_samples(tmp_path, short_clip, signal_name):
    (tmp_path / "videos").mkdir()
    for number in range(20):
        shutil.copy(short_clip, tmp_path / "videos" / f"{number:02}.mp4")
    with subprocess.Popen(
        command(tmp_path, num_workers=2), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        encoding="utf-8", start_new_session=True,
    ) as process:  # fmt: skip
        samples, deadline = tmp_path / "processed" / "samples", time.monotonic() + HANG_S
        while len(list(samples.glob("[!.]*.npy"))) < 4 and time.monotonic() < deadline:
            time.sleep(0.02)
        # As a terminal and a machine that shuts down do: to the workers, too.
        os.killpg(process.pid, getattr(signal, signal_name))
        start = time.monotonic()
        _, errors = process.communicate(timeout=HANG_S)
    assert process.returncode == 130, errors
    message = "stopped; finished work is saved: run the same command to continue"
    assert "Traceback" not in errors and errors.rstrip().endswith(message)
    assert time.monotonic() - start < 10
    finished = by_clip(tmp_path)
    assert 3 <= len(finished) < 20
    assert all(record["n_frames"] == 20 for record in finished.values())
    assert not [name for name in sample_names(tmp_path) if name.startswith(".")]

    completed = run_command(tmp_path)
    assert completed.returncode == 0, completed.stderr
    assert f"{len(finished)} clips were already done" in completed.stdout
    assert len(by_clip(tmp_path)) == 20

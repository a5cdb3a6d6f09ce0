"""On a cluster: clips that end or hold up their workers, Ctrl+C, and runs in each other's way."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from src.core.cluster import MAX_DEATHS, engine_opened
from src.dataset import build
from src.dataset.build import process_clips
from src.dataset.clips import Clip, find_clips
from src.dataset.index import INDEX_NAME, index_locked, read_index
from tests.support.limits import HANG_S
from tests.support.processing_helpers import (
    by_clip,
    command,
    contents,
    files_of,
    map_in_this_process,
    process_folder,
    run_in_process,
    sample_names,
    settings_in,
    touch,
    write_variant,
)

pytest_plugins = ("tests.support.processing_fixtures", "tests.support.dask_fixtures")
pytestmark = pytest.mark.slow

LIMIT_S = 6


def process_or_fail(settings, job: tuple[Clip, list[dict]]):
    """``build.process_clip`` with decoders that crash or hang."""
    clip, _ = job
    if clip.name in ("deadly.mp4", "hangs.mp4"):
        with open(Path(settings.processed_dir) / f"{clip.video.stem}.tries", "a") as file:
            file.write(f"{os.getpid()}\n")
    if clip.name == "deadly.mp4":
        os._exit(139)
    if clip.name == "hangs.mp4":
        time.sleep(HANG_S)
    return build.process_clip(settings, job)


def tries_of(folder: Path, name: str) -> list[str]:
    return (folder / "processed" / f"{name}.tries").read_text().split()


def test_what_ends_three_workers_or_hangs_is_skipped_and_the_others_are_all_there(
    cluster, clip_folder, monkeypatch, caplog
):
    """The others are done already, so that a limit of some seconds is long for them."""
    before = contents(clip_folder / "processed" / "samples")
    for name in ("deadly", "hangs"):
        touch(clip_folder / "videos" / f"{name}.mp4")
    monkeypatch.setattr(build, "process_clip", process_or_fail)
    config = settings_in(clip_folder, clip_timeout_s=LIMIT_S)
    with engine_opened("dask", cluster.address, 0, clip_folder / "processed") as map_jobs:
        report = process_clips(config, find_clips(config.data), map_jobs=map_jobs)
    reasons = dict(report.skipped)
    assert set(reasons) == {"deadly.mp4", "hangs.mp4"}
    assert f"ended {MAX_DEATHS} workers of the cluster" in reasons["deadly.mp4"]
    assert f"stopped after {LIMIT_S} s on" in reasons["hangs.mp4"]
    assert len(set(tries_of(clip_folder, "deadly"))) == MAX_DEATHS == 3
    # Once, and again only where a busy machine made Dask lose an answer, which it says.
    workers = tries_of(clip_folder, "hangs")
    assert 1 <= len(workers) <= 1 + caplog.text.count("rescheduling")
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers), (
        "nannies have ended them"
    )
    assert report.n_reused == 2 and set(by_clip(clip_folder)) == {"1.mp4", "2.mp4"}
    assert contents(clip_folder / "processed" / "samples") == before


def test_the_pool_gives_a_hanging_clip_up_too(clip_folder, monkeypatch):
    touch(clip_folder / "videos" / "hangs.mp4")
    monkeypatch.setattr(build, "process_clip", process_or_fail)
    report = process_folder(clip_folder, clip_timeout_s=LIMIT_S)
    ((name, reason),) = report.skipped
    assert name == "hangs.mp4" and f"stopped after {LIMIT_S} s on" in reason
    assert len(tries_of(clip_folder, "hangs")) == 1
    assert report.n_reused == 2 and set(by_clip(clip_folder)) == {"1.mp4", "2.mp4"}


N_CLIPS = 16


def test_ctrl_c_keeps_what_is_done_and_the_same_command_goes_on(
    cluster, tmp_path, short_clip, monkeypatch
):
    for number in range(N_CLIPS):
        write_variant(short_clip, tmp_path / "videos" / f"{number:02}.mp4", number)
    script = command(tmp_path, "--engine", "dask", "--scheduler", cluster.address)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    samples, deadline = tmp_path / "processed" / "samples", time.monotonic() + HANG_S
    with subprocess.Popen(
        script, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", env=environment
    ) as process:
        while len(list(samples.glob("[!.]*.npy"))) < 4 and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=HANG_S)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert errors.rstrip().endswith("finished work is saved: run the same command to continue")
    finished = by_clip(tmp_path)
    # The results of three of the four may have been on their way.
    assert 1 <= len(finished) < N_CLIPS
    # What was in flight may still come to its end, on three workers; nothing else is begun.
    time.sleep(3)
    assert len(list(samples.glob("[!.]*.npy"))) <= len(finished) + 1 + 3 < N_CLIPS
    again = subprocess.run(
        script, capture_output=True, encoding="utf-8", timeout=HANG_S, env=environment, check=False
    )
    assert again.returncode == 0, again.stderr
    assert f"{len(finished)} clips were already done" in again.stdout
    assert sample_names(tmp_path) == files_of(tmp_path)
    monkeypatch.setattr(build, "map_in_processes", map_in_this_process)
    own = settings_in(tmp_path, processed_dir=tmp_path / "here")
    process_clips(own, find_clips(own.data))
    index = read_index(tmp_path / "processed" / INDEX_NAME)
    assert index == read_index(tmp_path / "here" / INDEX_NAME)
    assert len(index["samples"]) == N_CLIPS


def test_a_second_run_on_the_cluster_is_refused_in_one_line(
    cluster, clip_folder, monkeypatch, capsys
):
    processed = clip_folder / "processed"
    before = contents(processed)
    with index_locked(processed / INDEX_NAME):
        status, out, err = run_in_process(
            monkeypatch, capsys, clip_folder, "--engine", "dask", "--scheduler", cluster.address
        )
    assert status == 2 and "Done!" not in out
    assert err.startswith(f"error: {processed} is in use by ") and len(err.splitlines()) == 1
    assert contents(processed) == before

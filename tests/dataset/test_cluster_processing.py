"""Clips on a cluster: each once, with the bytes that one process makes, whatever ends meanwhile."""

import os
import tempfile
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from src.core.cluster import engine_opened
from src.dataset import build
from src.dataset.clips import find_clips
from src.dataset.index import read_index
from src.pipeline.batch import run_batch
from src.pipeline.pairs import with_outputs
from tests.support.processing_helpers import (
    contents,
    map_in_this_process,
    read_rows,
    run_in_process,
    settings_in,
    write_variant,
)

pytest.importorskip("distributed")
pytest_plugins = ("tests.support.processing_fixtures", "tests.support.dask_fixtures")
pytestmark = pytest.mark.slow

N_CLIPS = 40


@pytest.fixture
def forty_clips(tmp_path, short_clip):
    """39 clips that can be used, and a file that is no video."""
    for number in range(N_CLIPS - 1):
        write_variant(short_clip, tmp_path / "videos" / f"{number:02}.mp4", number)
    (tmp_path / "videos" / "broken.mp4").write_bytes(b"no video")
    return tmp_path


def samples_of(folder):
    return {name: data for name, data in contents(folder).items() if name.startswith("samples/")}


def test_all_clips_once_and_the_same_bytes_though_a_worker_and_the_scheduler_end(
    cluster, forty_clips, monkeypatch
):
    monkeypatch.chdir(forty_clips)  # relative paths mean the same on the workers
    config = settings_in(forty_clips, video_dir="videos", processed_dir="on_cluster")
    disturbances = {8: cluster.kill_a_worker, 20: cluster.restart}
    n_done, threads = 0, []

    def disturb(items, stage, total):
        nonlocal n_done
        for item in items:
            yield item
            n_done += 1
            if n_done in disturbances:
                threads.append(threading.Thread(target=disturbances[n_done]))
                threads[-1].start()

    clips = find_clips(config.data)
    with engine_opened("dask", cluster.address, 0, forty_clips / "on_cluster") as map_jobs:
        report = build.process_clips(config, clips, progress=disturb, map_jobs=map_jobs)
    for thread in threads:
        thread.join()
    assert len(threads) == 2
    assert [name for name, _ in report.skipped] == ["broken.mp4"]
    monkeypatch.setattr(build, "map_in_processes", map_in_this_process)
    own = settings_in(forty_clips, video_dir="videos", processed_dir="here")
    build.process_clips(own, find_clips(own.data))
    records = read_index(forty_clips / "on_cluster" / "dataset_index.pkl")["samples"]
    assert len(records) == len({record["clip"] for record in records}) == N_CLIPS - 1
    assert records == read_index(forty_clips / "here" / "dataset_index.pkl")["samples"]
    assert samples_of(forty_clips / "on_cluster") == samples_of(forty_clips / "here")
    assert set(contents(forty_clips / "on_cluster")) == set(contents(forty_clips / "here"))
    with engine_opened("dask", cluster.address, 0, forty_clips / "on_cluster") as map_jobs:
        again = build.process_clips(config, clips, map_jobs=map_jobs)
    assert again.n_reused == N_CLIPS - 1


def test_the_command_names_the_cluster_and_what_is_wrong_with_it(
    cluster, clip_folder, monkeypatch, capsys
):
    options = ("--engine", "dask", "--scheduler", cluster.address)
    status, stdout, _ = run_in_process(monkeypatch, capsys, clip_folder, *options)
    assert status == 0 and f"cluster: {cluster.address}, dashboard: http" in stdout
    assert "2 clips were already done" in stdout
    assert read_rows(clip_folder / "processed" / "skipped.csv") == []
    monkeypatch.setattr("src.core.cluster.CONNECT_S", 0.5)
    status, _, stderr = run_in_process(
        monkeypatch, capsys, clip_folder, "--engine", "dask", "--scheduler", "127.0.0.1:9"
    )
    assert status == 2 and "no Dask scheduler answers at 127.0.0.1:9" in stderr.splitlines()[-1]
    monkeypatch.setattr(
        "src.core.cluster.environment", lambda: {"torch": f"of process {os.getpid()}"}
    )
    status, _, stderr = run_in_process(monkeypatch, capsys, clip_folder, *options)
    assert status == 2 and "has another version of torch (of process" in stderr.splitlines()[-1]


@dataclass(frozen=True, eq=False)
class Spec:
    """Builds an engine that says in which process it was built, and how often there."""

    checkpoint: Path
    config: None = None
    overrides: tuple[str, ...] = ()
    sha256: str | None = None

    def pinned(self, copy: Path, sha256: str) -> "Spec":
        return replace(self, checkpoint=copy, sha256=sha256)

    def build(self) -> "Spec":
        assert self.checkpoint.read_bytes() == b"a model"
        Built.times += 1
        return self

    def compute_sync_score(self, video, audio=None, face=...) -> tuple[float, dict]:
        with tempfile.NamedTemporaryFile() as file:  # beside the table: it goes with the batch
            assert ".lipsync-" in file.name
        where = f"{os.getpid()} {Built.times}"
        return 0.25, {"verdict": where, "undetermined": False, "status": "in sync"}


class Built:
    times = 0


def test_pairs_of_a_batch_are_scored_on_the_workers(cluster, tmp_path):
    (tmp_path / "model.pth").write_bytes(b"a model")
    pairs = with_outputs([(f"{number}.mp4", None) for number in range(12)], None)
    table = tmp_path / "table" / "summary.csv"
    with engine_opened("dask", cluster.address, 0, table.parent) as map_jobs:
        rows = run_batch(Spec(tmp_path / "model.pth"), pairs, table, map_jobs=map_jobs)
    assert [row["video"] for row in rows] == [f"{number}.mp4" for number in range(12)]
    assert all(row["success"] and row["score"] == 0.25 for row in rows)
    processes, n_built = zip(*(row["verdict"].split() for row in rows), strict=True)
    assert str(os.getpid()) not in processes and set(n_built) == {"1"}
    assert [path.name for path in table.parent.iterdir()] == ["summary.csv"]

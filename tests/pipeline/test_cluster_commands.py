"""The other commands on a cluster: the same results as without one."""

import csv
import shutil
import sys
from pathlib import Path

import pytest

from src import clean_offsets, inference
from src.core import cli
from src.dataset.index import INDEX_NAME, read_index
from tests.support.noise_samples import write_noise
from tests.support.training_helpers import ROOT, settings_for

pytest_plugins = ("tests.support.dask_fixtures", "tests.support.training_fixtures")
pytestmark = pytest.mark.slow

PRETRAINED = ROOT / "pretrained" / "best_model.pth"


@pytest.fixture
def on_cluster(cluster):
    return "--engine", "dask", "--scheduler", cluster.address


@pytest.fixture
def run(monkeypatch, capfd):
    """``run(module, *arguments)`` runs a command in this process: status, stdout, stderr."""

    def call(module, *arguments) -> tuple[int, str, str]:
        name = f"{module.__name__.rpartition('.')[2]}.py"
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.run(module.main)
        return end.value.code, *capfd.readouterr()

    return call


def write_list(path: Path, rows: list[tuple]) -> Path:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([("video", "audio"), *rows])
    return path


def test_a_batch_is_scored_as_without_a_cluster(run, on_cluster, talking_clip, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    shutil.copy(talking_clip, tmp_path / "other.mp4")
    pairs = write_list(
        tmp_path / "pairs.csv",
        [(talking_clip, ""), (tmp_path / "broken.mp4", ""), (tmp_path / "other.mp4", talking_clip)],
    )
    tables, printed = [], []
    for name, options in (("here", ("--workers", 1)), ("cluster", on_cluster)):
        table = tmp_path / name / "table.csv"
        status, out, _ = run(
            inference, "--batch", pairs, "--score-only", "--summary", table, "--device", "cpu",
            "--checkpoint", PRETRAINED, *options,
        )  # fmt: skip
        assert status == 1, "one is no video"
        tables.append(table.read_text(encoding="utf-8-sig"))
        printed.append([line for line in out.splitlines() if line.startswith(str(tmp_path))])
        assert [path.name for path in table.parent.iterdir()] == ["table.csv"]
    assert tables[0] == tables[1] and printed[0] == printed[1] != []
    rows = list(csv.DictReader(tables[1].splitlines()))
    assert len(rows) == 3 and [row["score"] != "" for row in rows] == [True, False, True]


def test_folds_are_measured_as_without_a_cluster(run, on_cluster, tmp_path):
    results = []
    for name, options in (("here", ()), ("cluster", on_cluster)):
        processed = tmp_path / name / "processed"
        processed.mkdir(parents=True)
        write_noise(processed)
        changes = {"cleaning__folds": 2, "cleaning__rounds": 1, "cleaning__epochs": 1}
        settings = settings_for(tmp_path / name, **changes)
        status, out, err = run(clean_offsets, *settings, *options)
        folds = sorted((processed / "cleaning").glob("round-1-fold-*.csv"))
        assert len(folds) == 2, err
        index = read_index(processed / INDEX_NAME)["samples"]
        results.append((status, [path.read_text() for path in folds], index))
        assert ("on 5 samples" in out) == (name == "here"), "workers say nothing here"
    assert results[0] == results[1]
    assert sum(text.count("\n") for text in results[0][1]) >= 11

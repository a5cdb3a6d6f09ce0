"""The table of a batch: it grows line by line, and several batches may write it at once."""

import csv
import os
import subprocess
import sys
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from src.checkpoints.location import PRETRAINED
from src.core.errors import CheckpointError, DatasetError
from src.core.files import file_sha256
from src.pipeline import batch, summary_table
from src.pipeline.batch import run_batch
from src.pipeline.engine import EngineSpec
from src.pipeline.pairs import with_outputs
from src.pipeline.summary_table import COLUMNS, SummaryTable, read_summary

ROOT = Path(__file__).resolve().parents[2]


def line(video: str, **values) -> dict:
    return dict.fromkeys(COLUMNS, "") | {"video": video, "status": "ok"} | values


def videos_in(path: Path) -> list[str]:
    return [row["video"] for row in read_summary(path)]


@pytest.fixture
def score(tmp_path, monkeypatch):
    """``score(*names)``: a batch of these videos, with the table ``t.csv``; scoring is scripted."""

    def results(work, context, jobs, *_):
        for job in jobs:
            yield job, {"video": job[1].video, "audio": None, "success": True, "output": None,
                        "score": 0.5, "message": "v\nw", "details": {"status": "ok"}}  # fmt: skip

    def run(*names: str) -> list[dict]:
        spec = EngineSpec(tmp_path / "model.pth", "cpu", None, ())
        pairs = with_outputs([(name, None) for name in names], None)
        return run_batch(spec, pairs, tmp_path / "t.csv", workers=1)

    monkeypatch.setattr(batch, "map_in_processes", results)
    (tmp_path / "model.pth").write_bytes(b"weights")
    return run


# --- lines of other pairs


def test_lines_of_other_pairs_stay(score, tmp_path):
    score("a.mp4", "b.mp4", "c.mp4")
    assert [row["video"] for row in score("d.mp4", "b.mp4")] == ["d.mp4", "b.mp4"]
    assert videos_in(tmp_path / "t.csv") == ["a.mp4", "d.mp4", "b.mp4", "c.mp4"]
    before = (tmp_path / "t.csv").read_bytes()
    score("a.mp4", "d.mp4", "b.mp4", "c.mp4")
    assert (tmp_path / "t.csv").read_bytes() == before


def test_names_that_are_no_text_have_one_line(score, tmp_path):
    for _ in range(2):
        score("b\udc80.mp4", "=1+1.mp4", "c.mp4")
        score("c.mp4")
    assert videos_in(tmp_path / "t.csv").count("c.mp4") == 1
    assert len(videos_in(tmp_path / "t.csv")) == 3


def test_a_pair_has_one_line_after_other_settings(score, tmp_path):
    score("a.mp4", "b.mp4")
    (tmp_path / "model.pth").write_bytes(b"others")
    score("b.mp4")
    rows = read_summary(tmp_path / "t.csv")
    assert [row["video"] for row in rows] == ["a.mp4", "b.mp4"]
    assert rows[0]["fingerprint"] != rows[1]["fingerprint"]


def test_the_table_is_written_once_and_then_grows(score, tmp_path, monkeypatch):
    """Not anew after each pair: the time of a batch is not to grow with its square."""
    written, sizes = [], []
    write, append = summary_table._write, SummaryTable.append
    monkeypatch.setattr(summary_table, "_write", lambda *rows: written.append(1) or write(*rows))

    def measured(self, rows):
        append(self, rows)
        sizes.append((tmp_path / "t.csv").stat().st_size)

    monkeypatch.setattr(SummaryTable, "append", measured)
    score(*(f"{number:02}.mp4" for number in range(40)))
    assert len(written) == 1, "when it is put in order at the end"
    assert len(sizes) == 40 and len({b - a for a, b in pairwise(sizes)}) == 1


# --- two at once

APPEND = """
import sys
from pathlib import Path
from src.pipeline.summary_table import COLUMNS, SummaryTable
table, name = SummaryTable(Path(sys.argv[1])), sys.argv[2]
table.start()
rows = [dict.fromkeys(COLUMNS, "x") | {"video": f"{name}{n}", "message": "a, \\"b\\"\\nc"}
        for n in range(40)]
for row in rows:
    table.append([row])
table.finish(rows)
"""


def test_two_batches_at_once(tmp_path):
    path = tmp_path / "t.csv"
    with ExitStack() as stack:
        for name in "ab":
            stack.enter_context(
                subprocess.Popen([sys.executable, "-c", APPEND, path, name], cwd=ROOT)
            )
    found = videos_in(path)
    for name in "ab":
        own = [video for video in found if video.startswith(name)]
        assert own == [f"{name}{number}" for number in range(40)]
    assert len(found) == 80 and list(tmp_path.iterdir()) == [path]


# --- damage


def test_a_line_that_was_cut_off_does_not_swallow_the_next_ones(tmp_path):
    path = tmp_path / "t.csv"
    table = SummaryTable(path)
    assert table.start() == []
    table.append([line("a.mp4"), line("b.mp4", message='says "no", twice')])
    whole = path.read_bytes()
    for cut in range(len(whole) - 3, len(whole) - 30, -1):  # two bytes are the end of the line
        path.write_bytes(whole[:cut])
        assert [row["video"] for row in table.start()] == ["a.mp4"]
        table.append([line("c.mp4")])
        assert videos_in(path) == ["a.mp4", "c.mp4"]


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_a_table_that_a_spreadsheet_has_saved(tmp_path, encoding):
    path = tmp_path / "t.csv"
    rows = [list(COLUMNS), ["甲.mp4", *["" for _ in COLUMNS[1:]]]]
    with open(path, "w", newline="", encoding=encoding) as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    table = SummaryTable(path)
    table.start()
    table.append([line("乙.mp4")])
    assert videos_in(path) == ["甲.mp4", "乙.mp4"]


def test_another_file_is_left_alone(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("my,own,table\n1,2,3\n")
    with pytest.raises(DatasetError, match="not a summary"):
        SummaryTable(path).start()
    assert path.read_text() == "my,own,table\n1,2,3\n"
    assert os.listdir(tmp_path) == ["t.csv"]


# --- one model to the end


def test_a_batch_uses_one_model_to_its_end(tmp_path, monkeypatch):
    """However often the file is replaced while it runs."""
    model = tmp_path / "model.pth"
    model.write_bytes(b"weights 0")
    digest, used = file_sha256(model), []

    def results(work, context, jobs, *_):
        for number, job in enumerate(jobs, 1):
            spec, _ = context
            used.append((spec.sha256, file_sha256(spec.copy), spec.checkpoint))
            (tmp_path / "new.pth").write_bytes(f"weights {number}".encode())
            os.replace(tmp_path / "new.pth", model)  # as a training does
            yield job, {"video": job[1].video, "audio": None, "success": True, "output": None,
                        "score": 0.5, "message": "", "details": {"status": "ok"}}  # fmt: skip

    monkeypatch.setattr(batch, "map_in_processes", results)
    pairs = with_outputs([(f"{number}.mp4", None) for number in range(4)], None)
    run_batch(EngineSpec(model, "cpu", None, ()), pairs, tmp_path / "t.csv", workers=2)
    assert used == [(digest, digest, model)] * 4


def test_another_model_is_refused(tmp_path):
    spec = EngineSpec(PRETRAINED, "cpu", None, (), sha256="0" * 64)
    with pytest.raises(CheckpointError, match=r"best_model\.pth was replaced by another model"):
        spec.build()
    with pytest.raises(CheckpointError, match="was replaced by another model"):
        run_batch(spec, with_outputs([("v.mp4", None)], None), tmp_path / "t.csv", workers=2)


def test_the_model_of_a_copy_is_reported_by_its_own_name(tmp_path):
    copy = tmp_path / "model.pth"
    copy.write_bytes(PRETRAINED.read_bytes())
    spec = EngineSpec(tmp_path / "best_model.pth", "cpu", None, ())
    engine = spec.pinned(copy, file_sha256(PRETRAINED)).build()
    assert engine.model_file.file == str(tmp_path / "best_model.pth")
    assert engine.model_file.sha256 == file_sha256(PRETRAINED)

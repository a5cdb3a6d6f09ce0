"""The disk is full in the middle of what is written: one line, and nothing half-done.

A limit on the size of files stands in for the disk: what is longer fails as it does there, in the
middle. Scoring is scripted, as it writes files of its own.
"""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from src.pipeline.summary_table import COLUMNS
from tests.support.media_files import make_video
from tests.support.training_helpers import ROOT, assert_one_line

pytest.importorskip("resource", reason="Windows knows no such limits")

CHILD = """
import resource, sys
from src.core import cli
from src import inference
from tests.support.made_details import made_result

def measure(self, video, audio=None, *_, **__):
    offset_ms = 0.0 if ".v_synced" in str(video) else 240.0
    return made_result(video, audio or video, 3.6, offset_ms, 0.1)

inference.LipSyncInference.__init__ = lambda *_: None
inference.LipSyncInference.measure = measure
most = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
cli.run(inference.main)
"""
NO_LIMIT = 2**40
OUTPUTS = {"--output": "v_synced.mp4", "--annotate": "seen.mp4", "--report": "v.html",
           "--plot": "v.png"}  # fmt: skip


def inference(most: int, *arguments, **more) -> subprocess.CompletedProcess:
    """Run the command where no file may be longer than so many bytes."""
    return subprocess.run(
        [sys.executable, "-c", CHILD, str(most), *map(str, arguments)], cwd=ROOT, text=True,
        encoding="utf-8", check=False, **({"capture_output": True} | more),
    )  # fmt: skip


def options(folder: Path, *names: str) -> list:
    return [part for name in names for part in (name, folder / OUTPUTS[name])]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with a film and all that is made of it while there is room."""
    folder = tmp_path_factory.mktemp("made")
    make_video(folder / "film.mp4")
    done = inference(NO_LIMIT, "--video", folder / "film.mp4", *options(folder, *OUTPUTS))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", OUTPUTS)
def test_what_is_written_in_the_middle(made, tmp_path, name):
    target = tmp_path / OUTPUTS[name]
    target.write_bytes(b"of an earlier run")
    most = (made / OUTPUTS[name]).stat().st_size // 2
    only = [] if name == "--output" else ["--score-only"]
    done = inference(
        most, "--video", made / "film.mp4", "--overwrite", *only, *options(tmp_path, name)
    )
    # File too large, or, where ffmpeg was ended by it, file size limit exceeded.
    assert_one_line(done, f"cannot write {target}: ", "File ")
    assert target.read_bytes() == b"of an earlier run"
    assert list(tmp_path.iterdir()) == [target]


def test_what_is_printed_into_a_file(made, tmp_path):
    with open(tmp_path / "v.json", "w") as file:
        done = inference(1000, "--video", made / "film.mp4", "--score-only", "--json",
                         capture_output=False, stdout=file, stderr=subprocess.PIPE)  # fmt: skip
    assert_one_line(done, "cannot write stdout: ", "too large")


@pytest.mark.parametrize(("most", "least"), [(1500, 1), (200, 0)])
def test_the_table_of_many(tmp_path, most, least):
    """It grows with each pair, and the lines that had room stay. The pairs are none, which is
    quickly found out; their lines fill the table."""
    lists, summary = tmp_path / "list.csv", tmp_path / "summary.csv"
    pairs = [f"{tmp_path / 'none'}{n}.mp4" for n in range(12)]
    lists.write_text("\n".join(pairs))
    with open(summary, "w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([COLUMNS, ["of an earlier run"] * len(COLUMNS)])
    before = summary.read_bytes()
    done = inference(most, "--batch", lists, "--score-only", "--workers", 1, "--summary", summary,
                     "--checkpoint", "pretrained/best_model.pth")  # fmt: skip
    bar, said = done.stderr.replace("\r", "\n").strip().split("\n")[-2:]
    assert "pairs" in bar and done.returncode == 2 and "Traceback" not in done.stderr
    assert said.startswith(f"error: cannot write {summary}: ")
    with open(summary, newline="", encoding="utf-8-sig") as file:
        head, *rows = csv.reader(file)
    assert tuple(head) == COLUMNS and {len(row) for row in rows} == {len(COLUMNS)}
    if least:
        earlier, *new = (row[0] for row in rows)
        assert earlier == "of an earlier run"
        assert least <= len(new) < 12 and new == pairs[: len(new)]
    else:
        assert summary.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"list.csv", "summary.csv"}

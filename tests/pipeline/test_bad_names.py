"""Names that no file can have end their row of a batch, and not the batch."""

import csv
import os
from pathlib import Path

import pytest

from src.core.config import DataConfig
from src.core.errors import OutputError
from src.core.files import check_output_path, real_path
from src.dataset.build import process_clip
from src.dataset.clips import find_clips
from src.media.container import check_file
from src.pipeline.batch import run_batch
from src.pipeline.engine import EngineSpec
from src.pipeline.pairs import read_list, with_outputs
from src.pipeline.summary_table import read_summary

LONG = "x" * 300 + ".mp4"


class Reader:
    """Does with a pair what comes before it is decoded."""

    def compute_sync_score(self, video, audio=None, **_):
        check_file(video)
        return 0.5, {"undetermined": False, "verdict": "=a verdict", "status": "ok"}

    def correct_sync(self, video, audio, output, **_):
        check_output_path(output, [video, audio], {".mp4"})
        score, details = self.compute_sync_score(video)
        Path(output).write_bytes(b"corrected")
        return True, "corrected", {"notes": [], "score_before": score, "details": details}


@pytest.fixture
def spec(tmp_path) -> EngineSpec:
    (tmp_path / "model.pth").write_bytes(b"weights")
    return EngineSpec(tmp_path / "model.pth", "cpu", None, ())


@pytest.fixture
def listed(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("good.mp4").write_bytes(b"x")
    Path("=1+1.mp4").write_bytes(b"x")
    os.symlink("loop.mp4", "loop.mp4")
    os.symlink("b.mp4", "a.mp4")
    os.symlink("a.mp4", "b.mp4")
    names = [LONG, "nul\0.mp4", "loop.mp4", "a.mp4", "é" * 200, "deep/" * 1000 + "x", "good.mp4",
             "=1+1.mp4"]  # fmt: skip
    with open("list.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["video"], *([name] for name in names)])
    return Path("list.csv")


@pytest.mark.parametrize("corrected", [False, True])
def test_a_name_that_no_file_has_ends_its_row_only(listed, spec, corrected):
    folder = Path("out") if corrected else None
    if folder:
        folder.mkdir()
    for _ in range(2):  # the second run reads the first one's table
        pairs = with_outputs(read_list(listed), folder)
        rows = run_batch(spec, pairs, Path("summary.csv"), engine=Reader())
        assert [row["success"] for row in rows] == [False] * 6 + [True] * 2
        assert all(row["message"] and "\n" not in row["message"] for row in rows)
        assert not any("Error" in row["message"] for row in rows), "no bug of the program"
    table = Path("summary.csv").read_text(encoding="utf-8-sig")
    assert "'=1+1.mp4" in table and "'=a verdict" in table
    saved = read_summary(Path("summary.csv"))[-1]
    assert saved["video"] == "=1+1.mp4" and saved["verdict"] == "=a verdict"


def test_paths_given_in_python(spec, tmp_path):
    pairs = with_outputs([("nul\0.mp4", "a\0"), (LONG, "\0")], tmp_path)
    rows = run_batch(spec, pairs, None, engine=Reader())
    assert not any(row["success"] for row in rows)
    assert all("nul" in row["message"] or "xxx" in row["message"] for row in rows)


@pytest.mark.parametrize("name", ["a\0.mp4", "a\0/b.mp4", "loop/x.mp4", f"{LONG}/a.mp4", LONG])
def test_an_output_that_no_file_can_be_is_refused(tmp_path, name):
    os.symlink("loop", tmp_path / "loop")
    with pytest.raises(OutputError, match=r"cannot (write|create)"):
        check_output_path(tmp_path / name, [tmp_path / "in\0.mp4"], {".mp4"})


def test_real_paths(tmp_path):
    os.symlink("loop", tmp_path / "loop")
    os.symlink("there", tmp_path / "link")
    (tmp_path / "there").touch()
    assert real_path(tmp_path / "link") == real_path(tmp_path / "there")
    for name in ("loop", "nul\0", LONG):
        assert real_path(tmp_path / name).parent == real_path(tmp_path)


def test_links_in_a_circle_are_skipped_with_a_reason(tmp_path):
    (tmp_path / "videos").mkdir()
    os.symlink("a.mp4", tmp_path / "videos" / "a.mp4")
    os.symlink(".", tmp_path / "videos" / "folder")
    settings = DataConfig(
        video_dir=str(tmp_path / "videos"), audio_dir=str(tmp_path), processed_dir=str(tmp_path)
    )
    (clip,) = find_clips(settings)
    assert "a.mp4 is a broken link" in process_clip(settings, (clip, []))

"""The table of a folder's checkpoints, and the plot of correct and incorrect windows."""

import re
import shutil

import cv2
import pytest

from src.checkpoints.checkpoint import load_checkpoint
from src.dataset.index import INDEX_NAME
from tests.support.training_helpers import assert_one_line, call_script, run_script

pytest_plugins = ("tests.support.training_fixtures",)


def test_the_best_is_marked(trained, corpus, tmp_path):
    folder = tmp_path / "several"
    shutil.copytree(trained.parent, folder)
    (folder / "text.pth").write_text("no checkpoint")
    done = run_script("tools/compare_checkpoints.py", folder, "--index",
                      corpus / "processed" / INDEX_NAME, "--plot", tmp_path / "p.png")  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^([* ]) (\S+\.pth) +(\d+) +([\d.]+)", done.stdout, re.MULTILINE)
    assert {name for _, name, *_ in rows} == {path.name for path in trained.parent.glob("*.pth")}
    marked = [row for row in rows if row[0] == "*"]
    assert len(marked) == 1
    assert min(float(loss) for *_, loss in rows) == float(marked[0][3])
    stored = {name: load_checkpoint(folder / name)["val_loss"] for _, name, *_ in rows}
    for _, name, _, loss in rows:
        assert float(loss) == pytest.approx(stored[name], abs=2e-3)
    assert "text.pth" in done.stderr
    assert cv2.imread(str(tmp_path / "p.png")) is not None


def test_a_folder_without_checkpoints(tmp_path):
    done = call_script("tools/compare_checkpoints.py", tmp_path, "--index", "x.pkl",
                       "--plot", tmp_path / "p.png")  # fmt: skip
    assert_one_line(done, str(tmp_path), "no checkpoints")


def test_windows_right_and_wrong(trained, corpus, tmp_path):
    picture = tmp_path / "new" / "windows.png"
    done = run_script("tools/visualize_samples.py", "--checkpoint", trained, "--index",
                      corpus / "processed" / INDEX_NAME, "--num-samples", "4",
                      "-o", picture)  # fmt: skip
    assert done.returncode == 0, done.stderr
    right, wrong = map(
        int, re.search(r"(\d+) windows correct, (\d+) incorrect", done.stdout).groups()
    )
    assert right + wrong == 4 and right >= 2
    height, width = cv2.imread(str(picture)).shape[:2]
    assert width > height > 600

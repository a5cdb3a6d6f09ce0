"""What the commands leave in the temporary folder and in the user's home: nothing."""

import shutil
import subprocess
import sys

import pytest

from tests.support.training_helpers import ROOT, run_script

pytest_plugins = ("tests.support.training_fixtures", "tests.support.inference_fixtures")

# Both networks that onnxruntime runs here; a session is what made it report its use.
SESSIONS = """
import src.faces.detection, src.audio.features, numpy
from src.core.config import DataConfig
src.faces.detection.make_detector(DataConfig()).detect(numpy.zeros((1, 240, 320, 3), numpy.uint8))
list(src.audio.features.stream_features([numpy.zeros(16000, numpy.float32)], 40))
"""


@pytest.fixture
def empty(monkeypatch, tmp_path):
    """An empty folder for temporary files, and an empty home."""
    for folder, names in (
        ("temporary", ("TMPDIR", "TEMP", "TMP")),
        ("home", ("HOME", "USERPROFILE", "XDG_CACHE_HOME", "XDG_DATA_HOME")),
    ):
        (tmp_path / folder).mkdir()
        for name in names:
            monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)  # as a user's shell is
    return tmp_path


def left(folder) -> list[str]:
    """All that is there, but matplotlib's list of fonts."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return [str(path.relative_to(folder)) for path in found if "matplotlib" not in path.parts]


def test_sessions_leave_nothing(empty):
    done = subprocess.run(
        [sys.executable, "-c", SESSIONS], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert left(empty / "temporary") == left(empty / "home") == []


def test_commands_leave_nothing(empty, trained, clips, tmp_path):
    made, judge = tmp_path / "made", ("src/inference.py", "--checkpoint", trained)
    made.mkdir()
    clip = shutil.copy(clips(-240), made / "in.mp4")
    (made / "list.csv").write_text(f"video,audio\n{clip},\n", encoding="utf-8")
    commands = [
        (*judge, "--video", clip, "--output", made / "out.mp4", "--plot", made / "out.png",
         "--report", made / "out.html", "--annotate", made / "seen.mp4"),
        (*judge, "--batch", made / "list.csv", "--output", made / "many"),
        (*judge, "--find-audio", clip, clip),
        ("tools/export_models.py", "--checkpoint", trained, "--output-dir", made / "exported",
         "--format", "pth,onnx,torchscript"),
    ]  # fmt: skip
    for command in commands:
        done = run_script(*command)
        assert done.returncode == 0, done.stderr
        assert left(empty / "temporary") == left(empty / "home") == [], command
    assert {path.name for path in made.iterdir()} == {
        "in.mp4", "list.csv", "out.mp4", "out.png", "out.html", "seen.mp4", "many", "exported",
    }  # fmt: skip
    assert {path.name for path in (made / "many").iterdir()} == {"in_synced.mp4", "summary.csv"}

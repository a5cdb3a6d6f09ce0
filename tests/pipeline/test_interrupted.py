"""Ctrl+C while a clip is scored or corrected: one word, and no file of it stays."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.limits import HANG_S
from tests.support.media_files import ffmpeg

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="signals of POSIX"),
]

# The first measurement is skipped: whether the weights know the drawn face is not asked here.
CORRECTION = """
from src.core import cli
from src import inference
from tests.support.made_details import made_result
real, videos = inference.LipSyncInference.measure, []

def measure(self, video, *arguments, **options):
    videos.append(video)
    if len(videos) > 1:
        return real(self, video, *arguments, **options)
    return made_result(video, video, 60.0, 240.0, 0.1)

inference.LipSyncInference.measure = measure
cli.run(inference.main)
"""


@pytest.fixture(scope="module")
def minute(talking_clip, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("minute") / "v.mp4"
    ffmpeg("-stream_loop", 29, "-i", talking_clip, "-c", "copy", path)
    return path


@pytest.mark.parametrize(
    ("script", "folder", "begun"),
    [
        (None, "temporary", "lipsync-*/*.rows"),  # faces are being tracked
        (CORRECTION, "out", ".v_synced-*.mp4"),  # the audio is being retimed
        (CORRECTION, "temporary", "lipsync-*/*.rows"),  # the result is being measured
    ],
)
def test_nothing_stays(minute, tmp_path, script, folder, begun):
    for name in ("temporary", "out"):
        (tmp_path / name).mkdir()
    command = [sys.executable, *(["-c", script] if script else ["src/inference.py"])]
    arguments = ["--checkpoint", "pretrained/best_model.pth", "--video", minute, "--device", "cpu",
                 "--output", tmp_path / "out" / "v_synced.mp4"]  # fmt: skip
    with subprocess.Popen(
        [*command, *map(str, arguments)], cwd=ROOT, text=True, encoding="utf-8",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        env=os.environ | {"TMPDIR": str(tmp_path / "temporary"), "PYTHONPATH": str(ROOT)},
    ) as running:  # fmt: skip
        deadline = time.monotonic() + HANG_S
        while not list((tmp_path / folder).glob(begun)):
            assert running.poll() is None and time.monotonic() < deadline, running.communicate()
            time.sleep(0.01)
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does: ffmpeg gets it, too
        pressed = time.monotonic()
        out, err = outputs_of(running)
    assert running.returncode == 130 and out == "" and err.strip().endswith("stopped")
    assert "Traceback" not in err and "error" not in err
    assert time.monotonic() - pressed < 20
    assert left_in(tmp_path) == set()


def outputs_of(running: subprocess.Popen) -> tuple[str, str]:
    """What a command prints until it ends; one that hangs is killed, and fails the test."""
    try:
        return running.communicate(timeout=HANG_S)
    except subprocess.TimeoutExpired:
        os.killpg(running.pid, signal.SIGKILL)
        raise


def left_in(folder: Path) -> set[str]:
    return {path.name for name in ("temporary", "out") for path in (folder / name).iterdir()}


def test_nothing_stays_of_a_batch(minute, tmp_path):
    """The processes of a batch are told by the first one, and remove what is theirs."""
    for name in ("temporary", "out", "videos"):
        (tmp_path / name).mkdir()
    for number in range(3):
        (tmp_path / "videos" / f"{number}.mp4").hardlink_to(minute)
    arguments = ["--checkpoint", "pretrained/best_model.pth", "--video-dir", tmp_path / "videos",
                 "--device", "cpu", "--output", tmp_path / "out", "--workers", "2"]  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "src/inference.py", *map(str, arguments)], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        env=os.environ | {"TMPDIR": str(tmp_path / "temporary")},
    ) as running:  # fmt: skip
        deadline = time.monotonic() + HANG_S
        while not list((tmp_path / "temporary").rglob("*.rows")):
            assert running.poll() is None and time.monotonic() < deadline, running.communicate()
            time.sleep(0.01)
        os.killpg(running.pid, signal.SIGINT)
        out, err = outputs_of(running)
    assert running.returncode == 130 and err.strip().endswith("stopped")
    assert "Traceback" not in out + err
    assert left_in(tmp_path) == set()

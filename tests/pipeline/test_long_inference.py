"""Judging an hour takes little more memory than judging a minute."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.media_files import ffmpeg

ROOT = Path(__file__).resolve().parents[2]
SHORT_MIN, LONG_MIN = 1, int(os.environ.get("LONG_MIN", "4"))
# The evidence that is kept takes 0.9 MiB a minute of one face (5 bytes for each of 121 offsets),
# and malloc's habits some tens of MiB in all. Embeddings and crops, if they were kept, would take
# 30 a minute; small results between large blocks that were freed once took 43.
MOST_MIB_A_MIN = 15.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux"),
]

# The face is always in the middle, which saves looking for it; all else is as it is.
MEASURED = """
import resource, sys
import numpy as np, torch
from src.faces.detection import FaceDetection
from src.pipeline.engine import LipSyncInference
from tests.support.scripted_faces import face_at

class Middle:
    def detect(self, pictures, zoomed=False):
        side = 80 if zoomed else 60
        return [[face_at(p.shape[1] / 2 - 0.5, p.shape[0] / 2 - 0.5, side)] for p in pictures]

torch.set_num_threads(1)
judge = LipSyncInference("pretrained/best_model.pth", device="cpu")
judge.detector = Middle()
_, details = judge.compute_sync_score(sys.argv[1])
print(details["duration_s"], details["faces"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_mib(clip: Path, minutes: int, folder: Path) -> float:
    path = folder / f"{minutes}.mp4"
    ffmpeg("-stream_loop", minutes * 30 - 1, "-i", clip, "-c", "copy", path)
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(path)], cwd=ROOT, capture_output=True, text=True,
        encoding="utf-8", check=False, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    duration_s, faces, peak = map(float, done.stdout.split())
    assert duration_s == pytest.approx(60 * minutes, rel=0.05) and faces == 1
    return peak / 1024


def test_memory_hardly_grows_with_the_length(talking_clip, tmp_path):
    small = tmp_path / "small.mp4"
    ffmpeg("-i", talking_clip, "-vf", "scale=120:120", "-c:a", "copy", small)
    short, long = (peak_mib(small, minutes, tmp_path) for minutes in (SHORT_MIN, LONG_MIN))
    print(f"PEAK: {short:.0f} MiB for {SHORT_MIN} min, {long:.0f} for {LONG_MIN}")
    assert (long - short) / (LONG_MIN - SHORT_MIN) < MOST_MIB_A_MIN

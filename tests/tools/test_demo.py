"""`make demo`, run for real, only smaller."""

import os
import re
import shutil
import subprocess
import sys

import av
import pytest

from tests.support.limits import HANG_S
from tests.support.training_helpers import ROOT, run_script


@pytest.mark.slow
def test_demo_measures_and_corrects_the_injected_offset(tmp_path):
    """In a copy, so that nobody's demo is overwritten."""
    for name in ("src", "tools"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("config.yaml", "setup_directories.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    done = subprocess.run(
        [sys.executable, "tools/demo.py", "--clips", "16", "--epochs", "18"],
        cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", timeout=HANG_S,
        env=os.environ | {"LIPSYNC_LANG": "en", "OMP_WAIT_POLICY": "passive"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    injected = re.search(r"injected offset: ([-+]\d+) ms", done.stdout)
    measured = re.search(r"measured offset: ([-+]\d+) ms", done.stdout)
    assert int(injected[1]) == -200
    assert int(measured[1]) == pytest.approx(-200, abs=20)
    assert "corrected; score" in done.stdout
    assert (tmp_path / "outputs" / "demo_offset.png").read_bytes()[:4] == b"\x89PNG"
    with av.open(str(tmp_path / "outputs" / "demo_synced.mp4")) as container:
        assert sum(1 for packet in container.demux(video=0) if packet.size) == 100
    # Each of the four steps is printed as it would be typed.
    for script in ("setup_directories.py", "src/data_processing.py", "src/train.py",
                   "src/inference.py"):  # fmt: skip
        assert f"$ python {script}" in done.stdout


def test_invalid_setting_is_rejected_before_anything_is_written():
    done = run_script("tools/demo.py", "--set", "training.num_epoch=1")
    assert done.returncode == 2 and done.stdout == ""
    assert "did you mean num_epochs" in done.stderr and len(done.stderr.splitlines()) == 1

"""A training that is killed in the middle leaves files that can be read, always."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from src.checkpoint import load_checkpoint
from tests.training_helpers import ROOT, settings_for

pytest_plugins = ("tests.training_fixtures",)
KILLS = 30


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_no_file_is_ever_half_written(corpus, tmp_path):
    """Thirty times: a real training, saving after every step, killed at a random moment."""
    changes = {
        "training__num_epochs": 1000, "training__save_steps": 1, "training__save_interval": 1,
        "training__keep_checkpoint_max": 3, "data__processed_dir": corpus / "processed",
    }  # fmt: skip
    script = [sys.executable, "-u", str(ROOT / "src/train.py"), *settings_for(tmp_path, **changes)]
    environment = os.environ | {"LIPSYNC_LANG": "en", "OMP_NUM_THREADS": "1"}
    folder, dice = tmp_path / "checkpoints", random.Random(0)
    saved = set()
    for number in range(KILLS):
        resume = ["--resume", "auto"] if saved else []
        with subprocess.Popen(
            [*script, *resume],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=environment,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        ) as process:
            for line in process.stdout:
                if line.startswith("Epoch"):  # it learns now, and saves all the time
                    time.sleep(dice.uniform(0, 1.5))
                    process.send_signal(signal.SIGKILL)
                    break
            rest = process.stdout.read()
            assert process.wait(60) == -signal.SIGKILL, (number, rest)
        found = [path for path in folder.iterdir() if path.suffix == ".pth"]
        for path in found:
            load_checkpoint(path)
        saved |= {path.name for path in found}
        periodic = [path for path in found if path.name.startswith("checkpoint_")]
        assert len(periodic) <= 4, "killed before the oldest was dropped"
    assert len(saved) > 10, "killed while it was saving"
    assert len(list(folder.glob("*.part"))) <= 4, "parts are written over, they do not pile up"

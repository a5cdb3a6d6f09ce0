"""A killed training leaves only complete files."""

import multiprocessing
import os
import random
import signal
import sys
import threading
import time

import pytest

from src.checkpoints.checkpoint import load_checkpoint
from tests.support.training_helpers import settings_for

pytest_plugins = ("tests.support.training_fixtures",)
KILLS = int(os.environ.get("KILLS", "15"))


def training(arguments: list[str], moment_s: float) -> None:
    """Run ``train.py`` in this process and kill it ``moment_s`` after training starts.

    In processor time: on a busy machine little may happen in a second.
    """
    from src import train
    from src.core import cli
    from src.training import loop

    fit = loop.train_model

    def watched(*state):
        def kill():
            while time.process_time() < end:
                time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGKILL)

        end = time.process_time() + moment_s
        threading.Thread(target=kill, daemon=True).start()
        fit(*state)

    loop.train_model = watched
    sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (to the end)
    sys.argv = ["train.py", *arguments]
    cli.run(train.main)


@pytest.fixture
def processes(monkeypatch):
    """Processes forked from one that has imported the libraries, which takes the most time."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["src.train", "torch.utils.tensorboard", "torchvision.utils", "sklearn.linear_model"]
    )
    return context


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_no_file_is_ever_half_written(corpus, tmp_path, processes):
    """Trainings that save after every step, each killed at a random moment."""
    changes = {
        "training__num_epochs": 1000, "training__save_steps": 1, "training__save_interval": 1,
        "training__keep_checkpoint_max": 3, "data__processed_dir": corpus / "processed",
    }  # fmt: skip
    arguments = settings_for(tmp_path, **changes)
    folder, rng = tmp_path / "checkpoints", random.Random(0)
    saved = set()
    for number in range(KILLS):
        resume = ["--resume", "auto"] if saved else []
        # It trains and saves all the time.
        parameters = ([*arguments, *resume], rng.uniform(0, 1.5))
        process = processes.Process(target=training, args=parameters)
        process.start()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL, number
        paths = [path for path in folder.iterdir() if path.suffix == ".pth"]
        for path in paths:
            load_checkpoint(path)
        saved |= {path.name for path in paths}
        periodic = [path for path in paths if path.name.startswith("checkpoint_")]
        assert len(periodic) <= 4, "killed before the oldest was deleted"
    assert len(saved) > KILLS / 3, "killed while it was saving"
    assert len(list(folder.glob("*.part"))) <= 4, "parts are overwritten and do not pile up"

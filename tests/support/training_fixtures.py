"""Fixtures for tests that need a corpus or a trained model: made once per run, synthetic."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from src import train
from src.core.console import console_logging
from src.dataset.build import process_clips
from src.dataset.clips import find_clips
from src.training import loop
from tests.support.training_helpers import config_of, run_script, settings_for
from tools.synthetic_talker import make_corpus

CLIPS, SECONDS = 14, 4.0
FEW_CLIPS = 2


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Tests that need the corpus, and often the trained model, are slow."""
    for item in items:
        if "corpus" in item.fixturenames:
            item.add_marker("slow")


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def speaks(monkeypatch):
    """``speaks("zh")`` switches the language of the messages until the test ends."""

    return lambda name: monkeypatch.setenv("LIPSYNC_LANG", name)


@pytest.fixture
def trainer(monkeypatch, capsys):
    """``trainer(*arguments)`` runs train.py in this process: its status, stdout and stderr."""
    # Measuring the zero reference takes as long as the rest of so short an epoch.
    monkeypatch.setattr(loop, "ZERO_CLIPS", FEW_CLIPS)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["train.py", *map(str, arguments)])
        with console_logging():
            status = train.main()
        output = capsys.readouterr()
        return status, output.out, output.err

    return call


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """``once(name, make)`` calls ``make(folder)`` in one of the processes of pytest-xdist, while
    the others wait, and returns the folder, which is the same for all."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent

    folder = base / "made"

    def make_once(name: str, make: Callable[[Path], None]) -> Path:
        folder.mkdir(exist_ok=True)
        with FileLock(base / f"{name}.lock"):
            if not (base / f"{name}.made").exists():
                make(folder)
                (base / f"{name}.made").touch()
        return folder

    return make_once


@pytest.fixture(scope="session")
def corpus(once) -> Path:
    """A folder with processed samples of one synthetic speaker: to read, not to write to."""

    def make(folder: Path) -> None:
        make_corpus(folder, CLIPS, SECONDS, n_speakers=1)
        config = config_of(settings_for(folder))
        report = process_clips(config, find_clips(config.data))
        assert len(report.samples) == CLIPS and not report.skipped

    return once("corpus", make)


@pytest.fixture(scope="session")
def trained(corpus, once) -> Path:
    """A checkpoint trained on this speaker."""

    def make(folder: Path) -> None:
        done = run_script("src/train.py", *settings_for(folder))
        assert done.returncode == 0, done.stderr
        (folder / "train.log").write_text(done.stdout, encoding="utf-8")

    return once("trained", make) / "checkpoints" / "best_model.pth"


@pytest.fixture
def arguments(corpus, tmp_path):
    """``arguments(key=value, …)``: the samples of the corpus, everything else in tmp_path."""

    def make(**changes) -> list[str]:
        processed = changes.pop("data__processed_dir", corpus / "processed")
        return [*settings_for(tmp_path, **changes), "--set", f"data.processed_dir={processed}"]

    return make

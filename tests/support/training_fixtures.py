"""Fixtures that need a corpus or a trained model: made once a run, of drawn talkers."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from src import data_processing, train
from src.i18n import messages
from src.training import loop
from tests.support.training_helpers import config_of, run_script, settings_for
from tools.synthetic_talker import make_corpus

CLIPS, SECONDS = 14, 4.0
FEW_CLIPS = 2


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """What needs the corpus, and often the trained model, is slow."""
    for item in items:
        if "corpus" in item.fixturenames:
            item.add_marker("slow")


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def speaks(monkeypatch):
    """``speaks("zh")`` switches the language of the messages until the test ends."""

    def speak(name: str) -> None:
        monkeypatch.setenv("LIPSYNC_LANG", name)
        messages.language.cache_clear()

    yield speak
    monkeypatch.undo()
    messages.language.cache_clear()


@pytest.fixture
def trainer(monkeypatch, capsys):
    """``trainer(*arguments)`` runs train.py here; its status, what it printed, its errors."""
    # Looking for what a network calls zero takes as long as all else in so short an epoch.
    monkeypatch.setattr(loop, "ZERO_CLIPS", FEW_CLIPS)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["train.py", *map(str, arguments)])
        status = train.main()
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """``once(name, make)`` calls ``make(folder)`` in one of the processes of pytest-xdist; the
    others wait for it. The folder, the same for all."""
    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent

    def made(name: str, make: Callable[[Path], None]) -> Path:
        (place / "made").mkdir(exist_ok=True)
        with FileLock(place / f"{name}.lock"):
            if not (place / f"{name}.made").exists():
                make(place / "made")
                (place / f"{name}.made").touch()
        return place / "made"

    return made


@pytest.fixture(scope="session")
def corpus(once) -> Path:
    """A folder with processed samples of one drawn talker: to read, not to write to."""

    def make(folder: Path) -> None:
        make_corpus(folder, CLIPS, SECONDS, n_speakers=1)
        config = config_of(settings_for(folder))
        report = data_processing.process(config, data_processing.find_clips(config.data))
        assert len(report.samples) == CLIPS and not report.skipped

    return once("corpus", make)


@pytest.fixture(scope="session")
def trained(corpus, once) -> Path:
    """A checkpoint that knows this talker."""

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

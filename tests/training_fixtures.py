"""Fixtures that need a corpus or a trained model: made once a session, of drawn talkers."""

import sys
from pathlib import Path

import pytest
import torch

from src import data_processing, messages, train
from tests.training_helpers import config_of, run_script, settings_for
from tools.synthetic_talker import make_corpus

CLIPS, SECONDS = 14, 4.0


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

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["train.py", *map(str, arguments)])
        status = train.main()
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Path:
    """A folder with processed samples of one drawn talker."""
    folder = tmp_path_factory.mktemp("corpus")
    make_corpus(folder, CLIPS, SECONDS, n_speakers=1)
    config = config_of(settings_for(folder))
    report = data_processing.process(config, data_processing.find_clips(config.data))
    assert len(report.samples) == CLIPS and not report.skipped
    return folder


@pytest.fixture(scope="session")
def trained(corpus) -> Path:
    """A checkpoint that knows this talker."""
    done = run_script("src/train.py", *settings_for(corpus))
    assert done.returncode == 0, done.stderr
    (corpus / "train.log").write_text(done.stdout, encoding="utf-8")
    return corpus / "checkpoints" / "best_model.pth"


@pytest.fixture
def arguments(corpus, tmp_path):
    """``arguments(key=value, …)``: the samples of the corpus, everything else in tmp_path."""

    def make(**changes) -> list[str]:
        processed = changes.pop("data__processed_dir", corpus / "processed")
        return [*settings_for(tmp_path, **changes), "--set", f"data.processed_dir={processed}"]

    return make

"""Clips to judge, a model that judges them, and the command."""

import sys
from pathlib import Path

import pytest

from src import inference
from src.core.cli import run
from src.pipeline.engine import LipSyncInference
from tests.support.inference_helpers import SECONDS, SEED
from tools import synthetic_talker


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """``clips(shift_ms, seed)``: a clip of the talker, made once, with its sound early by that."""
    folder = tmp_path_factory.mktemp("clips")

    def clip(shift_ms: float = 0, seed: int = SEED) -> Path:
        path = folder / f"talk{seed}_{shift_ms}.mp4"
        if not path.exists():
            synthetic_talker.make_clip(path, seed, SECONDS, shift_ms=shift_ms, speaker=0)
        return path

    return clip


@pytest.fixture(scope="session")
def judge(trained) -> LipSyncInference:
    return LipSyncInference(trained, device="cpu")


@pytest.fixture
def command(monkeypatch, capfd):
    """``command(*arguments)`` runs the command line here: status, stdout, stderr."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["inference.py", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            run(inference.main)
        said = capfd.readouterr()
        return end.value.code, said.out, said.err

    return call

"""How far zero has moved between two models that are known to differ."""

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import zero
from src.core.config import load_config
from src.core.errors import DatasetError
from src.dataset.samples import Sample

INFERENCE = load_config(None, []).inference


class Trained:
    """Stands for a model: what it finds in a clip depends on the clip alone."""

    def __init__(self, found: dict):
        self.found, self.config = found, type("Config", (), {"data": None})
        self.model = self.calibration = None


@pytest.fixture
def compared(monkeypatch, capsys):
    def go(first: dict, second: dict) -> str:
        samples = [Sample(name, name, name.split("/")[0], name, Path(), 50) for name in first]
        models = iter([Trained(first), Trained(second)])
        monkeypatch.setattr(zero, "load_trained", lambda path, device: next(models))
        monkeypatch.setattr(zero.summary, "measured_samples", lambda *args: samples)
        monkeypatch.setattr(zero, "offset_of", lambda model, settings, one: model.found[one.id])
        monkeypatch.setattr(
            sys, "argv", ["zero.py", "--index", "i.pkl", "--checkpoints", "a.pth", "b.pth",
                          "--set", "training.device=cpu"],
        )  # fmt: skip
        assert zero.main() == 0
        return capsys.readouterr().out

    return go


def test_no_speaker_outweighs_the_others(compared):
    dice = np.random.default_rng(0)
    first = {f"{who}/{n}": float(dice.normal(0, 40)) for who in "abc" for n in range(5)}
    first |= {f"b/{n}": 0.0 for n in range(5, 40)}
    moves = {"a": 3.0, "b": 30.0, "c": 7.0}
    second = {name: offset + moves[name[0]] for name, offset in first.items()}
    first["a/0"], second["c/1"] = None, None
    said = compared(first, second)
    assert "48 of 50 clips" in said and "moved by +7.0 ms" in said


@pytest.mark.parametrize(("first", "second"), [({"a/0": None}, {"a/0": 2.0}), ({}, {})])
def test_without_a_clip_in_common(compared, first, second):
    with pytest.raises(DatasetError, match="no clip"):
        compared(first, second)


@pytest.mark.parametrize(("told", "expected"), [(12.5, -57.5), (None, None)])
def test_offsets_count_from_the_clip_as_it_was_recorded(monkeypatch, told, expected):
    monkeypatch.setattr(zero, "evidence_of", lambda *args: None)
    monkeypatch.setattr(zero, "build_result", lambda *args: (None, {"offset_ms": told}))
    track = type("Track", (tuple,), {"crop": np.zeros(50)})
    sample = type("Sample", (), {"moved_ms": -70, "read": lambda self: track()})()
    assert zero.offset_of(Trained({}), INFERENCE, sample) == expected

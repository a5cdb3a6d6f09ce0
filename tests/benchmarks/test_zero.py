"""The shift of the zero reference between two models that differ by a known amount."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import zero
from src.core.config import load_config
from src.core.errors import DatasetError
from src.dataset.samples import Sample

INFERENCE = load_config(None, []).inference


class Trained:
    """A fake model with a given offset for each clip."""

    def __init__(self, offsets: dict):
        self.offsets, self.config = offsets, type("Config", (), {"data": None})
        self.model = self.calibration = None


@pytest.fixture
def compared(monkeypatch, capsys):
    def go(first: dict, second: dict) -> str:
        samples = [Sample(name, name, name.split("/")[0], name, Path(), 50) for name in first]
        models = iter([Trained(first), Trained(second)])
        monkeypatch.setattr(zero, "load_trained", lambda path, device: next(models))
        monkeypatch.setattr(zero.options, "load_chosen_samples", lambda *args: samples)
        monkeypatch.setattr(
            zero, "measure_offset_ms", lambda model, settings, sample: model.offsets[sample.id]
        )
        monkeypatch.setattr(
            sys, "argv", ["zero.py", "--index", "i.pkl", "--checkpoints", "a.pth", "b.pth",
                          "--set", "training.device=cpu"],
        )  # fmt: skip
        assert zero.main() == 0
        return capsys.readouterr().out

    return go


def test_every_speaker_counts_alike(compared):
    rng = np.random.default_rng(0)
    first = {f"{who}/{n}": float(rng.normal(0, 40)) for who in "abc" for n in range(5)}
    first |= {f"b/{n}": 0.0 for n in range(5, 40)}
    shifts = {"a": 3.0, "b": 30.0, "c": 7.0}
    second = {name: offset + shifts[name[0]] for name, offset in first.items()}
    first["a/0"], second["c/1"] = None, None
    stdout = compared(first, second)
    assert "for 48 of 50 clips" in stdout and "zero reference shifted by +7.0 ms" in stdout


@pytest.mark.parametrize(("first", "second"), [({"a/0": None}, {"a/0": 2.0}), ({}, {})])
def test_without_a_clip_in_common(compared, first, second):
    with pytest.raises(DatasetError, match="no clip for which both models report an offset"):
        compared(first, second)


@pytest.mark.parametrize(("reported", "expected"), [(12.5, -57.5), (None, None)])
def test_offsets_are_relative_to_the_recording(monkeypatch, reported, expected):
    monkeypatch.setattr(zero, "compute_evidence", lambda *args: None)
    monkeypatch.setattr(zero, "build_result", lambda *args: SimpleNamespace(offset_ms=reported))
    track = type("Track", (tuple,), {"crop": np.zeros(50)})
    sample = type("Sample", (), {"shift_ms": -70, "read": lambda self: track()})()
    assert zero.measure_offset_ms(Trained({}), INFERENCE, sample) == expected

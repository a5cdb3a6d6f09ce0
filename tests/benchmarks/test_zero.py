"""How far zero has moved between two models that are known to differ."""

import sys

import numpy as np
import pytest

from benchmarks import zero
from src.errors import DatasetError


class Trained:
    """Stands for a model: what it finds in a clip depends on the clip's number alone."""

    def __init__(self, found: dict):
        self.found, self.config = found, type("Config", (), {"data": None})


@pytest.fixture
def compared(monkeypatch, capsys, tmp_path):
    def go(first: dict, second: dict) -> str:
        sample = type("Sample", (), {"n_frames": 50})
        samples = [type("One", (sample,), {"number": number}) for number in first]
        models = iter([Trained(first), Trained(second)])
        monkeypatch.setattr(zero, "load_trained", lambda path, device: next(models))
        monkeypatch.setattr(zero.evaluate, "measured_samples", lambda *args: samples)
        monkeypatch.setattr(zero, "offset_of", lambda model, one: model.found[one.number])
        monkeypatch.setattr(
            sys, "argv", ["zero.py", "--index", "i.pkl", "--checkpoints", "a.pth", "b.pth",
                          "--set", "training.device=cpu"],
        )  # fmt: skip
        assert zero.main() == 0
        return capsys.readouterr().out

    return go


def test_the_median_move_is_told(compared):
    offsets = np.random.default_rng(0).normal(0, 40, 41)
    first = dict(enumerate(offsets))
    second = dict(enumerate(offsets + 7 + np.arange(-20, 21)))
    first[0], second[40] = np.nan, np.nan
    said = compared(first, second)
    assert "39 of 41 clips" in said and "moved by +7.0 ms" in said


def test_without_a_clip_in_common(compared):
    with pytest.raises(DatasetError, match="no clip"):
        compared({0: np.nan, 1: 3.0}, {0: 2.0, 1: np.nan})


@pytest.mark.parametrize(("told", "expected"), [(12.5, -57.5), (None, np.nan)])
def test_offsets_count_from_the_clip_as_it_was_recorded(monkeypatch, told, expected):
    monkeypatch.setattr(zero, "evidence_of", lambda *args: None)
    monkeypatch.setattr(zero, "judge", lambda *args: (None, {"offset_ms": told}))
    inference = type("Inference", (), {"max_offset_frames": 15, "min_offset_probability": 0.5})
    trained = Trained({})
    trained.config.inference, trained.model, trained.calibration = inference, None, {}
    track = type("Track", (tuple,), {"crop": np.zeros(50)})
    sample = type("Sample", (), {"moved_ms": -70, "read": lambda self: track()})()
    assert zero.offset_of(trained, sample) == pytest.approx(expected, nan_ok=True)

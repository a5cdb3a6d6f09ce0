"""How results are binned by their certainty."""

import numpy as np

from benchmarks import confidence
from benchmarks.confidence import CONFIDENCES, PROBABILITIES, collect, measure_offset, table
from src.core.config import load_config
from src.dataset.samples import SampleData
from tests.benchmarks.test_undetermined import fake


def test_rows_count_what_lies_between_their_edges():
    matched = np.array([[0.4, 0.1, 0], [0.6, 0.2, 1], [0.69, 0.9, 0], [0.7, 0.3, 1], [1.0, 0.3, 1]])
    mismatched = np.array([[0.2, 0.1], [0.65, 0.1], [0.95, 0.7], [0.1, 0.2]])
    rows = table("certainty", 0, PROBABILITIES, matched, mismatched)[2:]
    assert rows[0] == "| 0 to 0.5 | 1 | 0.0% | 100.0% |"
    assert rows[1] == "| 0.5 to 0.7 | 2 | 50.0% | 50.0% |"
    assert rows[2] == "| 0.7 to 0.9 | 1 | 100.0% | 25.0% |"
    assert rows[3] == "| 0.9 to 0.97 | 0 | – | 25.0% |"
    assert rows[-1] == "| from 0.99 | 1 | 100.0% | 0.0% |", "a certainty of 1 is counted"
    last = table("LSE-C", 1, CONFIDENCES, matched, mismatched)[-1]
    assert last == "| from 0.6 | 1 | 0.0% | 25.0% |"


def test_matched_and_mismatched_audio_are_separated(monkeypatch):
    """The ground truth is the clip offset less the shift that was applied when reading."""
    measurements = [(30.0, 0.9, 0.5), (90.0, 0.8, 0.4), None, (0.0, 0.2, 0.1), (-20.0, 0.7, 0.3)]
    remaining = iter(measurements * 2)
    monkeypatch.setattr(confidence, "measure_offset", lambda *_: next(remaining))
    samples = [fake("1", 40), fake("2", 40)]
    # in full, the first 0.6 and 1 s, another speaker's, both mixed
    matched, mismatched = collect(None, load_config().inference, samples)
    assert matched.tolist() == [[0.9, 0.5, 1], [0.8, 0.4, 0], [0.7, 0.3, 1]] * 2
    assert mismatched.tolist() == [[0.2, 0.1]] * 2


def test_nothing_is_measured_without_a_window():
    track = SampleData(np.zeros((4, 96, 96), np.uint8), np.zeros((16, 40)), np.ones(4, bool))
    assert measure_offset(None, load_config().inference, track) is None

"""How answers are sorted by how sure they are."""

import numpy as np

from benchmarks import confidence
from benchmarks.confidence import CHANCES, CONFIDENCES, answered, collect, table
from src.core.config import load_config
from src.dataset.samples import SampleData
from tests.benchmarks.test_undetermined import fake


def test_rows_count_what_is_between_their_edges():
    own = np.array([[0.4, 0.1, 0], [0.6, 0.2, 1], [0.69, 0.9, 0], [0.7, 0.3, 1], [1.0, 0.3, 1]])
    foreign = np.array([[0.2, 0.1], [0.65, 0.1], [0.95, 0.7], [0.1, 0.2]])
    rows = table("chance", 0, CHANCES, own, foreign)[2:]
    assert rows[0] == "| 0 to 0.5 | 1 | 0.0% | 100.0% |"
    assert rows[1] == "| 0.5 to 0.7 | 2 | 50.0% | 50.0% |"
    assert rows[2] == "| 0.7 to 0.9 | 1 | 100.0% | 25.0% |"
    assert rows[3] == "| 0.9 to 0.97 | 0 | – | 25.0% |"
    assert rows[-1] == "| from 0.99 | 1 | 100.0% | 0.0% |", "certainty is not left out"
    last = table("LSE-C", 1, CONFIDENCES, own, foreign)[-1]
    assert last == "| from 0.6 | 1 | 0.0% | 25.0% |"


def test_own_and_foreign_sounds_are_told_apart(monkeypatch):
    """The truth is each clip's own offset, less what it was moved by."""
    answers = [(30.0, 0.9, 0.5), (90.0, 0.8, 0.4), None, (0.0, 0.2, 0.1), (-20.0, 0.7, 0.3)]
    told = iter(answers * 2)
    monkeypatch.setattr(confidence, "answered", lambda *_: next(told))
    samples = [fake("1", 40), fake("2", 40)]
    # whole, the first 0.6 and 1 s, another speaker's, both together
    own, foreign = collect(None, load_config().inference, samples)
    assert own.tolist() == [[0.9, 0.5, 1], [0.8, 0.4, 0], [0.7, 0.3, 1]] * 2
    assert foreign.tolist() == [[0.2, 0.1]] * 2


def test_no_answer_without_a_window():
    track = SampleData(np.zeros((4, 96, 96), np.uint8), np.zeros((16, 40)), np.ones(4, bool))
    assert answered(None, load_config().inference, track) is None

"""Pairs with a known offset of seconds, and what is found for them."""

import random
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import far_offsets
from benchmarks.far_offsets import (
    Excerpt,
    Judge,
    Outcome,
    Pair,
    candidates_row,
    excerpts,
    mismatched_pairs,
    outcomes_row,
    shifted_pairs,
)
from src.core.config import load_config
from src.core.constants import FPS
from src.dataset.samples import Sample, SampleData
from tests.support.simulated_evidence import embeddings

pytest_plugins = ("tests.support.evidence_fixtures",)

LENGTH = 10 * FPS


class NumberedSample(Sample):
    """A sample whose frames and hops are their numbers, without a file."""

    def read(self, start: int = 0, n_frames: int | None = None) -> SampleData:
        hops = np.arange(4 * start, 4 * (start + n_frames))
        return SampleData(np.arange(start, start + n_frames), hops, np.ones(n_frames, bool))


def sample(name: str, seconds: int = 25) -> Sample:
    return NumberedSample(name, name, name, name, None, seconds * FPS)


@pytest.fixture
def judge(monkeypatch, calibration) -> Judge:
    """Judges excerpts of one clip in sync by simulated embeddings."""
    video, audio, _ = embeddings(25 * FPS, 0)
    monkeypatch.setattr(far_offsets, "embed_video", lambda model, crops: video[crops[:-4]])
    monkeypatch.setattr(far_offsets, "embed_audio", lambda model, mfcc, speech: audio[mfcc[:-19]])
    settings = load_config(None, []).inference
    return Judge(SimpleNamespace(model=None, calibration=calibration), settings)


def test_excerpts_follow_one_another_where_someone_speaks(monkeypatch):
    clips = [sample("a"), sample("b", 8)]
    assert excerpts(clips, LENGTH) == [Excerpt(clips[0], first, LENGTH) for first in (0, LENGTH)]
    silent = SampleData(None, None, np.zeros(LENGTH, bool))
    monkeypatch.setattr(NumberedSample, "read", lambda *args: silent)
    assert excerpts(clips, LENGTH) == []


def test_audio_from_later_in_the_clip_leads(judge):
    videos = excerpts([sample("a")], LENGTH)
    pairs = list(shifted_pairs(videos, random.Random(0)))
    assert len(pairs) == 2 * len(far_offsets.SHIFTS)
    assert all(pair.true_ms == (pair.audio.first - pair.video.first) * 40 for pair in pairs)
    for pair in pairs[2:4]:
        outcome = judge.judge(pair)
        assert outcome.is_correct and outcome.is_reported(0.5) and outcome.candidate is not None


def test_what_is_within_the_search_range_is_not_searched_for_further(judge):
    video = Excerpt(sample("a"), 0, LENGTH)
    outcome = judge.judge(Pair(video, video._replace(first=5), 200.0))
    assert outcome.candidate is None and outcome.is_correct
    assert not judge.judge(Pair(video, video._replace(first=5), 280.0)).is_correct


def test_mismatched_pairs_are_of_two_speakers():
    videos = excerpts([sample("a"), sample("b")], LENGTH)
    pairs = list(mismatched_pairs(videos, random.Random(0)))
    assert len(pairs) == 8
    assert all(pair.video.sample.speaker != pair.audio.sample.speaker for pair in pairs)
    assert {pair.true_ms for pair in pairs} == {None}


def test_rows_count_what_reaches_both_certainties():
    outcomes = [
        Outcome(0.99, 0.9, True), Outcome(0.65, 0.3, False), Outcome(0.99, 0.1, False),
        Outcome(0.55, None, True),
    ]  # fmt: skip
    assert outcomes_row("x", outcomes) == (
        "| x | 4 | 50.0% / 25.0% | 50.0% / 25.0% | 25.0% / 25.0% | 25.0% / 0.0% | 25.0% / 0.0% | "
        "25.0% / 0.0% | 25.0% / 0.0% |"
    )
    assert candidates_row("x", outcomes).startswith("| x | 3 | 0.300 |")
    assert candidates_row("x", outcomes).endswith("| 0.900 |")

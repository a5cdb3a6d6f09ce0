"""Offsets of seconds: found where one face fits there, and nothing where none does."""

import numpy as np
import pytest

from src.core.constants import FPS
from src.scoring import far_search
from src.scoring.evidence import Curve, best_offset, compare, similarity_curve
from src.scoring.far_search import (
    far_candidate,
    find_far_offset,
    is_reliable,
    join_far,
    join_tracks,
)
from src.scoring.result_types import Weak
from tests.support.made_details import made_result, undetermined_result
from tests.support.simulated_evidence import REACH, embeddings

pytest_plugins = ("tests.support.evidence_fixtures",)

FAR, SECONDS = 400, 12  # hops


class Clip:
    """As much of a clip as the search looks at."""

    def __init__(self, n_tracks: int):
        self.tracks = [None] * n_tracks


@pytest.fixture
def faces(monkeypatch):
    """``faces(lead_ms, …)``: a clip with a face each, whose audio leads by so much; None: foreign
    audio. Chunks of 10 s come as from a network."""

    def make(*leads_ms):
        pairs = []
        for number, lead_ms in enumerate(leads_ms):
            video, audio, speech = embeddings(SECONDS * FPS, lead_ms or 0, seed=number)
            if lead_ms is None:
                _, audio, _ = embeddings(SECONDS * FPS, 0, seed=90 + number)
            pairs.append((video, audio, speech))

        def chunks(model, clip, reach, progress):
            for first in range(0, SECONDS * FPS, 250):
                for number, (video, audio, speech) in enumerate(pairs):
                    part = compare(video[first : first + 250], audio, speech, reach, first)
                    yield number, first, part

        monkeypatch.setattr(far_search, "evidence_chunks", chunks)
        return Clip(len(leads_ms))

    return make


@pytest.mark.parametrize("lead_ms", [1000, -1000, 1600, -3500])
def test_an_offset_of_seconds_is_found(calibration, faces, lead_ms):
    clip = faces(None, lead_ms)
    assert find_far_offset(None, clip, FAR, calibration) == lead_ms / 10
    assert find_far_offset(None, clip, FAR, calibration, numbers=[0]) is None


@pytest.mark.parametrize("lead_ms", [5000, -5000])
def test_an_offset_beyond_the_range_is_found_in_a_wider_one(calibration, faces, lead_ms):
    clip = faces(lead_ms)  # more than half of it has audio at that offset
    assert find_far_offset(None, clip, FAR, calibration) is None
    assert find_far_offset(None, clip, 1000, calibration) == lead_ms / 10


def test_foreign_audio_has_no_offset(calibration, faces):
    assert find_far_offset(None, faces(None, None), FAR, calibration) is None


def test_what_lies_at_the_edge_may_lie_beyond(calibration, faces):
    assert find_far_offset(None, faces(4020), FAR, calibration) is None


def test_evidence_around_an_offset_is_a_part_of_the_wide_one():
    video, audio, speech = embeddings(200, 1600)
    wide, around = (
        compare(video, audio, speech, 300),
        compare(video, audio, speech, REACH, centre=160),
    )
    columns = slice(300 + 160 - REACH, 300 + 160 + REACH + 1)
    assert np.array_equal(around.similarity, wide.similarity[:, columns])
    assert np.array_equal(around.usable, wide.usable[:, columns])
    assert int(around.similarity.mean(0).argmax()) == REACH


def test_the_result_tells_the_whole_offset_and_the_score_as_given(tmp_path):
    found = made_result(tmp_path / "v.mp4", tmp_path / "a.wav", 6.0, 30.0, 0.99)
    near = undetermined_result(
        made_result(tmp_path / "v.mp4", tmp_path / "a.wav", 6.0), Weak(), "weak"
    ).model_copy(update={"score": 0.01})
    result = join_far(near, found, -160)
    assert (result.offset_ms, result.offset_frames, result.bt1359) == (-1570, -39, "unacceptable")
    assert result.score == 0.01 and result.per_second == near.per_second
    (segment,) = result.timeline.segments
    assert (segment.offset_ms, segment.end_offset_ms) == (-1570, -1570)
    assert result.offsets[0].offset_ms == 33 - 1600
    curve = dict(zip(result.curve.offset_ms, result.curve.similarity, strict=True))
    assert min(curve) == -2200 and max(curve) == 600 and np.diff(list(curve)).tolist() == [10] * 280
    assert curve[-1570] == max(value for value in curve.values() if value is not None)
    tracks = join_tracks(near.tracks, found.tracks, -160)
    assert [track.offset_ms for track in tracks] == [-1570, -1570]
    assert [track.score for track in tracks] == [None, None]


def test_a_far_offset_has_to_be_certain(tmp_path):
    found = made_result(tmp_path / "v.mp4", tmp_path / "a.wav", 6.0)
    assert is_reliable(found)
    assert is_reliable(found.model_copy(update={"offset_probability": 0.96}))
    # more so than one nearby:
    assert not is_reliable(found.model_copy(update={"offset_probability": 0.94}))
    assert not is_reliable(undetermined_result(found, Weak(), "weak"))


@pytest.mark.parametrize(("probability", "expected"), [(0.3, 160), (0.1, None)])
def test_it_has_to_lead_over_all_offsets_as_chance_does_not(
    monkeypatch, calibration, faces, probability, expected
):
    clip = faces(1600)
    monkeypatch.setattr(far_search, "peak_probability", lambda curve, calibration: probability)
    assert find_far_offset(None, clip, FAR, calibration) == expected


def test_too_little_speech_gives_no_candidate(calibration):
    video, audio, speech = embeddings(70, 200)
    for n_windows, expected in ((60, 20), (45, 0)):
        curve = similarity_curve([compare(video[:n_windows], audio, speech, 100)])
        assert far_candidate(curve, calibration)[1] == expected


def test_a_best_offset_with_too_little_speech_is_none(calibration):
    """It may be the true one: then no other is."""
    offsets = np.arange(-100, 101)
    similarity = 0.5 * np.exp(-0.5 * ((offsets - 10) / 4) ** 2)
    similarity += 0.6 * np.exp(-0.5 * ((offsets - 80) / 4) ** 2)
    for n_windows, expected in ((50, 80), (49, 0)):
        count = np.where(offsets < 60, 100, n_windows)
        curve = Curve(offsets, similarity, 1 - similarity, count, 0.0)
        assert best_offset(curve) == 80 and far_candidate(curve, calibration)[1] == expected

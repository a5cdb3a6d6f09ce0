"""Audio with seconds cut out or inserted: an offset for each part, and no other voice."""

from itertools import pairwise

import numpy as np
import pytest

from src.core.constants import FPS, HOPS_PER_FRAME
from src.core.notes import MismatchedSpan
from src.scoring import far_jumps
from src.scoring.clip_scoring import ScoredClip, score_clip
from src.scoring.evidence import compare
from src.scoring.far_jumps import find_far_jumps, join_jumps, may_jump_far
from tests.support.simulated_evidence import REACH, embeddings

pytest_plugins = ("tests.support.evidence_fixtures",)

WIDE, SECONDS = 400, 30  # hops; s
MIN_PROBABILITY = 0.5


class Track:
    """As much of a track as scoring looks at."""

    def __init__(self, first_frame: int, n_frames: int, shot: int):
        self.first_frame, self.n_frames = first_frame, n_frames
        self.shot, self.shot_begin = shot, first_frame
        self.boxes = np.tile(np.float32([0, 0, 90, 90]), (n_frames, 1))


class Clip:
    """As much of a clip: its tracks, and ``evidence(reach)`` of each."""

    def __init__(self, audio: np.ndarray, video: np.ndarray, speech: np.ndarray, cuts: list[int]):
        self.n_frames, self._pair = len(video) + 4, (video, audio, speech)
        edges = [0, *cuts, self.n_frames]
        self.tracks = [
            Track(first, stop - first, shot) for shot, (first, stop) in enumerate(pairwise(edges))
        ]

    def evidence(self, reach: int):
        video, audio, speech = self._pair
        return [
            compare(video[track.first_frame : track.first_frame + track.n_frames - 4], audio,
                    speech, reach, track.first_frame)
            for track in self.tracks
        ]  # fmt: skip


def changed(at_s: float, by_s: float, cuts=(), other_voice: bool = False) -> Clip:
    """A clip whose audio lacks ``by_s`` from a time on, or, below 0, has silence there."""
    video, audio, speech = embeddings(SECONDS * FPS, 30, seed=3)
    noise = np.random.default_rng(1).normal(0, 0.25, video.shape)
    video = (video + noise).astype(np.float32)
    video /= np.linalg.norm(video, axis=1, keepdims=True)
    at, by = round(at_s * FPS) * HOPS_PER_FRAME, round(by_s * FPS) * HOPS_PER_FRAME
    rest = audio[at:]
    if other_voice:
        rest = embeddings(SECONDS * FPS, 0, seed=77)[1][at:]
    elif by > 0:
        rest = rest[by:]
    else:
        rest = np.concatenate([np.zeros((-by, audio.shape[1]), np.float32), rest])
        speech = speech.copy()
        speech[round(at_s * FPS) : round((at_s - by_s) * FPS)] = False
    return Clip(np.concatenate([audio[:at], rest])[: len(audio)], video, speech, list(cuts))


def score(clip: Clip, reach: int, calibration: dict) -> ScoredClip:
    return score_clip(clip, clip.evidence(reach), "speaking", calibration, MIN_PROBABILITY)


def find(monkeypatch, clip: Clip, near: ScoredClip, calibration: dict) -> ScoredClip | None:
    monkeypatch.setattr(
        far_jumps,
        "compute_clip_evidence",
        lambda model, clip, reach, progress: clip.evidence(reach),
    )
    return find_far_jumps(
        None, clip, near.result, "speaking", (REACH, WIDE), calibration, MIN_PROBABILITY
    )


@pytest.mark.parametrize(
    ("at_s", "by_s", "cuts"),
    [(15, 2, ()), (15, -1, ()), (15, -3, ()), (10, 3, ()), (16, 2, (400,)), (16, -1, (400,)),
     (16, 2, (200, 400, 600))],
    ids=["2 s cut out", "1 s inserted", "3 s inserted", "3 s cut out", "cut out at a cut",
         "inserted at a cut", "cut out, four shots"],
)  # fmt: skip
def test_each_part_has_its_offset(monkeypatch, calibration, at_s, by_s, cuts):
    clip = changed(at_s, by_s, cuts)
    near = score(clip, REACH, calibration)
    assert may_jump_far(near.result, near.speakers, SECONDS)
    wide = find(monkeypatch, clip, near, calibration)
    result = join_jumps(near.result, wide.result)
    first, last = result.timeline.segments[0], result.timeline.segments[-1]
    assert len(result.timeline.segments) == 2
    assert first.offset_ms == pytest.approx(30, abs=20)
    assert last.offset_ms == pytest.approx(30 + 1000 * by_s, abs=20)
    # Where audio is missing, there is nothing for as long in the video: any time will do.
    assert at_s - 0.6 < last.start_s < at_s + max(0, by_s) + 0.6
    assert wide.speakers.voice_over == []
    assert not any(isinstance(note, MismatchedSpan) for note in result.notes)
    assert result.per_second == near.result.per_second


@pytest.mark.parametrize("cuts", [(), (400,)], ids=["one shot", "two shots"])
def test_another_voice_stays_one(monkeypatch, calibration, cuts):
    """It fits nowhere: the note is what it was."""
    clip = changed(16, 1, cuts, other_voice=True)
    near = score(clip, REACH, calibration)
    assert may_jump_far(near.result, near.speakers, SECONDS)
    assert find(monkeypatch, clip, near, calibration) is None
    if cuts:
        assert near.speakers.voice_over == [1]
    else:
        assert any(isinstance(note, MismatchedSpan) for note in near.result.notes)


def test_a_clip_that_fits_is_not_scored_again(calibration):
    video, audio, speech = embeddings(SECONDS * FPS, 30, seed=3)
    near = score(Clip(audio, video, speech, []), REACH, calibration)
    assert near.result.status == "ok"
    assert not may_jump_far(near.result, near.speakers, SECONDS)


def test_hours_are_not_held_in_memory(monkeypatch, calibration):
    clip = changed(15, 2)
    near = score(clip, REACH, calibration)
    monkeypatch.setattr(far_jumps, "MAX_LENGTH_S", SECONDS - 1)
    assert find(monkeypatch, clip, near, calibration) is None

"""People in one shot who take turns: who speaks when, with offsets of their own, from simulated
evidence."""

import numpy as np
import pytest

from src.core.constants import FPS
from src.scoring.evidence import Evidence
from src.scoring.result_builder import build_result, describe_tracks
from src.scoring.speaker_offsets import speaker_timeline
from src.scoring.speakers import FaceEvidence, choose_faces
from src.scoring.turns import find_turns, likely_offsets, speech_spans
from tests.support.simulated_evidence import evidence

pytest_plugins = ("tests.support.evidence_fixtures",)

A, B, C, NOBODY = 0, 1, 2, None
TURNS = [(A, 4.0), (B, 4.0), (A, 2.0), (B, 3.0), (A, 3.0)]


def take_turns(
    turns: list[tuple[int | None, float]], offsets_ms: list[float]
) -> tuple[list[Evidence], np.ndarray]:
    """The evidence of each person, who fits the audio at an offset of their own in their turns;
    and who speaks in each frame, int [T], -1: nobody."""
    speaker = np.concatenate(
        [np.full(round(seconds * FPS), -1 if who is None else who) for who, seconds in turns]
    )
    seconds = len(speaker) // FPS
    tracks = []
    for number, offset_ms in enumerate(offsets_ms):
        own, other = (evidence(lambda s, ms=offset_ms: ms, seconds, strength, seed=7 * number + i)
                      for i, strength in ((1, 0.5), (2, 0.0)))  # fmt: skip
        middles = np.arange(len(own.similarity)) + 2
        fits = (speaker[middles] == number)[:, None]
        usable = np.repeat((speaker[middles] >= 0)[:, None], own.similarity.shape[1], 1)
        tracks.append(Evidence(np.where(fits, own.similarity, other.similarity), usable))
    return tracks, speaker


def faces_of(tracks: list[Evidence]) -> list[FaceEvidence]:
    """Faces of one shot, side by side."""
    n_frames = len(tracks[0].similarity) + 4
    return [
        FaceEvidence(number, 0, 0, 0,
                     np.tile(np.array([40 * number, 0, 40 * number + 20, 20], "f4"), (n_frames, 1)),
                     track)
        for number, track in enumerate(tracks)
    ]  # fmt: skip


def share_right(spans: dict[int, list[tuple[int, int]]], speaker: np.ndarray) -> float:
    """The share of the frames with speech that belong to the right person."""
    found = np.full(len(speaker), -1)
    for number, pairs in spans.items():
        for first, stop in pairs:
            found[first:stop] = number
    return float((found == speaker)[speaker >= 0].mean())


def scored(tracks: list[Evidence], calibration: dict):
    faces = faces_of(tracks)
    speakers = choose_faces(faces, "speaking", calibration, 0.5)
    parts = speakers.scored(faces)
    result = build_result(
        [part for _, part in parts], len(tracks[0].similarity) + 4, calibration, 0.5,
        turns=[number for number, _ in parts] if speakers.turns else None,
    )  # fmt: skip
    return faces, speakers, result


@pytest.mark.parametrize(("turns", "offsets_ms"), [
    (TURNS, [0, 0]), (TURNS, [0, 170]), (TURNS, [-300, 300]),
    ([(A, 3.0), (B, 3.0), (C, 3.0), (B, 2.0), (A, 2.0), (C, 3.0)], [40, -160, 200]),
    ([(A, 20.0), (B, 2.0), (A, 10.0)], [0, 120]),
])  # fmt: skip
def test_each_turn_is_of_the_one_who_speaks(calibration, turns, offsets_ms):
    tracks, speaker = take_turns(turns, offsets_ms)
    faces, speakers, result = scored(tracks, calibration)
    assert share_right(speakers.spans(faces), speaker) >= 0.95
    described = describe_tracks(faces, speakers, calibration)
    assert [track.offset_ms for track in described] == pytest.approx(offsets_ms, abs=10)
    assert all(track.chosen for track in described) and result.status == "ok"
    timeline = result.timeline.to_timeline()
    errors_ms = [abs(timeline.offset_at((frame + 0.5) / FPS) - offsets_ms[who])
                 for frame, who in enumerate(speaker)]  # fmt: skip
    assert np.mean(np.array(errors_ms) <= 20) >= 0.95


def test_who_never_speaks_is_no_speaker(calibration):
    tracks, _ = take_turns([(A, 6.0), (B, 6.0)], [0, 80, 0])
    faces, speakers, _ = scored(tracks, calibration)
    assert speakers.spans(faces)[C] == []
    assert not describe_tracks(faces, speakers, calibration)[C].chosen


def test_a_voice_from_elsewhere_belongs_to_nobody(calibration):
    tracks, speaker = take_turns([(A, 5.0), (2, 4.0), (B, 5.0)], [0, 0])
    faces, speakers, result = scored(tracks, calibration)
    found = np.zeros(len(speaker), bool)
    for pairs in speakers.spans(faces).values():
        for first, stop in pairs:
            found[first:stop] = True
    assert found[speaker == 2].mean() < 0.5 and found[speaker < 2].mean() > 0.95
    assert result.per_second[6:8] == [None, None] and result.per_second[2] > 0.9


def test_nobody_speaks_in_a_long_pause(calibration):
    tracks, speaker = take_turns([(A, 5.0), (B, 4.0), (NOBODY, 5.0), (B, 4.0)], [0, 0])
    faces, speakers, _ = scored(tracks, calibration)
    for number, pairs in speakers.spans(faces).items():
        for first, stop in pairs:
            silent = np.flatnonzero(speaker[first:stop] != number)
            assert len(silent) <= 2 * FPS
    assert not any(
        first < 12 * FPS < stop for pairs in speakers.spans(faces).values() for first, stop in pairs
    )


def test_one_speaker_among_listeners_has_no_turns(calibration):
    """Then the result is of the whole track, as it is without the others."""
    tracks, _ = take_turns([(B, 12.0)], [0, 80, 0])
    _, speakers, result = scored(tracks, calibration)
    assert speakers.turns == () and [face.number for face in speakers.chosen] == [B]
    assert result == build_result([tracks[B]], 12 * FPS, calibration, 0.5)


def test_people_who_are_never_visible_together_have_no_turns(calibration):
    tracks, _ = take_turns([(A, 6.0), (B, 6.0)], [0, 0])
    apart = {A: tracks[A].part(0, 140), B: tracks[B].part(150, 300)}
    offsets = {number: likely_offsets(part, calibration, 0.5) for number, part in apart.items()}
    assert offsets == {A: [0], B: [0]} and find_turns(apart, offsets) == []


def test_speakers_with_one_offset_have_one_timeline(calibration):
    tracks, _ = take_turns(TURNS, [60, 65])
    _, _, result = scored(tracks, calibration)
    assert result.timeline.kind == "constant" and result.offset_ms == pytest.approx(62, abs=10)
    parts = [(0, tracks[0].part(0, 96)), (1, tracks[1].part(100, 196))]
    assert speaker_timeline(parts, 16 * FPS) is None


def test_speech_has_pauses():
    shown = evidence(lambda s: 0, 12)
    shown.usable[3 * FPS : 4 * FPS] = shown.usable[6 * FPS : 10 * FPS] = False
    assert speech_spans(shown) == [(0, 6 * FPS + 22), (10 * FPS - 18, 12 * FPS)]


def test_a_face_without_usable_evidence_has_no_likely_offset(calibration):
    """Also where any certainty will do, as for the judge of a presenter."""
    nothing = Evidence(np.zeros((200, 61), np.float32), np.zeros((200, 61), bool))
    assert likely_offsets(nothing, calibration, 0.0) == [None] * len(
        likely_offsets(nothing, calibration, 0.5)
    )

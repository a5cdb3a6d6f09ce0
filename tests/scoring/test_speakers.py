"""Who speaks: simulated people in shots, some of them silent, some voices from elsewhere."""

import numpy as np
import pytest

from src.core.constants import FPS
from src.core.errors import ConfigError
from src.core.notes import note_text
from src.scoring.speakers import (
    FaceEvidence,
    choose_faces,
    choose_largest,
    choose_speaking,
    cuts_between,
    voice_over_notes,
)
from tests.support.simulated_evidence import evidence

pytest_plugins = ("tests.support.evidence_fixtures",)


def person(number, shot, seconds, offset=None, first_s=0.0, side=10.0, speech=1.0, cut_s=None):
    """Somebody whose mouth fits the sound at ``offset`` ms; None: never."""
    shown = evidence(lambda s: offset or 0, seconds, 0.0 if offset is None else 0.3,
                     seed=number + 7, speech=speech)  # fmt: skip
    shown.first_frame = first = round(first_s * FPS)
    boxes = np.tile(np.array([5, 5, 5 + side, 5 + side], np.float32), (seconds * FPS, 1))
    begin = first if cut_s is None else round(cut_s * FPS)
    return FaceEvidence(number, shot, begin, first, boxes, shown)


def numbers(speakers) -> list[int]:
    return [face.number for face in speakers.chosen]


@pytest.mark.parametrize("speaker", [0, 1, 2])
def test_of_those_in_a_shot_the_speaker_is_found(calibration, speaker):
    faces = [person(n, 0, 5, 80 if n == speaker else None) for n in range(3)]
    found = choose_speaking(faces, calibration, 0.5)
    assert numbers(found) == [speaker] and found.voice_over == []


def test_the_picture_is_cut_where_shots_begin():
    """Also where nobody is seen yet."""
    faces = [person(0, 0, 4, cut_s=0), person(1, 0, 2, first_s=1, cut_s=0),
             person(2, 2, 4, first_s=6, cut_s=4), person(3, 2, 4, first_s=5, cut_s=4),
             person(4, 3, 4, first_s=9, cut_s=9)]  # fmt: skip
    assert cuts_between(faces) == [4.0, 9.0] and cuts_between(faces[:2]) == []


def test_people_take_turns(calibration):
    faces = [person(0, 0, 4, 40), person(1, 0, 4), person(2, 1, 4, None, 4), person(3, 1, 4, 40, 4)]
    assert numbers(choose_speaking(faces, calibration, 0.5)) == [0, 3]


def test_a_face_that_was_lost_and_found_again_in_a_shot_is_judged_in_all_its_parts(calibration):
    faces = [person(0, 0, 3, 80), person(1, 0, 20, 80, 4), person(2, 0, 20, None, 4),
             person(3, 0, 1, 80, 26), person(4, 0, 4, None, 28)]  # fmt: skip
    found = choose_speaking(faces, calibration, 0.9)
    assert numbers(found) == [0, 1, 3] and found.voice_over == []


def test_two_who_speak_one_after_the_other_in_a_shot(calibration):
    faces = [person(0, 0, 6, 40), person(1, 0, 6, None, 0), person(2, 0, 6, 40, 6)]
    assert numbers(choose_speaking(faces, calibration, 0.5)) == [0, 2]


def test_a_voice_from_elsewhere_is_left_out(calibration):
    faces = [person(0, 0, 5, 120), person(1, 1, 5, None, 5), person(2, 2, 5, 120, 10)]
    found = choose_speaking(faces, calibration, 0.5)
    assert numbers(found) == [0, 2] and found.voice_over == [1]
    (note,) = voice_over_notes(faces, found)
    assert (note.shot, note.start_s, note.end_s) == (1, 5.0, 10.0)
    assert note_text(note) == ("shot 1 (5.0–10.0 s) skipped: voice-over, the speaker is off screen")


def test_a_short_shot_is_asked_about_the_offset_of_the_others(calibration):
    """Half a second shows no offset of its own, but fits or does not."""
    faces = [person(0, 0, 6, 120), person(1, 1, 1, None, 6), person(2, 1, 1, 120, 6)]
    assert numbers(choose_speaking(faces, calibration, 0.999)) == [0, 2]


def test_a_shot_in_which_nobody_speaks_is_no_voice_over(calibration):
    faces = [person(0, 0, 5, 120), person(1, 1, 5, None, 5, speech=0.0)]
    assert choose_speaking(faces, calibration, 0.5).voice_over == []


def test_a_jump_at_a_cut_is_believed(calibration):
    faces = [person(0, 0, 6, 0), person(1, 1, 6, 240, 6), person(2, 1, 6, None, 6)]
    found = choose_speaking(faces, calibration, 0.5)
    assert numbers(found) == [0, 1] and found.voice_over == []


def test_without_any_relation_nothing_is_called_a_voice_over(calibration):
    faces = [person(0, 0, 5), person(1, 1, 5, None, 5)]
    found = choose_speaking(faces, calibration, 0.9)
    assert numbers(found) == [0, 1] and found.voice_over == []


def test_the_largest():
    faces = [person(0, 0, 5, side=9), person(1, 0, 5, side=10), person(2, 1, 2, None, 5)]
    assert numbers(choose_largest(faces)) == [1, 2]
    short = person(3, 0, 2, side=11)
    assert numbers(choose_largest([*faces, short])) == [1, 2], "for a moment only"


def test_a_face_can_be_named(calibration):
    faces = [person(0, 0, 5, 80), person(1, 0, 5)]
    assert numbers(choose_faces(faces, "speaking", calibration, 0.5)) == [0]
    assert numbers(choose_faces(faces, 1, calibration, 0.5)) == [1]
    assert numbers(choose_faces(faces, "1", calibration, 0.5)) == [1]
    for wrong in (2, "-1", "nobody"):
        with pytest.raises(ConfigError, match="from 0 to 1"):
            choose_faces(faces, wrong, calibration, 0.5)

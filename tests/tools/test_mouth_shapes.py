"""The mouth's way through the phonemes."""

import numpy as np
import pytest

from src.audio.espeak import Voice, synthesise_speech
from tools.mouth_shapes import REST, mouth_at, mouth_track

SENTENCE = "Papa, my mother bought a big map. Bob made a farm far away."


@pytest.fixture(scope="module")
def speech():
    return synthesise_speech(SENTENCE, Voice())


def test_lips_close_for_m_b_p_and_open_for_a(speech):
    _, _, phonemes = speech
    centre = {}
    for start, end, name in phonemes:
        if name == "_" and end - start < 0.1:
            continue  # spoken through
        letter = name.lstrip("',")[0]
        mouth = mouth_at(phonemes, [(start + end) / 2])[0]
        centre.setdefault(letter, []).append(float(mouth[0]))
    for letter in "pbm":
        assert max(centre[letter]) < 0.02, letter
    assert np.mean(centre["A"]) > 0.6
    assert max(centre["_"]) < 0.05


def test_mouth_moves_smoothly_within_its_range(speech):
    _, _, phonemes = speech
    mouth = mouth_at(phonemes, np.arange(-0.5, 5, 0.001))
    assert mouth.min() >= 0 and mouth.max() <= 1
    assert np.abs(np.diff(mouth, axis=0)).max() < 0.05  # 1 ms steps
    assert mouth[0] == pytest.approx(REST) and mouth[-1] == pytest.approx(REST)


def test_mouth_track_samples_the_start_of_each_frame(speech):
    track = mouth_track(speech[2], 50)
    assert track.shape == (50, 5) and track.dtype == np.float32
    assert np.array_equal(track[30], mouth_at(speech[2], [30 / 25])[0])


def test_without_phonemes_the_mouth_rests():
    assert mouth_at([], [0, 1]) == pytest.approx(np.array([REST, REST]))


def test_lips_are_round_for_u_and_spread_for_i():
    _, width, rounding, _, _ = mouth_at([(0, 0.2, "u:")], [0.1])[0]
    assert rounding > 0.9 and width < 0.2
    _, width, rounding, _, _ = mouth_at([(0, 0.2, "i:")], [0.1])[0]
    assert rounding < 0.1 and width > 0.9


def test_a_diphthong_goes_from_one_shape_to_the_other():
    early, late = mouth_at([(0, 0.4, "aI")], [0.1, 0.3])
    assert early[0] > 0.7 and late[0] < 0.4


def test_a_consonant_takes_from_its_neighbours():
    wide, narrow = (mouth_at([(0, 0.1, v), (0.1, 0.2, "k"), (0.2, 0.3, v)], [0.15]) for v in "iu")
    assert wide[0, 1] > narrow[0, 1] + 0.4

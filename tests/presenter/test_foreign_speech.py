"""Other voices to train with."""

import numpy as np
import pytest

from src.audio.speech_synthesis import synthesise_text
from src.presenter import foreign_speech as module
from src.presenter.foreign_speech import SPOKEN, HeardSpeech, foreign_speech


@pytest.mark.parametrize("voice", [voice for voice, _ in SPOKEN])
def test_all_voices_exist(voice):
    assert len(synthesise_text("a", voice).samples)


def test_each_voice_and_each_recording_is_heard(monkeypatch, tmp_path):
    lengths = []

    def hear(samples, tools):
        lengths.append(len(samples) / 16000)
        return np.zeros((len(samples) // 640, 4), np.float32), np.ones(len(samples) // 640, bool)

    def read_speech(path, tools):
        return HeardSpeech(np.full((9, 4), 7.0), np.ones(9, bool))

    monkeypatch.setattr(module, "hear", hear)
    monkeypatch.setattr(module, "read_speech", read_speech)
    monkeypatch.setattr(module, "SPOKEN", SPOKEN[::4])
    speeches = foreign_speech(None, [tmp_path / "friend.wav"])
    assert len(speeches) == len(SPOKEN[::4]) + 1
    assert speeches[-1].embedding[0, 0] == 7.0
    # Ordinary speech: between 5 and 25 characters a second (Chinese: 2 and 8).
    for (voice, text), seconds in zip(SPOKEN[::4], lengths, strict=True):
        fast, slow = (8, 2) if voice.startswith("cmn") else (25, 5)
        assert len(text) / fast < seconds < len(text) / slow, voice


def test_a_recording_that_is_missing_is_named(tmp_path):
    from src.core.errors import LipSyncError

    with pytest.raises(LipSyncError, match=r"gone\.wav"):
        module.read_speech(tmp_path / "gone.wav", None)

"""The sentences, and the speech of espeak-ng with its phonemes."""

import itertools
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from src.core.errors import LipSyncError
from tools import espeak_speech
from tools.espeak_speech import OTHERS, VOICES, Voice, make_sentence, synthesise_speech

ROOT = Path(__file__).resolve().parents[2]
SENTENCE = "Papa, my mother bought a big map. Bob made a farm far away."


@pytest.fixture(scope="module")
def speech():
    return synthesise_speech(SENTENCE, Voice())


@pytest.mark.parametrize("language", ["en", *OTHERS])
def test_sentences_have_every_choice_made(language):
    rng = np.random.default_rng(0)
    sentences = {make_sentence(rng, language) for _ in range(40)}
    assert len(sentences) > 20
    assert not any(set("{}|") & set(sentence) for sentence in sentences)
    assert all(sentence[0] == sentence[0].upper() for sentence in sentences)


@pytest.mark.parametrize("name", sorted(set(VOICES)))
def test_every_voice_is_there(name):
    samples, _, _ = synthesise_speech("Mama.", Voice(name))
    assert samples.std() > 0.01


def test_phonemes_are_in_order_and_within_the_audio(speech):
    samples, rate, phonemes = speech
    assert samples.dtype == np.float32 and np.abs(samples).max() <= 1
    assert len(phonemes) > 30
    assert all(0 <= start < end <= len(samples) / rate for start, end, _ in phonemes)
    assert all(one[1] == pytest.approx(two[0]) for one, two in itertools.pairwise(phonemes))


@pytest.mark.parametrize("name", ["en-us+m3", "en-us+f2"])  # f2 is breathy: noise
def test_speech_is_the_same_every_time(name):
    first, _, first_phonemes = synthesise_speech(SENTENCE, Voice(name))
    synthesise_speech("Something else.", Voice("en+f3"))
    again, _, phonemes = synthesise_speech(SENTENCE, Voice(name))
    assert np.array_equal(again, first) and phonemes == first_phonemes


def test_noise_of_breathy_voices_is_not_seeded_by_the_clock():
    code = (
        "from tools.espeak_speech import Voice, synthesise_speech as say; import zlib;"
        "print(zlib.crc32(say('She sells shells.', Voice('en-us+f2'))[0].tobytes()))"
    )
    said = {subprocess.check_output([sys.executable, "-c", code], cwd=ROOT)}
    time.sleep(1.1)  # espeak-ng counts whole seconds
    said.add(subprocess.check_output([sys.executable, "-c", code], cwd=ROOT))
    assert len(said) == 1


def test_audio_is_quiet_in_pauses_and_loud_in_vowels(speech):
    samples, rate, phonemes = speech

    def level(names):
        parts = [samples[int(s * rate) : int(e * rate)] for s, e, n in phonemes if names(n)]
        return np.sqrt(np.mean(np.concatenate(parts) ** 2))

    assert level(lambda n: n.lstrip("',")[:1] in tuple("aAV")) > 10 * level(lambda n: n == "_")


@pytest.mark.parametrize("name", ["es+m1", "de+f2", "it+m3", "cmn+f1", "en-gb-scotland+f4"])
def test_other_languages_speak(name):
    voice = Voice(name)
    text = make_sentence(np.random.default_rng(0), voice.language)
    samples, _, phonemes = synthesise_speech(text, voice)
    assert samples.std() > 0.01 and len(phonemes) > 8


def test_an_unknown_voice_is_a_readable_error():
    with pytest.raises(LipSyncError, match="'xx'"):
        synthesise_speech("Hello.", Voice("xx"))


def test_a_long_data_path_is_shortened(tmp_path, monkeypatch):
    import espeakng_loader

    deep = tmp_path / ("x" * 90) / ("y" * 90)
    deep.parent.mkdir(parents=True)
    try:
        deep.symlink_to(espeakng_loader.get_data_path(), target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no links")
    monkeypatch.setattr(espeakng_loader, "get_data_path", lambda: str(deep))
    _, data = espeak_speech._espeak_paths.__wrapped__()
    assert len(data) <= espeak_speech._LONGEST_PATH

"""The sentences, and that espeak-ng speaks them in every voice."""

import numpy as np
import pytest

from src.audio.espeak import Voice, synthesise_speech
from tools.espeak_speech import OTHERS, VOICES, make_sentence


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


@pytest.mark.parametrize("name", ["es+m1", "de+f2", "it+m3", "cmn+f1", "en-gb-scotland+f4"])
def test_other_languages_speak(name):
    voice = Voice(name)
    text = make_sentence(np.random.default_rng(0), voice.language)
    samples, _, phonemes = synthesise_speech(text, voice)
    assert samples.std() > 0.01 and len(phonemes) > 8

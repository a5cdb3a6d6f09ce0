"""The speech of espeak-ng with its phonemes, and the voices it has."""

import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from src.audio import espeak
from src.audio.espeak import (
    Voice,
    installed_languages,
    installed_variants,
    synthesise_speech,
)
from src.core.errors import LipSyncError

ROOT = Path(__file__).resolve().parents[2]
SENTENCE = "Papa, my mother bought a big map. Bob made a farm far away."


@pytest.fixture(scope="module")
def speech():
    return synthesise_speech(SENTENCE, Voice())


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
        "from src.audio.espeak import Voice, synthesise_speech as say; import zlib;"
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
    _, data = espeak._espeak_paths.__wrapped__()
    assert len(os.fsencode(data)) <= espeak._LONGEST_PATH


def test_the_pause_at_a_change_of_language_is_one():
    """The word in Latin letters is between two events that name its language."""
    _, _, phonemes = synthesise_speech("我用 iPhone 拍照。", Voice("cmn"))
    names = [name for _, _, name in phonemes]
    assert names.count("_") >= 3 and not any("(" in name for name in names)


def test_texts_that_crash_espeak_are_given_spaces():
    """Each of them ended the process."""
    code = (
        "from src.audio.espeak import Voice, synthesise_speech as say\n"
        "for text, voice in (('A.B.' * 150, 'en-us'), ('ж.ж. ' * 100, 'en-us'),\n"
        "                    ('爸.' * 120, 'en-us'), ('I' * 170, 'ro')):\n"
        "    print(len(say(text, Voice(voice))[2]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 4 and min(map(int, done.stdout.split())) > 100


@pytest.mark.parametrize(
    "text",
    [
        "The U.S.S.R. and J. R. R. Tolkien, e.g. 1.5 or 192.168.0.1 ... and so on.",
        "Donaudampfschifffahrtselektrizitätenhauptbetriebs und https://example.org/a/page.html",
        "我妈妈今天买了苹果，面包和书，大家都喜欢。" * 10,
    ],
)
def test_other_texts_stay_as_they_are(text):
    assert espeak.with_spaces(text) == text


def test_a_long_text_without_speech_is_shortened_in_the_message():
    with pytest.raises(LipSyncError) as caught:
        synthesise_speech("\u200b" * 1000, Voice("en-us"))
    assert len(str(caught.value)) < 1000


def test_languages_lead_to_voices():
    languages = installed_languages()
    assert languages["cmn"] == languages["zh"] == "cmn"  # Mandarin before Cantonese
    assert (languages["en-us"], languages["en-gb"], languages["no"]) == ("en-us", "en", "nb")
    assert all(name == languages[name] for name in languages.values())


def test_variants_are_those_whose_sound_differs():
    plain, _, _ = synthesise_speech("Hello.", Voice("en-us"))
    for name in ("f2", "m3", "annie"):
        variant = installed_variants()[name]
        other, _, _ = synthesise_speech("Hello.", Voice(f"en-us+{variant}"))
        assert not np.array_equal(other, plain)
    assert "zz" not in installed_variants()  # espeak-ng would ignore it

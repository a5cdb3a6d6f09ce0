"""Spoken texts: their phonemes against the waveform, the voice that is chosen, what is refused."""

import itertools

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

from src.audio.speech_synthesis import (
    MOST_CHARACTERS,
    available_variants,
    available_voices,
    bilabial_spans,
    synthesise_text,
    words_between,
)
from src.core.errors import LipSyncError

SENTENCE = "Papa, my mother bought a big map."  # 8 times b, p or m
CHINESE = (
    "爸爸妈妈跑步，苹果面包不好吗。"  # bà ba mā ma pǎo bù, píng guǒ miàn bāo bù hǎo ma: 11 times
)


@pytest.fixture(scope="module")
def speech():
    return synthesise_text(SENTENCE)


def levels_db(speech) -> np.ndarray:
    """Loudness at each sample above 700 Hz, where little passes closed lips."""
    sos = butter(4, 700, "high", fs=speech.sample_rate, output="sos")
    power = sosfiltfilt(sos, speech.samples) ** 2
    return 10 * np.log10(np.convolve(power, np.full(220, 1 / 220), "same") + 1e-8)


def shallowest_dip_db(speech, spans: np.ndarray) -> float:
    """By how much a third of each span is softer than the loudest sound within 0.12 s."""
    level, reach = levels_db(speech), speech.sample_rate * 12 // 100
    dips = [np.inf]
    for start, end in (spans * speech.sample_rate).astype(int):
        if start >= 0 and end <= len(level):
            loudest = level[max(0, start - reach) : end + reach].max()
            dips.append(loudest - np.quantile(level[start:end], 1 / 3))
    return min(dips)


def test_a_result_says_what_it_is(speech):
    assert speech.samples.dtype == np.float32 and speech.samples.ndim == 1
    assert 0.1 < np.abs(speech.samples).max() <= 1
    assert (speech.engine, speech.voice, speech.for_trials) == ("espeak-ng", "en-us", True)


@pytest.mark.parametrize(
    ("text", "voice", "count"),
    [
        (SENTENCE, "en-us", 8),
        (SENTENCE, "en-us+f2", 8),
        (CHINESE, "cmn", 11),
        ("Mein Pferd am Baum, Papa.", "de", 7),
        ("Five very fine waves.", "en-us", 0),
    ],
)
def test_it_is_quiet_where_the_lips_are_closed(text, voice, count):
    speech = synthesise_text(text, voice)
    spans = bilabial_spans(speech.phonemes)
    assert spans.shape == (count, 2)
    assert shallowest_dip_db(speech, spans) > 14
    for shift_s in (-0.1, 0.1):  # it is not so everywhere
        assert not count or shallowest_dip_db(speech, spans + shift_s) < 10


def test_lips_are_closed_in_the_right_words():
    """The third and the eighth of eight words of one length, by the clock of the whole."""
    speech = synthesise_text("two six moon ten two six ten boot", "en-us")
    (moon, _), (boot, _) = bilabial_spans(speech.phonemes)
    length = len(speech.samples) / speech.sample_rate
    assert 0.2 < moon / length < 0.33 and 0.8 < boot / length < 0.92


def test_chinese_has_chinese_phonemes():
    speech = synthesise_text(CHINESE)
    assert speech.voice == "cmn"
    names = [name.lstrip("',") for _, _, name in speech.phonemes if name != "_"]
    assert names[:12] == ["p", "A", "p", "A", "m", "A", "m", "A", "ph", "Au", "p", "u"]


def test_phonemes_increase_and_lie_within_the_audio(speech):
    length = len(speech.samples) / speech.sample_rate
    assert all(0 <= start < end <= length for start, end, _ in speech.phonemes)
    assert all(one[1] == two[0] for one, two in itertools.pairwise(speech.phonemes))
    assert speech.phonemes[0][0] < 0.05 and speech.phonemes[-1][1] == length


def test_a_long_text_takes_its_time_with_the_same_pauses(speech):
    long = synthesise_text(f"{SENTENCE} " * 50)
    pauses = [end - start for start, end, name in long.phonemes if name == "_"]
    between = sorted(pauses)[-49:]
    assert between == pytest.approx([between[0]] * 49, abs=1e-3) and 0.2 < between[0] < 0.5
    expected = 50 * len(speech.samples) / speech.sample_rate + sum(between)
    assert len(long.samples) / long.sample_rate == pytest.approx(expected, rel=0.02)
    assert len(bilabial_spans(long.phonemes)) == 50 * 8


def test_the_same_text_gives_the_same_samples(speech):
    assert np.array_equal(synthesise_text(SENTENCE).samples, speech.samples)


# ---------------------------------------------------------------------------- bilabials


def test_bilabials_are_those_of_espeak_ipa_and_pinyin():
    closed = ["p", "b", "m", "ph", "'m-", ",m", "b#", "pF", "p;", "ɓ", "ˈm", "pʲ"]
    others = ["f", "v", "B", "M", "w", "_", "t", "'u:", "ˈa", "n", "zh"]
    names = [*closed, *others]
    phonemes = [(index, index + 1, name) for index, name in enumerate(names)]
    spans = bilabial_spans(phonemes)
    assert spans.dtype == np.float64
    assert spans.tolist() == [[index, index + 1] for index in range(len(closed))]
    assert bilabial_spans([]).shape == (0, 2)


# ---------------------------------------------------------------------------- voices


@pytest.mark.parametrize(
    ("text", "voice"),
    [
        ("Hello, world.", "en-us"),
        ("123", "en-us"),
        ("¿Qué? Über", "en-us"),
        ("你好，世界。", "cmn"),
        ("我们用 iPhone 拍照", "cmn"),
        ("The city of 北京 is very big.", "en-us"),
        ("東京でパンを買う", "ja"),
        ("カタカナ", "ja"),
        ("안녕하세요", "ko"),
        ("Привет, мир", "ru"),
        ("مرحبا", "ar"),
        ("नमस्ते", "hi"),
    ],
)
def test_the_voice_follows_the_script_of_the_text(text, voice):
    assert synthesise_text(text).voice == voice


@pytest.mark.parametrize(
    ("given", "used"),
    [("cmn", "cmn"), ("zh", "cmn"), ("EN-US", "en-us"), ("de+f2", "de+f2"), ("DE+F2", "de+f2"),
     ("de+annie", "de+Annie"), ("no", "nb"), ("en-gb", "en")],
)  # fmt: skip
def test_voices_are_found_in_any_case_and_by_broader_names(given, used):
    speech = synthesise_text("Papa.", given)
    assert speech.voice == used
    assert np.array_equal(speech.samples, synthesise_text("Papa.", used).samples)


def test_every_available_voice_speaks():
    voices = available_voices()
    assert voices == sorted(set(voices)) and {"cmn", "de", "en-us", "ja", "yue"} <= set(voices)
    assert all(len(synthesise_text("mama 2", voice).samples) > 1000 for voice in voices)
    assert {"f2", "m3", "Annie"} <= set(available_variants())


# ---------------------------------------------------------------------------- the text


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("２０３０年", "2030年"),
        (" \ufeff\x00Hello\x07 Papa. \n", "Hello  Papa."),
        ("Hel\udcfflo.", "Hello."),  # a byte that is not UTF-8, on a command line
        ("cafe\u0301", "caf\u00e9"),
    ],
)
def test_odd_characters_are_spoken_as_plain_ones_or_not_at_all(text, plain):
    assert np.array_equal(synthesise_text(text).samples, synthesise_text(plain).samples)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no text to speak"),
        (" \n\t\x00", "no text to speak"),
        ("…?! — 。", "only punctuation"),
        ("😀👍🏽", "only punctuation"),
        ("a" * (MOST_CHARACTERS + 1), f"has {MOST_CHARACTERS + 1} characters"),
    ],
)
@pytest.mark.parametrize("voice", [None, "cmn", "missing.onnx"])
def test_what_cannot_be_spoken_is_refused_in_one_line(text, says, voice):
    with pytest.raises(LipSyncError, match=says) as caught:
        synthesise_text(text, voice)
    assert len(str(caught.value).splitlines()) == 1 and len(str(caught.value)) < 200


@pytest.mark.parametrize("name", ["", "xx", "en-us+", "en-us+zz", "+f2", "a\0b", "joe.onnx.json"])
def test_an_unknown_voice_is_refused_with_the_way_to_list_them(name):
    with pytest.raises(LipSyncError, match="--list-voices") as caught:
        synthesise_text("Hello.", name)
    # Control characters in values are shown escaped, and the escape once more.
    assert repr(name) in str(caught.value).replace("\\\\", "\\")


@pytest.mark.parametrize(("text", "voice", "seconds", "words"), [
    ("First one. Then another thing is said for quite a while.", "en-us", (0.0, 0.3), "First"),
    ("大家好，欢迎来到我们的频道。", "cmn", (0.0, 0.1), "大"),
])  # fmt: skip
def test_words_are_found_by_their_time(text, voice, seconds, words):
    phonemes = synthesise_text(text, voice).phonemes
    assert words_between(text, phonemes, *seconds).startswith(words)
    end_s = phonemes[-1][1]
    assert words_between(text, phonemes, 0.0, end_s) == text.rstrip(".。")


def test_words_are_those_of_the_stretch():
    """Words of one second each, with a pause of two seconds in the middle."""
    text = "aaaa bbbb, cccc dddd!"
    phonemes = [(0, 1, "a"), (1, 2, "b"), (2, 4, "_"), (4, 5, "c"), (5, 6, "d")]
    said = [words_between(text, phonemes, t, t + 0.4) for t in (0.2, 1.2, 4.2, 5.2)]
    assert said == ["aaaa", "bbbb", "cccc", "dddd"]
    assert words_between(text, phonemes, 0.5, 4.5) == "aaaa bbbb, cccc"
    assert words_between(text, phonemes, 5.5, 9.0) == "dddd"
    assert words_between("…", phonemes, 0, 1) == ""

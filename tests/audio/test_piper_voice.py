"""Speech of Piper voices and its phonemes, by a network made on the spot; and what goes wrong."""

import itertools
import sys

import numpy as np
import pytest

from src.audio import piper_voice
from src.audio.piper_voice import bounded_sentences, merged_symbols, synthesise_piper
from src.audio.speech_synthesis import bilabial_spans, synthesise_text
from src.core.errors import LipSyncError, MissingFileError
from tests.support.tiny_piper_voice import HOP, RATE, VOWELS, write_tiny_voice

SENTENCE = "A baby may map a memo."


@pytest.fixture
def voice(tmp_path):
    pytest.importorskip("piper")
    return write_tiny_voice(tmp_path)


def level(samples, spans, margin_s=0.0):
    parts = [samples[int((s + margin_s) * RATE) : int((e - margin_s) * RATE)] for s, e in spans]
    return np.sqrt(np.mean(np.concatenate(parts) ** 2))


def vowels(phonemes):
    return [(s, e) for s, e, name in phonemes if name.lstrip("ˈˌ")[0] in VOWELS]


def test_the_phonemes_of_a_voice_are_where_its_network_speaks_them(voice):
    samples, rate, phonemes = synthesise_piper(SENTENCE, voice)
    assert samples.dtype == np.float32 and 0.9 < np.abs(samples).max() <= 1 and rate == RATE
    names = [name for _, _, name in phonemes]
    assert [name for name in names if name in ("b", "m", "p")] == list("bbmmpmm")
    assert (phonemes[0][0], phonemes[-1][1]) == (0, len(samples) / RATE)
    assert all(one[1] == two[0] for one, two in itertools.pairwise(phonemes))
    lips = bilabial_spans(phonemes)
    assert level(samples, lips, 0.02) < 0.05 * level(samples, vowels(phonemes), 0.02)


def test_the_lag_of_a_network_is_taken_out(tmp_path):
    """It speaks 64 ms before the times that it gives."""
    pytest.importorskip("piper")
    lead = 4 * HOP
    _, _, exact = synthesise_piper(SENTENCE, write_tiny_voice(tmp_path))
    samples, _, found = synthesise_piper(SENTENCE, write_tiny_voice(tmp_path, lead_samples=lead))
    assert level(samples, bilabial_spans(found), 0.02) < 0.05
    shift = bilabial_spans(exact) - bilabial_spans(found)
    assert shift == pytest.approx(np.full((7, 2), lead / RATE), abs=0.012)


def test_several_sentences_are_on_one_clock(voice):
    one, _, _ = synthesise_piper(SENTENCE, voice)
    samples, _, phonemes = synthesise_piper(f"{SENTENCE} {SENTENCE} {SENTENCE}", voice)
    assert len(samples) == 3 * len(one)
    assert phonemes[-1][1] == len(samples) / RATE
    assert len(bilabial_spans(phonemes)) == 3 * 7
    assert level(samples, bilabial_spans(phonemes), 0.02) < 0.05


def test_the_same_text_sounds_the_same_although_networks_draw_noise(voice):
    import onnxruntime

    first, _, _ = synthesise_piper(SENTENCE, voice)
    onnxruntime.set_seed(99)  # as another process would draw it
    again, _, _ = synthesise_piper(SENTENCE, voice)
    assert np.array_equal(first, again)
    assert len(np.unique(first[np.abs(first) < 1e-3])) > 100  # there is noise


def test_a_sentence_that_is_too_long_is_spoken_in_parts(voice, monkeypatch):
    monkeypatch.setattr(piper_voice, "LONGEST_SENTENCE", 40)
    text = "my mother bought a big map and " * 4
    assert len(list(bounded_sentences(text, 40))) == 4
    samples, _, phonemes = synthesise_piper(text, voice)
    assert len(bilabial_spans(phonemes)) == 4 * 6
    assert phonemes[-1][1] == len(samples) / RATE


@pytest.mark.parametrize(
    "settings", [{"times": False}, {"hop_length": 512}, {"phoneme_type": "text"}]
)
def test_without_times_there_are_no_phonemes(tmp_path, settings):
    """The network hides them; the settings contradict it; the symbols are letters."""
    pytest.importorskip("piper")
    samples, _, phonemes = synthesise_piper("my map", write_tiny_voice(tmp_path, **settings))
    assert phonemes is None and len(samples) > RATE / 10


def test_a_text_is_spoken_by_the_voice_of_a_path(voice):
    speech = synthesise_text(SENTENCE, str(voice))
    assert (speech.engine, speech.voice, speech.for_trials) == ("Piper", str(voice), False)
    assert (speech.sample_rate, len(bilabial_spans(speech.phonemes))) == (RATE, 7)


# ---------------------------------------------------------------------------- errors


def error_of(path, text="Hello.") -> str:
    with pytest.raises(LipSyncError) as caught:
        synthesise_piper(text, path)
    (line,) = str(caught.value).splitlines()
    return line


def test_a_voice_is_two_files(tmp_path):
    with pytest.raises(MissingFileError, match=r"joe\.onnx; .* joe\.onnx\.json"):
        synthesise_piper("Hello.", tmp_path / "joe.onnx")
    (tmp_path / "joe.onnx").write_bytes(b"")
    with pytest.raises(MissingFileError, match=r"not found: \S+joe\.onnx\.json; "):
        synthesise_piper("Hello.", tmp_path / "joe.onnx")


def test_without_piper_the_message_says_how_to_install_it(tmp_path, monkeypatch):
    path = write_tiny_voice(tmp_path)
    monkeypatch.setitem(sys.modules, "piper", None)
    assert "pip install piper-tts" in error_of(path)


@pytest.mark.parametrize("broken", ["tiny.onnx", "tiny.onnx.json"])
def test_a_damaged_voice_is_a_readable_error(voice, broken):
    voice.with_name(broken).write_bytes(b"\x00\xffno voice\n")
    assert error_of(voice).startswith("cannot read the Piper voice")


def test_settings_that_lack_something_are_a_readable_error(voice):
    voice.with_name("tiny.onnx.json").write_text("{}", encoding="utf-8")
    assert error_of(voice).startswith("cannot read the Piper voice")


def test_a_network_of_another_kind_is_a_readable_error(tmp_path):
    pytest.importorskip("piper")
    path = write_tiny_voice(tmp_path, num_speakers=2)  # Piper gives it an input more
    assert "cannot speak this text" in error_of(path)


def test_the_model_of_chinese_voices_is_not_downloaded_unasked(tmp_path):
    pytest.importorskip("piper")
    path = write_tiny_voice(tmp_path, phoneme_type="pinyin")
    assert "g2pW" in error_of(path, "你好")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["tiny.onnx", "tiny.onnx.json"]


def test_packages_for_a_language_are_named(tmp_path, monkeypatch):
    piper = pytest.importorskip("piper")
    path = write_tiny_voice(tmp_path, phoneme_type="japanese")

    def synthesize(*_, **__):
        raise ImportError("No module named 'pyopenjtalk'")

    monkeypatch.setattr(piper.PiperVoice, "synthesize", synthesize)
    assert "pip install 'piper-tts[ja]'" in error_of(path, "ぱん")


def test_a_voice_that_says_nothing_is_an_error(voice, monkeypatch):
    import piper

    monkeypatch.setattr(piper.PiperVoice, "phonemize", lambda *_: [])
    assert "produced no speech" in error_of(voice)


# ---------------------------------------------------------------------------- parts


@pytest.mark.parametrize(
    ("text", "longest", "pieces"),
    [
        ("Dr. Smith is in. He waits.", 16, ["Dr. Smith is in. He waits."]),
        ("One.\n\nTwo. ", 9, ["One.\n\nTwo. "]),
        ("Hi. One, that is too long, by far. End.", 18,
         ["Hi. ", "One, ", "that is too long, ", "by far. ", "End."]),
        ("一二三四五，六七八九十一二三四五六七。好。", 12,
         ["一二三四五，", "六七八九十一二三四五六七", "。", "好。"]),
        ("word without an end", 13, ["word without ", "an end"]),
        ("a" * 25, 12, ["a" * 12, "a" * 12, "a"]),
    ],
)  # fmt: skip
def test_only_sentences_that_are_too_long_are_cut(text, longest, pieces):
    assert list(bounded_sentences(text, longest)) == pieces
    assert "".join(pieces) == text


@pytest.mark.parametrize(
    ("symbols", "expected"),
    [
        ("^_p_ˈ_ɑ_ː_m_._$", ["_", "p", "ˈɑ", "m", "_"]),  # espeak-ng's
        ("^_t_ʰ_a\u0303_, _$", ["_", "t", "a", "_"]),
        (["^", "b", "a", "4", "_", "m", "a", "1", "_", "。", "_", "$"],
         ["_", "b", "a", "m", "a", "_"]),  # pinyin
        (["ˈ"], ["ˈ"]),
    ],
)  # fmt: skip
def test_symbols_are_merged_into_phonemes(symbols, expected):
    spans = [(10 * index, 10 * index + 10, symbol) for index, symbol in enumerate(symbols)]
    merged = merged_symbols(spans)
    assert [name for _, _, name in merged] == expected
    assert [merged[0][0], merged[-1][1]] == [0, 10 * len(symbols)]
    assert all(one[1] == two[0] for one, two in itertools.pairwise(merged))

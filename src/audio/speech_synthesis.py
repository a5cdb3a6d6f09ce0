"""A text is spoken: by espeak-ng to try things out, or by a Piper voice."""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.errors import LipSyncError
from ..i18n.messages import tr
from .espeak import (
    Phoneme,
    Voice,
    installed_languages,
    installed_variants,
    synthesise_speech,
)
from .piper_voice import synthesise_piper

# An hour of English, or some three hours of Chinese: 1 GB of samples.
MOST_CHARACTERS = 50_000

# First word of a character's Unicode name -> espeak-ng's voice.
VOICE_OF_SCRIPT = {
    "CJK": "cmn",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "HANGUL": "ko",
    "CYRILLIC": "ru",
    "ARABIC": "ar",
    "DEVANAGARI": "hi",
    "GREEK": "el",
    "HEBREW": "he",
    "THAI": "th",
}
OTHER_VOICE = "en-us"
_CJK = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"  # written without spaces: a character is a word
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+(?:['’][^\W{_CJK}]+)?")
_STRESS_MARKS = "',%=;ˈˌ"  # espeak-ng's, and those of IPA


@dataclass(frozen=True, eq=False)
class SynthesisedSpeech:
    """A text, spoken.

    Attributes:
        samples: float32 [n] mono in −1…1.
        sample_rate: Hz.
        phonemes: (start_s, end_s, symbol) in order, within the audio and without gaps; "_" is a
            pause. The symbols are espeak-ng's or those of the Piper voice (IPA, pinyin). None:
            the voice gives no times.
        engine: "espeak-ng" or "Piper".
        voice: espeak-ng's voice, also where the text decided on it, or the path of a Piper voice.
        for_trials: whether the voice is a mechanical one, good enough to try things out only.
    """

    samples: np.ndarray
    sample_rate: int
    phonemes: list[Phoneme] | None
    engine: str
    voice: str
    for_trials: bool


def synthesise_text(text: str, voice: str | None = None) -> SynthesisedSpeech:
    """Speak a text. The same text and voice give the same samples.

    Args:
        text: at most MOST_CHARACTERS, with something in it that can be spoken.
        voice: one of ``available_voices()``, also with a variant after a "+" ("de+f2"), or a
            broader language tag ("zh"); or the path of a Piper voice ("….onnx", with
            "….onnx.json" beside it). None: espeak-ng, in the language of most of the text.

    Raises:
        MissingFileError: the Piper voice or its settings are missing.
        LipSyncError: no text, nothing in it that can be spoken, too much of it, an unknown voice,
            or an engine that is missing or fails.
    """
    text = _clean_text(text)
    if voice is not None and voice.lower().endswith(".onnx"):
        samples, rate, phonemes = synthesise_piper(text, Path(voice))
        return SynthesisedSpeech(samples, rate, phonemes, "Piper", voice, for_trials=False)
    name = _voice_for(text) if voice is None else _find_voice(voice)
    samples, rate, phonemes = synthesise_speech(text, Voice(name))
    return SynthesisedSpeech(samples, rate, phonemes, "espeak-ng", name, for_trials=True)


def available_voices() -> list[str]:
    """The voices of espeak-ng, sorted: "af", …, "cmn", …, "en-us", ….

    Raises:
        LipSyncError: espeak-ng is missing.
    """
    return sorted(set(installed_languages().values()))


def available_variants() -> list[str]:
    """What may follow a voice of espeak-ng after a "+", sorted: "f2", "m3", ….

    Raises:
        LipSyncError: espeak-ng is missing.
    """
    return sorted(installed_variants().values(), key=str.lower)


def bilabial_spans(phonemes: list[Phoneme]) -> np.ndarray:
    """When the sounds are heard for which the lips close: b, p and m of any language.

    Args:
        phonemes: see `SynthesisedSpeech`.

    Returns:
        float64 [n, 2]: start and end in seconds, in order. The lips are closed in all of an m, and
        in a b or p until its burst.
    """
    spans = [(start, end) for start, end, symbol in phonemes if _is_bilabial(symbol)]
    return np.array(spans, np.float64).reshape(-1, 2)


def words_between(text: str, phonemes: list[Phoneme], start_s: float, end_s: float) -> str:
    """About what is said in a stretch of a spoken text, in whole words.

    The voices give no times of words: letters are spread evenly over the time that is not pause,
    which is right to a word or two.

    Args:
        text: what was spoken.
        phonemes: of it, see `SynthesisedSpeech`.
        start_s, end_s: of the stretch.
    """
    words = list(_WORD.finditer(text))
    lengths = np.cumsum([0] + [len(match.group()) for match in words], dtype=float)
    sounds = np.array([(start, end) for start, end, symbol in phonemes if symbol != "_"], float)
    if not len(words) or not len(sounds):
        return ""
    spoken_s = np.concatenate([[0], np.cumsum(sounds[:, 1] - sounds[:, 0])])
    at = [
        np.interp(time_s, sounds.ravel(), np.stack([spoken_s[:-1], spoken_s[1:]], 1).ravel())
        for time_s in (start_s, end_s)
    ]
    first, last = np.searchsorted(lengths / lengths[-1], np.array(at) / spoken_s[-1], "right") - 1
    last = min(last, len(words) - 1)
    return text[words[min(first, last)].start() : words[last].end()]


def _is_bilabial(symbol: str) -> bool:
    """Of all phonemes of espeak-ng, IPA and pinyin: those that begin with a closure of the lips,
    such as "p", "ph", "pF" (German pf), "b#", "'m-" or "ɓ", and not "B" (β), "M" (ɱ), "f" or "v".
    """
    return symbol.lstrip(_STRESS_MARKS).startswith(("p", "b", "m", "ɓ"))


def _clean_text(text: str) -> str:
    """The text without what no engine takes.

    Raises:
        LipSyncError: nothing is left to be spoken, or too much.
    """
    text = text.encode("utf-8", "ignore").decode()  # command lines may hold broken characters
    text = unicodedata.normalize("NFC", text)
    text = "".join(map(_plain_character, text)).strip()
    if not text:
        raise LipSyncError(tr("there is no text to speak"))
    if not any(map(str.isalnum, text)):
        raise LipSyncError(
            tr("there is nothing to speak in the text, only punctuation or symbols: write words")
        )
    if len(text) > MOST_CHARACTERS:
        raise LipSyncError(
            tr("the text has {n} characters, and at most {most} can be spoken at once: split it",
               n=len(text), most=MOST_CHARACTERS)
        )  # fmt: skip
    return text


def _plain_character(character: str) -> str:
    if unicodedata.category(character) == "Cc" and character not in "\n\t":
        return " "
    if "０" <= character <= "ｚ" and character.isalnum():  # full width, as in "２０３０年"
        return unicodedata.normalize("NFKC", character)
    return character


def _voice_for(text: str) -> str:
    """The voice for the script of most of the text."""
    counts: Counter[str] = Counter()
    for character in unicodedata.normalize("NFKC", text):
        if character.isalpha():
            script = unicodedata.name(character, "").split(" ")[0].split("-")[0]
            voice = VOICE_OF_SCRIPT.get(script, OTHER_VOICE)
            counts[voice] += 3 if voice == "cmn" else 1  # a syllable: as much as three letters
    if counts["ja"] * 10 > counts["cmn"]:  # the Chinese characters of Japanese
        counts["ja"] += counts.pop("cmn", 0)
    return max(counts, key=counts.get, default=OTHER_VOICE)


def _find_voice(name: str) -> str:
    """Espeak-ng's name of a voice and its variant, which are spelled in any case."""
    language, plus, variant = name.partition("+")
    voice = installed_languages().get(language.lower())
    if voice and not plus:
        return voice
    if voice and variant.lower() in installed_variants():
        return f"{voice}+{installed_variants()[variant.lower()]}"
    raise LipSyncError(
        tr("there is no voice {name!r}: {command} lists those of espeak-ng; a Piper voice is the "
           "path of its .onnx file",
           name=name, command="python src/present.py --list-voices")
    )  # fmt: skip

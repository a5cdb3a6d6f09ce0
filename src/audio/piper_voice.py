"""Speech of a Piper voice, with the time of each phoneme where its network gives them.

Piper (``pip install piper-tts``) speaks one sentence after the other. A voice is a network,
``NAME.onnx``, with its settings beside it, ``NAME.onnx.json``.
"""

import logging
import re
import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from ..core.errors import LipSyncError, MissingFileError
from ..i18n.messages import tr
from .espeak import Phoneme, with_spaces

LONGEST_SENTENCE = 300  # characters; the network needs about 25 MB a second of one sentence
NETWORK_SEED = 1  # the networks draw noise: the same text sounds the same every time
PACKAGES_OF = {"pinyin": "zh", "japanese": "ja", "thai": "th"}  # phoneme type -> Piper's extra

_STRESS = ("ˈ", "ˌ")
_VOWELS = frozenset("aeiouyæøœɐɑɒɔɘəɚɛɜɝɞɤɨɪɯɵɶʉʊʌʏᵻ")
_LEVEL_HOP_S = 0.005
_VOWEL_BAND_HZ = (300, 3000)  # the formants: vowels are loud in it, m and s are not
_FLOOR = 0.003  # of full scale: what is softer is silence
_LARGEST_LAG_S = 0.1

Span = tuple[int, int, str]  # start and end in samples, symbol


def synthesise_piper(text: str, model: Path) -> tuple[np.ndarray, int, list[Phoneme] | None]:
    """Speak a text with a Piper voice.

    Args:
        text: with something to be spoken in it.
        model: the ``.onnx`` file of the voice.

    Returns:
        samples: float32 [n] mono in −1…1.
        sample_rate: Hz, the voice's (16000 or 22050).
        phonemes: (start_s, end_s, symbol) in order and without gaps from the first sample to the
            last; symbols are those of the voice (mostly IPA, or pinyin), with their stress mark
            in front and length marks or tones left out, and "_" for a pause. None: the voice
            gives no times, or speaks from letters.

    Raises:
        MissingFileError: the voice or its settings are missing.
        LipSyncError: Piper or what it needs for the language is not installed, the voice cannot
            be read, or it cannot speak the text.
    """
    voice = _load_voice(model)
    try:
        chunks = [
            chunk
            for piece in bounded_sentences(with_spaces(text), LONGEST_SENTENCE)
            for chunk in voice.synthesize(piece, include_alignments=True)
        ]
    except ImportError as error:
        extra = PACKAGES_OF.get(voice.config.phoneme_type.value, "zh,ja,th")
        raise LipSyncError(
            tr("Piper needs more packages for the language of {path}: "
               "pip install {packages} ({why})",
               path=model, packages=f"'piper-tts[{extra}]'", why=error)
        ) from None  # fmt: skip
    # What onnxruntime and the phonemisers raise has no common class.
    except Exception as error:
        raise LipSyncError(
            tr("the voice {path} cannot speak this text: {why}", path=model, why=_line(error))
        ) from None
    parts = [(chunk.audio_float_array, _spans_of(chunk, voice)) for chunk in chunks]
    if not sum(len(samples) for samples, _ in parts):
        raise LipSyncError(tr("the voice {path} produced no speech for this text", path=model))
    rate = voice.config.sample_rate
    samples = np.concatenate([samples for samples, _ in parts], dtype=np.float32)
    return samples, rate, _joined(parts, rate)


def bounded_sentences(text: str, longest: int) -> Iterator[str]:
    """The text in pieces of whole sentences; a sentence of more than ``longest`` characters is cut,
    after a comma if it can be, so that no piece has a longer one."""
    whole = ""
    for sentence in re.findall(r".+?(?:[.!?…]\s+|[。！？]+|\n\s*\n|\Z)", text, re.DOTALL):
        if len(sentence) <= longest:
            whole += sentence
            continue
        if whole.strip():
            yield whole
        whole = ""
        while len(sentence) > longest:
            window = sentence[:longest]
            ends = [match.end() for match in re.finditer(r"[,;:]\s|[，、；：]", window)]
            end = ends[-1] if ends else window.rfind(" ") + 1 or longest
            yield sentence[:end]
            sentence = sentence[end:]
        if sentence.strip():
            yield sentence
    if whole.strip():
        yield whole


def _load_voice(model: Path):
    settings = Path(f"{model}.json")
    for path in (model, settings):
        if not path.is_file():
            raise MissingFileError(
                tr("file not found: {path}; a Piper voice is two files, {name} and {settings}",
                   path=path, name=model.name, settings=settings.name)
            )  # fmt: skip
    try:
        import onnxruntime
        from piper import PiperVoice
    except ImportError as error:
        raise LipSyncError(
            tr("the voice {path} needs Piper: pip install piper-tts ({why})", path=model, why=error)
        ) from None
    logging.getLogger("piper").setLevel(logging.ERROR)  # it warns at each phoneme a voice lacks
    onnxruntime.set_seed(NETWORK_SEED)
    try:
        voice = PiperVoice.load(
            model, settings, download_dir=model.parent, include_alignments=True
        )  # fmt: skip
    # A file of another kind can raise nearly anything.
    except Exception as error:
        raise LipSyncError(
            tr("cannot read the Piper voice {path}: {why}", path=model, why=_line(error))
        ) from None
    if voice.config.phoneme_type.value == "pinyin":
        _check_pinyin_model(model)
    return voice


def _check_pinyin_model(model: Path) -> None:
    """Piper would download it in the middle of its work, unasked."""
    if not (model.parent / "g2pW" / "g2pw.onnx").is_file():
        command = f'cd "{model.parent}" && python -m piper -m "{model.name}" -f test.wav 你好'
        raise LipSyncError(
            tr("the Chinese voice {path} needs Piper's g2pW model: pip install {packages}, then "
               "download it once by: {command}",
               path=model, packages="'piper-tts[zh]'", command=command)
        )  # fmt: skip


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


# ---------------------------------------------------------------------------- phoneme times


def _joined(parts: list[tuple[np.ndarray, list[Span] | None]], rate: int) -> list[Phoneme] | None:
    """The phonemes of all sentences on one clock; None if one of them has no times."""
    if any(spans is None for _, spans in parts):
        return None
    lag = _lag(parts, rate)
    phonemes, offset = [], 0
    for samples, spans in parts:
        inner = np.clip([end - lag for _, end, _ in spans[:-1]], 0, len(samples))
        edges = (np.array([0, *inner, len(samples)]) + offset) / rate
        phonemes += [
            (float(start), float(end), symbol)
            for (start, end), (_, _, symbol) in zip(pairwise(edges), spans, strict=True)
            if end > start
        ]
        offset += len(samples)
    return phonemes


def _spans_of(chunk, voice) -> list[Span] | None:
    """The phonemes of one sentence, from how long the network holds each of its input symbols."""
    lengths = chunk.phoneme_id_samples
    if voice.config.phoneme_type.value == "text":  # letters
        return None
    if lengths is None or len(lengths) != len(chunk.phoneme_ids):
        return None
    if sum(lengths) != len(chunk.audio_float_array):  # the settings are those of another network
        return None
    symbols = {ids[0]: symbol for symbol, ids in voice.config.phoneme_id_map.items() if ids}
    ends = np.cumsum(lengths).tolist()
    return merged_symbols(
        [
            (start, end, symbols.get(number, "_"))
            for (start, end), number in zip(pairwise([0, *ends]), chunk.phoneme_ids, strict=True)
        ]
    )


def merged_symbols(symbols: list[Span]) -> list[Span]:
    """Phonemes of a network's input symbols: a stress mark goes to the phoneme after it, padding,
    length marks and tones to the one before; spaces, punctuation and the ends become "_"."""
    spans: list[Span] = []
    for start, end, symbol in symbols:
        before = spans[-1] if spans else (start, start, "")
        if symbol in _STRESS:
            spans.append((start, end, symbol))
        elif spans and _continues(symbol):
            spans[-1] = (before[0], end, before[2])
        else:
            name = symbol if symbol[0].isalpha() else "_"
            if before[2] in _STRESS:
                spans[-1] = (before[0], end, before[2] + name)
            elif before[2] == name == "_":
                spans[-1] = (before[0], end, name)
            else:
                spans.append((start, end, name))
    return spans


def _continues(symbol: str) -> bool:
    is_mark = unicodedata.category(symbol[0]) in ("Lm", "Mn", "Sk")
    return symbol == "_" or is_mark or symbol.isdigit()


def _lag(parts: list[tuple[np.ndarray, list[Span]]], rate: int) -> int:
    """By how many samples the network places its phonemes later than they are heard.

    A network learns by itself which frames belong to a symbol, and may hold on to it too long: one
    voice was 30 ms late throughout. Its vowels are shifted to where the audio is loud.
    """
    hop = round(_LEVEL_HOP_S * rate)
    reach = round(_LARGEST_LAG_S / _LEVEL_HOP_S)
    scores = np.zeros(2 * reach + 1)
    for samples, spans in parts:
        levels = _vowel_levels(samples, rate, hop)
        vowels = np.zeros(len(levels))
        for start, end, symbol in spans:
            if symbol.lstrip("".join(_STRESS))[:1] in _VOWELS:
                vowels[round(start / hop) : round(end / hop)] = 1
        scores += [levels @ np.roll(vowels, -hops) for hops in range(-reach, reach + 1)]
    return (int(np.argmax(scores)) - reach) * hop if scores.any() else 0


def _vowel_levels(samples: np.ndarray, rate: int, hop: int) -> np.ndarray:
    """Loudness in the band of the vowels, in log units around 0: float64 [n // hop]."""
    spectrum = np.fft.rfft(samples)
    frequencies = np.fft.rfftfreq(len(samples), 1 / rate)
    low, high = _VOWEL_BAND_HZ
    spectrum[(frequencies < low) | (frequencies > high)] = 0
    band = np.fft.irfft(spectrum, len(samples))
    power = np.mean(band[: len(band) // hop * hop].reshape(-1, hop) ** 2, axis=1)
    levels = np.log(np.sqrt(power) + _FLOOR)
    return levels - levels.mean()

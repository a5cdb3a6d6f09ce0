"""Sentences, spoken by espeak-ng, with the time of each phoneme."""

import _ctypes
import atexit
import ctypes
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from src.core.errors import LipSyncError
from src.i18n.messages import tr

WORDS = {
    "command": "bin|lay|place|set|put|move",
    "colour": "blue|green|red|white|brown|purple",
    "prep": "at|by|in|with|from",
    "letter": "|".join("ABCDEFGHIJKLMNOPQRSTUVXYZ"),
    "digit": "zero|one|two|three|four|five|six|seven|eight|nine",
    "adverb": "again|now|please|soon",
    "adj": "warm|small|happy|clever|famous|yellow|quiet|beautiful|shiny|wide|foolish",
    "noun": "baby|farmer|piano|window|fish|mother|apple|shoe|bubble|village|moth|puppy",
    "verb": "follows|loves|paints|remembers|moves|brings|washes|finds|shows|believes",
    "place": "by the river|at home|on the bus|before breakfast|over the moon|for a week",
}
PATTERNS = (
    "{command} {colour} {prep} {letter} {digit} {adverb}.",
    "The {adj} {noun} {verb} a {adj} {noun} {place}.",
    "My {noun} {verb} the {noun}, but you move it {place}, {adverb}.",
    "Why would a {adj} {noun} wait {place}?",
    "Call me {adverb}, at {digit} {digit} {digit}, {place}, or at {digit} {digit}.",
)
# for the voices of other languages: one pattern each, its choices written out
OTHERS = {
    "es": "{Mi madre|Pablo|El bombero|Una mujer} {compra|mueve|busca|pinta} {un pan|una vaca|el "
    "barco|un zapato} {muy pequeño|por la mañana|para mi papá|en la playa}.",
    "de": "{Meine Mutter|Der Apfelbaum|Ein Mann} {bewegt|findet|liebt|malt} {zwei Bücher|das Boot|"
    "viele Pferde} {am Abend|im Garten|mit Papa|ohne Pause|für uns}.",
    "it": "{Mia mamma|Il bambino|Un pompiere} {compra|muove|beve|ama} {il pane|poca acqua|due mele|"
    "un fiume} {domani|al mare|con papà|in piazza|per poco}.",
    "cmn": "{我妈妈|大家|朋友们|他爸爸}{今天|明天|马上|不}{买|看|喜欢|卖}{苹果|面包|汽车|书}。",
}
VOICES = [
    *["en-us"] * 5, *["en"] * 3, "en-gb-x-rp", "en-gb-scotland", "en-029", "es", "de", "it", "cmn"
]  # fmt: skip

Phoneme = tuple[float, float, str]  # start and end in seconds, espeak-ng's name


@dataclass(frozen=True)
class Voice:
    """How espeak-ng speaks.

    Attributes:
        name: espeak-ng's voice ("en-us", "es"), and after a "+" its variant ("m3", "f2").
        pitch: 0–99.
        rate: words per minute.
        intonation: how much the pitch moves, 0–99.
    """

    name: str = "en-us+m3"
    pitch: int = 50
    rate: int = 165
    intonation: int = 50

    @property
    def language(self) -> str:
        """The voice without its variant."""
        return self.name.split("+")[0]


def make_sentence(rng: np.random.Generator, language: str = "en") -> str:
    """One sentence: English, unless ``language`` is a key of OTHERS (es, de, it, cmn)."""
    if language in OTHERS:
        pattern = OTHERS[language]
    else:
        pattern = PATTERNS[0] if rng.random() < 0.35 else str(rng.choice(PATTERNS[1:]))

    def pick(match: re.Match) -> str:
        return str(rng.choice(WORDS.get(match[1], match[1]).split("|")))

    text = re.sub(r"\{(.*?)\}", pick, pattern)
    return text[0].upper() + text[1:]


class _Event(ctypes.Structure):  # espeak_EVENT of speak_lib.h; `id` is a union there
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    ]


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)
_SYNCHRONOUS, _PHONEME_EVENTS, _DONT_EXIT, _UTF8 = 2, 0x0001, 0x8000, 1
_EVENT_END, _EVENT_PHONEME = 0, 7
_RATE, _PITCH, _RANGE = 1, 3, 4
_speaking = threading.Lock()  # espeak-ng is one global speaker
_unload = getattr(_ctypes, "dlclose", None) or _ctypes.FreeLibrary
_LONGEST_PATH = 159  # bytes; espeak-ng falls back to its builder's own path beyond it


@cache
def _espeak_paths() -> tuple[str, bytes]:
    """The library and its data, the latter through a short link where its path is too long."""
    try:
        import espeakng_loader

        library, data = espeakng_loader.get_library_path(), espeakng_loader.get_data_path()
    except (ImportError, RuntimeError) as error:
        raise LipSyncError(
            tr("espeak-ng is missing: pip install espeakng-loader ({why})", why=error)
        ) from None
    if not Path(library).is_file() or not Path(data, "phontab").is_file():
        raise LipSyncError(
            tr("espeak-ng is incomplete in {folder}: reinstall espeakng-loader", folder=data)
        )
    if len(_encoded(data)) > _LONGEST_PATH:
        data = _short_path_to(data)
    if len(_encoded(data)) > _LONGEST_PATH:
        raise LipSyncError(tr("the path is too long for espeak-ng: {path}", path=data))
    return library, _encoded(data)


def _encoded(path: str) -> bytes:
    return path.encode("mbcs", "replace") if os.name == "nt" else os.fsencode(path)


def _short_path_to(data: str) -> str:
    """The folder ``data`` under a path of its own among the temporary files, until we exit."""
    folder = tempfile.mkdtemp(prefix="talker")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    short = os.path.join(folder, "espeak-ng-data")
    try:
        os.symlink(data, short)
    except OSError:  # Windows without the right to link
        shutil.copytree(data, short)
    return short


@contextmanager
def _loaded_espeak() -> Iterator[tuple[ctypes.CDLL, int]]:
    """The library, started, and its sample rate.

    The phase of a voice's tremor outlives even espeak_Terminate, so that a sentence would sound
    slightly different the second time. A freshly loaded library always gives the same; loading,
    speaking and unloading take 5 ms. The noise of breathy voices (f2, f3, f5) would be seeded
    with the time.
    """
    library, data = _espeak_paths()
    try:
        lib = ctypes.CDLL(library)
    except OSError as error:
        raise LipSyncError(tr("espeak-ng cannot be loaded: {why}", why=error)) from None
    try:
        rate = lib.espeak_Initialize(_SYNCHRONOUS, 0, data, _PHONEME_EVENTS | _DONT_EXIT)
        if rate <= 0:
            raise LipSyncError(tr("espeak-ng does not start: reinstall espeakng-loader"))
        lib.espeak_ng_SetRandSeed(ctypes.c_long(1))
        try:
            yield lib, rate
        finally:
            lib.espeak_Terminate()
    finally:
        _unload(lib._handle)


def synthesise_speech(text: str, voice: Voice) -> tuple[np.ndarray, int, list[Phoneme]]:
    """Speak a text.

    Returns:
        samples: float32 [n] mono in −1…1.
        sample_rate: Hz (espeak-ng gives 22050).
        phonemes: (start_s, end_s, name) in order and within the audio, without gaps; names are
            espeak-ng's, stress marks included, and "_" for a pause. The silence before a stop
            is its closure and counts as part of it.

    Raises:
        LipSyncError: espeak-ng or the voice is missing, or there was no speech.
    """
    blocks, events = [], []

    @_Callback
    def collect(wave, count, event):
        if wave and count:
            blocks.append(np.ctypeslib.as_array(wave, shape=(count,)).copy())
        position = 0
        while event[position].type != _EVENT_END:
            if event[position].type == _EVENT_PHONEME:
                name = event[position].id.decode("utf-8", "replace")
                events.append((event[position].sample, name))
            position += 1
        return 0

    with _speaking, _loaded_espeak() as (lib, rate):
        lib.espeak_SetSynthCallback(collect)
        if lib.espeak_SetVoiceByName(voice.name.encode()) != 0:
            raise LipSyncError(tr("espeak-ng has no voice {name!r}", name=voice.name))
        lib.espeak_SetParameter(_RATE, voice.rate, 0)
        lib.espeak_SetParameter(_PITCH, voice.pitch, 0)
        lib.espeak_SetParameter(_RANGE, voice.intonation, 0)
        raw = text.encode() + b"\0"
        lib.espeak_Synth(raw, ctypes.c_size_t(len(raw)), 0, 1, 0, _UTF8, None, None)
    if not blocks or not events:
        raise LipSyncError(tr("espeak-ng produced no speech for {text!r}", text=text))
    samples = np.concatenate(blocks).astype(np.float32) / 32768
    return samples, rate, _intervals(events, samples, rate)


def _intervals(events: list[tuple[int, str]], samples: np.ndarray, rate: int) -> list[Phoneme]:
    """Turn (sample, name) events into intervals; give stops the silence before their burst."""
    starts = [min(start, len(samples)) for start, _ in events]
    for index, (_, name) in enumerate(events):
        if name.startswith(tuple("ptkcqbdg")):
            earliest = max(starts[index] - int(0.07 * rate), starts[index - 1] if index else 0)
            loud = np.flatnonzero(np.abs(samples[earliest : starts[index]]) > 0.002)
            starts[index] = earliest + (int(loud[-1]) + 1 if len(loud) else 0)
    ends = [*starts[1:], len(samples)]
    return [
        (start / rate, end / rate, "_" if name.startswith("_") else name)
        for start, end, (_, name) in zip(starts, ends, events, strict=True)
        if end > start
    ]

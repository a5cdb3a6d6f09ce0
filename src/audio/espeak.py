"""Speech of espeak-ng, with the time of each phoneme."""

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

from ..core.cli import uninterrupted
from ..core.errors import LipSyncError
from ..i18n.messages import tr

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


class _InstalledVoice(ctypes.Structure):  # espeak_VOICE of speak_lib.h
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),  # see _languages_of
        ("identifier", ctypes.c_char_p),  # its file below the voices, "!v/…" that of a variant
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("reserved", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    ]


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)
_SYNCHRONOUS, _PHONEME_EVENTS, _DONT_EXIT, _UTF8 = 2, 0x0001, 0x8000, 1
_EVENT_END, _EVENT_PHONEME = 0, 7
_RATE, _PITCH, _RANGE = 1, 3, 4
_speaking = threading.Lock()  # espeak-ng is one global speaker
_unload = getattr(_ctypes, "dlclose", None) or _ctypes.FreeLibrary
_SHOWN = 60  # characters of a text that a message repeats
# espeak-ng spells "A.B.C.…" as one word, and "IIII…" too; some hundred characters of it overflow
# its buffers, and it crashes.
_DOTTED_LETTERS = re.compile(r"(?:[^\s.,]{1,2}\.[.,]*\s?){10,}")
_ENDLESS_WORD = re.compile(r"([^\s\u2e80-\ud7ff\uf900-\ufaff]{50})(?=\S)")  # not of East Asia
_LONGEST_PATH = 159  # bytes; espeak-ng falls back to its builder's own path beyond it


@cache
def _espeak_paths() -> tuple[str, str]:
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
    return library, data


def _encoded(path: str) -> bytes:
    return path.encode("mbcs", "replace") if os.name == "nt" else os.fsencode(path)


def _short_path_to(data: str) -> str:
    """The folder ``data`` under a path of its own among the temporary files, until we exit."""
    folder = tempfile.mkdtemp(prefix="espeak")
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
        options = _PHONEME_EVENTS | _DONT_EXIT
        rate = lib.espeak_Initialize(_SYNCHRONOUS, 0, _encoded(data), options)
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
        samples: float32 [n] mono in −1…1. espeak-ng takes one clause after the other: beside
            the samples, a long text needs no memory to speak of.
        sample_rate: Hz (espeak-ng gives 22050).
        phonemes: (start_s, end_s, name) in order and within the audio, without gaps; names are
            espeak-ng's, stress marks included, and "_" for a pause or a change of language. The
            silence before a stop is its closure and counts as part of it.

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
        raw = with_spaces(text).encode() + b"\0"
        with uninterrupted():  # an exception could not leave the callback
            lib.espeak_Synth(raw, ctypes.c_size_t(len(raw)), 0, 1, 0, _UTF8, None, None)
    if not blocks or all(_is_pause(name) for _, name in events):
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
        raise LipSyncError(tr("espeak-ng produced no speech for {text!r}", text=shown))
    samples = np.empty(sum(map(len, blocks)), np.float32)
    np.concatenate(blocks, out=samples)
    samples /= 32768
    return samples, rate, _intervals(events, samples, rate)


def with_spaces(text: str) -> str:
    """The text with spaces in what would crash espeak-ng as one word; nearly always unchanged."""
    text = _DOTTED_LETTERS.sub(lambda run: re.sub(r"\.[.,\s]*", ". ", run[0]), text)
    return _ENDLESS_WORD.sub(r"\1 ", text)


@cache
def installed_languages() -> dict[str, str]:
    """What espeak-ng can speak: the name of each voice and each language tag, in lower case, and
    the voice for it: "cmn" has its own, "zh" the one of several that suits it best.

    Raises:
        LipSyncError: espeak-ng is missing.
    """
    best: dict[str, tuple[int, str]] = {}
    with _speaking, _loaded_espeak() as (lib, _):
        for voice in _voices_of(lib):
            if not _has_dictionary(voice):
                continue
            name = _name_of(voice).lower()
            for rank, tag in [(0, name), *_languages_of(voice)]:
                known = best.get(tag.lower())
                if known is None or rank < known[0]:
                    best[tag.lower()] = (rank, name)
    return {tag: name for tag, (_, name) in best.items()}


@cache
def installed_variants() -> dict[str, str]:
    """The variants of voices, such as "f2": in lower case, and as espeak-ng spells them.

    Raises:
        LipSyncError: espeak-ng is missing.
    """
    wanted = ctypes.create_string_buffer(b"variant")
    spec = _InstalledVoice(languages=ctypes.addressof(wanted))
    with _speaking, _loaded_espeak() as (lib, _):
        names = [_name_of(voice) for voice in _voices_of(lib, spec)]
    return {name.lower(): name for name in names}


def _voices_of(lib: ctypes.CDLL, spec: _InstalledVoice | None = None) -> Iterator[_InstalledVoice]:
    lib.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_InstalledVoice))
    voices = lib.espeak_ListVoices(ctypes.byref(spec) if spec else None)
    index = 0
    while voices[index]:
        yield voices[index].contents
        index += 1


def _name_of(voice: _InstalledVoice) -> str:
    """By which espeak-ng finds a voice or a variant: the name of its file."""
    return re.split(r"[/\\]", voice.identifier.decode())[-1]


def _has_dictionary(voice: _InstalledVoice) -> bool:
    """Whether the loader brings the dictionary of a voice, without which it says nothing."""
    data = Path(_espeak_paths()[1])
    settings = (data / "lang" / voice.identifier.decode()).read_text(encoding="utf-8")
    named = re.search(r"^dictionary\s+(\S+)", settings, re.MULTILINE)
    language = _languages_of(voice)[0][1].split("-")[0]
    return (data / f"{named[1] if named else language}_dict").is_file()


def _languages_of(voice: _InstalledVoice) -> list[tuple[int, str]]:
    """(rank, tag) of each language of a voice; the lowest rank, from 1, suits best.

    They lie one after the other: the rank as a byte, the tag with its zero; a zero rank ends them.
    """
    languages, position = [], voice.languages
    while rank := ctypes.c_ubyte.from_address(position).value:
        tag = ctypes.string_at(position + 1)
        languages.append((rank, tag.decode()))
        position += len(tag) + 2
    return languages


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
        (start / rate, end / rate, "_" if _is_pause(name) else name)
        for start, end, (_, name) in zip(starts, ends, events, strict=True)
        if end > start
    ]


def _is_pause(name: str) -> bool:
    """Whether an event is a pause, or a change of language: "(en)"."""
    return name.startswith(("_", "("))

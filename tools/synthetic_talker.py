"""A small corpus of talking faces made from nothing: espeak-ng speaks, OpenCV draws.

Every clip is a drawn head whose mouth follows the phonemes of synthetic speech, so picture and
sound are in sync to the millisecond and the true offset of each clip is known. It is enough to
try the whole system without anybody's video.

Frame i shows the mouth as it is at time i / fps, the start of the frame; sample n sounds at
n / rate. The same seed gives the same clip, whatever its offset.

    python tools/synthetic_talker.py --output data/demo --num-clips 40 --seconds 4
"""

import _ctypes
import argparse
import atexit
import colorsys
import csv
import ctypes
import math
import os
import re
import shutil
import sys
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from src.errors import LipSyncError  # noqa: E402
from src.media import write_clip, written_aside  # noqa: E402

FPS = 25
SAMPLE_RATE = 24_000  # Hz, of the clips written
SIZE = 320  # pixels, width and height of the clips written
MAX_SHIFT_S = 2.0  # sound kept ready on both sides of a clip
TRANSITION_S = 0.070  # from the shape of one phoneme to that of the next
RECIPE = 1  # raise it when clips of the same seed come out different

# ---------------------------------------------------------------------------- what is said

WORDS = {
    "command": "bin lay place set put move".split(),
    "colour": "blue green red white brown purple".split(),
    "prep": "at by in with from".split(),
    "letter": list("ABCDEFGHIJKLMNOPQRSTUVXYZ"),
    "digit": "zero one two three four five six seven eight nine".split(),
    "adverb": "again now please soon".split(),
    "adj": "warm small happy clever famous yellow quiet beautiful shiny wide foolish".split(),
    "noun": "baby farmer piano window fish mother apple shoe bubble village moth puppy".split(),
    "verb": "follows loves paints remembers moves brings washes finds shows believes".split(),
    "place": "by the river,at home,on the bus,before breakfast,over the moon,for a week".split(","),
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
    "es": "[Mi madre|Pablo|El bombero|Una mujer] [compra|mueve|busca|pinta] [un pan|una vaca|el "
    "barco|un zapato] [muy pequeño|por la mañana|para mi papá|en la playa].",
    "de": "[Meine Mutter|Der Apfelbaum|Ein Mann] [bewegt|findet|liebt|malt] [zwei Bücher|das Boot|"
    "viele Pferde] [am Abend|im Garten|mit Papa|ohne Pause|für uns].",
    "it": "[Mia mamma|Il bambino|Un pompiere] [compra|muove|beve|ama] [il pane|poca acqua|due mele|"
    "un fiume] [domani|al mare|con papà|in piazza|per poco].",
    "cmn": "[我妈妈|大家|朋友们|他爸爸][今天|明天|马上|不][买|看|喜欢|卖][苹果|面包|汽车|书]。",
}
VOICES = ["en-us"] * 5 + ["en"] * 3 + "en-gb-x-rp en-gb-scotland en-029 es de it cmn".split()


@dataclass(frozen=True)
class Voice:
    """How espeak-ng speaks: voice and variant, pitch 0–99, words a minute, intonation 0–99."""

    name: str = "en-us+m3"
    pitch: int = 50
    rate: int = 165
    intonation: int = 50


@dataclass(frozen=True)
class Look:
    """A drawn head. Colours are BGR 0–255; lengths are in half heights of the face."""

    skin: tuple = (150, 180, 225)
    hair: tuple = (40, 60, 90)
    lips: tuple = (105, 105, 190)
    iris: tuple = (90, 120, 70)
    shirt: tuple = (150, 110, 60)
    background: tuple = (190, 200, 205)
    hair_style: str = "short"  # short, long, bob, bun or buzz
    width: float = 0.71  # of the face
    jaw: float = 0.16  # how much narrower the chin is
    eyes: float = 0.29  # distance of an eye from the middle
    mouth: float = 0.25  # half width of the resting mouth
    lip: float = 0.075  # thickness
    brow: float = 0.0  # tilt
    beard: float = 0.0  # 0–1
    glasses: bool = False
    articulation: float = 1.0  # scales the mouth's opening


@dataclass(frozen=True)
class Pose:
    """Where the head is: pixels of a 320-pixel picture, degrees, turns and blink as 0–1 shares."""

    x: float = 0.0
    y: float = 0.0
    roll: float = 0.0
    scale: float = 1.0
    yaw: float = 0.0  # −1…1, about ±15 degrees
    nod: float = 0.0  # −1…1
    blink: float = 0.0  # 0 open, 1 shut
    gaze: float = 0.0  # −1…1, left to right


def make_speaker(seed: int) -> tuple[Look, Voice]:
    """Draw a person, look and voice, from a seed."""
    rng = np.random.default_rng([seed, 11])

    def colour(hue, saturation, value):
        rgb = colorsys.hsv_to_rgb(hue % 1, min(1, saturation), min(1, value))
        return tuple(int(255 * channel) for channel in rgb[::-1])

    female = rng.random() < 0.5
    skin_tone = rng.random()  # light to dark
    skin = colour(rng.uniform(0.055, 0.075), 0.28 + 0.3 * skin_tone, 0.95 - 0.42 * skin_tone)
    hair = [(0.07, 0.6, 0.2), (0.06, 0.6, 0.35), (0.1, 0.5, 0.75), (0.03, 0.7, 0.45), (0, 0, 0.1)]
    lips = colour(rng.uniform(-0.03, 0.02), 0.5 + 0.2 * female, 0.8 - 0.3 * skin_tone)
    styles = ("long", "bob", "bun", "long") if female else ("short", "short", "buzz", "bob")
    eye = rng.integers(3) if skin_tone < 0.5 else 1
    look = Look(
        skin=skin,
        hair=colour(*hair[rng.integers(4) if skin_tone < 0.5 else rng.choice((0, 4))]),
        lips=lips,
        iris=colour(*((0.57, 0.5, 0.6), (0.09, 0.7, 0.35), (0.3, 0.35, 0.45))[eye]),
        shirt=colour(rng.uniform(0.2, 0.9), rng.uniform(0.2, 0.6), rng.uniform(0.3, 0.8)),
        background=colour(rng.random(), rng.uniform(0.05, 0.3), rng.uniform(0.6, 0.85)),
        hair_style=styles[rng.integers(4)],
        width=rng.uniform(0.68, 0.76),
        jaw=rng.uniform(0.12, 0.26) if female else rng.uniform(0.06, 0.2),
        eyes=rng.uniform(0.275, 0.305),
        mouth=rng.uniform(0.225, 0.265),
        lip=rng.uniform(0.075, 0.095) if female else rng.uniform(0.06, 0.08),
        brow=rng.uniform(-0.03, 0.04),
        beard=0.0 if female or rng.random() < 0.6 else rng.uniform(0.3, 0.6),
        glasses=bool(rng.random() < 0.3),
        articulation=rng.uniform(0.85, 1.1),
    )
    variant = f"{'f' if female else 'm'}{rng.integers(1, 6 if female else 9)}"
    voice = Voice(
        name=f"{VOICES[rng.integers(len(VOICES))]}+{variant}",
        pitch=int(rng.integers(35, 66)),
        rate=int(rng.integers(140, 186)),
        intonation=int(rng.integers(35, 71)),
    )
    return look, voice


def make_sentence(rng: np.random.Generator, language: str = "en") -> str:
    """One sentence for a voice of that language (an espeak-ng code such as "en-us" or "es")."""
    if language in OTHERS:
        choices, pattern = r"\[(.*?)\]", OTHERS[language]
    else:
        choices = r"\{(.*?)\}"
        pattern = PATTERNS[0] if rng.random() < 0.35 else str(rng.choice(PATTERNS[1:]))

    def pick(found):
        return str(rng.choice(WORDS.get(found[1]) or found[1].split("|")))

    text = re.sub(choices, pick, pattern)
    return text[0].upper() + text[1:]


# ---------------------------------------------------------------------------- speech


class _Event(ctypes.Structure):  # espeak_EVENT of speak_lib.h; `id` is a union there
    _numbers = "type unique_identifier text_position length audio_position sample".split()
    _fields_ = [
        *((name, ctypes.c_int) for name in _numbers),
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
        raise LipSyncError(f"espeak-ng is missing: pip install espeakng-loader ({error})") from None
    if not Path(library).is_file() or not Path(data, "phontab").is_file():
        raise LipSyncError(f"espeak-ng is incomplete in {data}: reinstall espeakng-loader")
    encode = os.fsencode if os.name != "nt" else lambda path: path.encode("mbcs", "replace")
    if len(encode(data)) > _LONGEST_PATH:
        folder = tempfile.mkdtemp(prefix="talker")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        short = os.path.join(folder, "espeak-ng-data")
        try:
            os.symlink(data, short)
        except OSError:  # Windows without the right to link
            shutil.copytree(data, short)
        data = short
    if len(encode(data)) > _LONGEST_PATH:
        raise LipSyncError(f"espeak-ng cannot read so long a path: {data}")
    return library, encode(data)


@contextmanager
def _loaded_espeak():
    """The library, started, and its sample rate.

    The phase of a voice's tremor outlives even espeak_Terminate, so that a sentence would sound
    a little different the second time. A freshly loaded library always says the same; loading,
    speaking and unloading take 5 ms.
    """
    library, data = _espeak_paths()
    try:
        lib = ctypes.CDLL(library)
    except OSError as error:
        raise LipSyncError(f"espeak-ng cannot be loaded: {error}") from None
    try:
        rate = lib.espeak_Initialize(_SYNCHRONOUS, 0, data, _PHONEME_EVENTS | _DONT_EXIT)
        if rate <= 0:
            raise LipSyncError("espeak-ng does not start: reinstall espeakng-loader")
        yield lib, rate
        lib.espeak_Terminate()
    finally:
        _unload(lib._handle)


def synthesise_speech(text: str, voice: Voice) -> tuple[np.ndarray, int, list]:
    """Speak a text.

    Returns:
        samples: float32 [n] mono in −1…1.
        sample_rate: Hz (espeak-ng gives 22050).
        phonemes: (start_s, end_s, name) in order and within the sound, without gaps; names are
            espeak-ng's, stress marks included, and "_" for a pause. The silence before a stop
            is its closure and counts as part of it.

    Raises:
        LipSyncError: espeak-ng or the voice is missing, or nothing was said.
    """
    pieces, events = [], []

    @_Callback
    def collect(wave, count, event):
        if wave and count:
            pieces.append(np.ctypeslib.as_array(wave, shape=(count,)).copy())
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
            raise LipSyncError(f"espeak-ng has no voice {voice.name!r}")
        lib.espeak_SetParameter(_RATE, voice.rate, 0)
        lib.espeak_SetParameter(_PITCH, voice.pitch, 0)
        lib.espeak_SetParameter(_RANGE, voice.intonation, 0)
        raw = text.encode() + b"\0"
        lib.espeak_Synth(raw, ctypes.c_size_t(len(raw)), 0, 1, 0, _UTF8, None, None)
    if not pieces or not events:
        raise LipSyncError(f"espeak-ng said nothing for {text!r}")
    samples = np.concatenate(pieces).astype(np.float32) / 32768
    return samples, rate, _intervals(events, samples, rate)


def _intervals(events: list, samples: np.ndarray, rate: int) -> list:
    """Turn (sample, name) events into intervals; give stops the silence before their burst."""
    starts = [min(start, len(samples)) for start, _ in events]
    for index, (_, name) in enumerate(events):
        if name[:1] in tuple("ptkcqbdg"):
            earliest = max(starts[index] - int(0.07 * rate), starts[index - 1] if index else 0)
            loud = np.flatnonzero(np.abs(samples[earliest : starts[index]]) > 0.002)
            starts[index] = earliest + (int(loud[-1]) + 1 if len(loud) else 0)
    ends = starts[1:] + [len(samples)]
    return [
        (start / rate, end / rate, "_" if name.startswith("_") else name)
        for start, end, (_, name) in zip(starts, ends, events, strict=True)
        if end > start
    ]


# ---------------------------------------------------------------------------- the mouth's movement

# Phonemes by their first letter: opening, width (0 narrow, 0.5 rest, 1 spread), rounding, upper
# teeth, tongue; last, how much of this they insist on. The rest is taken from the neighbours.
REST = (0.0, 0.5, 0.08, 0.0, 0.0)
_TABLE = """
a&6 .85 .62  0  .40 .20  1  | A  1.0 .46 .05 .20 .15  1  | V   .65 .50 .05 .30 .15  1
E   .60 .70  0  .50 .25  1  | e  .45 .80  0  .60 .25  1  | I   .35 .75  0  .70 .20  1
i   .28 1.0  0  .90 .20  1  | 0  .80 .34 .35 .10 .05  1  | O   .68 .24 .60 .05  0   1
o   .50 .20 .75  0   0   1  | U  .32 .20 .75 .10  0   1  | u   .20 .05 1.0  0   0   1
y   .20 .10 .95 .10  0   1  | YW .38 .20 .75 .10  0   1  | @   .38 .50 .10 .40 .20 .80
38  .40 .30 .45 .30 .10 .90 | pbm 0  .45 .12  0   0   1  | B   .08 .45 .10 .10  0  .90
fv  .12 .52  0  1.0  0  .95 | w  .12  0  1.0  0   0  .90 | TD  .28 .55  0  .70 1.0 .85
sz  .18 .80  0  1.0  0  .80 | SZ .26 .20 .80 .90  0  .85 | tdn .22 .60  0  .70 .60 .55
l   .36 .55  0  .45 .90 .60 | rR* .25 .20 .60 .40 .10 .65 | j  .22 .90  0  .70 .20 .60
"""
VISEMES = {
    letter: (tuple(map(float, numbers[:5])), float(numbers[5]))
    for letters, *numbers in (row.split() for row in _TABLE.replace("\n", "|").split("|") if row)
    for letter in letters
}
OTHER = ((0.35, 0.50, 0.05, 0.35, 0.15), 0.25)  # k, g, h and the like happen out of sight
VOWELS = "aA&6VEeIi0OoUuyYW@38"


def _shapes(name: str) -> list[tuple[np.ndarray, float]]:
    """The one or (diphthongs) two shapes of a phoneme, each with its insistence."""
    stressed, plain = name.startswith("'"), name.lstrip("',%=;") or "_"
    if plain.startswith(("tS", "dZ", "ts.")):
        plain = "S"
    letters = plain[:1] + (plain[1:2] if plain[0] in VOWELS and plain[1:2] in VOWELS else "")
    shapes = []
    for letter in letters:
        shape, weight = VISEMES.get(letter, OTHER)
        shape = np.array(shape)
        shape[0] *= 1.12 if stressed else 0.95
        shapes.append((shape, weight))
    return shapes


def _ease(x: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, a smooth step between."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def mouth_at(phonemes: list, times: np.ndarray) -> np.ndarray:
    """The mouth at the given times (s): float32 [n, 5] of opening, width, rounding, teeth, tongue.

    All are 0–1; width rests at 0.5. Time outside the phonemes and between them is rest.
    """
    parts, shut, before = [], [], -math.inf  # (start, end, shape, insistence)
    for start, end, name in phonemes:
        if start - before > 0.08:
            parts.append((max(before, start - 1), start, np.array(REST), 1.0))
        before = end
        if name == "_":
            if end - start > 0.08:  # shorter ones are spoken through
                parts.append((start, end, np.array(REST), 1.0))
            continue
        shapes = _shapes(name)
        edges = np.linspace(start, end, len(shapes) + 1)
        parts += [(*edge, *shape) for *edge, shape in zip(edges, edges[1:], shapes, strict=False)]
        if name[0] in "pbm":  # a stop's lips part at its burst, before its sound is over
            share = (0.1, 0.9) if name[0] == "m" else (0.15, 0.65)
            middle, half = start + (end - start) * sum(share) / 2, (end - start) * np.ptp(share) / 2
            shut.append((middle, max(half, 0.021)))
    if not parts:
        return np.tile(np.array(REST, np.float32), (len(times), 1))
    parts.append((before, before + 1, np.array(REST), 1.0))
    shapes = np.stack([part[2] for part in parts])
    weight = np.array([part[3] for part in parts])[:, None]
    around = (shapes[np.maximum(np.arange(len(parts)) - 1, 0)] + np.roll(shapes, -1, 0)) / 2
    shapes = weight * shapes + (1 - weight) * around

    spans = np.array([part[:2] for part in parts])
    hold = np.minimum(np.diff(spans, axis=1)[:, 0] / 2, TRANSITION_S / 2)
    keys = np.stack([spans[:, 0] + hold, spans[:, 1] - hold], axis=1).ravel()
    values = np.repeat(shapes, 2, axis=0)
    times = np.asarray(times, np.float64)
    left = np.clip(np.searchsorted(keys, times, "right") - 1, 0, len(keys) - 2)
    gap = np.maximum(keys[left + 1] - keys[left], 1e-9)
    share = _ease((times - keys[left]) / gap)[:, None]
    mouth = values[left] * (1 - share) + values[left + 1] * share
    for middle, half in shut:
        mouth[:, 0] *= _ease((np.abs(times - middle) - half) / 0.045)
    return np.clip(mouth, 0, 1).astype(np.float32)


def mouth_track(phonemes: list, n_frames: int, fps: float = FPS) -> np.ndarray:
    """The mouth at the start of each frame: float32 [n_frames, 5], see `mouth_at`."""
    return mouth_at(phonemes, np.arange(n_frames) / fps)


# ---------------------------------------------------------------------------- drawing

# A head is drawn on a canvas of its own in units of half the face's height, x to the right and y
# down from the middle of the face, and then put into the picture by one remapping.
CANVAS, UNIT, MIDDLE = 512, 150.0, (256.0, 232.0)
PICTURE_UNIT = 0.305  # of the picture's side
EYE_Y, MOUTH_Y = -0.12, 0.50


def _tint(colour: tuple, gain: float) -> tuple:
    return tuple(min(255.0, channel * gain) for channel in colour[:3])


def _fill(canvas: np.ndarray, points: np.ndarray, colour: tuple) -> None:
    """Fill a polygon given in head units, with smooth edges and sub-pixel corners."""
    fixed = np.round((points * UNIT + MIDDLE) * 16).astype(np.int32)
    cv2.fillPoly(canvas, [fixed], (*colour[:3], 255), cv2.LINE_AA, 4)


def _line(canvas: np.ndarray, points: np.ndarray, colour: tuple, width: float, closed=False):
    fixed = np.round((points * UNIT + MIDDLE) * 16).astype(np.int32)
    thick = max(1, round(width * UNIT))
    cv2.polylines(canvas, [fixed], closed, (*colour[:3], 255), thick, cv2.LINE_AA, 4)


def _oval(x: float, y: float, rx: float, ry: float, begin=0.0, end=360.0) -> np.ndarray:
    """Points [48, 2] of an ellipse or of an arc of it (degrees, clockwise from the right)."""
    angle = np.radians(np.linspace(begin, end, 48))
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1)


def _soft(canvas: np.ndarray, points: np.ndarray, colour: tuple, alpha: float, blur: float):
    """Blend a blurred polygon into what is already drawn, leaving its outline as it is."""
    mask = np.zeros(canvas.shape[:2] + (3,), np.uint8)
    _fill(mask, points, (255, 255, 255))
    share = cv2.GaussianBlur(mask, (0, 0), blur * UNIT).astype(np.float32) * (alpha / 255)
    inside = canvas[..., 3:].astype(np.float32) / 255
    canvas[..., :3] = canvas[..., :3] * (1 - share) + np.float32(colour[:3]) * inside * share


@lru_cache(maxsize=16)
def _head(look: Look) -> np.ndarray:
    """All of the head that does not move in itself: uint8 [CANVAS, CANVAS, 4], premultiplied."""
    canvas = np.zeros((CANVAS, CANVAS, 4), np.uint8)
    w, skin, hair, style = look.width, look.skin, look.hair, look.hair_style
    dark = _tint(skin, 0.72)
    if style in ("long", "bob"):
        low = 1.45 if style == "long" else 0.80
        crown = _oval(0, -0.2, w * 1.30, 1.05, 180, 360)
        ends = _oval(0, low - 0.25, w * 1.36, 0.25, 0, 180)
        _fill(canvas, np.concatenate([crown, ends]), _tint(hair, 0.75))
    if style == "bun":
        _fill(canvas, _oval(0, -1.12, 0.30, 0.24), _tint(hair, 0.9))
    sides = np.array([[-0.60, 1.27], [-0.43, 1.12], [-0.38, 0.95], [-0.38, 0.5]])
    neck = np.concatenate([sides, sides[::-1] * [-1, 1], _oval(0, 1.27, 0.58, 0.24, 0, 180)])
    _fill(canvas, neck, _tint(skin, 0.9))
    _soft(canvas, _oval(0, 0.92, 0.34, 0.24), _tint(skin, 0.5), 0.6, 0.05)
    for side in (-1, 1):
        _fill(canvas, _oval(side * w * 1.0, 0.02, 0.10, 0.20), _tint(skin, 0.92))
        _soft(canvas, _oval(side * w * 1.02, 0.02, 0.05, 0.12), dark, 0.5, 0.03)
    face = _oval(0, 0, w, 0.975)
    face[:, 0] *= 1 - look.jaw * np.maximum(face[:, 1], 0) ** 2
    _fill(canvas, face, skin)

    # light from above and the left, falling off to the sides
    y, x = (np.mgrid[0:CANVAS, 0:CANVAS] - np.array(MIDDLE[::-1])[:, None, None]) / UNIT
    light = 1.07 - 0.26 * np.clip(np.abs(x) / w, 0, 1.2) ** 3 - 0.05 * x - 0.06 * y
    canvas[..., :3] = np.clip(canvas[..., :3] * light[..., None], 0, canvas[..., 3:])
    rosy = (skin[0] * 0.75, skin[1] * 0.75, min(255, skin[2] * 1.05))
    for side in (-1, 1):
        _soft(canvas, _oval(side * 0.40, 0.20, 0.17, 0.12), rosy, 0.35, 0.08)
        _soft(canvas, _oval(side * look.eyes, EYE_Y - 0.03, 0.20, 0.13), dark, 0.45, 0.05)
        _soft(canvas, _oval(side * 0.10, 0.04, 0.035, 0.22), dark, 0.35, 0.03)
        _soft(canvas, _oval(side * 0.075, 0.235, 0.030, 0.018), _tint(skin, 0.35), 0.85, 0.012)
    _soft(canvas, _oval(0, 0.05, 0.045, 0.20), _tint(skin, 1.18), 0.6, 0.03)
    _soft(canvas, _oval(0, 0.18, 0.06, 0.05), _tint(skin, 1.2), 0.6, 0.025)
    _line(canvas, _oval(0, 0.195, 0.12, 0.075, 25, 155), _tint(skin, 0.62), 0.014)
    _soft(canvas, _oval(0, 0.355, 0.03, 0.06), dark, 0.45, 0.02)
    _soft(canvas, _oval(0, 0.715, 0.17, 0.03), dark, 0.6, 0.03)
    if look.beard:
        low = face[1:24] * 0.985
        high = np.stack([low[:, 0], 0.38 - 0.34 * (low[:, 0] / w) ** 4], 1)
        shade = np.concatenate([low, np.minimum(high, low)[::-1]])
        _soft(canvas, shade, _tint(hair, 0.9), look.beard, 0.045)

    for side in (-1, 1):
        arc = _oval(side * look.eyes, EYE_Y - 0.08, 0.20, 0.13, 205, 335)
        arc[:, 1] += look.brow * side * (arc[:, 0] - side * look.eyes) / 0.2
        thin = arc + [0, 0.045] * (1 - np.linspace(-1, 1, 48)[:, None] ** 2)
        _fill(canvas, np.concatenate([arc, thin[::-1]]), _tint(hair, 0.8))

    # the hair in front is the top of a larger head without the forehead
    line = _oval(0, -0.30, w * 0.93, 0.45 if style == "buzz" else 0.40, 180, 360)
    across = line[:, 0] / w
    if style == "short":  # swept to a side
        line[:, 1] += (0.30 * across - 0.08) * (1 - across**2)
    elif style != "buzz":  # parted in the middle
        line[:, 1] += 0.13 * np.exp(-((across / 0.25) ** 2))
    grown = (1.03, 0.93) if style == "buzz" else (1.13, 1.10)
    outer = _oval(0, -0.10, w * grown[0], grown[1], 180, 360)
    if style in ("long", "bob"):
        outer = np.concatenate([[[-w * 1.05, 0.55]], outer, [[w * 1.05, 0.55]]])
    _fill(canvas, np.concatenate([outer, line[::-1]]), hair)
    _soft(canvas, _oval(-0.25, -0.85, 0.30, 0.09), _tint(hair, 1.7), 0.35, 0.07)
    return canvas


@lru_cache(maxsize=16)
def _backdrop(look: Look, size: int) -> np.ndarray:
    """The wall and the shoulders: uint8 [size, size, 3]."""
    y, x = np.mgrid[0:size, 0:size] / size
    light = 1.12 - 0.5 * ((x - 0.4) ** 2 + (y - 0.35) ** 2)
    wall = np.clip(np.float64(look.background) * light[..., None], 0, 255)
    shoulder = 0.80 + 0.60 * np.abs(x - 0.5) ** 1.7
    folds = 1.05 - 0.9 * np.abs(x - 0.47) ** 1.5 - 0.8 * (y - 0.9)
    cloth = np.float64(look.shirt) * folds[..., None]
    share = np.clip((y - shoulder) * size + 0.5, 0, 1)[..., None]
    picture = wall * (1 - share) + np.clip(cloth, 0, 255) * share
    return cv2.GaussianBlur(picture.astype(np.uint8), (0, 0), 0.8)


def _draw_eyes(canvas: np.ndarray, look: Look, pose: Pose) -> None:
    for side in (-1, 1):
        x, rx = side * look.eyes, 0.145
        across = np.linspace(-1, 1, 40)
        upper = EYE_Y - 0.078 * (1 - across**2) ** 0.8 * (1 - pose.blink) + 0.03 * pose.blink
        lower = EYE_Y + 0.052 * (1 - across**2)
        upper = np.minimum(upper, lower)
        edge = x + rx * across

        def clipped(points, edge=edge, upper=upper, lower=lower):
            low, high = (np.interp(points[:, 0], edge, line) for line in (upper, lower))
            return np.stack([points[:, 0], np.clip(points[:, 1], low, high)], axis=1)

        lid = np.concatenate(
            [np.stack([edge, EYE_Y - 0.095 * (1 - across**2)], 1), np.stack([edge, lower], 1)[::-1]]
        )
        _fill(canvas, lid, _tint(look.skin, 0.86))
        if pose.blink < 0.95:
            whites = np.stack([np.r_[edge, edge[::-1]], np.r_[upper, lower[::-1]]], 1)
            _fill(canvas, whites, (232, 236, 238))
            at = (x + 0.035 * pose.gaze, EYE_Y - 0.008)
            _fill(canvas, clipped(_oval(*at, 0.070, 0.070)), look.iris)
            _fill(canvas, clipped(_oval(*at, 0.034, 0.034)), (20, 18, 18))
            shine = _oval(at[0] - 0.02, at[1] - 0.025, 0.014, 0.014)
            _fill(canvas, clipped(shine), (255, 255, 255))
        _line(canvas, np.stack([edge, upper], 1), _tint(look.hair, 0.45), 0.022)
        if look.glasses:
            _line(canvas, _oval(x, EYE_Y + 0.02, 0.215, 0.175), (45, 40, 40), 0.022, True)
    if look.glasses:
        _line(canvas, _oval(0, EYE_Y, look.eyes - 0.205, 0.03, 180, 360), (45, 40, 40), 0.022)


def _draw_mouth(canvas: np.ndarray, look: Look, mouth: np.ndarray) -> None:
    opening, width, rounding, teeth, tongue = (float(value) for value in mouth)
    half = look.mouth * (0.80 + 0.40 * width) * (1 - 0.36 * rounding)
    gap = 0.25 * opening * look.articulation
    thick = look.lip * (1 + 0.35 * rounding) * (1 - 0.15 * (width - 0.5))
    tuck = max(0.0, teeth - 0.9) * 10 * max(0.0, 1 - opening / 0.3) * 0.45  # f: lip under the teeth
    u = np.linspace(-1, 1, 40)
    x = half * u
    bow = (1 - u**2) ** (0.9 - 0.25 * opening - 0.3 * rounding)
    corner = MOUTH_Y - 0.02 * (width - 0.5)
    curve = (corner - MOUTH_Y) * u**2
    inner = np.clip(1 - (u / 0.90) ** 2, 0, 1) ** (0.65 - 0.15 * rounding)
    upper = MOUTH_Y + curve - 0.30 * gap * inner
    lower = MOUTH_Y + curve + 0.70 * gap * inner
    cupid = 1 - 0.22 * np.exp(-((u / 0.16) ** 2))
    top = MOUTH_Y + curve - (0.30 * gap + thick * cupid) * bow
    bottom = MOUTH_Y + curve + (0.70 * gap + thick * (1.25 - tuck)) * bow

    def between(first, second):
        return np.concatenate([np.stack([x, first], 1), np.stack([x, second], 1)[::-1]])

    _fill(canvas, between(top, np.maximum(upper, MOUTH_Y + curve)), _tint(look.lips, 0.86))
    _fill(canvas, between(np.minimum(lower, MOUTH_Y + curve), bottom), look.lips)
    shine = between(lower + 0.35 * (bottom - lower), lower + 0.6 * (bottom - lower))
    _fill(canvas, shine * [0.5, 1], _tint(look.lips, 1.13))
    if gap > 0.004:
        _fill(canvas, between(upper, lower), (35, 22, 62))
        tip = np.maximum(upper, lower - tongue * (0.03 + 0.7 * gap))
        _fill(canvas, between(tip, lower), (95, 92, 185))
        _fill(canvas, between(upper, np.minimum(lower, upper + 0.075 * teeth)), (225, 232, 236))
        if tongue > 0.85:  # between the teeth
            _fill(canvas, between(tip, lower) * [0.6, 1], (100, 98, 195))
    seam = 0.012 if gap > 0.004 else 0.018
    _line(canvas, np.stack([x, upper], 1), _tint(look.lips, 0.42), seam)


def draw_face(look: Look, mouth: np.ndarray, pose: Pose, size: int = SIZE) -> np.ndarray:
    """One picture: uint8 BGR [size, size, 3].

    Args:
        look: who.
        mouth: [5], a row of `mouth_track`.
        pose: where the head is.
        size: pixels a side.
    """
    canvas = _head(look).copy()
    _draw_eyes(canvas, look, pose)
    _draw_mouth(canvas, look, mouth)

    # from picture to canvas: undo place, roll and scale, then turn the head and drop the jaw
    turn = math.radians(pose.roll)
    shrink = 1 / (PICTURE_UNIT * size * pose.scale)
    cos, sin = math.cos(turn) * shrink, math.sin(turn) * shrink
    column = np.arange(size, dtype=np.float32)[None] - size * (0.5 + pose.x / 320)
    row = np.arange(size, dtype=np.float32)[:, None] - size * (0.455 + pose.y / 320)
    x, y = cos * column + sin * row, cos * row - sin * column
    bulge = np.maximum(0, 1 - (x / (look.width * 1.15)) ** 2 - (y / 1.1) ** 2)
    drop = 0.085 * float(mouth[0]) * look.articulation
    jaw = _ease((y - 0.42) * 2.2) * _ease((1.5 - y) * 2)
    from_x = (x - 0.10 * pose.yaw * bulge) * UNIT + MIDDLE[0]
    from_y = (y - 0.07 * pose.nod * bulge - drop * jaw) * UNIT + MIDDLE[1]
    head = cv2.remap(canvas, from_x, from_y, cv2.INTER_LINEAR, borderValue=(0, 0, 0, 0))
    through = 255 - cv2.cvtColor(head[..., 3], cv2.COLOR_GRAY2BGR)
    return cv2.add(head[..., :3], cv2.multiply(_backdrop(look, size), through, scale=1 / 255))


# ---------------------------------------------------------------------------- clips


def _resample(samples: np.ndarray, rate: int, to: int) -> np.ndarray:
    """Change the sample rate in the spectrum: no delay, not even of a fraction of a sample."""
    block = rate // math.gcd(rate, to)
    padded = np.pad(samples, (0, -len(samples) % block))
    n = len(padded) // block * (to // math.gcd(rate, to))
    return (np.fft.irfft(np.fft.rfft(padded), n) * (n / len(padded))).astype(np.float32)


def _monologue(voice: Voice, end_s: float, rng: np.random.Generator):
    """Sentences with pauses: samples from -MAX_SHIFT_S to end_s + MAX_SHIFT_S, phonemes, texts."""
    total = round((end_s + 2 * MAX_SHIFT_S) * SAMPLE_RATE)
    samples = np.zeros(total, np.float32)
    phonemes, texts, now = [], [], rng.uniform(0.12, 0.35)
    while now < end_s + MAX_SHIFT_S:
        text = make_sentence(rng, voice.name.split("+")[0])
        mood = replace(voice, rate=round(voice.rate * rng.uniform(0.93, 1.07)))
        mood = replace(mood, pitch=round(np.clip(voice.pitch + rng.uniform(-5, 5), 0, 99)))
        speech, rate, spoken = synthesise_speech(text, mood)
        while spoken and spoken[-1][2] == "_":  # the pause between sentences is ours
            spoken.pop()
        if not spoken:
            continue
        speech = _resample(speech[: round(spoken[-1][1] * rate)], rate, SAMPLE_RATE)
        begin = round((now + MAX_SHIFT_S) * SAMPLE_RATE)
        speech = speech[: total - begin]
        samples[begin : begin + len(speech)] = speech
        now = begin / SAMPLE_RATE - MAX_SHIFT_S
        phonemes += [(start + now, end + now, name) for start, end, name in spoken]
        if now < end_s:
            texts.append(text)
        now = phonemes[-1][1] + rng.uniform(0.15, 0.45) + (0.4 if rng.random() < 0.15 else 0)
    samples *= rng.uniform(0.06, 0.10) / max(1e-6, float(np.sqrt(np.mean(samples**2))))
    samples += rng.normal(0, 10 ** rng.uniform(-3.2, -2.7), total).astype(np.float32)  # a room
    return np.clip(samples, -0.99, 0.99), phonemes, texts


def _movement(n: int, rng: np.random.Generator) -> list[Pose]:
    """A head that is never quite still, and blinks."""
    time = np.arange(n) / FPS
    size = {"x": 6, "y": 4, "roll": 3, "scale": 0.025, "yaw": 0.7, "nod": 0.6, "gaze": 0.5}
    ways = {}
    for name, reach in size.items():
        waves = [
            np.sin(2 * np.pi * (rng.uniform(0.08, 0.5) * time + rng.random())) for _ in range(3)
        ]
        ways[name] = reach * (rng.uniform(-0.4, 0.4) + np.mean(waves, axis=0))
    ways["scale"] = 1 + ways["scale"]
    ways["blink"], at = np.zeros(n), rng.uniform(0.3, 3)
    while at < time[-1]:
        ways["blink"] = np.maximum(ways["blink"], _ease(1.4 - np.abs(time - at) / 0.09))
        at += rng.uniform(1.5, 4.5)
    rows = np.stack(list(ways.values()), axis=1).tolist()
    return [Pose(**dict(zip(ways, row, strict=True))) for row in rows]


def make_frames(look: Look, mouth: np.ndarray, rng: np.random.Generator, size: int = SIZE):
    """Yield one uint8 BGR picture [size, size, 3] for each row of ``mouth`` [n, 5]."""
    grain = rng.normal(0, 2.0, (4, size, size, 3)).round().astype(np.int8)
    for index, (shape, pose) in enumerate(zip(mouth, _movement(len(mouth), rng), strict=True)):
        picture = cv2.GaussianBlur(draw_face(look, shape, pose, size), (0, 0), 0.6)
        yield cv2.add(picture, grain[index % 4], dtype=cv2.CV_8U)


def clip_parts(seed: int, duration_s: float, shift_ms: float = 0.0, speaker: int | None = None):
    """The parts of a clip before they are encoded: (mouth [n, 5], frames, samples, metadata).

    ``frames`` is a generator of pictures; ``samples`` is float32 mono at SAMPLE_RATE, exactly as
    long as the pictures. For the other arguments see `make_clip`.
    """
    count = round(duration_s * FPS)
    if count < 1:
        raise LipSyncError(f"a clip of {duration_s} s has no frame")
    if abs(shift_ms) > MAX_SHIFT_S * 1000:
        raise LipSyncError(f"shift_ms must be within ±{MAX_SHIFT_S * 1000:.0f}, not {shift_ms}")
    speaker = seed if speaker is None else speaker
    look, voice = make_speaker(speaker)
    voice_rng, face_rng = (np.random.default_rng([seed, stream]) for stream in (1, 2))
    sound, phonemes, texts = _monologue(voice, count / FPS, voice_rng)
    first = round((MAX_SHIFT_S + shift_ms / 1000) * SAMPLE_RATE)
    mouth = mouth_track(phonemes, count)
    about = {
        "text": " ".join(texts),
        "voice": f"{voice.name} pitch {voice.pitch} rate {voice.rate}",
        "speaker": speaker,
        "offset_ms": shift_ms,
        "seed": seed,
        "seconds": count / FPS,
        "recipe": RECIPE,
    }
    samples = sound[first : first + round(count / FPS * SAMPLE_RATE)]
    return mouth, make_frames(look, mouth, face_rng), samples, about


def make_clip(
    path: str | Path,
    seed: int,
    duration_s: float,
    shift_ms: float = 0.0,
    speaker: int | None = None,
) -> dict:
    """Write one clip, 25 fps H.264 with 24 kHz AAC.

    Args:
        path: the mp4 to write.
        seed: decides what is said, and how the head moves.
        duration_s: rounded to whole frames.
        shift_ms: how much the sound is made to come early (> 0: audio leads; < 0: it lags),
            within ±2000. It is the offset that the system should find; all else stays the same.
        speaker: seed of the look and the voice; None takes ``seed``.

    Returns:
        text, voice, speaker, offset_ms, seed, seconds and recipe.
    """
    _, frames, samples, about = clip_parts(seed, duration_s, shift_ms, speaker)
    write_clip(path, frames, FPS, samples, SAMPLE_RATE)
    return about


def make_corpus(
    folder: str | Path,
    n_clips: int,
    duration_s: float,
    seed: int = 0,
    n_speakers: int = 6,
    progress=iter,
) -> list[dict]:
    """Write ``folder/videos/talker_000.mp4`` … and ``folder/corpus.csv``, and return its rows.

    Clips that are there already, made with the same parameters, are kept. ``progress`` wraps the
    clip numbers (tqdm).
    """
    folder = Path(folder)
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    table, known, rows = folder / "corpus.csv", {}, []
    if table.is_file():
        with table.open(newline="", encoding="utf-8") as file:
            known = {row.get("name"): row for row in csv.DictReader(file)}
    for index in progress(range(n_clips)):
        path = folder / "videos" / f"talker_{index:03d}.mp4"
        wanted = {
            "name": path.name,
            "speaker": seed * 1000 + index % n_speakers,
            "offset_ms": 0.0,
            "seed": seed * 100_000 + index,
            "seconds": round(duration_s * FPS) / FPS,
            "recipe": RECIPE,
        }
        old = known.get(path.name, {})
        if path.is_file() and all(old.get(key) == str(value) for key, value in wanted.items()):
            rows.append({**old, **wanted})
            continue
        made = make_clip(path, wanted["seed"], duration_s, speaker=wanted["speaker"])
        rows.append({"name": path.name, **made})
        _write_table(table, {**known, **{row["name"]: row for row in rows}}.values())
    _write_table(table, rows)
    return rows


def _write_table(path: Path, rows) -> None:
    fields = ["name", "text", "voice", "speaker", "offset_ms", "seed", "seconds", "recipe"]
    with written_aside(path) as aside, open(aside, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fields, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Make a small corpus of drawn faces that speak, in perfect sync.",
        epilog="example: python tools/synthetic_talker.py --output data/demo --num-clips 40",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--output", default="data/demo", help="folder for videos/ and corpus.csv")
    parser.add_argument("--num-clips", type=int, default=40, help="how many clips")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of each")
    parser.add_argument("--speakers", type=int, default=6, help="different faces and voices")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other people")
    args = parser.parse_args(arguments)
    if min(args.num_clips, args.speakers) < 1 or args.seconds <= 0 or args.seed < 0:
        parser.error("--num-clips, --speakers and --seconds must be positive, --seed not negative")

    from tqdm import tqdm

    try:
        rows = make_corpus(
            args.output,
            args.num_clips,
            args.seconds,
            args.seed,
            args.speakers,
            progress=lambda numbers: tqdm(numbers, unit="clip"),
        )
    except LipSyncError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    print(f"{len(rows)} clips in {Path(args.output) / 'videos'}, listed in corpus.csv")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""How a mouth moves through phonemes: the shape of each, and how neighbours blend.

A mouth is five numbers 0–1: its opening, its width (0 narrow, 0.5 at rest, 1 spread), the
rounding of the lips, and how far the upper teeth and the tongue show.
"""

import math
from itertools import pairwise

import numpy as np

from src.audio.espeak import Phoneme
from src.core.constants import FPS
from tools.drawn_face import smooth_step

TRANSITION_S = 0.070  # from the shape of one phoneme to that of the next
SHORTEST_REST_S = 0.08  # pauses up to this are spoken through

REST = (0.0, 0.5, 0.08, 0.0, 0.0)
# Phonemes by their first letter: the mouth shape and its dominance (0–1); the rest is
# taken from the neighbours.
_SHAPES = {
    "a&6": ((0.85, 0.62, 0, 0.40, 0.20), 1),
    "A": ((1, 0.46, 0.05, 0.20, 0.15), 1),
    "V": ((0.65, 0.50, 0.05, 0.30, 0.15), 1),
    "E": ((0.60, 0.70, 0, 0.50, 0.25), 1),
    "e": ((0.45, 0.80, 0, 0.60, 0.25), 1),
    "I": ((0.35, 0.75, 0, 0.70, 0.20), 1),
    "i": ((0.28, 1, 0, 0.90, 0.20), 1),
    "0": ((0.80, 0.34, 0.35, 0.10, 0.05), 1),
    "O": ((0.68, 0.24, 0.60, 0.05, 0), 1),
    "o": ((0.50, 0.20, 0.75, 0, 0), 1),
    "U": ((0.32, 0.20, 0.75, 0.10, 0), 1),
    "u": ((0.20, 0.05, 1, 0, 0), 1),
    "y": ((0.20, 0.10, 0.95, 0.10, 0), 1),
    "YW": ((0.38, 0.20, 0.75, 0.10, 0), 1),
    "@": ((0.38, 0.50, 0.10, 0.40, 0.20), 0.80),
    "38": ((0.40, 0.30, 0.45, 0.30, 0.10), 0.90),
    "pbm": ((0, 0.45, 0.12, 0, 0), 1),
    "B": ((0.08, 0.45, 0.10, 0.10, 0), 0.90),
    "fv": ((0.12, 0.52, 0, 1, 0), 0.95),
    "w": ((0.12, 0, 1, 0, 0), 0.90),
    "TD": ((0.28, 0.55, 0, 0.70, 1), 0.85),
    "sz": ((0.18, 0.80, 0, 1, 0), 0.80),
    "SZ": ((0.26, 0.20, 0.80, 0.90, 0), 0.85),
    "tdn": ((0.22, 0.60, 0, 0.70, 0.60), 0.55),
    "l": ((0.36, 0.55, 0, 0.45, 0.90), 0.60),
    "rR*": ((0.25, 0.20, 0.60, 0.40, 0.10), 0.65),
    "j": ((0.22, 0.90, 0, 0.70, 0.20), 0.60),
}
VISEMES = {letter: shape for letters, shape in _SHAPES.items() for letter in letters}
OTHER = ((0.35, 0.50, 0.05, 0.35, 0.15), 0.25)  # k, g, h and the like happen out of sight
VOWELS = "aA&6VEeIi0OoUuyYW@38"


def _shapes(name: str) -> list[tuple[np.ndarray, float]]:
    """The one or (diphthongs) two shapes of a phoneme, each with its insistence."""
    stressed, plain = name.startswith("'"), name.lstrip("',%=;") or "_"
    if plain.startswith(("tS", "dZ", "ts.")):
        plain = "S"
    diphthong = len(plain) > 1 and plain[0] in VOWELS and plain[1] in VOWELS
    shapes = []
    for letter in plain[: 2 if diphthong else 1]:
        shape, insistence = VISEMES.get(letter, OTHER)
        shape = np.array(shape)
        shape[0] *= 1.12 if stressed else 0.95
        shapes.append((shape, insistence))
    return shapes


def _targets(phonemes: list[Phoneme]) -> list[tuple[float, float, np.ndarray, float]]:
    """What the mouth aims at, in order: (start_s, end_s, shape, insistence), rest included."""
    targets, now = [], -math.inf
    rest = (np.array(REST), 1.0)
    for start, end, name in phonemes:
        if start - now > SHORTEST_REST_S:
            targets.append((max(now, start - 1), start, *rest))
        now = end
        if name != "_":
            shapes = _shapes(name)
            spans = pairwise(np.linspace(start, end, len(shapes) + 1))
            targets += [(*span, *shape) for span, shape in zip(spans, shapes, strict=True)]
        elif end - start > SHORTEST_REST_S:
            targets.append((start, end, *rest))
    return [*targets, (now, now + 1, *rest)]


def _closures(phonemes: list[Phoneme]) -> list[tuple[float, float]]:
    """When the lips are shut for p, b and m: (middle_s, half the length in s).

    A stop's lips part at its burst, before the phoneme ends.
    """
    closures = []
    for start, end, name in phonemes:
        if name[0] in "pbm":
            begin, finish = (
                (0.1, 0.9) if name[0] == "m" else (0.15, 0.65)
            )  # fractions of the phoneme
            length = end - start
            half = max(length * (finish - begin) / 2, 0.021)
            closures.append((start + length * (begin + finish) / 2, half))
    return closures


def mouth_at(phonemes: list[Phoneme], times: np.ndarray) -> np.ndarray:
    """The mouth at the given times.

    Args:
        phonemes: in order, see `synthesise_speech`; outside and between them the mouth rests.
        times: [n] in seconds, on the clock of the phonemes.

    Returns:
        float32 [n, 5] in 0–1: opening, width, rounding, teeth, tongue.
    """
    if not phonemes:
        return np.tile(np.array(REST, np.float32), (len(times), 1))
    targets = _targets(phonemes)
    shapes = np.stack([target[2] for target in targets])
    insistence = np.array([target[3] for target in targets])[:, None]
    around = (np.roll(shapes, 1, axis=0) + np.roll(shapes, -1, axis=0)) / 2
    shapes = insistence * shapes + (1 - insistence) * around  # the ends rest, insisting wholly

    # each shape is held in the middle of its time, and the next one eased into
    spans = np.array([target[:2] for target in targets])
    hold = np.minimum(np.diff(spans, axis=1)[:, 0] / 2, TRANSITION_S / 2)
    keys = np.stack([spans[:, 0] + hold, spans[:, 1] - hold], axis=1).ravel()
    values = np.repeat(shapes, 2, axis=0)
    times = np.asarray(times, np.float64)
    left = np.clip(np.searchsorted(keys, times, "right") - 1, 0, len(keys) - 2)
    gap = np.maximum(keys[left + 1] - keys[left], 1e-9)
    share = smooth_step((times - keys[left]) / gap)[:, None]
    mouth = values[left] * (1 - share) + values[left + 1] * share
    for middle, half in _closures(phonemes):
        mouth[:, 0] *= smooth_step((np.abs(times - middle) - half) / 0.045)
    return np.clip(mouth, 0, 1).astype(np.float32)


def mouth_track(phonemes: list[Phoneme], n_frames: int, fps: float = FPS) -> np.ndarray:
    """The mouth at the start of each frame: float32 [n_frames, 5], see `mouth_at`."""
    return mouth_at(phonemes, np.arange(n_frames) / fps)

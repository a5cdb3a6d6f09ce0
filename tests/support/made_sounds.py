"""Sounds that are moved, stretched or cut on purpose, and how well they were mended.

That is measured on the sound alone, by cross-correlation with the sound before anything was done
to it.
"""

from pathlib import Path

import numpy as np
import soxr
from scipy.signal import correlate

from src.core.constants import SAMPLE_RATE
from src.media.reader import read_audio
from src.media.writer import write_wav

RATE = 48000  # Hz, of the sounds that are given
MOST_LEFT_MS = 40
STEP = SAMPLE_RATE // 100
QUIET = -60.0  # dB


def taken(sound: np.ndarray, first_ms: float) -> np.ndarray:
    """The sound from a time on, in its length: > 0: it comes early."""
    first = round(first_ms * RATE / 1000)
    moved = sound[max(0, first) :]
    moved = np.concatenate([np.zeros(max(0, -first), np.float32), moved])[: len(sound)]
    return np.pad(moved, (0, len(sound) - len(moved)))


def left_ms(mended: Path, sound: np.ndarray, leave_out=()) -> list[float]:
    """By how much the mended sound comes later than it was, each second: cross-correlation of
    stretches of 1 s with the second around. Silent ones, and those within 0.5 s of the times
    to leave out, say nothing."""
    after, before = read_audio(mended), soxr.resample(sound, RATE, SAMPLE_RATE)
    found = []
    for middle in np.arange(1.5, min(len(after), len(before)) / SAMPLE_RATE - 1.5):
        if any(abs(middle - time) < 1 for time in leave_out):
            continue
        first, last = (round((middle + side) * SAMPLE_RATE) for side in (-0.5, 0.5))
        part, around = after[first:last], before[first - SAMPLE_RATE // 2 : last + SAMPLE_RATE // 2]
        if np.sqrt((around**2).mean()) < 0.1 * np.sqrt((before**2).mean()):
            continue
        match = correlate(around, part, "valid")
        assert match.max() > 0.5 * np.linalg.norm(part) ** 2, "it is another sound"
        found.append((SAMPLE_RATE // 2 - int(match.argmax())) / SAMPLE_RATE * 1000)
    assert len(found) > 0.5 * len(after) / SAMPLE_RATE
    return found


def loudness(sound: np.ndarray) -> np.ndarray:
    """Of a sound at SAMPLE_RATE, in dB, every 10 ms: of the 50 ms around."""
    power = np.convolve(sound.astype(float) ** 2, np.ones(5 * STEP) / (5 * STEP), "same")[::STEP]
    return np.maximum(10 * np.log10(power + 1e-9), QUIET)


def left_by_loudness_ms(output: Path, sound: np.ndarray) -> list[float]:
    """As ``left_ms``, of stretches of 3 s, in steps of 10 ms: where the pitch was kept, waveforms
    do not survive, but the course of the loudness does."""
    after, before = loudness(read_audio(output)), loudness(soxr.resample(sound, RATE, SAMPLE_RATE))
    found = []
    for first in range(100, min(len(after), len(before)) - 400, 100):
        part = after[first : first + 300]
        match = [np.corrcoef(part, before[first + by : first + by + 300])[0, 1]
                 for by in range(-50, 51)]  # fmt: skip
        assert max(match) > 0.6, "it is another sound"
        found.append((50 - int(np.argmax(match))) * 10.0)
    return found


def stretched(sound: np.ndarray, ppm: float, first_ms: float = 90) -> np.ndarray:
    """The sound of a clock that is wrong by so much, early at first by 90 ms and late at the end,
    or the other way round: in three minutes a drift of 1000 ppm is 180 ms."""
    longer = soxr.resample(sound, RATE * (1 + ppm / 1e6), RATE)
    longer = np.pad(longer, (0, max(0, len(sound) - len(longer))))
    return taken(longer, -np.sign(ppm) * first_ms)[: len(sound)]


def cut(sound: np.ndarray) -> tuple[np.ndarray, float]:
    """The sound as where 200 ms of it were cut out, and the second where that is."""
    half = len(sound) // 2 + 3 * RATE
    return np.concatenate([taken(sound, -60)[:half], taken(sound, 140)[half:]]), half / RATE


def mended(judge, video: Path, sound: np.ndarray, folder: Path) -> tuple[Path, dict]:
    given, output = folder / "given.wav", folder / "mended.mp4"
    write_wav(given, sound, RATE)
    success, message, measured = judge.correct_sync(video, given, output)
    print(f"\n{message}", end=" ")
    assert success, message
    return output, measured["details"]


def check(left: list[float], own_ms: float) -> None:
    off = np.array(left) - own_ms
    print(f"left: {off.min():+.1f} to {off.max():+.1f} ms", end=" ")
    assert np.abs(off).max() <= MOST_LEFT_MS

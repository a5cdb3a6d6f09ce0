"""Audio that is shifted, drifts or has a cut, and how well that was corrected.

The result is measured on the audio alone, by cross-correlation with the original.
"""

from pathlib import Path

import numpy as np
import soxr
from scipy.signal import correlate

from src.core.constants import SAMPLE_RATE
from src.media.reader import read_audio
from src.media.writer import write_wav

RATE = 48000  # Hz, of the audio to be corrected
MAX_RESIDUAL_MS = 40
HOP = SAMPLE_RATE // 100
MIN_LOUDNESS_DB = -60.0


def advance(audio: np.ndarray, offset_ms: float) -> np.ndarray:
    """The audio from a time on, of the same length; > 0: it is early."""
    first = round(offset_ms * RATE / 1000)
    shifted = audio[max(0, first) :]
    shifted = np.concatenate([np.zeros(max(0, -first), np.float32), shifted])[: len(audio)]
    return np.pad(shifted, (0, len(audio) - len(shifted)))


def residuals_ms(corrected: Path, audio: np.ndarray, excluded_s=()) -> list[float]:
    """By how much the corrected audio is later than the original, each second: cross-correlation of
    spans of 1 s with the second around. Silent spans, and those within 0.5 s of the excluded times,
    are skipped."""
    after, before = read_audio(corrected), soxr.resample(audio, RATE, SAMPLE_RATE)
    residuals = []
    for middle in np.arange(1.5, min(len(after), len(before)) / SAMPLE_RATE - 1.5):
        if any(abs(middle - time) < 1 for time in excluded_s):
            continue
        first, last = (round((middle + side) * SAMPLE_RATE) for side in (-0.5, 0.5))
        span = after[first:last]
        around = before[first - SAMPLE_RATE // 2 : last + SAMPLE_RATE // 2]
        if np.sqrt((around**2).mean()) < 0.1 * np.sqrt((before**2).mean()):
            continue
        correlation = correlate(around, span, "valid")
        assert correlation.max() > 0.5 * np.linalg.norm(span) ** 2, "it is other audio"
        residuals.append((SAMPLE_RATE // 2 - int(correlation.argmax())) / SAMPLE_RATE * 1000)
    assert len(residuals) > 0.5 * len(after) / SAMPLE_RATE
    return residuals


def loudness(audio: np.ndarray) -> np.ndarray:
    """Of audio at SAMPLE_RATE, in dB, each 10 ms: of the 50 ms around."""
    power = np.convolve(audio.astype(float) ** 2, np.ones(5 * HOP) / (5 * HOP), "same")[::HOP]
    return np.maximum(10 * np.log10(power + 1e-9), MIN_LOUDNESS_DB)


def residuals_by_loudness_ms(corrected: Path, audio: np.ndarray) -> list[float]:
    """As ``residuals_ms``, of spans of 3 s, in steps of 10 ms: where the pitch was kept, waveforms
    are changed, but the loudness over time is not."""
    after = loudness(read_audio(corrected))
    before = loudness(soxr.resample(audio, RATE, SAMPLE_RATE))
    residuals = []
    for first in range(100, min(len(after), len(before)) - 400, 100):
        span = after[first : first + 300]
        correlation = [np.corrcoef(span, before[first + shift : first + shift + 300])[0, 1]
                       for shift in range(-50, 51)]  # fmt: skip
        assert max(correlation) > 0.6, "it is other audio"
        residuals.append((50 - int(np.argmax(correlation))) * 10.0)
    return residuals


def with_drift(audio: np.ndarray, ppm: float, first_ms: float = 90) -> np.ndarray:
    """The audio with a clock error of ``ppm``, early by ``first_ms`` at the start and late at the
    end, or vice versa: in three minutes a drift of 1000 ppm is 180 ms."""
    resampled = soxr.resample(audio, RATE * (1 + ppm / 1e6), RATE)
    resampled = np.pad(resampled, (0, max(0, len(audio) - len(resampled))))
    return advance(resampled, -np.sign(ppm) * first_ms)[: len(audio)]


def with_cut(audio: np.ndarray) -> tuple[np.ndarray, float]:
    """The audio with 200 ms cut out, and the second where that is."""
    cut = len(audio) // 2 + 3 * RATE
    return np.concatenate([advance(audio, -60)[:cut], advance(audio, 140)[cut:]]), cut / RATE


def correct(engine, video: Path, audio: np.ndarray, folder: Path) -> tuple[Path, dict]:
    """Correct a video with the audio; the output and the details of the score before."""
    audio_path, output = folder / "input.wav", folder / "corrected.mp4"
    write_wav(audio_path, audio, RATE)
    success, message, result = engine.correct_sync(video, audio_path, output)
    print(f"\n{message}", end=" ")
    assert success, message
    return output, result["details"]


def check_residuals(residuals: list[float], clip_offset_ms: float) -> None:
    """All residuals must be within ``MAX_RESIDUAL_MS`` of the clip offset."""
    errors = np.array(residuals) - clip_offset_ms
    print(f"residual: {errors.min():+.1f} to {errors.max():+.1f} ms", end=" ")
    assert np.abs(errors).max() <= MAX_RESIDUAL_MS

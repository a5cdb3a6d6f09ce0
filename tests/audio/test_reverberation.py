"""Reverberant speech is detected; dry speech, noisy speech and too little of it are not."""

import numpy as np
import pytest
import soxr
from scipy.signal import fftconvolve

from src.audio.espeak import Voice, synthesise_speech
from src.audio.features import compute_features
from src.audio.reverberation import is_reverberant
from src.core.constants import FPS, HOPS_PER_FRAME, SAMPLE_RATE

TEXT = (
    "Good morning. Today we visit the old harbour, where boats are painted before summer begins. "
    "Pick a tin, stir it slowly, and keep both hands dry."
)


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    samples, rate, _ = synthesise_speech(TEXT, Voice("en-us"))
    return soxr.resample(samples, rate, SAMPLE_RATE).astype(np.float32)


def in_a_room(audio: np.ndarray, decay_s: float, direct_db: float) -> np.ndarray:
    """The audio in a room whose reverberation falls by 60 dB in ``decay_s``.

    Args:
        direct_db: energy of the direct path in proportion to that of the reverberation.
    """
    time_s = np.arange(round(1.2 * decay_s * SAMPLE_RATE)) / SAMPLE_RATE
    response = np.random.default_rng(0).standard_normal(len(time_s)) * 10 ** (-3 * time_s / decay_s)
    response[:48] = 0  # the first reflection is 3 ms late
    response *= np.sqrt(10 ** (-direct_db / 10) / (response**2).sum())
    response[0] = 1
    return fftconvolve(audio, response)[: len(audio)].astype(np.float32)


def blocks(audio: np.ndarray, seconds: float = 60) -> list[tuple[np.ndarray, np.ndarray]]:
    mfcc, speech = compute_features(audio, len(audio) * FPS // SAMPLE_RATE)
    size = round(seconds * FPS)
    return [
        (mfcc[first * HOPS_PER_FRAME : (first + size) * HOPS_PER_FRAME],
         speech[first : first + size])
        for first in range(0, len(speech), size)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("decay_s", "direct_db", "expected"),
    [(0.6, -6, True), (1.0, 0, True), (1.0, -12, True), (1.5, -6, True), (0.2, 12, False)],
)
def test_a_hall_is_heard_and_a_furnished_room_is_not(voice, decay_s, direct_db, expected):
    assert is_reverberant(blocks(in_a_room(voice, decay_s, direct_db))) is expected


def test_dry_speech_is_not_reverberant_however_noisy(voice):
    assert not is_reverberant(blocks(voice))
    noise = np.random.default_rng(1).standard_normal(len(voice)) * voice.std()
    for snr_db in (20, 10, 5):
        noisy = (voice + noise * 10 ** (-snr_db / 20)).astype(np.float32)
        assert not is_reverberant(blocks(noisy)), snr_db


def test_most_of_a_long_recording_decides(voice):
    dry, wet = blocks(voice, 3), blocks(in_a_room(voice, 1.0, -6), 3)
    assert len(dry) >= 3
    assert is_reverberant([*wet, dry[0]])
    assert not is_reverberant([wet[0], *dry])


def test_without_speech_nothing_is_said(voice):
    mfcc, speech = blocks(in_a_room(voice, 1.0, -6))[0]
    assert not is_reverberant([])
    assert not is_reverberant([(mfcc, np.zeros_like(speech))])
    assert not is_reverberant([(mfcc[: 20 * HOPS_PER_FRAME], speech[:20])]), "0.8 s"

"""The time of each moment of retimed audio, measured with clicks and tones."""

import tracemalloc

import numpy as np
import pytest

from src.correction.retiming import interleave, retime
from src.scoring.timeline import Segment, Timeline

RATE = 48_000


def blocks(audio: np.ndarray, start: int = 0, size: int = 4800):
    audio = np.atleast_2d(audio).astype(np.float32)
    for first in range(0, audio.shape[1], size):
        yield start + first, audio[:, first : first + size]


def clicks(seconds: float, every: float = 0.5) -> np.ndarray:
    """Short bursts at known times."""
    audio = np.zeros(round(seconds * RATE), np.float32)
    for time_s in np.arange(every, seconds, every):
        first = round(time_s * RATE)
        audio[first : first + 48] += np.hanning(48)[: len(audio) - first]
    return audio


def click_times(audio: np.ndarray) -> np.ndarray:
    """The times of bursts in seconds."""
    loud = np.flatnonzero(audio > 0.5)
    groups = np.split(loud, np.flatnonzero(np.diff(loud) > 2400) + 1)
    return np.array([group.mean() / RATE - 23.5 / RATE for group in groups if len(group)])


def retimed(audio, *segments, kind="drift", total_s=10.0) -> np.ndarray:
    parts = list(retime(blocks(audio), RATE, Timeline(kind, segments), round(total_s * RATE)))
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize("offset", [-400.0, -0.5, 0.0, 130.0])
def test_a_constant_offset_shifts_everything(offset):
    audio = np.random.default_rng(0).normal(0, 0.1, (2, 10 * RATE)).astype(np.float32)
    output = retimed(audio, Segment(0, 10, offset), kind="constant")
    delay = round(offset * RATE / 1000)
    expected = np.zeros_like(audio)
    expected[:, max(0, delay) : len(audio[0]) + min(0, delay)] = audio[
        :, max(0, -delay) : len(audio[0]) - max(0, delay)
    ]
    assert output.dtype == np.float32 and np.array_equal(output, expected)


@pytest.mark.parametrize("slope", [-1.0, 0.3, 1.001, 3.0])
def test_drift_is_corrected_along_its_line(slope):
    offset = 40.0
    times = click_times(retimed(clicks(12), Segment(0, 60, offset, slope), total_s=10)[0])
    # The output at t comes from t − (offset + slope t) / 1000.
    source = times - (offset + slope * times) / 1000
    assert len(times) >= 18 and np.abs(source - np.round(source * 2) / 2).max() < 1e-4


@pytest.mark.parametrize("slope", [-42.7, 40.0])  # 25 fps played at 24 fps
def test_large_drift_keeps_the_pitch(slope):
    sample_times = np.arange(14 * RATE) / RATE
    tone = np.sin(2 * np.pi * 440 * sample_times).astype(np.float32)
    output = retimed(tone, Segment(0, 60, 0.0, slope), total_s=10)[0]
    spectrum = np.abs(np.fft.rfft(output[RATE : 9 * RATE] * np.hanning(8 * RATE)))
    assert abs(spectrum.argmax() / 8 - 440) < 1
    times = click_times(retimed(clicks(14), Segment(0, 60, 0.0, slope), total_s=10)[0])
    source = times * (1 - slope / 1000)
    assert len(times) > 15 and np.abs(source - np.round(source * 2) / 2).max() < 0.04


def test_segments_have_their_own_offset_and_crossfade_without_a_click():
    segments = Segment(0, 4, 0.0), Segment(4, 7, 200.0), Segment(7, 10, -150.0)
    times = click_times(retimed(clicks(10.5), *segments, kind="jumps")[0])
    for segment in segments:
        inside = times[(times > segment.start_s + 0.05) & (times < segment.end_s - 0.05)]
        source = inside - segment.offset_ms / 1000
        assert len(inside) >= 4 and np.abs(source - np.round(source * 2) / 2).max() < 1e-4
    sample_times = np.arange(11 * RATE) / RATE
    output = retimed(np.sin(2 * np.pi * 100 * sample_times), *segments, kind="jumps")[0]
    assert output.shape == (10 * RATE,)
    # A hard cut jumps by up to 2; the tone alone changes by 0.013 per sample.
    assert np.abs(np.diff(output)).max() < 0.02


def test_gaps_and_ends_are_silent():
    late = blocks(np.ones((1, RATE), np.float32), start=2 * RATE)
    parts = list(retime(late, RATE, Timeline("constant", (Segment(0, 5, 500.0),)), 5 * RATE))
    output = np.concatenate(parts, axis=1)[0]
    assert output.shape == (5 * RATE,) and not output[: round(2.5 * RATE)].any()
    assert output[round(2.5 * RATE) : round(3.5 * RATE)].all() and not output[4 * RATE :].any()


def test_memory_does_not_grow_with_the_duration():
    def peak(seconds: int) -> int:
        def stream():
            for number in range(seconds * 10):
                yield number * 4800, np.zeros((2, 4800), np.float32)

        segments = Segment(0, seconds / 2, 0.0), Segment(seconds / 2, seconds, 400.0)
        tracemalloc.start()
        total = sum(
            block.shape[1]
            for block in retime(stream(), RATE, Timeline("jumps", segments), seconds * RATE)
        )
        assert total == seconds * RATE
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak_bytes

    assert peak(120) < 1.3 * peak(20)


def test_samples_are_interleaved():
    parts = [np.array([[1, 2], [3, 4]], np.float32), np.array([[5], [6]], np.float32)]
    assert np.frombuffer(b"".join(interleave(parts)), "<f4").tolist() == [1, 3, 2, 4, 5, 6]

"""Where each moment of a sound ends up, measured with clicks and tones."""

import tracemalloc

import numpy as np
import pytest

from src.correction.retiming import retime
from src.scoring.timeline import Segment, Timeline

RATE = 48_000


def blocks(sound: np.ndarray, start: int = 0, size: int = 4800):
    sound = np.atleast_2d(sound).astype(np.float32)
    for at in range(0, sound.shape[1], size):
        yield start + at, sound[:, at : at + size]


def clicks(seconds: float, every: float = 0.5) -> np.ndarray:
    """Short bursts, at times that are known."""
    sound = np.zeros(round(seconds * RATE), np.float32)
    for at in np.arange(every, seconds, every):
        place = round(at * RATE)
        sound[place : place + 48] += np.hanning(48)[: len(sound) - place]
    return sound


def heard(sound: np.ndarray) -> np.ndarray:
    """The times of bursts in seconds."""
    loud = np.flatnonzero(sound > 0.5)
    groups = np.split(loud, np.flatnonzero(np.diff(loud) > 2400) + 1)
    return np.array([group.mean() / RATE - 23.5 / RATE for group in groups if len(group)])


def made(sound, *pieces, kind="drift", total_s=10.0) -> np.ndarray:
    parts = list(retime(blocks(sound), RATE, Timeline(kind, pieces), round(total_s * RATE)))
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize("offset", [-400.0, -0.5, 0.0, 130.0])
def test_a_constant_offset_moves_all(offset):
    sound = np.random.default_rng(0).normal(0, 0.1, (2, 10 * RATE)).astype(np.float32)
    found = made(sound, Segment(0, 10, offset), kind="constant")
    delay = round(offset * RATE / 1000)
    expected = np.zeros_like(sound)
    expected[:, max(0, delay) : len(sound[0]) + min(0, delay)] = sound[
        :, max(0, -delay) : len(sound[0]) - max(0, delay)
    ]
    assert found.dtype == np.float32 and np.array_equal(found, expected)


@pytest.mark.parametrize("slope", [-1.0, 0.3, 1.001, 3.0])
def test_a_wrong_clock_is_mended_along_its_line(slope):
    offset = 40.0
    found = heard(made(clicks(12), Segment(0, 60, offset, slope), total_s=10)[0])
    # What is heard at t comes from t − (offset + slope t) / 1000.
    source = found - (offset + slope * found) / 1000
    assert len(found) >= 18 and np.abs(source - np.round(source * 2) / 2).max() < 1e-4


@pytest.mark.parametrize("slope", [-42.7, 40.0])  # 25 taken for 24 frames a second
def test_much_keeps_its_pitch(slope):
    time = np.arange(14 * RATE) / RATE
    tone = np.sin(2 * np.pi * 440 * time).astype(np.float32)
    found = made(tone, Segment(0, 60, 0.0, slope), total_s=10)[0]
    spectrum = np.abs(np.fft.rfft(found[RATE : 9 * RATE] * np.hanning(8 * RATE)))
    assert abs(spectrum.argmax() / 8 - 440) < 1
    times = heard(made(clicks(14), Segment(0, 60, 0.0, slope), total_s=10)[0])
    source = times * (1 - slope / 1000)
    assert len(times) > 15 and np.abs(source - np.round(source * 2) / 2).max() < 0.04


def test_pieces_go_their_own_ways_and_cross_without_a_click():
    pieces = Segment(0, 4, 0.0), Segment(4, 7, 200.0), Segment(7, 10, -150.0)
    found = heard(made(clicks(10.5), *pieces, kind="jumps")[0])
    for piece in pieces:
        own = found[(found > piece.start_s + 0.05) & (found < piece.end_s - 0.05)]
        source = own - piece.offset_ms / 1000
        assert len(own) >= 4 and np.abs(source - np.round(source * 2) / 2).max() < 1e-4
    time = np.arange(11 * RATE) / RATE
    smooth = made(np.sin(2 * np.pi * 100 * time), *pieces, kind="jumps")[0]
    assert smooth.shape == (10 * RATE,)
    # A cut would step by up to 2; the tone alone steps by 0.013 a sample.
    assert np.abs(np.diff(smooth)).max() < 0.02


def test_gaps_and_ends_are_silent():
    late = blocks(np.ones((1, RATE), np.float32), start=2 * RATE)
    parts = list(retime(late, RATE, Timeline("constant", (Segment(0, 5, 500.0),)), 5 * RATE))
    found = np.concatenate(parts, axis=1)[0]
    assert found.shape == (5 * RATE,) and not found[: round(2.5 * RATE)].any()
    assert found[round(2.5 * RATE) : round(3.5 * RATE)].all() and not found[4 * RATE :].any()


def test_memory_does_not_grow_with_the_length():
    def peak(seconds: int) -> int:
        def stream():
            for number in range(seconds * 10):
                yield number * 4800, np.zeros((2, 4800), np.float32)

        pieces = Segment(0, seconds / 2, 0.0), Segment(seconds / 2, seconds, 400.0)
        tracemalloc.start()
        total = sum(
            block.shape[1]
            for block in retime(stream(), RATE, Timeline("jumps", pieces), seconds * RATE)
        )
        assert total == seconds * RATE
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(120) < 1.3 * peak(20)

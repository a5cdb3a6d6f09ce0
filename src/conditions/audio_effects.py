"""What rooms, devices and apps do to audio: float32 mono of 16 kHz in −1…1 -> the same length.

What an effect does is drawn from ``rng`` once for a clip. The offset does not change: filters are
of zero or minimum phase, a room is aligned to its direct sound.
"""

from collections.abc import Callable, Sequence
from importlib import import_module

import numpy as np

from ..core.constants import SAMPLE_RATE
from ..core.errors import ConfigError
from ..i18n.messages import tr

SURROUNDING_DB = (3.0, 18.0)  # of the speech above noise, babble or music
FFT = 512  # samples, 32 ms
MIN_SAMPLES = SAMPLE_RATE // 10  # shorter audio has nothing to filter

AudioEffect = Callable[[np.ndarray, np.random.Generator, list[np.ndarray]], np.ndarray]


def change_audio(
    samples: np.ndarray,
    effects: Sequence[AudioEffect],
    rng: np.random.Generator,
    others: list[np.ndarray],
) -> np.ndarray:
    """Apply effects one after the other; audio shorter than ``MIN_SAMPLES`` stays as it is.

    Args:
        others: float32 [n] each, voices for the background.
    """
    if len(samples) < MIN_SAMPLES:
        return samples
    for effect in effects:
        samples = effect(samples, rng, others)
    return samples


def device(samples: np.ndarray, rng: np.random.Generator, others: list[np.ndarray]) -> np.ndarray:
    """The microphone of a phone or laptop: no bass, a band limit, resonances, soft clipping."""
    from scipy.signal import butter, iirpeak, sosfilt, tf2sos

    low, high = rng.uniform(120, 450), rng.uniform(3000, 7500)
    filtered = sosfilt(butter(2, [low, high], "bandpass", fs=SAMPLE_RATE, output="sos"), samples)
    for _ in range(rng.integers(1, 4)):
        peak = iirpeak(rng.uniform(400, 5000), rng.uniform(1.5, 6), fs=SAMPLE_RATE)
        filtered = filtered + rng.uniform(-0.6, 1.5) * sosfilt(tf2sos(*peak), filtered)
    drive = rng.uniform(0.5, 3)
    level = max(1e-6, float(np.percentile(np.abs(filtered), 99.5)))
    return _like(np.tanh(drive * filtered / level) / drive * level, samples)


def gain_control(
    samples: np.ndarray, rng: np.random.Generator, others: list[np.ndarray]
) -> np.ndarray:
    """Automatic gain that pumps: the level falls at once when speech begins and rises in pauses."""
    from scipy.ndimage import uniform_filter1d

    attack_s, release_s = rng.uniform(0.005, 0.03), rng.uniform(0.15, 0.8)
    strength, hop = rng.uniform(0.5, 0.95), SAMPLE_RATE // 100
    level = np.sqrt(uniform_filter1d(samples.astype(np.float64) ** 2, hop)[::hop] + 1e-9)
    follower, envelope = level[0] if len(level) else 0.0, np.empty_like(level)
    for index, value in enumerate(level):
        time_s = attack_s if value > follower else release_s
        follower += (value - follower) * (1 - np.exp(-0.01 / time_s))
        envelope[index] = follower
    target = np.percentile(level, 90) if len(level) else 1.0
    gains = np.minimum((target / np.maximum(envelope, 1e-4)) ** strength, 30)
    times = np.arange(len(samples)) / hop
    return _like(samples * np.interp(times, np.arange(len(gains)), gains), samples)


def suppression(
    samples: np.ndarray, rng: np.random.Generator, others: list[np.ndarray]
) -> np.ndarray:
    """Steady noise, and its suppression: a Wiener filter of the short-time spectrum with the noise
    estimated from the quietest frames, as call software does, with the artefacts of it."""
    noisy = _mixed(samples, _coloured_noise(len(samples), rng), rng.uniform(3, 15))
    floor_gain, over = rng.uniform(0.03, 0.3), rng.uniform(1, 3)
    spectrum = _spectrum(noisy)
    power = np.abs(spectrum) ** 2
    noise = np.percentile(power, 15, axis=1, keepdims=True) + 1e-12
    gain = np.maximum(1 - over * noise / np.maximum(power, 1e-12), floor_gain)
    return _like(_inverse(spectrum * gain, len(samples)), samples)


def noise(samples: np.ndarray, rng: np.random.Generator, others: list[np.ndarray]) -> np.ndarray:
    """A street: coloured noise whose level changes as vehicles pass."""
    from scipy.ndimage import gaussian_filter1d

    passing = gaussian_filter1d(rng.standard_normal(len(samples) // 160 + 1000), 80)
    passing = 10 ** (passing / passing.std() * 4 / 20)
    level = np.interp(np.arange(len(samples)) / 160, np.arange(len(passing)), passing)
    return _mixed(samples, _coloured_noise(len(samples), rng) * level, rng.uniform(*SURROUNDING_DB))


def babble(samples: np.ndarray, rng: np.random.Generator, others: list[np.ndarray]) -> np.ndarray:
    """A café: three to seven other speakers at once."""
    total = np.zeros(len(samples))
    for _ in range(rng.integers(3, 8) if others else 0):
        voice = others[rng.integers(len(others))]
        if len(voice):
            start = rng.integers(len(voice))
            total += np.resize(np.roll(voice, -start), len(samples)) * 10 ** rng.uniform(-0.5, 0)
    return _mixed(samples, total, rng.uniform(*SURROUNDING_DB))


def music(samples: np.ndarray, rng: np.random.Generator, others: list[np.ndarray]) -> np.ndarray:
    """Music under the speech: plucked chords and a beat, synthesised."""
    rate, beat_s = SAMPLE_RATE, 60 / rng.uniform(70, 150)
    total, root = np.zeros(len(samples) + rate), rng.uniform(110, 220)
    for index in range(int(len(samples) / rate / beat_s) + 1):
        start = int(index * beat_s * rate)
        times = np.arange(min(rate, len(total) - start)) / rate
        for step in rng.choice([0, 3, 4, 5, 7, 9, 12, 16], 3, replace=False):
            pitch = root * 2 ** (step / 12)
            for harmonic in range(1, 7):
                tone = np.sin(2 * np.pi * pitch * harmonic * times + rng.uniform(0, 6))
                total[start : start + len(times)] += tone * np.exp(-times * 3 * harmonic) / harmonic
        beat = rng.standard_normal(len(times)) * np.exp(-times * 60)
        total[start : start + len(times)] += beat * rng.uniform(0.5, 2)
    return _mixed(samples, total[: len(samples)], rng.uniform(*SURROUNDING_DB))


def room(samples: np.ndarray, rng: np.random.Generator, others: list[np.ndarray]) -> np.ndarray:
    """A room with a reverberation time of 0.2 to 0.9 s and the speaker at 0.4 to 3 m: its impulse
    response by the image source method (Allen & Berkley 1979), from ``pyroomacoustics``.

    Raises:
        ConfigError: that package is not installed.
    """
    from scipy.signal import fftconvolve

    response = room_response(rng)
    return _like(fftconvolve(samples, response)[: len(samples)], samples)


def room_response(rng: np.random.Generator) -> np.ndarray:
    """The impulse response of a room drawn at random, float32, beginning with the direct sound."""
    try:
        acoustics = import_module("pyroomacoustics")
    except ImportError:
        raise ConfigError(
            tr("rooms are simulated by {package}, which is not installed: "
               "pip install {package}", package="pyroomacoustics")
        ) from None  # fmt: skip
    size = np.array([rng.uniform(2.5, 8), rng.uniform(2.5, 8), rng.uniform(2.3, 3.5)])
    time_s = rng.uniform(0.2, 0.9)
    # Small rooms cannot be that reverberant: Sabine's formula asks for walls without absorption.
    absorption, order = acoustics.inverse_sabine(time_s, size)
    space = acoustics.ShoeBox(
        size, fs=SAMPLE_RATE, materials=acoustics.Material(absorption), max_order=min(order, 30)
    )
    microphone = size * rng.uniform(0.25, 0.75, 3)
    direction = rng.standard_normal(3)
    distance = rng.uniform(0.4, 3.0)
    source = microphone + direction / np.linalg.norm(direction) * distance
    space.add_microphone(microphone)
    space.add_source(np.clip(source, 0.2, size - 0.2))
    space.compute_rir()
    response = np.asarray(space.rir[0][0], np.float32)
    first = int(np.argmax(np.abs(response) > 0.5 * np.abs(response).max()))
    return response[first:] / np.abs(response).max()


def _coloured_noise(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Noise whose power falls with frequency to the power of 0 to 2."""
    spectrum = np.fft.rfft(rng.standard_normal(max(n_samples, 2)))
    frequency = np.arange(len(spectrum)) + 20.0
    return np.fft.irfft(spectrum * frequency ** -rng.uniform(0, 1), max(n_samples, 2))[:n_samples]


def _mixed(samples: np.ndarray, surrounding: np.ndarray, ratio_db: float) -> np.ndarray:
    """Speech with something ``ratio_db`` below it."""
    speech = np.sqrt(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
    other = np.sqrt(np.mean(np.square(surrounding, dtype=np.float64))) if len(samples) else 0.0
    gain = speech / other * 10 ** (-ratio_db / 20) if other > 0 else 0.0
    return _like(samples + surrounding * gain, samples)


def _spectrum(samples: np.ndarray) -> np.ndarray:
    from scipy.signal import stft

    return stft(samples, SAMPLE_RATE, nperseg=FFT)[2]


def _inverse(spectrum: np.ndarray, n_samples: int) -> np.ndarray:
    from scipy.signal import istft

    samples = istft(spectrum, SAMPLE_RATE, nperseg=FFT)[1]
    return np.pad(samples, (0, max(0, n_samples - len(samples))))[:n_samples]


def _like(changed: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Changed samples at a peak level of at most 1, and at the level of the original."""
    before, after = (float(np.sqrt(np.mean(x**2, dtype=np.float64))) if len(x) else 0.0
                     for x in (samples, np.asarray(changed)))  # fmt: skip
    scaled = np.asarray(changed) * (before / after if after > 0 else 1.0)
    peak = float(np.abs(scaled).max()) if len(scaled) else 0.0
    return (scaled / max(1.0, peak)).astype(np.float32)

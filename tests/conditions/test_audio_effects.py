"""Effects on audio, on made signals with known answers."""

import sys

import numpy as np
import pytest
from scipy.signal import correlate, correlation_lags

from src.conditions import audio_effects
from src.conditions.audio_effects import room
from src.conditions.catalog import CONDITIONS
from src.conditions.codecs import AUDIO_CODECS, recode_audio
from src.core.errors import ConfigError

RATE = 16000
EFFECTS = [effect for c in CONDITIONS.values() for effect in c.audio]
PER_SEED = {"noise", "babble", "music"}


def bursts(seconds: float = 3.0) -> np.ndarray:
    """Speech-like: noise of voice frequencies in syllables of random length, with pauses."""
    rng = np.random.default_rng(1)
    n_samples = int(seconds * RATE)
    spectrum = np.fft.rfft(rng.standard_normal(n_samples))
    hz = np.fft.rfftfreq(n_samples, 1 / RATE)
    voice = np.fft.irfft(spectrum * ((hz > 200) & (hz < 3200)), n_samples)
    levels = np.repeat(rng.choice([0.0, 0.3, 1.0], int(seconds * 8) + 1), RATE // 8)[:n_samples]
    return (0.1 * voice / voice.std() * levels).astype(np.float32)


def lag_ms(changed: np.ndarray, samples: np.ndarray) -> float:
    """By how much the level of one signal follows that of another."""
    levels = [np.convolve(np.abs(x), np.ones(160) / 160, "same") for x in (changed, samples)]
    levels = [level - level.mean() for level in levels]
    correlation = correlate(*levels, method="fft")
    lags = correlation_lags(len(changed), len(samples))
    return lags[int(np.argmax(correlation))] / RATE * 1000


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: effect.__name__)
def test_audio_changes_but_not_its_timing_length_or_level(effect, seed):
    samples, others = bursts(), [bursts(4)[::-1], np.roll(bursts(5), 9000)]
    changed = effect(samples, np.random.default_rng(seed), others)
    assert changed.shape == samples.shape and changed.dtype == np.float32
    assert np.isfinite(changed).all() and np.abs(changed).max() <= 1
    assert not np.allclose(changed, samples, atol=1e-3)
    # Slow gains smear the level, reverberation follows the direct sound: its level is late.
    assert (
        -2 < lag_ms(changed, samples) < 60 if effect is room else abs(lag_ms(changed, samples)) < 10
    )
    if effect is not recode_audio:
        assert np.sqrt((changed**2).mean()) == pytest.approx(np.sqrt((samples**2).mean()), rel=0.1)
    again = effect(samples, np.random.default_rng(seed), others)
    assert (again == changed).all()


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: effect.__name__)
@pytest.mark.parametrize("n_samples", [0, 1, 400, 2000])
def test_very_short_and_silent_audio(effect, n_samples):
    for samples in (np.zeros(n_samples, np.float32), np.full(n_samples, 0.1, np.float32)):
        changed = audio_effects.change_audio(samples, [effect], np.random.default_rng(0), [])
        assert changed.shape == samples.shape and np.isfinite(changed).all()


@pytest.mark.parametrize("codec", AUDIO_CODECS)
def test_the_delay_of_a_codec_is_removed(codec):
    """Clicks stay where they are, to a millisecond."""

    class OneCodec(np.random.Generator):
        def choice(self, values, *args, **kwargs):
            return codec if codec in list(values) else super().choice(values, *args, **kwargs)

    samples = bursts()
    changed = recode_audio(samples, OneCodec(np.random.PCG64(0)))
    correlation = correlate(changed, samples, method="fft")
    lag = correlation_lags(len(changed), len(samples))[int(np.argmax(correlation))]
    assert abs(lag) <= 16


@pytest.mark.parametrize("seed", range(3))
def test_noise_has_the_level_that_was_drawn(seed):
    samples = bursts()
    surrounding = np.random.default_rng(seed + 10).standard_normal(len(samples))
    mixed = audio_effects._mixed(samples, surrounding, 10.0).astype(float)
    gain = mixed @ samples / (samples @ samples)  # the noise is uncorrelated with the speech
    noise = mixed - gain * samples
    ratio_db = 10 * np.log10((gain * samples) @ (gain * samples) / (noise @ noise))
    assert ratio_db == pytest.approx(10, abs=0.3)


def test_rooms_begin_with_the_direct_sound_and_decay():
    times_s = []
    for seed in range(6):
        response = audio_effects.room_response(np.random.default_rng(seed)).astype(float)
        assert np.argmax(np.abs(response)) < 0.003 * RATE or np.abs(response[:48]).max() > 0.5
        decay_db = 10 * np.log10(np.cumsum(response[::-1] ** 2)[::-1] / (response @ response))
        # Schroeder's backward integration: from −5 to −25 dB, times three.
        first, last = (int(np.argmax(decay_db < level)) for level in (-5, -25))
        times_s.append((last - first) / RATE * 3)
    assert min(times_s) > 0.1 and max(times_s) < 1.3 and max(times_s) > 1.5 * min(times_s)


def test_phones_have_no_bass():
    rng = np.random.default_rng(0)
    samples = (0.1 * rng.standard_normal(RATE * 2)).astype(np.float32)
    before, after = (
        np.abs(np.fft.rfft(x)) ** 2
        for x in (samples, audio_effects.device(samples, np.random.default_rng(1), []))
    )
    share = [power[: 2 * 80].sum() / power.sum() for power in (before, after)]  # below 80 Hz
    assert share[1] < 0.3 * share[0]


def test_without_the_room_simulator_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyroomacoustics", None)
    with pytest.raises(ConfigError, match="pip install pyroomacoustics"):
        audio_effects.room(bursts(), np.random.default_rng(0), [])

"""MFCC against librosa, their place in time, and where there is speech."""

from importlib.resources import files

import numpy as np
import pytest

from src.audio_features import HOP, STEPS_PER_FRAME, is_silent, mfcc, speech_frames
from src.media import SAMPLE_RATE, SAMPLES_PER_FRAME, read_audio


@pytest.fixture(scope="module")
def speech(talking_clip):
    return read_audio(talking_clip)


@pytest.mark.parametrize("n_mfcc", [13, 40])
def test_equals_librosa(speech, n_mfcc):
    import librosa

    n_frames = len(speech) // SAMPLES_PER_FRAME
    sound = speech[: n_frames * SAMPLES_PER_FRAME]
    power = librosa.feature.melspectrogram(
        y=sound, sr=16000, n_fft=512, win_length=400, hop_length=160, n_mels=40
    )
    expected = librosa.feature.mfcc(S=librosa.power_to_db(power, top_db=None), n_mfcc=n_mfcc).T
    found = mfcc(sound, n_frames, n_mfcc)
    assert found.shape == (4 * n_frames, n_mfcc) and found.dtype == np.float32
    assert found.flags.c_contiguous
    assert np.allclose(found, expected[: len(found)], rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    assert np.corrcoef(found.ravel(), expected[: len(found)].ravel())[0, 1] > 0.99999


def test_a_click_lands_on_its_step():
    for step in (7, 40, 83):
        sound = np.full(SAMPLE_RATE, 1e-6, np.float32)
        sound[step * HOP] = 1
        loudness = mfcc(sound, 25)[:, 0]  # the first coefficient is the mean level in dB
        heard = np.flatnonzero(loudness > loudness.min() + 0.5 * np.ptp(loudness))
        assert heard.min() >= step - 1 and heard.max() <= step + 1
        assert loudness.argmax() == step


def test_a_step_depends_only_on_what_is_near(speech):
    loud = speech.copy()
    loud[-SAMPLE_RATE // 4 :] = 0.99
    one, other = mfcc(speech, 50), mfcc(loud, 50)
    assert np.array_equal(one[:150], other[:150])
    assert not np.allclose(one[-20:], other[-20:])


def test_short_sound_is_continued_with_silence():
    sound = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)
    found = mfcc(sound, 25)
    assert found.shape == (100, 40)
    assert np.array_equal(found, mfcc(np.pad(sound, (0, 8000)), 25))
    silent = mfcc(np.zeros(0, np.float32), 25)
    assert np.allclose(found[60:], silent[60:]) and np.isfinite(silent).all()


def test_no_band_is_lost():
    """With 40 coefficients the DCT can be undone (DESIGN.md: bands can be masked and tilted)."""
    from scipy.fft import idct

    sound = np.random.default_rng(1).normal(0, 0.1, 16000).astype(np.float32)
    quieter = idct(mfcc(sound * 0.1, 25), norm="ortho") - idct(mfcc(sound, 25), norm="ortho")
    assert np.allclose(quieter, -20, atol=0.01)


def test_speech_and_other_sounds(speech):
    n_frames = len(speech) // SAMPLES_PER_FRAME
    assert speech_frames(speech, n_frames).mean() > 0.5
    times = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    noise = np.random.default_rng(0).normal(0, 0.05, len(times))
    for sound in (np.zeros(len(times)), 0.3 * np.sin(2 * np.pi * 440 * times), noise):
        assert speech_frames(sound.astype(np.float32), 50).mean() < 0.05


def test_speech_is_found_where_it_is(speech):
    quiet = np.zeros(SAMPLE_RATE, np.float32)
    spoken = speech_frames(np.concatenate([quiet, speech, quiet]), 100)
    assert spoken.dtype == bool and spoken.shape == (100,)
    assert not spoken[:22].any() and spoken[25:75].mean() > 0.5 and not spoken[85:].any()


def test_frames_after_the_sound_have_no_speech(speech):
    spoken = speech_frames(speech[: SAMPLE_RATE // 2], 50)
    assert spoken.shape == (50,) and not spoken[14:].any()
    assert speech_frames(np.zeros(0, np.float32), 5).tolist() == [False] * 5


def test_equals_the_call_of_silero_vad(speech):
    import torch
    from silero_vad.utils_vad import OnnxWrapper

    model = OnnxWrapper(str(files("silero_vad.data") / "silero_vad.onnx"), force_onnx_cpu=True)
    n_frames = len(speech) // SAMPLES_PER_FRAME
    chances = model.audio_forward(
        torch.from_numpy(speech[: n_frames * SAMPLES_PER_FRAME])[None], sr=16000
    )[0].numpy()
    middles = (np.arange(n_frames) * 640 + 320) // 512
    assert np.array_equal(speech_frames(speech, n_frames), chances[middles] >= 0.5)


def test_silence():
    assert is_silent(np.zeros(100, np.float32)) and is_silent(np.zeros(0, np.float32))
    assert is_silent(np.full(100, 0.9e-4, np.float32))
    assert not is_silent(np.full(100, 1.1e-4, np.float32))


def test_four_steps_a_frame():
    assert STEPS_PER_FRAME * HOP == SAMPLES_PER_FRAME == SAMPLE_RATE // 25

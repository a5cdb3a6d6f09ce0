"""MFCC against librosa, speech against silero-vad, their place in time, and the same bits whatever
the pieces."""

from collections.abc import Iterator
from importlib.resources import files

import numpy as np
import pytest
import torch

from src.audio import vad
from src.audio.features import (
    BLOCK,
    BLOCK_FRAMES,
    LEAST_BLOCK_FRAMES,
    FeatureStream,
    Loudness,
    feature_blocks,
    features_of,
    silence,
)
from src.core.constants import HOP, HOPS_PER_FRAME, SAMPLE_RATE, SAMPLES_PER_FRAME
from src.media.reader import read_audio


@pytest.fixture(scope="module")
def speech(talking_clip):
    return read_audio(talking_clip)


def mfcc(samples: np.ndarray, n_frames: int, n_mfcc: int = 40) -> np.ndarray:
    return features_of(samples, n_frames, n_mfcc)[0]


def speech_frames(samples: np.ndarray, n_frames: int) -> np.ndarray:
    return features_of(samples, n_frames)[1]


def noise(n_samples: int) -> np.ndarray:
    return np.random.default_rng(n_samples).normal(0, 0.1, n_samples).astype(np.float32)


def talk(speech: np.ndarray, n_samples: int) -> np.ndarray:
    """Speech with pauses of a second, as long as it is wanted."""
    period = np.concatenate([speech, np.zeros(SAMPLE_RATE, np.float32)])
    return np.tile(period, n_samples // len(period) + 1)[:n_samples]


def librosa_mfcc(sound: np.ndarray, n_mfcc: int = 40) -> np.ndarray:
    import librosa

    power = librosa.feature.melspectrogram(
        y=sound, sr=16000, n_fft=512, win_length=400, hop_length=160, n_mels=40, pad_mode="constant"
    )
    return librosa.feature.mfcc(S=librosa.power_to_db(power, top_db=None), n_mfcc=n_mfcc).T


def silero_chances(sound: np.ndarray) -> np.ndarray:
    """What the package's own call says of each chunk of 512 samples."""
    from silero_vad.utils_vad import OnnxWrapper

    model = OnnxWrapper(str(files("silero_vad.data") / "silero_vad.onnx"), force_onnx_cpu=True)
    return model.audio_forward(torch.from_numpy(sound)[None], sr=16000)[0].numpy()


# ---------------------------------------------------------------------------- MFCC


@pytest.mark.parametrize("n_mfcc", [13, 40])
def test_equals_librosa(speech, n_mfcc):
    n_frames = len(speech) // SAMPLES_PER_FRAME
    sound = speech[: n_frames * SAMPLES_PER_FRAME]
    expected = librosa_mfcc(sound, n_mfcc)
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
    sound = noise(8000)
    found = mfcc(sound, 25)
    assert found.shape == (100, 40)
    assert np.array_equal(found, mfcc(np.pad(sound, (0, 8000)), 25))
    silent = mfcc(np.zeros(0, np.float32), 25)
    assert np.allclose(found[60:], silent[60:]) and np.isfinite(silent).all()


@pytest.mark.parametrize("n_mfcc", [13, 40])
def test_silence_is_what_zeros_give(n_mfcc):
    zeros = mfcc(np.zeros(10 * SAMPLES_PER_FRAME, np.float32), 10, n_mfcc)
    assert np.array_equal(zeros, np.tile(silence(n_mfcc), (10, 1, 1)).reshape(40, n_mfcc))


def test_no_band_is_lost():
    """With 40 coefficients the DCT can be undone (DESIGN.md: bands can be masked and tilted)."""
    from scipy.fft import idct

    sound = np.random.default_rng(1).normal(0, 0.1, 16000).astype(np.float32)
    quieter = idct(mfcc(sound * 0.1, 25), norm="ortho") - idct(mfcc(sound, 25), norm="ortho")
    assert np.allclose(quieter, -20, atol=0.01)


def test_four_steps_a_frame():
    assert HOPS_PER_FRAME * HOP == SAMPLES_PER_FRAME == SAMPLE_RATE // 25


# ---------------------------------------------------------------------------- speech


def test_speech_and_other_sounds(speech):
    n_frames = len(speech) // SAMPLES_PER_FRAME
    assert speech_frames(speech, n_frames).mean() > 0.5
    times = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    hiss = np.random.default_rng(0).normal(0, 0.05, len(times))
    for sound in (np.zeros(len(times)), 0.3 * np.sin(2 * np.pi * 440 * times), hiss):
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
    n_frames = len(speech) // SAMPLES_PER_FRAME
    chances = silero_chances(speech[: n_frames * SAMPLES_PER_FRAME])
    middles = (np.arange(n_frames) * 640 + 320) // 512
    assert np.array_equal(speech_frames(speech, n_frames), chances[middles] >= 0.5)


# ---------------------------------------------------------------------------- in blocks

LENGTHS = [1, 639, 640, 641, BLOCK - 1, BLOCK, BLOCK + 1, BLOCK + 100, BLOCK + 257, 2 * BLOCK,
           2 * BLOCK + 12_345]  # fmt: skip


def cut(sound: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (sound[start : start + size] for start in range(0, len(sound), size))


def test_the_same_bits_whatever_the_pieces(speech):
    sound = talk(speech, 2 * BLOCK + 4321)

    def bits(pieces) -> tuple[bytes, bytes]:
        steps, spoken = zip(*feature_blocks(pieces), strict=True)
        return np.concatenate(steps).tobytes(), np.concatenate(spoken).tobytes()

    whole = bits([sound])
    assert np.frombuffer(whole[1], bool).any()
    for size in (1, 7, 640, 1023, BLOCK - 1, BLOCK, BLOCK + 1):
        assert bits(cut(sound, size)) == whole, size
    empty = np.zeros(0, np.float32)
    assert bits([empty, sound[:5], empty, sound[5:], empty]) == whole


@pytest.mark.parametrize("length", LENGTHS)
def test_blocks_of_a_sound_of_any_length_equal_librosa(length):
    """Up to one frame after its end; the borders of blocks are not to be seen."""
    sound = noise(length)
    blocks = list(feature_blocks([sound]))
    n_frames = -(-length // SAMPLES_PER_FRAME) + 1
    assert [len(steps) for steps, _ in blocks[:-1]] == [BLOCK_FRAMES] * (len(blocks) - 1)
    assert len(blocks) == -(-length // BLOCK) and len(blocks[-1][0]) <= BLOCK_FRAMES + 1
    steps = np.concatenate([steps for steps, _ in blocks]).reshape(-1, 40)
    assert len(steps) == 4 * n_frames == 4 * sum(len(spoken) for _, spoken in blocks)
    expected = librosa_mfcc(np.pad(sound, (0, 2 * SAMPLES_PER_FRAME)))[: len(steps)]
    # In silence, where dB end at a floor, and in single precision.
    assert np.abs(steps - expected).max() < 0.02


@pytest.mark.parametrize("length", [1, 2559, 2560, 2561, 2816, 30_000])
def test_small_blocks_give_the_same_as_soon_as_they_can(speech, length):
    sound, known = talk(speech, length), 0
    expected, spoken = (np.concatenate(part) for part in zip(*feature_blocks([sound]), strict=True))
    stream, found = FeatureStream(40, LEAST_BLOCK_FRAMES), []
    for piece in cut(sound, 100):
        found += stream.push(piece)
        known += len(piece)
        # All whole blocks are there once half a window more has been heard.
        assert len(found) == max(0, known - 256) // 2560
    found += stream.end()
    steps, heard = (np.concatenate(part) for part in zip(*found, strict=True))
    assert steps.shape == expected.shape and np.abs(steps - expected).max() < 0.02
    assert np.array_equal(heard, spoken)


def test_a_block_is_no_other_than_the_same_sound_within_one(speech):
    """What lies around a border is shifted into the middle of a block: the numbers stay."""
    sound = talk(speech, 2 * BLOCK)
    shift = 100 * SAMPLES_PER_FRAME
    here, there = mfcc(sound, 2 * BLOCK_FRAMES), mfcc(sound[shift:], 2 * BLOCK_FRAMES - 100)
    border = 4 * BLOCK_FRAMES
    near = slice(border - 50, border + 50)
    assert np.allclose(here[near], there[border - 450 : border - 350], atol=1e-2)


def test_speech_over_several_blocks_equals_the_call_of_silero_vad(speech, monkeypatch):
    session, said = vad._vad_session(), []

    class Overheard:
        def run(self, *arguments):
            outputs = session.run(*arguments)
            said.append(outputs[0].ravel())
            return outputs

    monkeypatch.setattr(vad, "_vad_session", Overheard)
    sound = talk(speech, 2 * BLOCK + 60 * SAMPLES_PER_FRAME)
    n_frames = len(sound) // SAMPLES_PER_FRAME
    found, chances = speech_frames(sound, n_frames), silero_chances(sound)
    assert len(said) == 3 and 0.2 < found.mean() < 0.8
    # Without the 64 samples before a block they differ by 4e-5.
    assert np.allclose(np.concatenate(said)[: len(chances)], chances, rtol=0, atol=2e-6)
    assert np.array_equal(found, chances[(np.arange(n_frames) * 640 + 320) // 512] >= 0.5)


@pytest.mark.parametrize("length", [0, BLOCK // 2, BLOCK, BLOCK + 1])
def test_after_the_end_there_is_silence(length):
    sound, n_frames = noise(length), 2 * BLOCK_FRAMES + 30
    steps, spoken = features_of(sound, n_frames)
    assert steps.shape == (4 * n_frames, 40) and spoken.shape == (n_frames,)
    end = -(-length // SAMPLES_PER_FRAME)
    after = steps.reshape(-1, 4, 40)[end + 1 :]
    assert np.array_equal(after, np.broadcast_to(silence(40), after.shape))
    assert not spoken[end + 1 :].any()
    assert np.array_equal(features_of(sound, end // 2)[0], steps[: end // 2 * 4])


def test_a_sound_is_read_no_further_than_the_next_block():
    taken = 0

    def pieces():
        nonlocal taken
        for piece in cut(noise(6 * BLOCK), 1600):
            taken += len(piece)
            yield piece

    blocks = feature_blocks(pieces())
    for number in (1, 2, 3):
        next(blocks)
        assert taken <= (number + 1) * BLOCK + 1600


def test_the_number_of_threads_changes_no_bit():
    """Samples are made with one, pairs are judged with all there are."""
    sound, before = noise(BLOCK + 8000), torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 4, 16):
            torch.set_num_threads(threads)
            found.append(mfcc(sound, BLOCK_FRAMES + 13).tobytes())
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert len(set(found)) == 1


# ---------------------------------------------------------------------------- level


def listened(*pieces: np.ndarray) -> Loudness:
    loudness = Loudness()
    passed = list(loudness.passing(pieces))
    assert all(one is other for one, other in zip(passed, pieces, strict=True))
    return loudness


def test_silence():
    for samples in (np.zeros(100), np.zeros(0), np.full(100, 0.9e-4)):
        assert listened(samples.astype(np.float32)).silent
    assert not listened(np.full(100, 1.1e-4, np.float32)).silent
    assert listened().silent


def test_length_and_level_are_those_of_the_whole():
    loud, quiet = np.full(100, 2e-4, np.float32), np.zeros(200, np.float32)
    assert listened(loud, quiet).samples == 300
    assert not listened(quiet, loud).silent, "the root mean square of both is 1.15e-4"
    assert listened(quiet, loud, quiet).silent, "… and of these 0.89e-4"

"""MFCC against librosa, speech against silero-vad, their position in time, and the same bits
whatever the chunks."""

from collections.abc import Iterator
from importlib.resources import files

import numpy as np
import pytest
import torch

from src.audio import vad
from src.audio.features import (
    BLOCK_FRAMES,
    BLOCK_SAMPLES,
    MIN_BLOCK_FRAMES,
    FeatureStream,
    LevelMeter,
    compute_features,
    silent_mfcc,
    stream_features,
)
from src.core.constants import HOP, HOPS_PER_FRAME, SAMPLE_RATE, SAMPLES_PER_FRAME
from src.media.reader import read_audio


@pytest.fixture(scope="module")
def speech(talking_clip):
    return read_audio(talking_clip)


def mfcc(samples: np.ndarray, n_frames: int, n_mfcc: int = 40) -> np.ndarray:
    return compute_features(samples, n_frames, n_mfcc)[0]


def speech_frames(samples: np.ndarray, n_frames: int) -> np.ndarray:
    return compute_features(samples, n_frames)[1]


def noise(n_samples: int) -> np.ndarray:
    return np.random.default_rng(n_samples).normal(0, 0.1, n_samples).astype(np.float32)


def talk(speech: np.ndarray, n_samples: int) -> np.ndarray:
    """Speech with pauses of a second, of any length."""
    period = np.concatenate([speech, np.zeros(SAMPLE_RATE, np.float32)])
    return np.tile(period, n_samples // len(period) + 1)[:n_samples]


def librosa_mfcc(audio: np.ndarray, n_mfcc: int = 40) -> np.ndarray:
    import librosa

    power = librosa.feature.melspectrogram(
        y=audio, sr=16000, n_fft=512, win_length=400, hop_length=160, n_mels=40, pad_mode="constant"
    )
    return librosa.feature.mfcc(S=librosa.power_to_db(power, top_db=None), n_mfcc=n_mfcc).T


def silero_probabilities(audio: np.ndarray) -> np.ndarray:
    """Probability of speech in each chunk of 512 samples, by the package's own call."""
    from silero_vad.utils_vad import OnnxWrapper

    model = OnnxWrapper(str(files("silero_vad.data") / "silero_vad.onnx"), force_onnx_cpu=True)
    return model.audio_forward(torch.from_numpy(audio)[None], sr=16000)[0].numpy()


# ---------------------------------------------------------------------------- MFCC


@pytest.mark.parametrize("n_mfcc", [13, 40])
def test_equals_librosa(speech, n_mfcc):
    n_frames = len(speech) // SAMPLES_PER_FRAME
    audio = speech[: n_frames * SAMPLES_PER_FRAME]
    computed = mfcc(audio, n_frames, n_mfcc)
    assert computed.shape == (4 * n_frames, n_mfcc) and computed.dtype == np.float32
    assert computed.flags.c_contiguous
    expected = librosa_mfcc(audio, n_mfcc)
    tolerance = 1e-3 * np.abs(expected).max()
    expected = expected[: len(computed)]
    assert np.allclose(computed, expected, rtol=1e-3, atol=tolerance)
    assert np.corrcoef(computed.ravel(), expected.ravel())[0, 1] > 0.99999


def test_a_click_lands_on_its_hop():
    for hop in (7, 40, 83):
        audio = np.full(SAMPLE_RATE, 1e-6, np.float32)
        audio[hop * HOP] = 1
        level = mfcc(audio, 25)[:, 0]  # the first coefficient is the mean level in dB
        loud = np.flatnonzero(level > level.min() + 0.5 * np.ptp(level))
        assert loud.min() >= hop - 1 and loud.max() <= hop + 1
        assert level.argmax() == hop


def test_a_hop_depends_only_on_nearby_audio(speech):
    loud_end = speech.copy()
    loud_end[-SAMPLE_RATE // 4 :] = 0.99
    original, changed = mfcc(speech, 50), mfcc(loud_end, 50)
    assert np.array_equal(original[:150], changed[:150])
    assert not np.allclose(original[-20:], changed[-20:])


def test_short_audio_is_continued_with_silence():
    audio = noise(8000)
    computed = mfcc(audio, 25)
    assert computed.shape == (100, 40)
    # Processors round the last rows of a product of matrices in another way.
    assert np.allclose(computed, mfcc(np.pad(audio, (0, 8000)), 25), rtol=0, atol=1e-3)
    silent = mfcc(np.zeros(0, np.float32), 25)
    assert np.allclose(computed[60:], silent[60:]) and np.isfinite(silent).all()


@pytest.mark.parametrize("n_mfcc", [13, 40])
def test_the_mfcc_of_silence_are_those_of_zeros(n_mfcc):
    zeros = mfcc(np.zeros(10 * SAMPLES_PER_FRAME, np.float32), 10, n_mfcc)
    silent = np.tile(silent_mfcc(n_mfcc), (10, 1, 1)).reshape(40, n_mfcc)
    assert np.allclose(zeros, silent, rtol=0, atol=1e-3)


def test_no_band_is_lost():
    """With 40 coefficients the DCT can be inverted: the augmentation works on bands."""
    from scipy.fft import idct

    audio = np.random.default_rng(1).normal(0, 0.1, 16000).astype(np.float32)
    change_db = idct(mfcc(audio * 0.1, 25), norm="ortho") - idct(mfcc(audio, 25), norm="ortho")
    assert np.allclose(change_db, -20, atol=0.01)


def test_four_hops_per_frame():
    assert HOPS_PER_FRAME * HOP == SAMPLES_PER_FRAME == SAMPLE_RATE // 25


def test_blocks_hold_whole_chunks_of_silero_vad():
    """Else its chunks would lie elsewhere in each block."""
    assert MIN_BLOCK_FRAMES * SAMPLES_PER_FRAME % vad.VAD_CHUNK == 0
    assert BLOCK_FRAMES % MIN_BLOCK_FRAMES == 0


# ---------------------------------------------------------------------------- speech


def test_silence_tones_and_hiss_are_no_speech(speech):
    n_frames = len(speech) // SAMPLES_PER_FRAME
    assert speech_frames(speech, n_frames).mean() > 0.5
    times = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    hiss = np.random.default_rng(0).normal(0, 0.05, len(times))
    tone = 0.3 * np.sin(2 * np.pi * 440 * times)
    for audio in (np.zeros(len(times)), tone, hiss):
        assert speech_frames(audio.astype(np.float32), 50).mean() < 0.05


def test_speech_is_detected_at_its_position(speech):
    silence = np.zeros(SAMPLE_RATE, np.float32)
    has_speech = speech_frames(np.concatenate([silence, speech, silence]), 100)
    assert has_speech.dtype == bool and has_speech.shape == (100,)
    assert not has_speech[:22].any() and not has_speech[85:].any()
    assert has_speech[25:75].mean() > 0.5


def test_frames_after_the_audio_have_no_speech(speech):
    has_speech = speech_frames(speech[: SAMPLE_RATE // 2], 50)
    assert has_speech.shape == (50,) and not has_speech[14:].any()
    assert speech_frames(np.zeros(0, np.float32), 5).tolist() == [False] * 5


def test_equals_the_call_of_silero_vad(speech):
    n_frames = len(speech) // SAMPLES_PER_FRAME
    probabilities = silero_probabilities(speech[: n_frames * SAMPLES_PER_FRAME])
    chunks = (np.arange(n_frames) * 640 + 320) // 512
    assert np.array_equal(speech_frames(speech, n_frames), probabilities[chunks] >= 0.5)


# ---------------------------------------------------------------------------- in blocks

LENGTHS = [
    1, 639, 640, 641, BLOCK_SAMPLES - 1, BLOCK_SAMPLES, BLOCK_SAMPLES + 1, BLOCK_SAMPLES + 100,
    BLOCK_SAMPLES + 257, 2 * BLOCK_SAMPLES, 2 * BLOCK_SAMPLES + 12_345,
]  # fmt: skip


def chunks_of(audio: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (audio[start : start + size] for start in range(0, len(audio), size))


def test_the_same_bits_whatever_the_chunks(speech):
    audio = talk(speech, 2 * BLOCK_SAMPLES + 4321)

    def bits(chunks) -> tuple[bytes, bytes]:
        hops, has_speech = zip(*stream_features(chunks), strict=True)
        return np.concatenate(hops).tobytes(), np.concatenate(has_speech).tobytes()

    expected = bits([audio])
    assert np.frombuffer(expected[1], bool).any()
    for size in (1, 7, 640, 1023, BLOCK_SAMPLES - 1, BLOCK_SAMPLES, BLOCK_SAMPLES + 1):
        assert bits(chunks_of(audio, size)) == expected, size
    empty = np.zeros(0, np.float32)
    assert bits([empty, audio[:5], empty, audio[5:], empty]) == expected


@pytest.mark.parametrize("length", LENGTHS)
def test_blocks_of_audio_of_any_length_equal_librosa(length):
    """Up to one frame after its end; block borders leave no trace."""
    audio = noise(length)
    blocks = list(stream_features([audio]))
    n_frames = -(-length // SAMPLES_PER_FRAME) + 1
    assert [len(hops) for hops, _ in blocks[:-1]] == [BLOCK_FRAMES] * (len(blocks) - 1)
    assert len(blocks) == -(-length // BLOCK_SAMPLES) and len(blocks[-1][0]) <= BLOCK_FRAMES + 1
    hops = np.concatenate([hops for hops, _ in blocks]).reshape(-1, 40)
    assert len(hops) == 4 * n_frames == 4 * sum(len(has_speech) for _, has_speech in blocks)
    expected = librosa_mfcc(np.pad(audio, (0, 2 * SAMPLES_PER_FRAME)))[: len(hops)]
    # In silence, where dB end at a floor, and in single precision.
    assert np.abs(hops - expected).max() < 0.02


@pytest.mark.parametrize("length", [1, 2559, 2560, 2561, 2816, 30_000])
def test_small_blocks_give_the_same_as_soon_as_possible(speech, length):
    audio, n_pushed = talk(speech, length), 0
    whole = zip(*stream_features([audio]), strict=True)
    expected_hops, expected_speech = (np.concatenate(parts) for parts in whole)
    stream, blocks = FeatureStream(40, MIN_BLOCK_FRAMES), []
    for chunk in chunks_of(audio, 100):
        blocks += stream.push(chunk)
        n_pushed += len(chunk)
        # All whole blocks are there once half a window more has been pushed.
        assert len(blocks) == max(0, n_pushed - 256) // 2560
    blocks += stream.end()
    hops, has_speech = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    assert hops.shape == expected_hops.shape and np.abs(hops - expected_hops).max() < 0.02
    assert np.array_equal(has_speech, expected_speech)


def test_a_block_border_changes_nothing(speech):
    """Audio around a border is shifted into the middle of a block: the numbers stay."""
    audio = talk(speech, 2 * BLOCK_SAMPLES)
    shift = 100 * SAMPLES_PER_FRAME
    original = mfcc(audio, 2 * BLOCK_FRAMES)
    shifted = mfcc(audio[shift:], 2 * BLOCK_FRAMES - 100)
    border = 4 * BLOCK_FRAMES
    around_border = original[border - 50 : border + 50]
    assert np.allclose(around_border, shifted[border - 450 : border - 350], atol=1e-2)


def test_speech_over_several_blocks_equals_the_call_of_silero_vad(speech, monkeypatch):
    session, outputs = vad._vad_session(), []

    class RecordingSession:
        def run(self, *arguments):
            results = session.run(*arguments)
            outputs.append(results[0].ravel())
            return results

    monkeypatch.setattr(vad, "_vad_session", RecordingSession)
    audio = talk(speech, 2 * BLOCK_SAMPLES + 60 * SAMPLES_PER_FRAME)
    n_frames = len(audio) // SAMPLES_PER_FRAME
    has_speech, probabilities = speech_frames(audio, n_frames), silero_probabilities(audio)
    assert len(outputs) == 3 and 0.2 < has_speech.mean() < 0.8
    # Without the 64 samples before a block they differ by 4e-5.
    computed = np.concatenate(outputs)[: len(probabilities)]
    assert np.allclose(computed, probabilities, rtol=0, atol=2e-6)
    chunks = (np.arange(n_frames) * 640 + 320) // 512
    assert np.array_equal(has_speech, probabilities[chunks] >= 0.5)


@pytest.mark.parametrize("length", [0, BLOCK_SAMPLES // 2, BLOCK_SAMPLES, BLOCK_SAMPLES + 1])
def test_silence_follows_the_end(length):
    audio, n_frames = noise(length), 2 * BLOCK_FRAMES + 30
    hops, has_speech = compute_features(audio, n_frames)
    assert hops.shape == (4 * n_frames, 40) and has_speech.shape == (n_frames,)
    end = -(-length // SAMPLES_PER_FRAME)
    after = hops.reshape(-1, 4, 40)[end + 1 :]
    assert np.array_equal(after, np.broadcast_to(silent_mfcc(40), after.shape))
    assert not has_speech[end + 1 :].any()
    assert np.array_equal(compute_features(audio, end // 2)[0], hops[: end // 2 * 4])


def test_audio_is_read_no_further_than_the_next_block():
    n_read = 0

    def chunks():
        nonlocal n_read
        for chunk in chunks_of(noise(6 * BLOCK_SAMPLES), 1600):
            n_read += len(chunk)
            yield chunk

    blocks = stream_features(chunks())
    for number in (1, 2, 3):
        next(blocks)
        assert n_read <= (number + 1) * BLOCK_SAMPLES + 1600


def test_the_number_of_threads_changes_no_bit():
    """Preprocessing uses one thread, scoring as many as there are."""
    audio, n_threads_before = noise(BLOCK_SAMPLES + 8000), torch.get_num_threads()
    try:
        results = []
        for n_threads in (1, 2, 4, 16):
            torch.set_num_threads(n_threads)
            results.append(mfcc(audio, BLOCK_FRAMES + 13).tobytes())
            assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(n_threads_before)
    assert len(set(results)) == 1


# ---------------------------------------------------------------------------- level


def metered(*chunks: np.ndarray) -> LevelMeter:
    meter = LevelMeter()
    passed = list(meter.measure(chunks))
    assert all(out is chunk for out, chunk in zip(passed, chunks, strict=True))
    return meter


def test_silence_is_recognised():
    for samples in (np.zeros(100), np.zeros(0), np.full(100, 0.9e-4)):
        assert metered(samples.astype(np.float32)).is_silent
    assert not metered(np.full(100, 1.1e-4, np.float32)).is_silent
    assert metered().is_silent


def test_length_and_level_are_those_of_the_whole():
    loud, quiet = np.full(100, 2e-4, np.float32), np.zeros(200, np.float32)
    assert metered(loud, quiet).n_samples == 300
    assert not metered(quiet, loud).is_silent, "the root mean square of both is 1.15e-4"
    assert metered(quiet, loud, quiet).is_silent, "… and of these 0.89e-4"

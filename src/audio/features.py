"""waveform -> MFCC, and where in it somebody speaks.

Constants of time: MFCC steps are 10 ms, four to a frame of 40 ms. Step ``j`` looks at 25 ms of
sound centred on ``10 j`` ms, so steps ``4t … 4t+3`` lie under frame ``t``.
"""

from collections.abc import Iterable, Iterator
from functools import cache

import numpy as np

from ..core.constants import FPS, HOP, HOPS_PER_FRAME, N_MELS, SAMPLE_RATE
from .vad import VAD_CHUNK, _Speech

WINDOW = 400  # samples a step looks at: 25 ms
N_FFT = 512
SILENCE_RMS = 1e-4  # −80 dBFS: below it a whole track counts as silent

BLOCK_FRAMES = 256  # frames computed at a time, however long the sound is


BLOCK = BLOCK_FRAMES * SAMPLE_RATE // FPS
LOOK_AHEAD = N_FFT // 2  # samples that a step sees on either side of its middle
LEAST_BLOCK_FRAMES = 4  # 5 chunks of silero-vad: both clocks begin anew with each block
assert LEAST_BLOCK_FRAMES * SAMPLE_RATE // FPS % VAD_CHUNK == 0 == BLOCK_FRAMES % LEAST_BLOCK_FRAMES


@cache
def _mfcc_transform(n_mfcc: int):
    from torchaudio.transforms import MFCC

    transform = MFCC(
        SAMPLE_RATE,
        n_mfcc,
        melkwargs={
            "n_fft": N_FFT, "win_length": WINDOW, "hop_length": HOP, "n_mels": N_MELS,
            "mel_scale": "slaney", "norm": "slaney", "center": False,
        },
    )  # fmt: skip
    # The usual floor, 80 dB under the loudest moment of the file, would make a step depend on
    # what happens minutes away.
    transform.amplitude_to_DB.top_db = None
    return transform


@cache
def band_centres_hz() -> np.ndarray:
    """Frequencies of the bands' centres on Slaney's mel scale, float [40]."""
    from librosa import mel_frequencies

    return mel_frequencies(N_MELS + 2, fmin=0, fmax=SAMPLE_RATE / 2)[1:-1]


def feature_blocks(
    sound: Iterable[np.ndarray], n_mfcc: int = N_MELS
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """MFCC and speech of a sound, streamed.

    The MFCC (Davis & Mermelstein 1980, orthonormal DCT-II of dB) equal
    ``librosa.feature.mfcc(S=power_to_db(melspectrogram(…, pad_mode="constant"), top_db=None))``
    with librosa's (Slaney's) mel scale; speech is what silero-vad says of chunks of 32 ms. Blocks
    are cut at the same places whatever the pieces are, so a sound always gives the same bits.

    Args:
        sound: float32 [n] pieces at 16 kHz in −1…1, one after the other.
        n_mfcc: coefficients a step, at most 40.

    Yields:
        (float32 [F, 4, n_mfcc], bool [F]) for each next ``F ≤ BLOCK_FRAMES + 1`` frames, until
        one frame after the sound's end.
    """
    stream = FeatureStream(n_mfcc)
    for piece in sound:
        yield from stream.push(piece)
    yield from stream.end()


class FeatureStream:
    """What ``feature_blocks`` gives, for a sound that comes in pieces.

    Args:
        n_mfcc: coefficients a step, at most 40.
        block_frames: frames computed at a time, a multiple of ``LEAST_BLOCK_FRAMES``.
    """

    def __init__(self, n_mfcc: int, block_frames: int = BLOCK_FRAMES):
        self._n_mfcc, self._block = n_mfcc, block_frames * SAMPLE_RATE // FPS
        self._before = np.zeros(LOOK_AHEAD, np.float32)  # each step looks back and ahead
        self._speech = _Speech()
        self._held, self._length = [], 0

    def push(self, samples: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The next float32 [n] samples: the blocks that they complete."""
        self._held.append(samples)
        self._length += len(samples)
        while self._length >= self._block + LOOK_AHEAD:
            yield self._first_block()

    def end(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The blocks that are left; silence follows."""
        while self._length > self._block:
            yield self._first_block()
        rest = np.concatenate([np.zeros(0, np.float32), *self._held])
        frames = -(-len(rest) * FPS // SAMPLE_RATE) + 1
        padded = np.zeros(frames * SAMPLE_RATE // FPS, np.float32)
        padded[: len(rest)] = rest
        yield self._features(padded, np.zeros(0, np.float32))

    def _first_block(self) -> tuple[np.ndarray, np.ndarray]:
        joined = self._held[0] if len(self._held) == 1 else np.concatenate(self._held)
        block, rest = joined[: self._block], joined[self._block :]
        self._held, self._length = [rest], len(rest)
        return self._features(block, rest[:LOOK_AHEAD])

    def _features(self, block: np.ndarray, ahead: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        after = np.zeros(LOOK_AHEAD, np.float32)
        after[: len(ahead)] = ahead
        mfcc = _mfcc_of(np.concatenate([self._before, block, after]), self._n_mfcc)
        self._before = block[-LOOK_AHEAD:]
        return mfcc, self._speech.of(block)


def _mfcc_of(samples: np.ndarray, n_mfcc: int) -> np.ndarray:
    """float32 [F · 640 + N_FFT] -> float32 [F, 4, n_mfcc]."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # with more, sums are cut up, and the last bits depend on the machine
    try:
        with torch.inference_mode():
            steps = _mfcc_transform(n_mfcc)(torch.from_numpy(samples)).numpy().T
    finally:
        torch.set_num_threads(threads)
    frames = (len(samples) - N_FFT) // (HOPS_PER_FRAME * HOP)
    steps = np.ascontiguousarray(steps[: frames * HOPS_PER_FRAME])
    return steps.reshape(frames, HOPS_PER_FRAME, n_mfcc)


@cache
def silence(n_mfcc: int) -> np.ndarray:
    """MFCC under a frame of digital silence: float32 [4, n_mfcc]."""
    return _mfcc_of(np.zeros(HOPS_PER_FRAME * HOP + N_FFT, np.float32), n_mfcc)[0]


def features_of(
    samples: np.ndarray, n_frames: int, n_mfcc: int = N_MELS
) -> tuple[np.ndarray, np.ndarray]:
    """MFCC and speech of a sound that is at hand, see ``feature_blocks``.

    Args:
        samples: float32 [n] at 16 kHz in −1…1; short sound is continued with silence.
        n_frames: number of 25 fps frames to cover.
        n_mfcc: coefficients a step, at most 40.

    Returns:
        float32 [4 · n_frames, n_mfcc], bool [n_frames].
    """
    steps, speech = (np.concatenate(part) for part in zip(*feature_blocks([samples], n_mfcc),
                                                          strict=True))  # fmt: skip
    missing = max(0, n_frames - len(steps))
    steps = np.concatenate([steps[:n_frames], np.tile(silence(n_mfcc), (missing, 1, 1))])
    speech = np.concatenate([speech[:n_frames], np.zeros(missing, bool)])
    return steps.reshape(-1, n_mfcc), speech


class Loudness:
    """Length and level of a sound that streams by."""

    def __init__(self):
        self.samples = 0
        self._energy = 0.0

    def passing(self, sound: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The same pieces, listened to."""
        for piece in sound:
            self.samples += len(piece)
            self._energy += float(np.square(piece, dtype=np.float64).sum())
            yield piece

    @property
    def silent(self) -> bool:
        """Whether all of it is silence (RMS under −80 dBFS)."""
        return self._energy <= self.samples * SILENCE_RMS**2

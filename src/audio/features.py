"""Waveform -> MFCC, and in which frames someone speaks.

Hops are 10 ms, four to a frame of 40 ms. Hop ``j`` is computed from 25 ms of audio centred on
``10 j`` ms, so hops ``4t … 4t+3`` lie under frame ``t``.
"""

from collections.abc import Iterable, Iterator
from functools import cache

import numpy as np

from ..core.constants import (
    FPS,
    HOP,
    HOPS_PER_FRAME,
    N_MELS,
    SAMPLE_RATE,
    SAMPLES_PER_FRAME,
)
from ..core.mel_scale import dct_matrix, mel_filters
from .vad import SpeechDetector

WINDOW = 400  # samples of an analysis frame: 25 ms
N_FFT = 512
LOOK_AHEAD = N_FFT // 2  # samples that a hop needs on either side of its centre
MIN_POWER = 1e-10  # of a band: −100 dB
SILENCE_RMS = 1e-4  # −80 dBFS: below it a whole track counts as silent

# Blocks hold whole frames and whole chunks of silero-vad: both clocks restart with each block.
MIN_BLOCK_FRAMES = 4  # 5 chunks of silero-vad
PRODUCT_ROWS = MIN_BLOCK_FRAMES * HOPS_PER_FRAME
BLOCK_FRAMES = 256  # frames computed at a time, whatever the length of the audio
BLOCK_SAMPLES = BLOCK_FRAMES * SAMPLES_PER_FRAME


@cache
def band_centres_hz() -> np.ndarray:
    """Centre frequencies of the mel bands on Slaney's scale, float [40]."""
    from librosa import mel_frequencies

    return mel_frequencies(N_MELS + 2, fmin=0, fmax=SAMPLE_RATE / 2)[1:-1]


@cache
def _window() -> np.ndarray:
    """The Hann window in the middle of the points of the FFT: float32 [512]."""
    window = np.zeros(N_FFT, np.float32)
    first = (N_FFT - WINDOW) // 2
    window[first : first + WINDOW] = 0.5 - 0.5 * np.cos(2 * np.pi / WINDOW * np.arange(WINDOW))
    return window


def _product(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """``rows @ matrix``, a few rows at a time: BLAS chooses the order of its sums by the number of
    rows, so the last bits of a hop would depend on the length of the audio."""
    n_rows = len(rows)
    padded = np.pad(rows, ((0, -n_rows % PRODUCT_ROWS), (0, 0)))
    parts = padded.reshape(-1, PRODUCT_ROWS, rows.shape[1]) @ matrix
    return parts.reshape(-1, matrix.shape[1])[:n_rows]


def compute_mfcc(samples: np.ndarray, n_mfcc: int) -> np.ndarray:
    """MFCC of whole frames: float32 [F · 640 + N_FFT] -> float32 [F, 4, n_mfcc].

    Args:
        samples: 16 kHz, with ``LOOK_AHEAD`` samples before the first frame and after the last.
    """
    n_frames = (len(samples) - N_FFT) // SAMPLES_PER_FRAME
    windows = np.lib.stride_tricks.sliding_window_view(samples, N_FFT)[::HOP]
    spectrum = np.fft.rfft(windows[: n_frames * HOPS_PER_FRAME] * _window())
    power = spectrum.real**2 + spectrum.imag**2
    # The usual floor, 80 dB under the loudest moment of the file, would make a hop depend on
    # what happens minutes away.
    bands = 10 * np.log10(np.maximum(_product(power, mel_filters(N_FFT)), MIN_POWER))
    return _product(bands, dct_matrix(n_mfcc)).reshape(n_frames, HOPS_PER_FRAME, n_mfcc)


@cache
def silent_mfcc(n_mfcc: int) -> np.ndarray:
    """MFCC under a frame of digital silence: float32 [4, n_mfcc]."""
    return compute_mfcc(np.zeros(SAMPLES_PER_FRAME + N_FFT, np.float32), n_mfcc)[0]


def compute_features(
    samples: np.ndarray, n_frames: int, n_mfcc: int = N_MELS
) -> tuple[np.ndarray, np.ndarray]:
    """MFCC and speech of audio in memory, see ``stream_features``.

    Args:
        samples: float32 [n] at 16 kHz in −1…1; silence follows.
        n_frames: number of 25 fps frames to cover.
        n_mfcc: coefficients a hop, at most 40.

    Returns:
        float32 [4 · n_frames, n_mfcc], bool [n_frames].
    """
    blocks = zip(*stream_features([samples], n_mfcc), strict=True)
    mfcc, speech = (np.concatenate(parts) for parts in blocks)
    n_missing = max(0, n_frames - len(mfcc))
    mfcc = np.concatenate([mfcc[:n_frames], np.tile(silent_mfcc(n_mfcc), (n_missing, 1, 1))])
    speech = np.concatenate([speech[:n_frames], np.zeros(n_missing, bool)])
    return mfcc.reshape(-1, n_mfcc), speech


def stream_features(
    audio: Iterable[np.ndarray], n_mfcc: int = N_MELS
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """MFCC and speech of audio that is streamed.

    The MFCC (Davis & Mermelstein 1980, orthonormal DCT-II of dB) equal
    ``librosa.feature.mfcc(S=power_to_db(melspectrogram(…, pad_mode="constant"), top_db=None))``
    with librosa's (Slaney's) mel scale; speech is silero-vad's decision on chunks of 32 ms. Block
    borders do not depend on the chunks, so the same audio always gives the same bits.

    Args:
        audio: float32 [n] chunks at 16 kHz in −1…1, one after the other.
        n_mfcc: coefficients a hop, at most 40.

    Yields:
        (float32 [F, 4, n_mfcc], bool [F]) for each next ``F ≤ BLOCK_FRAMES + 1`` frames, until
        one frame after the end of the audio.
    """
    stream = FeatureStream(n_mfcc)
    for chunk in audio:
        yield from stream.push(chunk)
    yield from stream.end()


class FeatureStream:
    """What ``stream_features`` gives, for audio that is pushed in chunks.

    Args:
        n_mfcc: coefficients a hop, at most 40.
        block_frames: frames computed at a time, a multiple of ``MIN_BLOCK_FRAMES``.
    """

    def __init__(self, n_mfcc: int, block_frames: int = BLOCK_FRAMES):
        self._n_mfcc, self._block_samples = n_mfcc, block_frames * SAMPLES_PER_FRAME
        self._previous = np.zeros(LOOK_AHEAD, np.float32)  # the samples before the next block
        self._speech_detector = SpeechDetector()
        self._pending: list[np.ndarray] = []
        self._n_pending = 0  # samples

    def push(self, samples: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The next float32 [n] samples: yields the blocks that they complete."""
        self._pending.append(samples)
        self._n_pending += len(samples)
        while self._n_pending >= self._block_samples + LOOK_AHEAD:
            yield self._next_block()

    def end(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The remaining blocks; silence follows the last sample."""
        while self._n_pending > self._block_samples:
            yield self._next_block()
        remaining = np.concatenate([np.zeros(0, np.float32), *self._pending])
        n_frames = -(-len(remaining) * FPS // SAMPLE_RATE) + 1
        padded = np.zeros(n_frames * SAMPLES_PER_FRAME, np.float32)
        padded[: len(remaining)] = remaining
        yield self._compute(padded, np.zeros(0, np.float32))

    def _next_block(self) -> tuple[np.ndarray, np.ndarray]:
        pending = self._pending[0] if len(self._pending) == 1 else np.concatenate(self._pending)
        block, remaining = pending[: self._block_samples], pending[self._block_samples :]
        self._pending, self._n_pending = [remaining], len(remaining)
        return self._compute(block, remaining[:LOOK_AHEAD])

    def _compute(self, block: np.ndarray, following: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """MFCC and speech of a block, with the samples after it as far as they are known."""
        ahead = np.zeros(LOOK_AHEAD, np.float32)
        ahead[: len(following)] = following
        mfcc = compute_mfcc(np.concatenate([self._previous, block, ahead]), self._n_mfcc)
        self._previous = block[-LOOK_AHEAD:]
        return mfcc, self._speech_detector.detect(block)


class LevelMeter:
    """Length and level of audio that is streamed through it.

    Attributes:
        n_samples: so far.
    """

    def __init__(self):
        self.n_samples = 0
        self._energy = 0.0

    def measure(self, audio: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the same chunks, and measure them."""
        for chunk in audio:
            self.n_samples += len(chunk)
            self._energy += float(np.square(chunk, dtype=np.float64).sum())
            yield chunk

    @property
    def rms(self) -> float:
        """Root mean square of the samples, 0…1."""
        return float(np.sqrt(self._energy / max(1, self.n_samples)))

    @property
    def is_silent(self) -> bool:
        """Whether all of it is silence (RMS below −80 dBFS)."""
        return self._energy <= self.n_samples * SILENCE_RMS**2

"""The mel bands of the MFCC: Slaney's scale, triangular filters, and the DCT that sums them up."""

from functools import cache

import numpy as np

from .constants import N_MELS, SAMPLE_RATE

LINEAR_HZ = 200 / 3  # a mel below the break …
BREAK_HZ = 1000.0
LOG_STEP = np.log(6.4) / 27  # … and above it, of the logarithm (Slaney 1998)


def mel_to_hz(mel: np.ndarray) -> np.ndarray:
    """Slaney's mel -> Hz, of any shape."""
    above = BREAK_HZ * np.exp(LOG_STEP * (mel - BREAK_HZ / LINEAR_HZ))
    return np.where(mel * LINEAR_HZ < BREAK_HZ, mel * LINEAR_HZ, above)


def band_edges_hz() -> np.ndarray:
    """Where the bands begin, have their centre and end: float64 [42], Hz. Band ``i`` reaches from
    edge ``i`` over ``i + 1`` to ``i + 2``."""
    highest = BREAK_HZ / LINEAR_HZ + np.log(SAMPLE_RATE / 2 / BREAK_HZ) / LOG_STEP
    return mel_to_hz(np.linspace(0, highest, N_MELS + 2))


@cache
def mel_filters(n_fft: int) -> np.ndarray:
    """Triangular filters of equal area: float32 [n_fft // 2 + 1, 40]."""
    bins_hz = np.linspace(0, SAMPLE_RATE / 2, n_fft // 2 + 1)[:, None]
    begin, centre, end = (band_edges_hz()[shift : shift + N_MELS] for shift in range(3))
    rising = (bins_hz - begin) / (centre - begin)
    falling = (end - bins_hz) / (end - centre)
    filters = np.maximum(0, np.minimum(rising, falling)) * 2 / (end - begin)
    return filters.astype(np.float32)


@cache
def dct_matrix(n_coefficients: int) -> np.ndarray:
    """The orthonormal DCT-II of 40 bands: float32 [40, n_coefficients], at most 40."""
    band, k = np.arange(N_MELS)[:, None] + 0.5, np.arange(n_coefficients)[None]
    scale = np.where(k == 0, np.sqrt(1 / N_MELS), np.sqrt(2 / N_MELS))
    return (np.cos(np.pi / N_MELS * band * k) * scale).astype(np.float32)

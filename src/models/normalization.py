"""Crops and MFCC -> the normalised face regions and mel bands that the encoders take.

The levels that are removed, a mean and a deviation, are those of a whole clip: of all frames of a
face for the video, of all hops with speech for the audio (CMVN). They are measured on a batch at
hand, or accumulated over a clip too long for memory or a stream (``RunningLevels``).
"""

import numpy as np
import torch

from ..core.constants import HOPS_PER_FRAME, N_MELS
from ..core.mel_scale import dct_matrix
from .limits import MAX_BAND, MIN_BAND_VARIANCE, MIN_REGION_VARIANCE
from .spec import ModelSpec

Levels = tuple[torch.Tensor, torch.Tensor]  # mean and standard deviation


# --- video


def crop_face_region(crops: torch.Tensor, spec: ModelSpec) -> torch.Tensor:
    """Cut the face region out of the crops: [..., S, S] -> [..., height, width]."""
    height, width = spec.region_shape
    left = (spec.input_size - width) // 2
    return crops[..., spec.region_top : spec.region_top + height, left : left + width]


def frame_moments(regions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean grey value and mean squared grey value of each frame, [..., T] each.

    Args:
        regions: float [..., T, height, width], 0…1.
    """
    return regions.mean((-2, -1)), regions.square().mean((-2, -1))


def average_moments(moments: tuple[torch.Tensor, torch.Tensor], valid: torch.Tensor) -> Levels:
    """Levels of clips from the moments of their frames, [B] each.

    Args:
        moments: of ``frame_moments``, float [B, T] each.
        valid: bool [B, T], the frames that count.
    """
    weight = valid.to(moments[0].dtype)
    total = weight.sum(1).clamp(min=1)
    return region_levels(*((values * weight).sum(1) / total for values in moments))


def region_levels(mean: torch.Tensor, mean_square: torch.Tensor) -> Levels:
    """Mean and deviation of grey values from their first two moments, of any shape."""
    variance = mean_square - mean.square()
    return mean, variance.clamp(min=MIN_REGION_VARIANCE).sqrt()


def measure_regions(regions: torch.Tensor, valid: torch.Tensor) -> Levels:
    """Brightness and contrast of each clip, [B] each.

    Args:
        regions: float [B, T, height, width].
        valid: bool [B, T], the frames that count.
    """
    return average_moments(frame_moments(regions), valid)


def normalise_regions(
    regions: torch.Tensor, mean: torch.Tensor, deviation: torch.Tensor
) -> torch.Tensor:
    """Remove the brightness and contrast of clips: [B, T, height, width], with levels [B]."""
    return (regions - mean[:, None, None, None]) / deviation[:, None, None, None]


# --- audio


def mfcc_to_bands(mfcc: torch.Tensor) -> torch.Tensor:
    """Undo the DCT: MFCC [..., n_mfcc] -> dB of 40 mel bands [..., 40] (smoothed if fewer)."""
    dct = torch.from_numpy(dct_matrix(mfcc.shape[-1])).to(mfcc)  # [40, n_mfcc]
    return mfcc @ dct.T


def speech_by_hop(speech: torch.Tensor) -> torch.Tensor:
    """Speech by frame, bool [..., T] -> by hop, bool [..., 4 T]."""
    return speech.repeat_interleave(HOPS_PER_FRAME, dim=-1)


def measure_bands(bands: torch.Tensor, has_speech: torch.Tensor) -> Levels:
    """Mean spectrum of each clip where someone speaks, [B, 1, 40], and the deviation from it over
    all bands, [B, 1, 1].

    Pauses, music or silence before a clip so change nothing about how its speech looks.

    Args:
        bands: float [B, H, 40], dB.
        has_speech: bool [B, H], hops that count; in a clip that has none, all do.
    """
    weight = has_speech.to(bands.dtype)
    weight = torch.where(weight.sum(1, keepdim=True) > 0, weight, torch.ones_like(weight))[
        ..., None
    ]
    total = weight.sum(1, keepdim=True)
    mean = (bands * weight).sum(1, keepdim=True) / total
    variance = ((bands - mean).square() * weight).sum((1, 2), keepdim=True) / (total * N_MELS)
    return mean, _band_deviation(variance)


def normalise_bands(
    bands: torch.Tensor, mean: torch.Tensor, deviation: torch.Tensor
) -> torch.Tensor:
    """Remove the mean spectrum and the deviation of clips and clip the result to ±``MAX_BAND``.

    [B, H, 40], with levels [B, 1, 40] and [B, 1, 1].
    """
    return ((bands - mean) / deviation).clamp(-MAX_BAND, MAX_BAND)


def _band_deviation(variance: torch.Tensor) -> torch.Tensor:
    return variance.clamp(min=MIN_BAND_VARIANCE).sqrt()


# --- row by row


class RunningLevels:
    """Levels of all rows so far, in the memory of one row.

    A row is a hop with its 40 bands, or a frame with the mean of its grey values.

    Args:
        width: values in a row.
        memory_rows: rows after which the past fades: it never weighs more than so many; None: it
            does not fade.

    Attributes:
        count: rows the levels stand for, at most ``memory_rows``.
    """

    def __init__(self, width: int, memory_rows: int | None = None):
        self.count, self._memory_rows = 0, memory_rows
        self._sums = np.zeros((2, width))  # of the values, and of their squares

    def add(self, values: np.ndarray, squares: np.ndarray) -> None:
        """Add the next rows, float [n, width], and their squares (or means of squares)."""
        self._sums += [rows.sum(0, dtype=np.float64) for rows in (values, squares)]
        self.count += len(values)
        if self._memory_rows is not None and self.count > self._memory_rows:
            self._sums *= self._memory_rows / self.count
            self.count = self._memory_rows

    def add_bands(self, bands: np.ndarray) -> None:
        """Add hops, float [n, 40], dB."""
        bands = bands.astype(np.float64)
        self.add(bands, np.square(bands))

    @property
    def moments(self) -> np.ndarray:
        """Mean and mean square of each value, float64 [2, width]; 0 before the first row."""
        return self._sums / max(self.count, 1)

    def region_levels(self, device: torch.device) -> Levels:
        """Brightness and contrast of the frames so far, [1] each."""
        return region_levels(*torch.from_numpy(self.moments).float().to(device))

    def band_levels(self, device: torch.device) -> Levels:
        """Mean spectrum of the hops so far, [1, 1, 40], and deviation, [1, 1, 1]."""
        mean, mean_square = torch.from_numpy(self.moments)
        variance = (mean_square - mean.square()).mean()
        mean, variance = mean.float().to(device), variance.float().to(device)
        return mean[None, None], _band_deviation(variance)[None, None, None]

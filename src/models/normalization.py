"""Crops and MFCC -> what the encoders see."""

import torch

from ..core.constants import HOPS_PER_FRAME, N_MELS
from .spec import ModelSize


def central_view(crops: torch.Tensor, size: ModelSize) -> torch.Tensor:
    """Cut what is looked at out of the crops: [..., S, S] -> [..., height, width]."""
    height, width = size.view
    left = (size.input_size - width) // 2
    return crops[..., size.view_top : size.view_top + height, left : left + width]


def brightness(views: torch.Tensor, valid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of each clip's views, [B] each.

    Args:
        views: float [B, T, height, width].
        valid: bool [B, T], which frames count.
    """
    weight = valid.to(views.dtype)
    total = weight.sum(1).clamp(min=1)
    mean = (views.mean((2, 3)) * weight).sum(1) / total
    square = (views.square().mean((2, 3)) * weight).sum(1) / total
    return mean, (square - mean.square()).clamp(min=1e-6).sqrt()


def normalise_views(
    views: torch.Tensor, mean: torch.Tensor, deviation: torch.Tensor
) -> torch.Tensor:
    """Remove a clip's brightness and contrast: [B, T, height, width] with statistics [B]."""
    return (views - mean[:, None, None, None]) / deviation[:, None, None, None]


def spectrum(bands: torch.Tensor, counted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A clip's mean spectrum, [B, 1, 40], and its deviation from it, [B, 1, 1].

    Args:
        bands: float [B, S, 40], dB.
        counted: bool [B, S], steps with speech; where a clip has none, all its steps count.
    """
    weight = counted.to(bands.dtype)
    weight = torch.where(weight.sum(1, keepdim=True) > 0, weight, torch.ones_like(weight))[
        ..., None
    ]
    total = weight.sum(1, keepdim=True)
    mean = (bands * weight).sum(1, keepdim=True) / total
    variance = ((bands - mean).square() * weight).sum((1, 2), keepdim=True) / (total * N_MELS)
    return mean, deviation_of(variance)


def deviation_of(variance: torch.Tensor) -> torch.Tensor:
    """The deviation that bands are divided by: that of digital silence would be 0."""
    return variance.clamp(min=1e-3).sqrt()


def levelled_bands(
    bands: torch.Tensor, mean: torch.Tensor, deviation: torch.Tensor
) -> torch.Tensor:
    """Bands [B, S, 40] without a clip's spectrum and deviation, held within ±4."""
    return ((bands - mean) / deviation).clamp(-4, 4)


def normalise_bands(bands: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """Remove a clip's mean spectrum and its deviation (CMVN), measured where somebody speaks.

    Pauses, music or silence put before a clip so change nothing about how its speech looks.

    Args:
        bands, counted: as for ``spectrum``.
    """
    return levelled_bands(bands, *spectrum(bands, counted))


def bands_of(mfcc: torch.Tensor) -> torch.Tensor:
    """Undo the DCT: MFCC [..., n_mfcc] -> dB of 40 mel bands [..., 40] (smoothed if fewer)."""
    from torchaudio.functional import create_dct

    dct = create_dct(mfcc.shape[-1], N_MELS, norm="ortho").to(mfcc)  # [40, n_mfcc]
    return mfcc @ dct.T


def speech_steps(speech: torch.Tensor) -> torch.Tensor:
    """Speech by frame, bool [..., T], as speech by audio step, bool [..., 4 T]."""
    return speech.repeat_interleave(HOPS_PER_FRAME, dim=-1)

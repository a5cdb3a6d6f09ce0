"""A followed face and its sound -> the evidence for every offset."""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from ..core.constants import HOPS_PER_FRAME, WINDOW_FRAMES
from .normalization import (
    bands_of,
    central_view,
    levelled_bands,
    normalise_views,
    spectrum,
    speech_steps,
)
from .sync_model import SyncModel, fine_audio_embeddings

CHUNK = 250  # frames embedded at a time

# A part of what may be too long to hold: of these frames, from the first to before the second.
Part = Callable[[int, int], np.ndarray]


@torch.inference_mode()
def embed_video(model: SyncModel, crops: np.ndarray) -> np.ndarray:
    """Video embeddings of a whole track: uint8 [T, S, S] -> float32 [T − 4, D].

    Brightness is normalised over the track; the network runs over pieces of it, with the result
    of one pass.
    """
    return _embedded(model, crops, _brightness(model, _parts_of(crops), len(crops)))


@torch.inference_mode()
def levels(model: SyncModel, crops: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Brightness of what is looked at, frame by frame: uint8 [T, S, S] -> means [T] of the pixels
    (0…1), and of their squares."""
    views = _views(model, crops)
    return views.mean((1, 2)), views.square().mean((1, 2))


@torch.inference_mode()
def embed_crops(
    model: SyncModel, crops: np.ndarray, mean: torch.Tensor, square: torch.Tensor
) -> np.ndarray:
    """As ``embed_video``, with a brightness from elsewhere.

    Args:
        mean, square: means of ``levels``.
    """
    return _embedded(model, crops, _removed(mean, square))


def _parts_of(crops: np.ndarray) -> Part:
    return lambda first, stop: crops[first:stop]


def _embedded(model: SyncModel, crops: np.ndarray, brightness) -> np.ndarray:
    windows = len(crops) - WINDOW_FRAMES + 1
    return np.concatenate([
        _video_part(model, _parts_of(crops), brightness, start, min(start + CHUNK, windows))
        for start in range(0, windows, CHUNK)
    ])  # fmt: skip


def _brightness(model: SyncModel, crops: Part, n_frames: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of a track's views, [1] each."""
    # Filled in: small results that are kept lie between the large blocks of the pictures, which
    # malloc then cannot use again (43 MB a minute).
    means, squares = torch.empty(2, n_frames, device=model.log_scale.device)
    for start in range(0, n_frames, CHUNK):
        stop = min(start + CHUNK, n_frames)
        means[start:stop], squares[start:stop] = levels(model, crops(start, stop))
    return _removed(means.mean(), squares.mean())


def _removed(mean: torch.Tensor, square: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation, [1] each, of pixels with this mean and mean square."""
    return mean[None], (square - mean.square()).clamp(min=1e-6).sqrt()[None]


def _video_part(model: SyncModel, crops: Part, brightness, first: int, stop: int) -> np.ndarray:
    """Embeddings of the windows ``first … stop − 1``, float32 [stop − first, D]."""
    views = _views(model, crops(first, stop + WINDOW_FRAMES - 1))[None]
    return model.video(normalise_views(views, *brightness))[0].float().cpu().numpy()


def _views(model: SyncModel, crops: np.ndarray) -> torch.Tensor:
    pixels = torch.from_numpy(np.ascontiguousarray(crops)).to(model.log_scale.device)
    return central_view(pixels, model.size).float() / 255


@torch.inference_mode()
def embed_audio(model: SyncModel, mfcc: np.ndarray, speech: np.ndarray) -> np.ndarray:
    """Audio embeddings every 10 ms: float32 [4 T, C], bool [T] -> float32 [4 (T − 4) − 3, D].

    Loudness is normalised over all of it; the network runs over pieces, with the result of one
    pass.
    """
    bands = _bands(model, mfcc)
    counted = speech_steps(torch.from_numpy(np.ascontiguousarray(speech)).to(bands.device))[None]
    return embed_bands(model, levelled_bands(bands, *spectrum(bands, counted)))


@torch.inference_mode()
def embed_bands(model: SyncModel, bands: torch.Tensor) -> np.ndarray:
    """As ``embed_audio``, of bands [1, 4 T, 40] that are normalised already."""

    def part(first: int, stop: int) -> torch.Tensor:
        return bands[:, first * HOPS_PER_FRAME : stop * HOPS_PER_FRAME]

    return np.concatenate(list(_audio_parts(model, part, bands.shape[1] // HOPS_PER_FRAME)))


def _bands(model: SyncModel, mfcc: np.ndarray) -> torch.Tensor:
    """MFCC [4 F, C] -> dB of mel bands [1, 4 F, 40]."""
    steps = torch.from_numpy(np.ascontiguousarray(mfcc)).to(model.log_scale.device)
    return bands_of(steps)[None]


def _audio_parts(
    model: SyncModel, bands: Callable[[int, int], torch.Tensor], n_frames: int
) -> Iterator[np.ndarray]:
    """Audio embeddings every 10 ms, float32 [n, D], one part after the other.

    Args:
        bands: normalised, of the frames from the first to before the second number.
    """
    windows = n_frames - WINDOW_FRAMES + 1
    for start in range(0, windows, CHUNK):
        stop = min(start + CHUNK, windows)
        more = stop < windows  # one window more, for the steps between two parts
        piece = bands(start, stop + more + WINDOW_FRAMES - 1)
        fine = fine_audio_embeddings(model.audio, piece)[0]
        yield fine[: (stop - start) * HOPS_PER_FRAME].float().cpu().numpy()

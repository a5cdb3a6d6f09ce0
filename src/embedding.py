"""A followed face and its sound -> the evidence for every offset."""

import numpy as np
import torch

from src.audio_features import STEPS_PER_FRAME
from src.clip_features import WINDOW_FRAMES
from src.metrics import Evidence, compare
from src.model import (
    SyncModel,
    bands_of,
    central_view,
    fine_audio_embeddings,
    normalise_bands,
    normalise_views,
    speech_steps,
)
from src.samples import Sample

CHUNK = 250  # frames embedded at a time


@torch.inference_mode()
def embed_video(model: SyncModel, crops: np.ndarray) -> np.ndarray:
    """Video embeddings of a whole track: uint8 [T, S, S] -> float32 [T − 4, D].

    Brightness is normalised over the track; the network runs over pieces of it, with the result
    of one pass.
    """
    means, squares = levels(model, crops)
    return embed_crops(model, crops, means.mean(), squares.mean())


@torch.inference_mode()
def levels(model: SyncModel, crops: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Brightness of what is looked at, frame by frame: uint8 [T, S, S] -> means [T] of the pixels
    (0…1) and of their squares."""
    sums = []
    for start in range(0, len(crops), CHUNK):
        views = _views(model, crops[start : start + CHUNK], model.log_scale.device)
        sums.append((views.mean((1, 2)), views.square().mean((1, 2))))
    means, squares = (torch.cat(column) for column in zip(*sums, strict=True))
    return means, squares


@torch.inference_mode()
def embed_crops(
    model: SyncModel, crops: np.ndarray, mean: torch.Tensor, square: torch.Tensor
) -> np.ndarray:
    """Video embeddings of frames in a row, uint8 [T, S, S] -> float32 [T − 4, D].

    Args:
        mean, square: mean brightness and mean squared brightness (``levels``) to be removed.
    """
    device = model.log_scale.device
    deviation = (square - mean.square()).clamp(min=1e-6).sqrt()
    parts = []
    for start in range(0, len(crops) - WINDOW_FRAMES + 1, CHUNK):
        piece = crops[start : start + CHUNK + WINDOW_FRAMES - 1]
        views = _views(model, piece, device)[None]
        parts.append(model.video(normalise_views(views, mean[None], deviation[None]))[0])
    return torch.cat(parts).float().cpu().numpy()


def _views(model: SyncModel, crops: np.ndarray, device: torch.device) -> torch.Tensor:
    pixels = torch.from_numpy(np.ascontiguousarray(crops)).to(device)
    return central_view(pixels, model.size).float() / 255


@torch.inference_mode()
def embed_audio(model: SyncModel, mfcc: np.ndarray, speech: np.ndarray) -> np.ndarray:
    """Audio embeddings every 10 ms: float32 [4 T, C], bool [T] -> float32 [4 (T − 4) − 3, D].

    Loudness is normalised over all of it; the network runs over pieces, with the result of one
    pass.
    """
    device = model.log_scale.device
    bands = bands_of(torch.from_numpy(np.ascontiguousarray(mfcc)).to(device))[None]
    counted = speech_steps(torch.from_numpy(np.ascontiguousarray(speech)).to(device))[None]
    return embed_bands(model, normalise_bands(bands, counted))


@torch.inference_mode()
def embed_bands(model: SyncModel, bands: torch.Tensor) -> np.ndarray:
    """Audio embeddings every 10 ms of normalised bands [1, 4 T, 40] -> float32
    [4 (T − 4) − 3, D]."""
    windows = bands.shape[1] // STEPS_PER_FRAME - WINDOW_FRAMES + 1
    parts = []
    for start in range(0, windows, CHUNK):
        stop = min(start + CHUNK, windows)
        more = stop < windows  # one window more, for the steps between two pieces
        piece = bands[
            :, start * STEPS_PER_FRAME : (stop + more + WINDOW_FRAMES - 1) * STEPS_PER_FRAME
        ]
        fine = fine_audio_embeddings(model.audio, piece)[0]
        parts.append(fine[: (stop - start) * STEPS_PER_FRAME])
    return torch.cat(parts).float().cpu().numpy()


def evidence_of(
    model: SyncModel,
    crops: np.ndarray,
    mfcc: np.ndarray,
    speech: np.ndarray,
    reach: int,
) -> Evidence:
    """Embed a track and its own sound and compare them within ``±reach`` steps of 10 ms."""
    return compare(embed_video(model, crops), embed_audio(model, mfcc, speech), speech, reach)


def measure(model: SyncModel, samples: list[Sample], reach: int) -> list[Evidence]:
    """The evidence of each sample with its own sound, moved by its own offset."""
    model.eval()
    return [evidence_of(model, *sample.read(), reach) for sample in samples]


def measure_strange(
    model: SyncModel, samples: list[Sample], others: list[Sample], reach: int
) -> list[Evidence]:
    """The evidence of each sample with the sound of another one; none where that is itself."""
    model.eval()
    found = []
    for one, other in zip(samples, others, strict=True):
        if one is other:
            continue
        n = min(one.n_frames, other.n_frames)
        sound = other.read(0, n)
        found.append(evidence_of(model, one.read(0, n).crop, sound.mfcc, sound.speech, reach))
    return found

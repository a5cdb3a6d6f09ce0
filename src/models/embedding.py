"""Crops and MFCC of a face track -> embeddings, computed a few seconds at a time.

One embedding a window (5 frames and the 20 hops under them), one frame apart.
Whatever may be too long for memory comes as a function that reads a part of it. Every result is
that of one pass over the whole.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import numpy as np
import torch

from ..core.constants import HOPS_PER_FRAME, N_MELS, WINDOW_FRAMES
from ..core.errors import CheckpointError
from ..core.side_by_side import Mapper
from ..core.torch_threads import side_by_side
from ..i18n.messages import tr
from .normalization import (
    Levels,
    RunningLevels,
    average_moments,
    crop_face_region,
    frame_moments,
    measure_bands,
    mfcc_to_bands,
    normalise_bands,
    normalise_regions,
    speech_by_hop,
)
from .spec import CHUNK
from .sync_model import SyncModel, embed_every_hop

# Read the frames from the first to before the second number: crops, uint8 [n, S, S], …
ReadCrops = Callable[[int, int], np.ndarray]
# … or MFCC under them, float32 [4 n, C], …
ReadMfcc = Callable[[int, int], np.ndarray]
# … or mel bands, float [1, 4 n, 40].
ReadBands = Callable[[int, int], torch.Tensor]


def embed_side_by_side(model: SyncModel) -> AbstractContextManager[Mapper]:
    """A ``map`` for chunks: on a CPU they are embedded beside each other."""
    return side_by_side(model.log_scale.device.type == "cpu")


# --- video


@torch.inference_mode()
def embed_video(model: SyncModel, crops: np.ndarray, levels: Levels | None = None) -> np.ndarray:
    """Video embeddings of a face track: uint8 [T, S, S] -> float32 [T − 4, D].

    Args:
        levels: brightness and contrast to be removed, [1] each; None: those of the track.
    """

    def read_crops(first: int, stop: int) -> np.ndarray:
        return crops[first:stop]

    if levels is None:
        levels = measure_brightness(model, read_crops, len(crops))
    n_windows = len(crops) - WINDOW_FRAMES + 1
    return np.concatenate([
        embed_video_chunk(model, read_crops, levels, start, min(start + CHUNK, n_windows))
        for start in range(0, n_windows, CHUNK)
    ])  # fmt: skip


@torch.inference_mode()
def crop_moments(model: SyncModel, crops: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and mean square of the grey values of each frame's face region.

    uint8 [T, S, S] -> two of [T], of grey values in 0…1.
    """
    return frame_moments(_face_regions(model, crops))


@torch.inference_mode()
def measure_brightness(model: SyncModel, read_crops: ReadCrops, n_frames: int) -> Levels:
    """Brightness and contrast of a face track of ``n_frames`` frames, [1] each."""
    # Allocated once: small results that stay would lie between the large blocks of the frames,
    # which malloc then cannot use again (43 MB a minute).
    means, squares = torch.empty(2, n_frames, device=model.log_scale.device)
    for start in range(0, n_frames, CHUNK):
        stop = min(start + CHUNK, n_frames)
        means[start:stop], squares[start:stop] = crop_moments(model, read_crops(start, stop))
    valid = torch.ones(1, n_frames, dtype=torch.bool, device=means.device)
    return average_moments((means[None], squares[None]), valid)


@torch.inference_mode()
def embed_video_chunk(
    model: SyncModel, read_crops: ReadCrops, levels: Levels, first: int, stop: int
) -> np.ndarray:
    """Embeddings of the windows ``first … stop − 1``, float32 [stop − first, D]."""
    regions = _face_regions(model, read_crops(first, stop + WINDOW_FRAMES - 1))[None]
    return _to_finite(model.video(normalise_regions(regions, *levels))[0])


def _face_regions(model: SyncModel, crops: np.ndarray) -> torch.Tensor:
    """uint8 [T, S, S] -> float [T, height, width], 0…1."""
    pixels = torch.from_numpy(np.ascontiguousarray(crops)).to(model.log_scale.device)
    return crop_face_region(pixels, model.spec).float() / 255


# --- audio


@torch.inference_mode()
def embed_audio(model: SyncModel, mfcc: np.ndarray, speech: np.ndarray) -> np.ndarray:
    """Audio embeddings every 10 ms: float32 [4 T, C], bool [T] -> float32 [4 (T − 4) − 3, D]."""
    bands = compute_bands(model, mfcc)
    has_speech = torch.from_numpy(np.ascontiguousarray(speech)).to(bands.device)
    levels = measure_bands(bands, speech_by_hop(has_speech)[None])
    return embed_bands(model, normalise_bands(bands, *levels))


@torch.inference_mode()
def embed_bands(model: SyncModel, bands: torch.Tensor) -> np.ndarray:
    """As ``embed_audio``, of normalised bands [1, 4 T, 40]."""

    def read_bands(first: int, stop: int) -> torch.Tensor:
        return bands[:, first * HOPS_PER_FRAME : stop * HOPS_PER_FRAME]

    n_frames = bands.shape[1] // HOPS_PER_FRAME
    return np.concatenate(list(embed_audio_chunks(model, read_bands, n_frames)))


def compute_bands(model: SyncModel, mfcc: np.ndarray) -> torch.Tensor:
    """MFCC [4 T, C] -> dB of mel bands [1, 4 T, 40], on the model's device."""
    hops = torch.from_numpy(np.ascontiguousarray(mfcc)).to(model.log_scale.device)
    return mfcc_to_bands(hops)[None]


def read_normalised_bands(model: SyncModel, read_mfcc: ReadMfcc, speech: np.ndarray) -> ReadBands:
    """A function that reads normalised bands; their levels are those of the whole clip.

    Args:
        speech: bool [T].
    """

    def read_bands(first: int, stop: int) -> torch.Tensor:
        return compute_bands(model, read_mfcc(first, stop))

    levels = measure_spectrum(read_bands, speech)
    return lambda first, stop: normalise_bands(read_bands(first, stop), *levels)


@torch.inference_mode()
def measure_spectrum(read_bands: ReadBands, speech: np.ndarray) -> Levels:
    """Mean spectrum of a clip's speech, [1, 1, 40], and the deviation from it, [1, 1, 1].

    As ``measure_bands``, but read in chunks.

    Args:
        speech: bool [T]; where it is nowhere true, all frames count.
    """
    counted = torch.from_numpy(speech if speech.any() else np.ones_like(speech))
    levels, device = RunningLevels(N_MELS), torch.device("cpu")
    for start in range(0, len(speech), CHUNK):
        stop = min(start + CHUNK, len(speech))
        bands = read_bands(start, stop)
        device = bands.device
        levels.add_bands(bands[0, speech_by_hop(counted[start:stop])].cpu().numpy())
    return levels.band_levels(device)


def embed_audio_chunks(
    model: SyncModel, read_bands: ReadBands, n_frames: int, mapped: Mapper = map
) -> Iterator[np.ndarray]:
    """Audio embeddings every 10 ms, float32 [n, D] each, one chunk after the other.

    Args:
        read_bands: of normalised bands.
        n_frames: of the clip.
        mapped: computes the chunks, as ``embed_side_by_side`` gives it.
    """
    n_windows = n_frames - WINDOW_FRAMES + 1

    @torch.inference_mode()
    def embed_chunk(start: int) -> np.ndarray:
        stop = min(start + CHUNK, n_windows)
        has_next = stop < n_windows  # one window more, for the hops between two chunks
        bands = read_bands(start, stop + has_next + WINDOW_FRAMES - 1)
        embeddings = embed_every_hop(model.audio, bands)[0]
        return _to_finite(embeddings[: (stop - start) * HOPS_PER_FRAME])

    return mapped(embed_chunk, range(0, n_windows, CHUNK))


def _to_finite(embeddings: torch.Tensor) -> np.ndarray:
    """float32 of the same shape.

    Raises:
        CheckpointError: they are no finite numbers, as finite weights may give, too.
    """
    values = embeddings.float().cpu().numpy()
    if not np.isfinite(values).all():
        raise CheckpointError(
            tr("the network gives values that are not numbers: its weights are damaged, or its "
               "training has diverged; use another checkpoint")
        )  # fmt: skip
    return values

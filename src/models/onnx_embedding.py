"""``embedding`` for encoders in ONNX: the same with NumPy and ONNX Runtime, without PyTorch."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from ..core.constants import HOPS_PER_FRAME, N_MELS, WINDOW_FRAMES
from ..core.errors import CheckpointError
from ..core.mel_scale import dct_matrix
from ..core.side_by_side import Mapper, mapped_in_threads
from ..core.workers import cores
from ..i18n.messages import tr
from .limits import MAX_BAND, MIN_BAND_VARIANCE, MIN_REGION_VARIANCE
from .spec import CHUNK, ModelSpec

ReadCrops = Callable[[int, int], np.ndarray]  # as of ``embedding``
ReadMfcc = Callable[[int, int], np.ndarray]
ReadBands = Callable[[int, int], np.ndarray]
Levels = tuple[np.ndarray, np.ndarray]  # mean and standard deviation
VIDEO, AUDIO = ENCODERS = ("video", "audio_hop")  # the second gives an embedding every 10 ms


def encoder_name(encoder: str) -> str:
    """The file of an exported encoder, one of ``ENCODERS``."""
    return f"{encoder}_encoder.onnx"


class OnnxModel:
    """Both encoders of a network, ready to compute.

    Args:
        encoders: by their names in ``ENCODERS``: files of ``tools/export_models.py``, or what
            ``onnx_graph`` gives.

    Attributes:
        spec: of the network.

    Raises:
        CheckpointError: a file is damaged.
    """

    def __init__(self, spec: ModelSpec, encoders: Mapping[str, Path | bytes]):
        self.spec = spec
        self._is_exported = any(isinstance(encoder, Path) for encoder in encoders.values())
        self._sessions = {name: _session(encoders[name]) for name in ENCODERS}

    def encode(self, encoder: str, values: np.ndarray) -> np.ndarray:
        """Embeddings of normalised face regions [T, height, width], [T − 4, D], or of bands
        [4 T, 40] at every hop, [4 (T − 4) − 3, D].

        Raises:
            CheckpointError: the encoder does not fit the input, or gives no finite numbers.
        """
        session = self._sessions[encoder]
        inputs = {session.get_inputs()[0].name: np.ascontiguousarray(values[None], np.float32)}
        try:
            embeddings = session.run(None, inputs)[0][0]
        except Exception as error:  # its classes are private, and derive from Exception only
            reason = str(error).strip().splitlines()[0]
            if not self._is_exported:
                raise CheckpointError(
                    tr("ONNX Runtime cannot compute the network: {why}; try --backend torch",
                       why=reason)
                ) from None  # fmt: skip
            raise CheckpointError(
                tr("the exported encoder {name} cannot be used: {why}; export it again",
                   name=encoder_name(encoder), why=reason)
            ) from None  # fmt: skip
        if not np.isfinite(embeddings).all():
            raise CheckpointError(
                tr("the network gives values that are not numbers: its weights are damaged, or its "
                   "training has diverged; use another checkpoint")
            )  # fmt: skip
        return embeddings


def _session(encoder: Path | bytes):
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read by the import
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # chunks run beside each other
    options.log_severity_level = 3
    source = encoder if isinstance(encoder, bytes) else str(encoder)
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # as in ``encode``
        if isinstance(encoder, bytes):  # of our own: a bug
            raise
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(
            tr("{path} is damaged: {why}; export it again", path=encoder, why=reason)
        ) from None


def embed_side_by_side(model: OnnxModel) -> AbstractContextManager[Mapper]:
    """A ``map`` for chunks, which are embedded beside each other, one for each core."""
    given = os.environ.get("OMP_NUM_THREADS", "")  # as PyTorch reads it; 1 in worker processes
    return mapped_in_threads(int(given) if given.isdecimal() and int(given) else cores())


# --- video


def embed_video(model: OnnxModel, crops: np.ndarray) -> np.ndarray:
    """Video embeddings of a face track: uint8 [T, S, S] -> float32 [T − 4, D]."""

    def read_crops(first: int, stop: int) -> np.ndarray:
        return crops[first:stop]

    levels = measure_brightness(model, read_crops, len(crops))
    n_windows = len(crops) - WINDOW_FRAMES + 1
    return np.concatenate([
        embed_video_chunk(model, read_crops, levels, start, min(start + CHUNK, n_windows))
        for start in range(0, n_windows, CHUNK)
    ])  # fmt: skip


def measure_brightness(model: OnnxModel, read_crops: ReadCrops, n_frames: int) -> Levels:
    """Brightness and contrast of a face track of ``n_frames`` frames, of grey values in 0…1."""
    means, squares = np.empty((2, n_frames))
    for start in range(0, n_frames, CHUNK):
        stop = min(start + CHUNK, n_frames)
        regions = _face_regions(model, read_crops(start, stop))
        means[start:stop] = regions.mean((1, 2), dtype=np.float64)
        squares[start:stop] = np.square(regions).mean((1, 2), dtype=np.float64)
    mean = means.mean()
    return mean, np.sqrt(max(squares.mean() - mean**2, MIN_REGION_VARIANCE))


def embed_video_chunk(
    model: OnnxModel, read_crops: ReadCrops, levels: Levels, first: int, stop: int
) -> np.ndarray:
    """Embeddings of the windows ``first … stop − 1``, float32 [stop − first, D]."""
    mean, deviation = levels
    regions = _face_regions(model, read_crops(first, stop + WINDOW_FRAMES - 1))
    return model.encode(VIDEO, (regions - np.float32(mean)) / np.float32(deviation))


def _face_regions(model: OnnxModel, crops: np.ndarray) -> np.ndarray:
    """uint8 [T, S, S] -> float32 [T, height, width], 0…1."""
    height, width = model.spec.region_shape
    top, left = model.spec.region_top, (model.spec.input_size - width) // 2
    regions = crops[..., top : top + height, left : left + width]
    return regions.astype(np.float32) / np.float32(255)


# --- audio


def embed_audio(model: OnnxModel, mfcc: np.ndarray, speech: np.ndarray) -> np.ndarray:
    """Audio embeddings every 10 ms: float32 [4 T, C], bool [T] -> float32 [4 (T − 4) − 3, D]."""

    def read_mfcc(first: int, stop: int) -> np.ndarray:
        return mfcc[first * HOPS_PER_FRAME : stop * HOPS_PER_FRAME]

    read_bands = read_normalised_bands(model, read_mfcc, speech)
    return np.concatenate(list(embed_audio_chunks(model, read_bands, len(speech))))


def read_normalised_bands(model: OnnxModel, read_mfcc: ReadMfcc, speech: np.ndarray) -> ReadBands:
    """A function that reads normalised mel bands, float32 [4 n, 40], of the frames from the first
    to before the second number; their levels are those of the whole clip's speech.

    Args:
        speech: bool [T]; where it is nowhere true, all frames count.
    """

    def read_bands(first: int, stop: int) -> np.ndarray:
        mfcc = np.ascontiguousarray(read_mfcc(first, stop))
        return mfcc @ dct_matrix(mfcc.shape[-1]).T

    mean, deviation = _measure_spectrum(read_bands, speech)
    return lambda first, stop: np.clip(
        (read_bands(first, stop) - mean) / deviation, -MAX_BAND, MAX_BAND
    )


def _measure_spectrum(read_bands: ReadBands, speech: np.ndarray) -> Levels:
    """Mean spectrum of a clip's speech, float32 [40], and the deviation from it over all bands."""
    counted = speech if speech.any() else np.ones_like(speech)
    count, sums = 0, np.zeros((2, N_MELS))
    for start in range(0, len(speech), CHUNK):
        stop = min(start + CHUNK, len(speech))
        is_counted = np.repeat(counted[start:stop], HOPS_PER_FRAME)
        bands = read_bands(start, stop)[is_counted].astype(np.float64)
        count += len(bands)
        sums += bands.sum(0), np.square(bands).sum(0)
    mean, mean_square = sums / max(count, 1)
    variance = max(float((mean_square - mean**2).mean()), MIN_BAND_VARIANCE)
    return mean.astype(np.float32), np.float32(np.sqrt(variance))


def embed_audio_chunks(
    model: OnnxModel, read_bands: ReadBands, n_frames: int, mapped: Mapper = map
) -> Iterator[np.ndarray]:
    """Audio embeddings every 10 ms, float32 [n, D] each, one chunk after the other.

    Args:
        read_bands: of normalised bands.
        n_frames: of the clip.
        mapped: computes the chunks, as ``embed_side_by_side`` gives it.
    """
    n_windows = n_frames - WINDOW_FRAMES + 1

    def embed_chunk(start: int) -> np.ndarray:
        stop = min(start + CHUNK, n_windows)
        has_next = stop < n_windows  # one window more, for the hops between two chunks
        bands = read_bands(start, stop + has_next + WINDOW_FRAMES - 1)
        return model.encode(AUDIO, bands)[: (stop - start) * HOPS_PER_FRAME]

    return mapped(embed_chunk, range(0, n_windows, CHUNK))

"""One sample on disk: the frames of one face track with the audio features under them.

A sample is one ``.npy`` of records, one a frame::

    crop    uint8   [size, size]     the aligned face, grey
    mfcc    float32 [4, n_mfcc]      the four hops under the frame
    speech  bool                     whether someone speaks
    box     float32 [4]              x0 y0 x1 y1 of the face, in pixels of the video

so video and audio cannot come apart, and ``numpy.load(…, mmap_mode="r")`` reads what is needed.
Files are written and read in chunks: memory does not grow with their length.
"""

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.lib import format as npy

from ..core.constants import HOPS_PER_FRAME, N_MELS
from ..core.errors import DatasetError, OutputError
from ..core.files import written_atomically
from ..i18n.messages import tr

CHUNK_FRAMES = 500  # frames held at a time


def sample_dtype(size: int, n_mfcc: int, hops: int) -> np.dtype:
    """The record of one frame of a sample.

    Args:
        size: side of the crop, pixels.
        n_mfcc: coefficients a hop.
        hops: MFCC hops under the frame.
    """
    return np.dtype(
        [("crop", "u1", (size, size)), ("mfcc", "<f4", (hops, n_mfcc)), ("speech", "?"),
         ("box", "<f4", (4,))]
    )  # fmt: skip


FIELDS = sample_dtype(1, 1, 1).names


class RecordFile:
    """Records of one dtype, appended to a file and read back in slices.

    Args:
        path: created, or emptied.
        dtype: of a record.
    """

    def __init__(self, path: Path, dtype: np.dtype):
        self.path, self.dtype = path, dtype
        self._pending: list[np.ndarray] = []
        self._length = self._n_written = 0
        try:
            self._file = open(path, "wb")  # noqa: SIM115 (open until ``close``)
        except OSError as error:
            raise _unwritable(path, error) from None

    def append(self, records: np.ndarray) -> None:
        """Add records; they reach the disk in chunks."""
        self._pending.append(records)
        self._length += len(records)
        if self._length - self._n_written >= CHUNK_FRAMES:
            self._flush()

    def _flush(self) -> None:
        try:
            for records in self._pending:
                self._file.write(np.ascontiguousarray(records).tobytes())
            self._file.flush()
        except OSError as error:
            raise _unwritable(self.path, error) from None
        self._pending, self._n_written = [], self._length

    def close(self) -> None:
        """Write what is pending and close the file."""
        self._flush()
        self._file.close()

    def discard(self) -> None:
        """Remove the file."""
        self._file.close()
        self.path.unlink(missing_ok=True)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, span: slice) -> np.ndarray:
        """Records of a closed file, read from disk."""
        start, stop, _ = span.indices(self._length)
        offset = start * self.dtype.itemsize
        return np.fromfile(self.path, self.dtype, max(0, stop - start), offset=offset)


class CropFile:
    """Crops and boxes of one track on disk (a ``faces.track.CropSink``).

    Attributes:
        records: crop and box, one record a frame.
    """

    def __init__(self, path: Path, size: int):
        dtype = np.dtype([("crop", "u1", (size, size)), ("box", "<f4", (4,))])
        self.records = RecordFile(path, dtype)

    def append(self, crop: np.ndarray, box: np.ndarray) -> None:
        record = np.empty(1, self.records.dtype)
        record["crop"], record["box"] = crop, box
        self.records.append(record)

    def close(self) -> None:
        self.records.close()

    def discard(self) -> None:
        self.records.discard()


class FrameFeatures(Protocol):
    """Audio features by frame of the clip; ``clip_features.AudioFeatures`` is one."""

    dtype: np.dtype

    def __getitem__(self, span: slice) -> np.ndarray:
        """Records of mfcc [hops, n_mfcc] and speech of the frames ``start … stop − 1``."""


def write_sample(path: Path, crops: RecordFile, audio: FrameFeatures, first_frame: int) -> None:
    """Join a track with the audio features under it; the file appears complete or not at all.

    Args:
        path: the sample.
        crops: records of crop and box, one a frame.
        audio: of the whole clip.
        first_frame: the track's first frame in the clip.

    Raises:
        OutputError: it cannot be written.
    """
    size = crops.dtype["crop"].shape[0]
    hops, n_mfcc = audio.dtype["mfcc"].shape
    dtype = sample_dtype(size, n_mfcc, hops)
    header = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": (len(crops),)}
    with written_atomically(path) as temporary_path, open(temporary_path, "wb") as file:
        npy.write_array_header_1_0(file, header)
        for start in range(0, len(crops), CHUNK_FRAMES):
            video_part = crops[start : start + CHUNK_FRAMES]
            first = first_frame + start
            audio_part = audio[first : first + len(video_part)]
            records = np.empty(len(video_part), dtype)
            for name in FIELDS:
                part = video_part if name in video_part.dtype.names else audio_part
                records[name] = part[name]
            file.write(records.tobytes())


def read_sample(path: Path) -> np.ndarray:
    """Memory-map one sample: records [T] with the fields crop, mfcc, speech, box.

    Raises:
        DatasetError: missing or damaged.
    """
    try:
        records = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(records, np.ndarray) or records.dtype.names != FIELDS:
            raise ValueError("other fields")
        (size, *_), (hops, n_mfcc) = records.dtype["crop"].shape, records.dtype["mfcc"].shape
        if records.ndim != 1 or records.dtype != sample_dtype(size, n_mfcc, hops):
            raise ValueError("other fields")
        if hops != HOPS_PER_FRAME or not 0 < n_mfcc <= N_MELS:
            raise ValueError("other fields")
    # numpy raises nearly anything for a damaged header.
    except Exception as error:
        raise DatasetError(
            tr("cannot read the sample {path} ({why}): run python src/data_processing.py again",
               path=path, why=error)
        ) from None  # fmt: skip
    return records


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(tr("cannot write {path}: {why}", path=path, why=error.strerror or error))

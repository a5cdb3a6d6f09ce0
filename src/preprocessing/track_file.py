"""One sample on disk: the frames of one track with the sound under them.

A sample is one ``.npy`` of records, one a frame::

    crop    uint8   [size, size]     the aligned face, grey
    mfcc    float32 [4, n_mfcc]      the four steps under the frame
    speech  bool                     whether somebody speaks
    box     float32 [4]              x0 y0 x1 y1 of the face, in pixels of the video

so picture and sound cannot come apart, and ``numpy.load(…, mmap_mode="r")`` reads what is needed.
Files are written and read in pieces: memory does not grow with their length.
"""

from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from ..core.errors import DatasetError, OutputError
from ..core.files import written_atomically
from ..i18n.messages import tr

PIECE = 500  # frames held at a time


def record_type(size: int, n_mfcc: int, steps: int) -> np.dtype:
    """One frame of a sample; ``steps`` MFCC steps lie under it."""
    return np.dtype(
        [("crop", "u1", (size, size)), ("mfcc", "<f4", (steps, n_mfcc)), ("speech", "?"),
         ("box", "<f4", (4,))]
    )  # fmt: skip


FIELDS = record_type(1, 1, 1).names


class RowFile:
    """Rows of one type, appended to a file and read back in slices.

    Args:
        path: made, or made empty.
        kind: type of a row.
    """

    def __init__(self, path: Path, kind: np.dtype):
        self.path, self.kind = path, kind
        self._waiting: list[np.ndarray] = []
        self._length = self._written = 0
        try:
            self._file = open(path, "wb")  # noqa: SIM115 (open until ``close``)
        except OSError as error:
            raise _unwritable(path, error) from None

    def append(self, rows: np.ndarray) -> None:
        """Add rows; they reach the disk in pieces."""
        self._waiting.append(rows)
        self._length += len(rows)
        if self._length - self._written >= PIECE:
            self._write()

    def _write(self) -> None:
        try:
            for rows in self._waiting:
                self._file.write(np.ascontiguousarray(rows).tobytes())
            self._file.flush()
        except OSError as error:
            raise _unwritable(self.path, error) from None
        self._waiting, self._written = [], self._length

    def close(self) -> None:
        """No more rows."""
        self._write()
        self._file.close()

    def discard(self) -> None:
        """Remove the file."""
        self._file.close()
        self.path.unlink(missing_ok=True)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, span: slice) -> np.ndarray:
        """Rows of a closed file, read anew."""
        start, stop, _ = span.indices(self._length)
        offset = start * self.kind.itemsize
        return np.fromfile(self.path, self.kind, max(0, stop - start), offset=offset)


class CropFile:
    """Crops and boxes of one track, as ``tracking`` hands them on."""

    def __init__(self, path: Path, size: int):
        kind = np.dtype([("crop", "u1", (size, size)), ("box", "<f4", (4,))])
        self.rows = RowFile(path, kind)

    def append(self, crop: np.ndarray, box: np.ndarray) -> None:
        row = np.empty(1, self.rows.kind)
        row["crop"], row["box"] = crop, box
        self.rows.append(row)

    def close(self) -> None:
        self.rows.close()

    def discard(self) -> None:
        self.rows.discard()


def write_sample(path: Path, crops: RowFile, sound, first_frame: int) -> None:
    """Join a track with the sound under it, aside and renamed.

    Args:
        path: the sample.
        crops: rows of crop and box, one a frame.
        sound: gives ``sound[a:b]``, rows of mfcc [steps, n_mfcc] and speech, for frames of the
            clip.
        first_frame: the track's first frame in the clip.

    Raises:
        OutputError.
    """
    size = crops.kind["crop"].shape[0]
    steps, n_mfcc = sound.kind["mfcc"].shape
    kind = record_type(size, n_mfcc, steps)
    header = {"descr": npy.dtype_to_descr(kind), "fortran_order": False, "shape": (len(crops),)}
    with written_atomically(path) as aside, open(aside, "wb") as file:
        npy.write_array_header_1_0(file, header)
        for start in range(0, len(crops), PIECE):
            seen = crops[start : start + PIECE]
            heard = sound[first_frame + start : first_frame + start + len(seen)]
            records = np.empty(len(seen), kind)
            for name in FIELDS:
                records[name] = (seen if name in seen.dtype.names else heard)[name]
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
    # numpy raises nearly anything for a damaged header.
    except Exception as error:
        raise DatasetError(
            tr("cannot read the sample {path} ({why}): run python src/data_processing.py again",
               path=path, why=error)
        ) from None  # fmt: skip
    return records


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(tr("cannot write {path}: {why}", path=path, why=error.strerror or error))

"""The index and the samples on disk: written by data_processing, read by dataset.

``dataset_index.pkl`` is a pickle of plain builtins::

    {"version": 1,
     "settings": {"input_size": 96, …},       # what the samples depend on
     "samples": [{"id", "file", "clip", "speaker", "first_frame", "n_frames", "fps",
                  "face_share", "speech_share", "offset_ms", "video_sha256", "audio_sha256"}, …]}

``file`` is relative to the index. A sample is one ``.npy`` of records, one a frame::

    crop    uint8   [size, size]     the aligned face, grey
    mfcc    float32 [4, n_mfcc]      the four steps under the frame
    speech  bool                     whether somebody speaks

so picture and sound cannot come apart, and ``numpy.load(…, mmap_mode="r")`` reads what is needed.
"""

import hashlib
import pickle
from pathlib import Path

import numpy as np

from src.clip_features import TrackFeatures
from src.config import DataConfig
from src.errors import DatasetError
from src.files import written_aside
from src.messages import tr

INDEX_NAME = "dataset_index.pkl"
VERSION = 1
# The settings a sample depends on. Other values make other samples.
SAMPLE_SETTINGS = (
    "input_size", "fps", "sample_rate", "n_mfcc", "detector", "detection_size", "detect_every",
    "min_score", "max_lost_frames", "min_frames",
)  # fmt: skip

FIELDS = ("crop", "mfcc", "speech")


class _PlainUnpickler(pickle.Unpickler):
    """Admits dict, list, str, int, float, bool, bytes and None, which need no import at all."""

    def find_class(self, module, name):
        raise pickle.UnpicklingError(f"{module}.{name} is not a plain builtin")


def sample_settings(settings: DataConfig) -> dict:
    """The part of the settings that samples depend on."""
    return {name: getattr(settings, name) for name in SAMPLE_SETTINGS}


def write_index(path: Path, settings: dict, samples: list[dict]) -> None:
    """Write the index aside and rename it.

    Raises:
        OutputError.
    """
    index = {"version": VERSION, "settings": settings, "samples": samples}
    with written_aside(path) as aside:
        aside.write_bytes(pickle.dumps(index, protocol=4))


def read_index(path: Path) -> dict:
    """Read an index; nothing in it is ever executed.

    Raises:
        DatasetError: missing, damaged, of another version, or not plain.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            index = _PlainUnpickler(file).load()
    except FileNotFoundError:
        raise DatasetError(
            tr("{path} not found: run python src/data_processing.py first", path=path)
        ) from None
    except OSError as error:
        raise DatasetError(tr("cannot read {path}: {why}", path=path, why=error.strerror)) from None
    # A damaged pickle can raise nearly anything; none of it has run foreign code.
    except Exception as error:
        raise _bad_index(path, error) from None
    if not isinstance(index, dict) or not isinstance(index.get("samples"), list):
        raise _bad_index(path, tr("no list of samples"))
    if index.get("version") != VERSION:
        raise _bad_index(path, tr("version {found}, not {known}",
                                  found=index.get("version"), known=VERSION))  # fmt: skip
    for record in index["samples"]:
        _check_record(path, record)
    return index


def _check_record(path: Path, record: dict) -> None:
    needed = {"id": str, "file": str, "clip": str, "speaker": str, "n_frames": int}
    if not isinstance(record, dict) or any(
        not isinstance(record.get(key), kind) for key, kind in needed.items()
    ):
        raise _bad_index(path, tr("an incomplete sample"))
    inside = (path.parent / record["file"]).resolve()
    if not inside.is_relative_to(path.parent.resolve()):
        raise _bad_index(path, tr("{file} lies outside its folder", file=record["file"]))


def _bad_index(path: Path, why) -> DatasetError:
    return DatasetError(
        tr("{path} is not a sound index ({why}): delete it and run python src/data_processing.py",
           path=path, why=why)
    )  # fmt: skip


def write_sample(path: Path, track: TrackFeatures) -> None:
    """Write one track as records, aside and renamed.

    Raises:
        OutputError.
    """
    frames, size = track.crops.shape[:2]
    steps = track.mfcc.reshape(frames, -1, track.mfcc.shape[1])
    kind = [("crop", "u1", (size, size)), ("mfcc", "<f4", steps.shape[1:]), ("speech", "?")]
    records = np.empty(frames, np.dtype(kind))
    records["crop"], records["mfcc"], records["speech"] = track.crops, steps, track.speech
    with written_aside(path) as aside:
        np.save(aside, records, allow_pickle=False)


def read_sample(path: Path) -> np.ndarray:
    """Memory-map one sample: records [T] with the fields crop, mfcc, speech.

    Raises:
        DatasetError: missing or damaged.
    """
    try:
        records = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(records, np.ndarray) or records.dtype.names != FIELDS:
            raise ValueError("other fields")
    except (OSError, ValueError, EOFError) as error:
        raise DatasetError(
            tr("cannot read the sample {path} ({why}): run python src/data_processing.py again",
               path=path, why=error)
        ) from None  # fmt: skip
    return records


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()

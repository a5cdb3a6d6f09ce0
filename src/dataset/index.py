"""The index of the samples: written by data_processing, read by training and evaluation.

``dataset_index.pkl`` is a pickle of plain builtins::

    {"version": 2,
     "settings": {"input_size": 96, …},       # what the samples depend on
     "samples": [{"id", "file", "clip", "speaker", "first_frame", "n_frames", "fps",
                  "face_share", "speech_share", "faces", "notes", "offset_ms",
                  "video_sha256", "audio_sha256"}, …]}

``offset_ms`` is the clip offset (> 0: the audio leads), ``face_share`` and ``speech_share`` are
shares of the frames (0–1), ``faces`` counts the face tracks of the clip, ``notes`` are texts on
what was skipped. ``clean_offsets`` sets ``offset_ms``, and ``offset_known``: whether it could be
measured.

``file`` is relative to the index; ``preprocessing.sample_file`` describes its content.
"""

import logging
import os
import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

from ..core.config import DataConfig
from ..core.errors import DatasetError
from ..core.files import written_atomically
from ..core.locks import check_unlocked, locked
from ..i18n.messages import tr

logger = logging.getLogger(__name__)

INDEX_NAME = "dataset_index.pkl"
SAMPLES_FOLDER = "samples"  # beside the index
UNPACKED_FOLDER = "unpacked"  # beside it: samples that wait for their shard (data.format: shards)
OWN_FILE = re.compile(rf"{SAMPLES_FOLDER}/[^/\\]+\.npy")  # as ``build`` names samples
VERSION = 2
# The settings a sample depends on. Other values make other samples.
SAMPLE_SETTINGS = (
    "input_size", "fps", "sample_rate", "n_mfcc", "detector", "detection_size", "detect_every",
    "min_score", "min_face_size", "max_faces", "track", "max_lost_frames", "min_frames",
)  # fmt: skip
RECORD_TYPES = {"id": str, "file": str, "clip": str, "speaker": str, "n_frames": int}  # required
OPTIONAL_TYPES = {
    "first_frame": (int,), "fps": (int, float), "face_share": (int, float),
    "speech_share": (int, float), "faces": (int,), "notes": (list,),
    "offset_ms": (int, float, type(None)), "offset_known": (bool,), "video_sha256": (str,),
    "audio_sha256": (str,), "source_version": (str,),
}  # fmt: skip
MAX_OFFSET_MS = 1e5  # offsets beyond this are a mistake
MAX_NUMBER = 2**31 - 1
MAX_NAME_BYTES = 255  # of a file


class InvalidIndexError(DatasetError):
    """The file is not an index, or one of another version."""


class _PlainUnpickler(pickle.Unpickler):
    """Admits dict, list, str, int, float, bool, bytes and None, which need no import at all."""

    def find_class(self, module, name):
        raise pickle.UnpicklingError(f"{module}.{name} is not a plain builtin")


def sample_settings(settings: DataConfig) -> dict:
    """The part of the settings that samples depend on."""
    return {name: getattr(settings, name) for name in SAMPLE_SETTINGS}


@contextmanager
def index_locked(path: Path) -> Iterator[None]:
    """Nobody else extends an index while the block runs.

    The runs of several shards have an index each, and may work in one folder at once; not so a run
    of all clips and one of a shard, as both may be processing the same clip.

    Args:
        path: of the index, in an existing folder.

    Raises:
        InUseError: another run does.
        OutputError: the folder cannot be written.
    """
    folder = path.parent
    with locked(_lock_path(path), folder):
        if path.name == INDEX_NAME:
            others = sorted(folder.glob(".dataset_index.shard-*.lock"))
        else:
            others = [_lock_path(folder / INDEX_NAME)]
        for other in others:
            check_unlocked(other, folder)
        yield


def _lock_path(index: Path) -> Path:
    return index.with_name(f".{index.stem}.lock")


def write_index(path: Path, settings: dict, samples: list[dict]) -> None:
    """Write the index; it replaces the old one only when it is complete.

    Raises:
        OutputError: it cannot be written.
    """
    index = {"version": VERSION, "settings": settings, "samples": samples}
    with written_atomically(path) as temporary_path:
        temporary_path.write_bytes(pickle.dumps(index, protocol=4))


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
        raise _invalid_index(path, error) from None
    if not isinstance(index, dict) or not isinstance(index.get("samples"), list):
        raise _invalid_index(path, tr("no list of samples"))
    if index.get("version") != VERSION:
        raise _invalid_index(path, tr("version {found}, not {known}",
                                      found=index.get("version"), known=VERSION))  # fmt: skip
    if not isinstance(index.get("settings"), dict):
        raise _invalid_index(path, tr("no settings"))
    check_records(path, index["samples"])
    return index


def check_records(path: Path, records: list[dict]) -> None:
    """Reject records that cannot be those of samples.

    Raises:
        InvalidIndexError.
    """
    for record in records:
        _check_record(path, record)


def _check_record(path: Path, record: dict) -> None:
    if not isinstance(record, dict) or any(
        not isinstance(record.get(key), record_type) for key, record_type in RECORD_TYPES.items()
    ):
        raise _invalid_index(path, tr("an incomplete sample"))
    _check_values(path, record)
    file = PurePath(os.path.normpath(record["file"]))
    if file.anchor or ".." in file.parts:
        raise _invalid_index(path, tr("{file} is outside its folder", file=record["file"]))


def _check_values(path: Path, record: dict) -> None:
    """Reject values of another type, numbers that are none, and names that no file can have."""
    for name, types in OPTIONAL_TYPES.items():
        value = record.get(name)
        is_right = name not in record or type(value) in types
        if type(value) in (int, float):
            limit = MAX_OFFSET_MS if name == "offset_ms" else MAX_NUMBER
            is_right = is_right and abs(value) <= limit  # false for NaN
        if isinstance(value, list):
            is_right = is_right and all(isinstance(note, str) for note in value)
        if not is_right:
            raise _invalid_value(path, record, name)
    if not 0 <= record["n_frames"] <= MAX_NUMBER:
        raise _invalid_value(path, record, "n_frames")
    parts = PurePath(record["file"]).parts
    if "\0" in record["file"] or any(_n_bytes(part) > MAX_NAME_BYTES for part in parts):
        raise _invalid_value(path, record, "file")


def _n_bytes(name: str) -> int:
    return len(name.encode(errors="surrogatepass"))


def _invalid_value(path: Path, record: dict, name: str) -> InvalidIndexError:
    reason = tr("{name} of the sample {id} is {value}",
                name=name, id=record["id"], value=record.get(name))  # fmt: skip
    return _invalid_index(path, reason)


def _invalid_index(path: Path, reason) -> InvalidIndexError:
    return InvalidIndexError(
        tr("{path} is not a valid index ({why}): delete it and run python src/data_processing.py",
           path=path, why=reason)
    )  # fmt: skip


def unpacked_path(folder: Path, record: dict) -> Path:
    """Where a sample waits until it is in a shard."""
    return folder / UNPACKED_FOLDER / PurePath(record["file"]).name


def single_path(folder: Path, record: dict) -> Path:
    """The file of a sample that is in no shard yet: one that waits, or one of ``samples``."""
    waiting = unpacked_path(folder, record)
    return waiting if waiting.exists() else folder / record["file"]


def remove_unreferenced_samples(
    folder: Path, old_records: dict[str, list[dict]], samples: list[dict]
) -> None:
    """Remove the files of old records that are not among the samples any more, except those that
    another index of the folder lists: a shard's, or the merged one.

    Args:
        folder: of the indexes.
        old_records: by clip.
        samples: records of the new index.
    """
    # An index from elsewhere may name any file of the folder: only samples are removed.
    files = {record["file"] for records in old_records.values() for record in records}
    files = set(filter(OWN_FILE.fullmatch, files))
    files -= {record["file"] for record in samples}
    files = {file for file in files if (folder / file).exists()}
    for path in folder.glob("dataset_index*.pkl") if files else ():
        try:
            files -= {record["file"] for record in read_index(path)["samples"]}
        except DatasetError:
            return  # it may list any of them
    for file in files:
        (folder / file).unlink(missing_ok=True)


def load_index_to_extend(
    path: Path, settings: dict, overwrite: bool = False
) -> dict[str, list[dict]]:
    """Records of an index that is to be extended, by clip; empty where there is none.

    Args:
        path: the index.
        settings: those of the new samples.
        overwrite: empty an index made with other settings instead of rejecting it.

    Raises:
        DatasetError: it was made with other settings, or cannot be read.
        OutputError: it cannot be emptied.
    """
    if not path.exists():
        return {}
    try:
        index = read_index(path)
    except InvalidIndexError as error:
        logger.info(tr("rebuilding the index: {why}", why=error))
        return {}
    difference = settings_difference(index.get("settings"), settings)
    if difference and overwrite:
        logger.info(tr("the settings have changed since the last run: processing all clips again"))
        write_index(path, settings, [])
        remove_unreferenced_samples(path.parent, group_by_clip(index["samples"]), [])
        return {}
    if difference:
        raise DatasetError(
            tr("{path} was made with data.{name} = {made}, the settings say {value}: choose "
               "another data.processed_dir, or start over with --overwrite",
               path=path, **difference)
        )  # fmt: skip
    return group_by_clip(index["samples"])


def settings_difference(index_settings: dict | None, settings: dict) -> dict | None:
    """The first setting that differs: its ``name``, its value in the index (``made``) and in the
    settings (``value``); None where all are equal."""
    index_settings = index_settings if isinstance(index_settings, dict) else {}
    for name, value in settings.items():
        if index_settings.get(name) != value:
            return {"name": name, "made": index_settings.get(name), "value": value}
    return None


def group_by_clip(records: list[dict]) -> dict[str, list[dict]]:
    """Records of an index by the name of their clip."""
    records_by_clip: dict[str, list[dict]] = {}
    for record in records:
        records_by_clip.setdefault(record["clip"], []).append(record)
    return records_by_clip

"""The index of the samples: written by data_processing, read by dataset.

``dataset_index.pkl`` is a pickle of plain builtins::

    {"version": 2,
     "settings": {"input_size": 96, …},       # what the samples depend on
     "samples": [{"id", "file", "clip", "speaker", "first_frame", "n_frames", "fps",
                  "face_share", "speech_share", "faces", "notes", "offset_ms",
                  "video_sha256", "audio_sha256"}, …]}

``clean_offsets`` sets ``offset_ms``, and ``offset_known``: whether it was found.

``file`` is relative to the index; ``sample_file`` says what is in it.
"""

import os
import pickle
from pathlib import Path, PurePath

from ..core.config import DataConfig
from ..core.errors import DatasetError
from ..core.files import written_atomically
from ..i18n.messages import tr

INDEX_NAME = "dataset_index.pkl"
SAMPLES_FOLDER = "samples"  # beside the index
VERSION = 2
# The settings a sample depends on. Other values make other samples.
SAMPLE_SETTINGS = (
    "input_size", "fps", "sample_rate", "n_mfcc", "detector", "detection_size", "detect_every",
    "min_score", "min_face_size", "max_faces", "track", "max_lost_frames", "min_frames",
)  # fmt: skip


class UnsoundIndexError(DatasetError):
    """What is there is no index, or one of another version."""


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
    with written_atomically(path) as aside:
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
    inside = PurePath(os.path.normpath(record["file"]))
    if inside.anchor or ".." in inside.parts:
        raise _bad_index(path, tr("{file} lies outside its folder", file=record["file"]))


def _bad_index(path: Path, why) -> UnsoundIndexError:
    return UnsoundIndexError(
        tr("{path} is not a sound index ({why}): delete it and run python src/data_processing.py",
           path=path, why=why)
    )  # fmt: skip


def remove_replaced(folder: Path, old: dict[str, list[dict]], samples: list[dict]) -> None:
    """Remove the files of old records that are not among the samples any more, but for those
    that another index of the folder names: a shard's, or the joint one."""
    files = {record["file"] for records in old.values() for record in records}
    files -= {record["file"] for record in samples}
    files = {file for file in files if (folder / file).exists()}
    for path in folder.glob("dataset_index*.pkl") if files else ():
        try:
            files -= {record["file"] for record in read_index(path)["samples"]}
        except DatasetError:
            return  # nobody knows what it names
    for file in files:
        (folder / file).unlink(missing_ok=True)


def index_for(path: Path, settings: dict, overwrite: bool = False) -> dict[str, list[dict]]:
    """Records of an index that is to be extended, by clip; empty where there is none.

    Args:
        path: the index.
        settings: what the new samples are made with.
        overwrite: empty an index made with other settings instead of refusing it.

    Raises:
        DatasetError: it was made with other settings, or cannot be read.
        OutputError.
    """
    if not path.exists():
        return {}
    try:
        old = read_index(path)
    except UnsoundIndexError as error:
        print(tr("the old index is made anew: {why}", why=error))
        return {}
    other = _difference(old.get("settings"), settings)
    if other and overwrite:
        print(tr("the settings have changed since the last run: all clips are processed anew"))
        write_index(path, settings, [])
        remove_replaced(path.parent, _by_clip(old["samples"]), [])
        return {}
    if other:
        raise DatasetError(
            tr("{path} was made with data.{name} = {made}, the settings say {value}: choose "
               "another data.processed_dir, or begin anew with --overwrite",
               path=path, **other)
        )  # fmt: skip
    return _by_clip(old["samples"])


def _difference(made: dict | None, settings: dict) -> dict | None:
    """The first setting that differs: its name and both values."""
    made = made if isinstance(made, dict) else {}
    for name, value in settings.items():
        if made.get(name) != value:
            return {"name": name, "made": made.get(name), "value": value}
    return None


def _by_clip(records: list[dict]) -> dict[str, list[dict]]:
    clips: dict[str, list[dict]] = {}
    for record in records:
        clips.setdefault(record["clip"], []).append(record)
    return clips

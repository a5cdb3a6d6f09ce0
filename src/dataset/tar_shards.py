"""Samples in tar files of many (WebDataset's layout), in a folder or at a URL.

``shard-000012.tar`` holds ``<name>.npy`` and ``<name>.json`` (its record) of each sample;
``index.json`` beside the shards lists them with sizes and hashes, and all samples with where in a
shard their frames begin. So any part of a sample is one range of bytes: batches are those of single
files, in the same order, and a training resumes as exactly.
"""

import io
import json
import logging
import os
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePath

import numpy as np
from numpy.lib import format as npy

from ..core.config import DataConfig
from ..core.constants import HOPS_PER_FRAME
from ..core.errors import DatasetError, OutputError, StorageError
from ..core.files import ensure_folder, file_sha256
from ..core.storage import check_writable_place, join, read_bytes, sizes_in, write
from ..i18n.messages import tr
from ..preprocessing.sample_file import read_sample, sample_dtype
from .index import (
    INDEX_NAME,
    SAMPLES_FOLDER,
    UNPACKED_FOLDER,
    check_records,
    index_locked,
    read_index,
    settings_difference,
    single_path,
    unpacked_path,
    write_index,
)

logger = logging.getLogger(__name__)

SHARDS_FOLDER = "shards"  # in data.processed_dir, where data.shards names no other place
SHARD_INDEX = "index.json"
VERSION = 1
REST = 9  # times what packing took, until samples are packed again: many wait for it meanwhile
PLACE_KEYS = (
    "shard",
    "shard_offset",
)  # of a record: the tar file, and its first frame's first byte


@dataclass(frozen=True)
class ShardPart:
    """The frames of a sample in a shard.

    Attributes:
        shard: the tar file: a path or a URL.
        offset: of the first frame, in bytes.
        size, n_mfcc: of ``sample_dtype``.
    """

    shard: str
    offset: int
    size: int
    n_mfcc: int

    def read(self, start: int, stop: int) -> np.ndarray:
        """Records of the frames ``start … stop − 1``.

        Raises:
            DatasetError: they cannot be read, or are damaged.
        """
        dtype = sample_dtype(self.size, self.n_mfcc, HOPS_PER_FRAME)
        span = (self.offset + edge * dtype.itemsize for edge in (start, stop))
        content = read_bytes(self.shard, *span)
        if len(content) != (stop - start) * dtype.itemsize:
            raise damaged_shard(self.shard, tr("it is shorter than its index says"))
        records = np.frombuffer(content, dtype)
        if (records["speech"].view(np.uint8) > 1).any():
            raise damaged_shard(self.shard, tr("its frames are not where its index says"))
        return records


def damaged_shard(shard: str, why: str) -> DatasetError:
    return DatasetError(
        tr("the shard {path} is damaged ({why}): write it again with tools/convert_samples.py, or "
           "leave it out with data.skip_damaged", path=shard, why=why)
    )  # fmt: skip


def shards_place(settings: DataConfig) -> str:
    """The folder or URL of the shards."""
    return settings.shards or str(Path(settings.processed_dir) / SHARDS_FOLDER)


# ---------------------------------------------------------------------------- writing


def publish_samples(settings: DataConfig) -> int:
    """Bring the shards of ``data.format: shards`` up to date with the samples of the index.

    Samples that are in a shard stay there; new ones go into new shards. Nothing is done for
    ``data.format: files``.

    Returns:
        how many samples were added.

    Raises:
        DatasetError: the shards there were made with other settings.
        OutputError: they cannot be written.
        StorageError: their index cannot be read.
    """
    if settings.format != "shards":
        return 0
    return write_shards(Path(settings.processed_dir), shards_place(settings), settings.shard_mb)


def write_shards(folder: Path, place: str, shard_mb: float) -> int:
    """``publish_samples`` for a folder with an index and its samples."""
    index = read_index(folder / INDEX_NAME)
    with index_locked(folder / INDEX_NAME):
        packer = Packer(folder, place, shard_mb, index["settings"])
        return packer.pack(index["samples"])


class Packer:
    """Puts samples into shards, as they are made: only those of one shard wait as files.

    Nobody else extends the index of the folder meanwhile (``index_locked``).

    Args:
        folder: of the index; its samples are in ``samples``, or wait in ``unpacked``.
        place: folder or URL of the shards.
        shard_mb: size of a shard.
        settings: what the samples depend on.
        is_repairing: samples of shards that are missing or of another size count as not packed.

    Raises:
        DatasetError: the shards there were made with other settings.
        OutputError: the place cannot be written.
        StorageError: their index cannot be read.
    """

    def __init__(
        self, folder: Path, place: str, shard_mb: float, settings: dict, is_repairing: bool = False
    ):
        self._folder, self._place, self._settings = folder, place, settings
        self._shard_bytes = shard_mb * 1_000_000
        self._waiting_bytes, self._rests_until = 0, 0.0
        check_writable_place(place)
        old = _read_if_there(place) or {"settings": settings, "shards": [], "samples": []}
        difference = settings_difference(old["settings"], settings)
        if difference:
            raise DatasetError(
                tr("{path} was made with data.{name} = {made}, the settings say {value}: choose "
                   "another place for the shards", path=place, **difference)
            )  # fmt: skip
        numbers = [_number_of(shard["name"]) for shard in old["shards"]]
        self._next_number = 1 + max(numbers, default=-1)
        lost = check_shards(place, old, is_thorough=False) if is_repairing and old["shards"] else {}
        self._shards = [shard for shard in old["shards"] if shard["name"] not in lost]
        self._placed = {
            record["file"]: {key: record[key] for key in PLACE_KEYS}
            for record in old["samples"] if record["shard"] not in lost
        }  # fmt: skip

    def with_places(self, records: list[dict]) -> list[dict]:
        """Records with ``PLACE_KEYS`` where they are in a shard."""
        return [record | self._placed.get(record["file"], {}) for record in records]

    def available(self, records: list[dict]) -> list[dict]:
        """Those of the samples that are in a shard or a file; of the others, the clips may still be
        processed again."""
        return [
            record for record in records
            if record["file"] in self._placed or single_path(self._folder, record).is_file()
        ]  # fmt: skip

    def is_due(self, new: list[dict]) -> bool:
        """Whether enough samples wait for a shard, with these that have just been made."""
        for record in new:
            # In no shard, or made again.
            if record["file"] not in self._placed or unpacked_path(self._folder, record).exists():
                self._waiting_bytes += _size_of(single_path(self._folder, record))
        return self._waiting_bytes >= self._shard_bytes and time.monotonic() >= self._rests_until

    def pack(self, records: list[dict]) -> int:
        """Put what is in no shard yet into some, and write their index: of all these samples.

        Returns:
            how many samples were added.

        Raises:
            DatasetError: a sample is missing or damaged.
            OutputError: a shard, or the index, cannot be written.
        """
        began, self._waiting_bytes = time.monotonic(), 0
        folder = self._folder / UNPACKED_FOLDER
        names = set(os.listdir(folder)) if folder.is_dir() else set()
        waiting = [record for record in records if PurePath(record["file"]).name in names]
        again = {record["file"] for record in waiting}
        new = [
            record for record in records
            if record["file"] not in self._placed or record["file"] in again
        ]  # fmt: skip
        for part in _by_size(self._folder, new, self._shard_bytes):
            name = f"shard-{self._next_number:06}.tar"
            shard, parts = _write_shard(self._folder, part, self._place, name)
            self._shards, self._next_number = [*self._shards, shard], self._next_number + 1
            self._placed |= {
                record["file"]: {key: record[key] for key in PLACE_KEYS} for record in parts
            }
        samples = self.with_places(records)
        used = {record["shard"] for record in samples}
        shards = [shard for shard in self._shards if shard["name"] in used]
        content = {"version": VERSION, "settings": self._settings, "shards": shards,
                   "samples": samples}  # fmt: skip
        write(join(self._place, SHARD_INDEX), json.dumps(content).encode())
        for record in waiting:  # only now: until here they can be packed again
            unpacked_path(self._folder, record).unlink(missing_ok=True)
        ended = time.monotonic()
        self._rests_until = ended + REST * (ended - began)
        return len(new)

    def tidy(self) -> None:
        """Remove the samples that no clip has any more, after all have been packed."""
        for path in (self._folder / UNPACKED_FOLDER).glob("*.npy"):
            path.unlink(missing_ok=True)


def packer_of(settings: DataConfig, sample_settings: dict) -> Packer | None:
    """What packs the samples of a run; None: they stay in single files."""
    if settings.format != "shards":
        return None
    return Packer(
        Path(settings.processed_dir), shards_place(settings), settings.shard_mb, sample_settings,
        is_repairing=True,
    )  # fmt: skip


def _read_if_there(place: str) -> dict | None:
    try:
        return read_shard_index(place)
    except StorageError as error:
        if error.is_missing:
            return None
        raise


def _number_of(name: str) -> int:
    digits = name.removeprefix("shard-").removesuffix(".tar")
    return int(digits) if digits.isdigit() else -1


def _by_size(folder: Path, records: list[dict], n_bytes: float) -> Iterator[list[dict]]:
    """Records in parts of about so many bytes."""
    part: list[dict] = []
    total = 0
    for record in records:
        part.append(record)
        total += _size_of(single_path(folder, record))
        if total >= n_bytes:
            yield part
            part, total = [], 0
    if part:
        yield part


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise DatasetError(tr("cannot read {path}: {why}", path=path, why=error.strerror)) from None


def _write_shard(
    folder: Path, records: list[dict], place: str, name: str
) -> tuple[dict, list[dict]]:
    """Write a shard; its entry in the index, and the records with their places in it."""
    with tempfile.TemporaryDirectory(prefix="lipsync-", ignore_cleanup_errors=True) as temporary:
        path, placed = Path(temporary) / name, []
        try:
            with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
                for record in records:
                    source = single_path(folder, record)
                    read_sample(source)  # no damaged one
                    stem = source.stem
                    _add(tar, f"{stem}.json", json.dumps(record).encode())
                    begin = tar.offset
                    with open(source, "rb") as file:
                        info = tarfile.TarInfo(f"{stem}.npy")
                        info.size = source.stat().st_size
                        tar.addfile(info, file)
                        header = _header_length(file)
                    padded = -(-info.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
                    data = begin + (tar.offset - begin - padded)
                    placed.append(record | {"shard": name, "shard_offset": data + header})
        except OSError as error:
            raise OutputError(
                tr("cannot write {path}: {why}", path=path, why=error.strerror or error)
            ) from None
        write(join(place, name), path)
        shard = {"name": name, "bytes": path.stat().st_size, "sha256": file_sha256(path),
                 "samples": len(records)}  # fmt: skip
    return shard, placed


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def _header_length(file) -> int:
    """Bytes before the records in an open .npy."""
    file.seek(0)
    version = npy.read_magic(file)
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    read_header(file)
    return file.tell()


# ---------------------------------------------------------------------------- reading


def read_shard_index(place: str) -> dict:
    """The index beside the shards.

    Raises:
        StorageError: it is missing or cannot be read.
        DatasetError: it is no such index.
    """
    path = join(place, SHARD_INDEX)
    content = read_bytes(path)
    try:
        index = json.loads(content)
        if index["version"] != VERSION or not isinstance(index["settings"], dict):
            raise ValueError(tr("no index of this version"))
        shards = {str(shard["name"]): int(shard["bytes"]) for shard in index["shards"]}
        check_records(Path(path), index["samples"])
        for record in index["samples"]:
            if record["shard"] not in shards or not int(record["shard_offset"]) >= 0:
                raise ValueError(tr("{id} is in no shard", id=record["id"]))
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            tr("{path} is not an index of shards ({why}): write it again with "
               "tools/convert_samples.py", path=path, why=error)
        ) from None  # fmt: skip
    return index


def usable_index(settings: DataConfig) -> dict:
    """The index of ``data.shards``, without the samples of shards that are missing or damaged.

    Sizes are compared; with ``data.verify_shards``, the hash of each shard, which reads all of it.

    Raises:
        DatasetError: a shard is missing or damaged, unless ``data.skip_damaged`` leaves it out.
        StorageError: the place cannot be read.
    """
    place = shards_place(settings)
    index = read_shard_index(place)
    problems = check_shards(place, index, settings.verify_shards)
    if problems and not settings.skip_damaged:
        name, why = next(iter(problems.items()))
        raise damaged_shard(join(place, name), why)
    for name, why in problems.items():
        logger.warning(tr("the shard {path} is left out ({why})", path=join(place, name), why=why))
    kept = [record for record in index["samples"] if record["shard"] not in problems]
    if problems:
        logger.warning(
            tr("left out: {n} of {all} shards, with {samples} samples", n=len(problems),
               all=len(index["shards"]), samples=len(index["samples"]) - len(kept))
        )  # fmt: skip
    return index | {"samples": kept}


def check_shards(place: str, index: dict, is_thorough: bool) -> dict[str, str]:
    """The shards that are missing or damaged, and why."""
    sizes, problems = sizes_in(place), {}
    for shard in index["shards"]:
        name = shard["name"]
        if name not in sizes:
            problems[name] = tr("it is missing")
        elif sizes[name] != shard["bytes"]:
            problems[name] = tr("{n} bytes instead of {expected}", n=sizes[name],
                                expected=shard["bytes"])  # fmt: skip
        elif is_thorough and _hash_of(join(place, name), sizes[name]) != shard["sha256"]:
            problems[name] = tr("its content is not what was written")
    return problems


def _hash_of(path: str, size: int, block: int = 1 << 24) -> str:
    digest = sha256()
    for start in range(0, size, block):
        digest.update(read_bytes(path, start, min(start + block, size)))
    return digest.hexdigest()


def part_of(place: str, index: dict, record: dict) -> ShardPart:
    """Where the frames of a record are."""
    settings = index["settings"]
    return ShardPart(
        join(place, record["shard"]), record["shard_offset"], settings["input_size"],
        settings["n_mfcc"],
    )  # fmt: skip


def write_files(place: str, folder: Path) -> int:
    """The samples of shards as single files, with their index, in a new folder; how many.

    Raises:
        DatasetError: a shard is missing or damaged.
        OutputError: the folder has an index already, or cannot be written.
        StorageError: the place cannot be read.
    """
    if (folder / INDEX_NAME).exists():
        raise OutputError(tr("{path} exists: choose another folder", path=folder / INDEX_NAME))
    index = read_shard_index(place)
    problems = check_shards(place, index, is_thorough=True)
    for name, why in problems.items():
        raise damaged_shard(join(place, name), why)
    ensure_folder(folder / SAMPLES_FOLDER)
    records = []
    for record in index["samples"]:
        content = part_of(place, index, record).read(0, record["n_frames"])
        buffer = io.BytesIO()
        header = {"descr": npy.dtype_to_descr(content.dtype), "fortran_order": False,
                  "shape": content.shape}  # fmt: skip
        npy.write_array_header_1_0(buffer, header)
        buffer.write(content.tobytes())
        write(str(folder / record["file"]), buffer.getvalue())
        records.append({key: value for key, value in record.items() if key not in PLACE_KEYS})
    write_index(folder / INDEX_NAME, index["settings"], records)
    return len(records)

"""Clips shared out over several runs, and the joining of their indexes."""

import os
import re
import shutil
from hashlib import sha256
from pathlib import Path

from ..core.errors import DatasetError
from ..core.files import written_atomically
from ..i18n.messages import tr
from .clips import Clip
from .index import (
    INDEX_NAME,
    SAMPLES_FOLDER,
    _by_clip,
    _difference,
    index_for,
    read_index,
    remove_replaced,
    write_index,
)


def shard_of(clips: list[Clip], number: int, shards: int) -> list[Clip]:
    """The clips of one of several shards. It depends on their names alone, so machines that see
    different clips still agree."""
    return [clip for clip in clips if _place_of(clip.name) % shards == number]


def _place_of(name: str) -> int:
    # Old archives hold names that are not UTF-8.
    digest = sha256(name.encode(errors="backslashreplace")).digest()
    return int.from_bytes(digest[:8], "big")


def shard_index_name(number: int, shards: int) -> str:
    """The index of one of several shards."""
    return f"dataset_index.shard-{number}-of-{shards}.pkl"


def merge_shards(
    sources: list[Path],
    folder: Path,
    settings: dict,
    overwrite: bool = False,
    prune: bool = False,
) -> int:
    """Join the indexes of all shards into that of a folder, which is extended.

    Samples that lie in another folder are linked, or copied where that cannot be.

    Args:
        sources: folders with indexes of shards.
        folder: where the joint index goes.
        settings: what all must have been made with.
        overwrite: begin anew where the folder's own index was made with other settings.
        prune: drop samples of clips that no shard has.

    Returns:
        the number of samples.

    Raises:
        DatasetError: a shard is missing, damaged or there twice, or made with other settings.
        OutputError.
    """
    shards = {path: read_index(path) for path in _shard_indexes(sources)}
    for path, index in shards.items():
        other = _difference(index.get("settings"), settings)
        if other:
            raise DatasetError(
                tr("{path} was made with data.{name} = {made}, the settings say {value}: its "
                   "samples cannot be joined with these", path=path, **other)
            )  # fmt: skip
        for record in index["samples"]:
            if not (path.parent / record["file"]).is_file():
                raise DatasetError(
                    tr("{path} names {file}, which is not there: copy the folder {samples} along",
                       path=path, file=record["file"], samples=path.parent / SAMPLES_FOLDER)
                )  # fmt: skip
    known = index_for(folder / INDEX_NAME, settings, overwrite)
    merged = {} if prune else dict(known)
    measured = {record["file"]: record for records in known.values() for record in records}
    for path, index in shards.items():
        _bring_along(index["samples"], path.parent, folder)
        merged |= _by_clip(_with_offsets(index["samples"], measured))
    samples = [record for name in sorted(merged) for record in merged[name]]
    write_index(folder / INDEX_NAME, settings, samples)
    remove_replaced(folder, known, samples)
    return len(samples)


def _with_offsets(records: list[dict], measured: dict[str, dict]) -> list[dict]:
    """Records with the own offsets that were found before for the same files."""
    found = [measured.get(record["file"], {}) for record in records]
    return [
        record | {key: old[key] for key in ("offset_ms", "offset_known") if "offset_known" in old}
        if "offset_known" not in record
        else record
        for record, old in zip(records, found, strict=True)
    ]


def _shard_indexes(sources: list[Path]) -> list[Path]:
    """The index of each shard, all of one division."""
    found: dict[tuple[int, int], Path] = {}
    for source in sources:
        if not source.is_dir():
            raise DatasetError(tr("{path} is no folder with indexes of shards", path=source))
        for path in sorted(source.glob("dataset_index.shard-*-of-*.pkl")):
            name = re.fullmatch(r"dataset_index\.shard-(\d+)-of-(\d+)\.pkl", path.name)
            key = (int(name[2]), int(name[1])) if name else None
            if key in found and not path.samefile(found[key]):
                raise DatasetError(
                    tr("{one} and {other} are the same shard: name only one of their folders",
                       one=found[key], other=path)
                )  # fmt: skip
            if key:
                found[key] = path
    if not found:
        raise DatasetError(
            tr("no index of a shard in {folders}: run python src/data_processing.py --num-shards "
               "N --shard-index I first", folders=", ".join(map(str, sources)))
        )  # fmt: skip
    divisions = sorted({shards for shards, _ in found})
    if len(divisions) > 1:
        raise DatasetError(
            tr("shards of several divisions ({divisions}) in {folders}: delete those that are "
               "not meant", divisions=", ".join(f"of {n}" for n in divisions),
               folders=", ".join(map(str, sources)))
        )  # fmt: skip
    missing = [str(n) for n in range(divisions[0]) if (divisions[0], n) not in found]
    if missing:
        raise DatasetError(
            tr("shard {missing} of {shards} is missing in {folders}",
               missing=", ".join(missing), shards=divisions[0],
               folders=", ".join(map(str, sources)))
        )  # fmt: skip
    return [found[key] for key in sorted(found)]


def _bring_along(records: list[dict], source: Path, folder: Path) -> None:
    """Link samples of another folder into this one."""
    for record in records:
        there, here = source / record["file"], folder / record["file"]
        if here.exists() and here.samefile(there):
            continue
        with written_atomically(here) as aside:
            aside.unlink()
            try:
                os.link(there, aside)
            except OSError:  # another disk, or one without links
                shutil.copyfile(there, aside)

"""Clips split into shards for several runs, and the merging of their indexes."""

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
    OWN_FILE,
    SAMPLES_FOLDER,
    group_by_clip,
    index_locked,
    load_index_to_extend,
    read_index,
    remove_unreferenced_samples,
    settings_difference,
    write_index,
)


def shard_of(clips: list[Clip], shard_index: int, n_shards: int) -> list[Clip]:
    """The clips of one of several shards. It depends on their names alone, so machines that see
    different clips still agree."""
    return [clip for clip in clips if _hash_name(clip.name) % n_shards == shard_index]


def _hash_name(name: str) -> int:
    # Old archives hold names that are not UTF-8.
    digest = sha256(name.encode(errors="backslashreplace")).digest()
    return int.from_bytes(digest[:8], "big")


def shard_index_name(shard_index: int, n_shards: int) -> str:
    """File name of the index of one of several shards."""
    return f"dataset_index.shard-{shard_index}-of-{n_shards}.pkl"


def merge_shards(
    sources: list[Path],
    folder: Path,
    settings: dict,
    overwrite: bool = False,
    prune: bool = False,
) -> int:
    """Merge the indexes of all shards into that of a folder, which is extended.

    Samples in another folder are hard-linked, or copied where that is not possible.

    Args:
        sources: folders with indexes of shards.
        folder: where the merged index goes.
        settings: those all must have been made with.
        overwrite: start over where the folder's own index was made with other settings.
        prune: drop samples of clips that no shard has.

    Returns:
        the number of samples.

    Raises:
        DatasetError: a shard is missing, damaged or there twice, or made with other settings.
        InUseError: another run extends the folder's index.
        OutputError: the index or a sample cannot be written.
    """
    shards = {path: read_index(path) for path in _find_shard_indexes(sources)}
    for path, index in shards.items():
        _check_shard(path, index, settings)
    with index_locked(folder / INDEX_NAME):
        return _merge(shards, folder, settings, overwrite, prune)


def _merge(
    shards: dict[Path, dict], folder: Path, settings: dict, overwrite: bool, prune: bool
) -> int:
    """Merge indexes that have been checked; returns the number of samples."""
    known_records = load_index_to_extend(folder / INDEX_NAME, settings, overwrite)
    merged_records = {} if prune else dict(known_records)
    record_by_file = {
        record["file"]: record for records in known_records.values() for record in records
    }
    for path, index in shards.items():
        _link_samples(index["samples"], path.parent, folder)
        merged_records |= group_by_clip(_keep_offsets(index["samples"], record_by_file))
    samples = [record for name in sorted(merged_records) for record in merged_records[name]]
    write_index(folder / INDEX_NAME, settings, samples)
    remove_unreferenced_samples(folder, known_records, samples)
    return len(samples)


def _check_shard(path: Path, index: dict, settings: dict) -> None:
    """Reject a shard of other settings, or without one of its samples."""
    difference = settings_difference(index.get("settings"), settings)
    if difference:
        raise DatasetError(
            tr("{path} was made with data.{name} = {made}, the settings say {value}: its "
               "samples cannot be merged with these", path=path, **difference)
        )  # fmt: skip
    for record in index["samples"]:
        if not OWN_FILE.fullmatch(record["file"]):  # it would replace another file when merged
            raise DatasetError(
                tr("{path} lists {file}, which is not a sample in {samples}: it cannot be merged",
                   path=path, file=record["file"], samples=SAMPLES_FOLDER)
            )  # fmt: skip
        if not (path.parent / record["file"]).is_file():
            raise DatasetError(
                tr("{path} lists {file}, which is missing: copy the folder {samples} as well",
                   path=path, file=record["file"], samples=path.parent / SAMPLES_FOLDER)
            )  # fmt: skip


def _keep_offsets(records: list[dict], known_by_file: dict[str, dict]) -> list[dict]:
    """Records with the clip offsets that were measured before for the same files."""
    result = []
    for record in records:
        known = known_by_file.get(record["file"], {})
        if "offset_known" in known and "offset_known" not in record:
            record = record | {key: known[key] for key in ("offset_ms", "offset_known")}
        result.append(record)
    return result


def _find_shard_indexes(sources: list[Path]) -> list[Path]:
    """The index of each shard, all of one shard count."""
    paths: dict[tuple[int, int], Path] = {}  # by shard count and shard index
    for source in sources:
        if not source.is_dir():
            raise DatasetError(tr("{path} is not a folder with shard indexes", path=source))
        for path in sorted(source.glob("dataset_index.shard-*-of-*.pkl")):
            name = re.fullmatch(r"dataset_index\.shard-(\d+)-of-(\d+)\.pkl", path.name)
            key = (int(name[2]), int(name[1])) if name else None
            if key in paths and not path.samefile(paths[key]):
                raise DatasetError(
                    tr("{one} and {other} are the same shard: give only one of their folders",
                       one=paths[key], other=path)
                )  # fmt: skip
            if key:
                paths[key] = path
    folders = ", ".join(map(str, sources))
    if not paths:
        raise DatasetError(
            tr("no shard index in {folders}: run python src/data_processing.py --num-shards N "
               "--shard-index I first", folders=folders)
        )  # fmt: skip
    counts = sorted({n_shards for n_shards, _ in paths})
    if len(counts) > 1:
        raise DatasetError(
            tr("different shard counts ({divisions}) in {folders}: delete the indexes you do not "
               "need", divisions=", ".join(f"of {n}" for n in counts), folders=folders)
        )  # fmt: skip
    missing = [str(number) for number in range(counts[0]) if (counts[0], number) not in paths]
    if missing:
        raise DatasetError(
            tr("shard {missing} of {shards} is missing in {folders}",
               missing=", ".join(missing), shards=counts[0], folders=folders)
        )  # fmt: skip
    return [paths[key] for key in sorted(paths)]


def _link_samples(records: list[dict], source: Path, folder: Path) -> None:
    """Hard-link samples of another folder into this one, or copy them."""
    for record in records:
        original, target = source / record["file"], folder / record["file"]
        if target.exists() and target.samefile(original):
            continue
        with written_atomically(target) as temporary_path:
            temporary_path.unlink()
            try:
                os.link(original, temporary_path)
            except OSError:  # another disk, or one without links
                shutil.copyfile(original, temporary_path)

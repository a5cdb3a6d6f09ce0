"""Reference tables: who speaks in a clip, and its clip offset."""

import csv
import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ..core.errors import DatasetError, MissingFileError
from ..i18n.messages import tr
from .index import MAX_OFFSET_MS
from .samples import Sample


def read_table(table: Path, column: str) -> list[dict[str, str]]:
    """The rows of a .csv or .tsv with the columns ``path`` and ``column``.

    Raises:
        MissingFileError, DatasetError: the table is missing or has other columns.
    """
    try:
        with open(table, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t" if table.suffix == ".tsv" else ","))
    except FileNotFoundError:
        raise MissingFileError(tr("file not found: {path}", path=table)) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(tr("cannot read {path}: {why}", path=table, why=error)) from None
    rows = [row for row in rows if row.get("path")]
    if not rows or not {"path", column} <= rows[0].keys():
        raise DatasetError(
            tr("{path}: a table with the columns path and {column} is required",
               path=table, column=column)
        )  # fmt: skip
    return rows


def apply_reference(samples: list[Sample], table: Path) -> list[Sample]:
    """Samples with the offsets and speakers of a table (columns path, speaker, offset_ms).

    A clip matches the row whose path ends with its own, or whose path its own ends with: the video
    folder may be above or below the one that the table begins at, but the folders in between must
    be the same. Of several rows the one with the most folders in common counts. Clips without a
    row, or with an empty offset, have no known one.

    Raises:
        MissingFileError, DatasetError: the table is missing or has other columns; different
            offsets match a clip, or a row without its folders matches several clips.
    """
    rows = _Rows(read_table(table, "offset_ms"))
    rows_by_clip = {clip: rows.matching(clip) for clip in {sample.clip for sample in samples}}
    _check_not_shared(rows_by_clip, table)
    return [_apply_rows(sample, rows_by_clip[sample.clip], table) for sample in samples]


def offsets_of_clips(clips: Iterable[str], table: Path) -> dict[str, float | None]:
    """The clip offset in ms of each clip that has a row in a table, None where it is empty.

    Args:
        clips: paths relative to the video folder; matched as in ``apply_reference``.

    Raises:
        MissingFileError, DatasetError: the table is missing or has other columns.
    """
    rows = _Rows(read_table(table, "offset_ms"))
    matching = {clip: rows.matching(clip) for clip in dict.fromkeys(clips)}
    _check_not_shared(matching, table)
    return {clip: _parse_offset(found[0], table) for clip, found in matching.items() if found}


class _Rows:
    """Rows, to be found by the ends of their paths."""

    def __init__(self, rows: list[dict]):
        self._by_path: dict[tuple[str, ...], list[dict]] = {}
        self._by_end: dict[tuple[str, ...], list[dict]] = {}
        for row in rows:
            parts = _parts(row["path"])
            self._by_path.setdefault(parts, []).append(row)
            for n_left in range(len(parts)):
                self._by_end.setdefault(parts[n_left:], []).append(row)

    def matching(self, clip: str) -> list[dict]:
        """The rows of a clip, with the most folders in common."""
        parts = _parts(clip)
        # A folder "source__speaker" stands for the folder "source" of the table.
        sources = (*(part.split("__")[0] for part in parts[:-1]), parts[-1])
        for names in (parts, sources):
            if names in self._by_end:
                return self._by_end[names]
        for n_left in range(1, len(parts)):
            for names in (parts, sources):
                if names[n_left:] in self._by_path:
                    return self._by_path[names[n_left:]]
        return []


def _parts(path: str) -> tuple[str, ...]:
    return Path(path).parts


def _check_not_shared(rows_by_clip: dict[str, list[dict]], table: Path) -> None:
    """Reject a row that names too few folders to tell which of several clips it is of."""
    clip_by_row: dict[int, str] = {}
    for clip, rows in sorted(rows_by_clip.items()):
        for row in rows:
            other = clip_by_row.setdefault(id(row), clip)
            is_shorter = len(_parts(row["path"])) < len(_parts(clip))
            if other != clip and is_shorter:
                raise DatasetError(
                    tr("{path}: the row {row} matches both {clip} and {other}: write their folders "
                       "in the table", path=table, row=row["path"], clip=other, other=clip)
                )  # fmt: skip


def _apply_rows(sample: Sample, rows: list[dict], table: Path) -> Sample:
    """The sample with offset and speaker of its rows, if any."""
    offsets = {_parse_offset(row, table) for row in rows}
    if len(offsets) > 1:
        raise DatasetError(
            tr("{path}: several rows match {clip}, with different offsets",
               path=table, clip=sample.clip)
        )  # fmt: skip
    offset_ms = offsets.pop() if offsets else None
    speaker = rows[0].get("speaker") if rows else ""
    if speaker:
        speaker = f"{Path(rows[0]['path']).parent.name}__{speaker}"
    return replace(
        sample, offset_ms=offset_ms or 0.0, offset_known=offset_ms is not None,
        speaker=speaker or sample.speaker,
    )  # fmt: skip


def _parse_offset(row: dict, table: Path) -> float | None:
    """The offset in ms, or None where the field is empty."""
    text = (row.get("offset_ms") or "").strip()
    try:
        offset_ms = float(text) if text else None
    except ValueError:
        offset_ms = math.inf
    if offset_ms is not None and not abs(offset_ms) < MAX_OFFSET_MS:
        raise DatasetError(tr("{path}: {value} is not an offset in ms", path=table, value=text))
    return offset_ms

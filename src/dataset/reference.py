"""Reference tables: who speaks in a clip, and its clip offset."""

import csv
import math
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

    A clip matches the row whose path ends like its own: in its name, and in its folders where
    several rows have that name. Clips without a row, or with an empty offset, have no known one.

    Raises:
        MissingFileError, DatasetError: the table is missing or has other columns.
    """
    rows_by_name: dict[str, list[dict]] = {}
    for row in read_table(table, "offset_ms"):
        rows_by_name.setdefault(Path(row["path"]).name, []).append(row)
    return [
        _apply_rows(sample, rows_by_name.get(Path(sample.clip).name, []), table)
        for sample in samples
    ]


def _apply_rows(sample: Sample, rows: list[dict], table: Path) -> Sample:
    """The sample with offset and speaker of the best matching row, if any."""
    # A folder "source__speaker" stands for the folder "source" of the table.
    folders = [part.split("__")[0] for part in Path(sample.clip).parts[:-1][::-1]]

    def count_equal_folders(row: dict) -> int:
        row_folders = Path(row["path"]).parts[:-1][::-1]
        equal = [left == right for left, right in zip(folders, row_folders, strict=False)]
        return (*equal, False).index(False)

    best_count = max(map(count_equal_folders, rows), default=0)
    matches = [row for row in rows if count_equal_folders(row) == best_count]
    offsets = {_parse_offset(row, table) for row in matches}
    if len(offsets) > 1:
        raise DatasetError(
            tr("{path}: several rows match {clip}, with different offsets",
               path=table, clip=sample.clip)
        )  # fmt: skip
    offset_ms = offsets.pop() if offsets else None
    speaker = matches[0].get("speaker") if matches else ""
    if speaker:
        speaker = f"{Path(matches[0]['path']).parent.name}__{speaker}"
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

"""Tables of clips that say more than the clips: who speaks, and their own offsets."""

import csv
import math
from dataclasses import replace
from pathlib import Path

from src.errors import DatasetError, MissingFileError
from src.messages import tr
from src.samples import Sample


def read_table(table: Path, column: str) -> list[dict[str, str]]:
    """The rows of a .csv or .tsv with the columns ``path`` and ``column``.

    Raises:
        MissingFileError, DatasetError: the table is missing or is none.
    """
    try:
        with open(table, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t" if table.suffix == ".tsv" else ","))
    except FileNotFoundError:
        raise MissingFileError(tr("file not found: {path}", path=table)) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(tr("cannot read {path}: {why}", path=table, why=error)) from None
    if not rows or not {"path", column} <= rows[0].keys():
        raise DatasetError(
            tr("{path}: a table with the columns path and {column} is needed",
               path=table, column=column)
        )  # fmt: skip
    return rows


def with_reference(samples: list[Sample], table: Path) -> list[Sample]:
    """Samples with the offsets and speakers of a table (columns path, speaker, offset_ms).

    A clip is the row whose path ends like it: in its name, and in its folders where several have
    that name. Clips without a row, or with an empty offset, have no known one.

    Raises:
        MissingFileError, DatasetError: the table is missing or is none.
    """
    rows = read_table(table, "offset_ms")
    by_name: dict[str, list[dict]] = {}
    for row in rows:
        by_name.setdefault(Path(row["path"]).name, []).append(row)
    return [_referred(sample, by_name.get(Path(sample.clip).name, []), table) for sample in samples]


def _referred(sample: Sample, rows: list[dict], table: Path) -> Sample:
    parts = Path(sample.clip).parts[::-1]

    def alike(row: dict) -> int:
        pairs = zip(parts, Path(row["path"]).parts[::-1], strict=False)
        return next((n for n, (one, other) in enumerate(pairs) if one != other), len(parts))

    row = max(rows, key=alike, default={})
    try:
        offset = float(row.get("offset_ms") or "nan")
    except ValueError:
        raise DatasetError(
            tr("{path}: {value} is no number", path=table, value=row["offset_ms"])
        ) from None
    known = not math.isnan(offset)
    return replace(
        sample, offset_ms=offset if known else 0.0, known=known,
        speaker=row.get("speaker") or sample.speaker,
    )  # fmt: skip

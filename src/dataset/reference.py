"""Tables of clips that say more than the clips: who speaks, and their own offsets."""

import csv
import math
from dataclasses import replace
from pathlib import Path

from ..core.errors import DatasetError, MissingFileError
from ..i18n.messages import tr
from .samples import Sample

MOST_MS = 1e5  # offsets beyond this are a mistake


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
    rows = [row for row in rows if row.get("path")]
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
    # A folder "source__speaker" stands for the folder "source" of the table.
    parts = [part.split("__")[0] for part in Path(sample.clip).parts[:-1][::-1]]

    def alike(row: dict) -> int:
        folders = Path(row["path"]).parts[:-1][::-1]
        same = [one == other for one, other in zip(parts, folders, strict=False)]
        return (*same, False).index(False)

    most = max(map(alike, rows), default=0)
    best = [row for row in rows if alike(row) == most]
    offsets = {_offset(row, table) for row in best}
    if len(offsets) > 1:
        raise DatasetError(
            tr("{path}: several rows could be {clip}, with different offsets",
               path=table, clip=sample.clip)
        )  # fmt: skip
    offset = offsets.pop() if offsets else None
    speaker = best[0].get("speaker") if best else ""
    if speaker:
        speaker = f"{Path(best[0]['path']).parent.name}__{speaker}"
    return replace(
        sample, offset_ms=offset or 0.0, known=offset is not None,
        speaker=speaker or sample.speaker,
    )  # fmt: skip


def _offset(row: dict, table: Path) -> float | None:
    text = (row.get("offset_ms") or "").strip()
    try:
        offset = float(text) if text else None
    except ValueError:
        offset = math.inf
    if offset is not None and not abs(offset) < MOST_MS:
        raise DatasetError(tr("{path}: {value} is no offset in ms", path=table, value=text))
    return offset

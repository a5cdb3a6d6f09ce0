"""The table of a batch's results (``summary.csv``)."""

import csv
import math
import os
from hashlib import sha256
from pathlib import Path

from ..core.errors import DatasetError
from ..core.files import written_atomically
from ..core.table_cells import cell, read_cell
from ..i18n.messages import tr
from .pairs import Pair, read_csv

COLUMNS = (
    "video", "audio", "success", "score", "offset_ms", "offset_probability", "status", "verdict",
    "message", "output", "fingerprint",
)  # fmt: skip
NUMBERS = ("score", "offset_ms", "offset_probability")


def fingerprint(pair: Pair, settings: list) -> str:
    """16 hexadecimal digits that change with the files, the model and the options of a pair.

    Args:
        settings: whose ``repr`` holds the model and all its settings.
    """
    files = []
    for name in (pair.video, pair.audio):
        stat = os.stat(name) if name is not None and os.path.isfile(name) else None
        files.append((name, stat and stat.st_size, stat and stat.st_mtime_ns))
    text = repr((files, pair.output and str(pair.output), pair.options, settings))
    return sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]


def to_row(result: dict, fingerprint: str) -> dict:
    """A line of the table, all texts, by column.

    Args:
        result: as an element of what ``LipSyncInference.batch_process`` returns.
    """
    details = result["details"] or {}
    values = {**{name: details.get(name) for name in COLUMNS}, **result, "fingerprint": fingerprint}
    return {name: "" if values[name] is None else str(values[name]) for name in COLUMNS}


def values_of(row: dict) -> dict:
    """A line of the table as values: numbers, a bool for ``success``, and None for an empty cell
    or an invalid number (JSON knows no NaN). Spreadsheets write TRUE, and change numbers."""
    values = {name: row[name] or None for name in COLUMNS}
    for name in NUMBERS:
        try:
            value = float(row[name])
        except ValueError:
            value = math.nan
        values[name] = value if math.isfinite(value) else None
    return values | {"success": row["success"].lower() == "true"}


def is_valid(row: dict) -> bool:
    """Whether a line still holds: a pair that could not be read is tried again."""
    return bool(row["status"]) and (not row["output"] or os.path.isfile(row["output"]))


def write_summary(path: Path, rows: list[dict]) -> None:
    """Write the table.

    Raises:
        OutputError: it cannot be written.
    """
    with (
        written_atomically(path) as temporary_path,
        # With a byte order mark, spreadsheets read Chinese correctly.
        open(
            temporary_path, "w", newline="", encoding="utf-8-sig", errors="backslashreplace"
        ) as file,
    ):
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows({name: cell(row[name]) for name in COLUMNS} for row in rows)


def read_summary(path: Path) -> list[dict]:
    """The rows of an earlier run; none where there is no such file.

    Raises:
        DatasetError: another file has this name, and must not be lost.
    """
    if not path.exists():
        return []
    rows = read_csv(path)
    if rows and tuple(rows[0]) != COLUMNS:
        raise DatasetError(
            tr("{path} is not a summary of this program: choose another --summary", path=path)
        )
    return [
        dict(zip(COLUMNS, map(read_cell, row), strict=True))
        for row in rows[1:] if len(row) == len(COLUMNS)
    ]  # fmt: skip

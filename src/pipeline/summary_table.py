"""The table of a batch's results."""

import csv
import math
from hashlib import sha256
from pathlib import Path

from ..core.errors import DatasetError
from ..core.files import written_atomically
from ..i18n.messages import tr
from .pairs import Pair, _read_csv

COLUMNS = (
    "video", "audio", "success", "score", "offset_ms", "offset_probability", "status", "verdict",
    "message", "output", "fingerprint",
)  # fmt: skip
NUMBERS = ("score", "offset_ms", "offset_probability")


def _fingerprint(pair: Pair, settings: list) -> str:
    """Changes with the files, the model, and what is asked."""
    seen = []
    for path in (pair.video, pair.audio):
        found = Path(path) if path is not None else None
        stat = found.stat() if found is not None and found.is_file() else None
        seen.append((path, stat and stat.st_size, stat and stat.st_mtime_ns))
    told = repr((seen, pair.output and str(pair.output), pair.options, settings))
    return sha256(told.encode(errors="surrogateescape")).hexdigest()[:16]


def _row(result: dict, fingerprint: str) -> dict:
    """A line of the table."""
    details = result["details"] or {}
    told = {**{name: details.get(name) for name in COLUMNS}, **result, "fingerprint": fingerprint}
    return {name: "" if told[name] is None else str(told[name]) for name in COLUMNS}


def values_of(row: dict) -> dict:
    """A line of the table as values: numbers, a bool for ``success``, and None where nothing stands
    or no number (JSON knows no NaN). Spreadsheets write TRUE, and what they like."""
    values = {name: row[name] or None for name in COLUMNS}
    for name in NUMBERS:
        try:
            value = float(row[name])
        except ValueError:
            value = math.nan
        values[name] = value if math.isfinite(value) else None
    return values | {"success": row["success"].lower() == "true"}


def _holds(row: dict) -> bool:
    """Whether a line is still true: what could not be read is tried again."""
    return bool(row["status"]) and (not row["output"] or Path(row["output"]).is_file())


def _write(path: Path, rows: list[dict]) -> None:
    with (
        written_atomically(path) as aside,
        # With a byte order mark, spreadsheets read Chinese right.
        open(aside, "w", newline="", encoding="utf-8-sig", errors="backslashreplace") as file,
    ):
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def read_summary(path: Path) -> list[dict]:
    """The rows of an earlier run; none where there was none.

    Raises:
        DatasetError: there is another file of this name, which is not to be lost.
    """
    if not path.exists():
        return []
    rows = _read_csv(path)
    if rows and tuple(rows[0]) != COLUMNS:
        raise DatasetError(
            tr("{path} is not a summary of this program: choose another --summary", path=path)
        )
    return [dict(zip(COLUMNS, row, strict=False)) for row in rows[1:] if len(row) == len(COLUMNS)]

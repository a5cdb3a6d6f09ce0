"""The table of a batch's results (``summary.csv``)."""

import csv
import io
import math
import os
from hashlib import sha256
from pathlib import Path

from ..core.errors import DatasetError, OutputError
from ..core.files import ensure_folder, written_atomically
from ..core.locks import locked
from ..core.table_cells import cell, read_cell
from ..i18n.messages import tr
from .output_names import Owner
from .pairs import Pair, read_csv

COLUMNS = (
    "video", "audio", "success", "score", "offset_ms", "offset_probability", "status", "verdict",
    "message", "output", "fingerprint",
)  # fmt: skip
LOCK_WAIT_S = 60  # for another batch that is just writing its line
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
        result: as ``batch.process_pair`` returns it.
    """
    details = result["details"] or {}
    values = {**{name: details.get(name) for name in COLUMNS}, **result, "fingerprint": fingerprint}
    values["message"] = "; ".join([result["message"], *result.get("notes", [])])
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


class SummaryTable:
    """The table on disk, to which several batches may add lines at once.

    Each line is appended when its pair is done. In the end the lines of this batch are put in
    order; those of other pairs stay.

    Raises (all methods):
        InUseError: another batch keeps the table locked.
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path):
        self._path = path

    def start(self) -> list[dict]:
        """The lines of earlier runs.

        Raises:
            DatasetError: another file has this name, and must not be lost.
        """
        ensure_folder(self._path.parent)
        with self._locked():
            rows = read_summary(self._path)
            if self._path.exists() and not self._is_appendable():
                _write(self._path, rows)
        return rows

    def append(self, rows: list[dict]) -> None:
        """Add lines at the end; a full disk leaves none of them."""
        with self._locked():
            try:
                with open(self._path, "ab", buffering=0) as file:
                    end = file.seek(0, 2)
                    content = memoryview(_encode(rows, with_header=end == 0))
                    try:
                        while content:
                            content = content[file.write(content) :]
                        os.fsync(file.fileno())
                    except OSError:
                        file.truncate(end)
                        raise
            except OSError as error:
                raise OutputError(
                    tr("cannot write {path}: {why}", path=self._path, why=error.strerror or error)
                ) from None

    def finish(self, rows: list[dict]) -> None:
        """Replace the lines of these pairs by these, in order; without any, no table is made."""
        if not rows:
            return
        pairs = {_pair_of(row) for row in rows}
        with self._locked():
            result, waiting = [], list(rows)
            for row in read_summary(self._path):
                if _pair_of(row) not in pairs:
                    result.append(row)
                elif waiting:
                    result += waiting
                    waiting = []
            _write(self._path, result + waiting)

    def _locked(self):
        lock_path = self._path.with_name(f".{self._path.name}.lock")
        return locked(lock_path, self._path, LOCK_WAIT_S)

    def _is_appendable(self) -> bool:
        """Whether it is as this program writes it: not as spreadsheets do, nor cut off."""
        content = self._path.read_bytes()
        is_whole = all(len(row) == len(COLUMNS) for row in read_csv(self._path))
        return is_whole and content.startswith(_encode([])) and content.endswith(b"\r\n")


def _pair_of(row: dict) -> Owner:
    """Video and audio as they stand on disk, where names that are no text are escaped."""
    return _stored(row["video"]), _stored(row["audio"])


def _stored(text: str) -> str:
    return text.encode(errors="backslashreplace").decode().replace("\0", r"\x00")  # as read_csv


def _encode(rows: list[dict], with_header: bool = True) -> bytes:
    """Lines of the table as they are on disk."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)
    if with_header:
        writer.writeheader()
    writer.writerows({name: cell(row[name]) for name in COLUMNS} for row in rows)
    # With a byte order mark, spreadsheets read Chinese correctly.
    encoding = "utf-8-sig" if with_header else "utf-8"
    return text.getvalue().encode(encoding, errors="backslashreplace")


def _write(path: Path, rows: list[dict]) -> None:
    with written_atomically(path) as temporary_path:
        temporary_path.write_bytes(_encode(rows))


def recorded_outputs(path: Path) -> dict[Owner, list[Path]]:
    """The outputs that the table names, by the pair they were made from.

    Raises:
        DatasetError: another file has this name.
    """
    outputs: dict[Owner, list[Path]] = {}
    for row in read_summary(Path(path)):
        if row["output"]:
            outputs.setdefault(_pair_of(row), []).append(Path(row["output"]))
    return outputs


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

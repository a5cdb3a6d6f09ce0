"""``--export``: results as files for editing software."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import OutputError
from ..core.files import check_output_path, folder_created, written_atomically
from ..correction.edit_decisions import make_decisions
from ..correction.edit_files import WRITERS
from ..i18n.messages import tr

MIN_SHOWN_MS = 1.0  # a smaller remainder of whole frames is not worth a word


@dataclass(frozen=True)
class EditExports:
    """The files that are wanted of a pair.

    Attributes:
        paths: their suffixes choose the formats (``edit_files.WRITERS``).
        overwrite: files that exist may be replaced.
        is_beside: they will lie beside the pair, wherever that is.
    """

    paths: Sequence[str | Path]
    overwrite: bool = False
    is_beside: bool = False

    def check(self, reserved: Sequence[str | Path | None]) -> list[str | Path]:
        """Refuse what cannot be written, before anything is scored.

        Args:
            reserved: inputs and other outputs.

        Returns:
            ``reserved`` and these files, without None.

        Raises:
            OutputError: a file cannot be written, has the name of another, or exists.
        """
        taken = [path for path in reserved if path]
        for path in self.paths:
            check_output_path(path, taken, set(WRITERS))
            self._check_free(path)
            taken.append(path)
        return taken

    def _check_free(self, path: str | Path) -> None:
        if not self.overwrite and Path(path).exists():
            raise OutputError(
                tr("{path} exists: choose another name, or add --overwrite", path=path)
            )

    def write(self, details: dict) -> Iterator[str]:
        """Write them one by one: yields a line about each when it is complete; where no offset was
        measured, only one that says why nothing is written.

        Args:
            details: as of ``LipSyncInference.compute_sync_score``.

        Raises:
            MediaError: the pair can no longer be read.
            ConfigError: a library is missing.
            OutputError: a file cannot be written.
        """
        if details["undetermined"]:
            yield tr("nothing exported: {why}", why=details["reason"]["text"])
            return
        edit = make_decisions(details, self.is_beside)
        for path in self.paths:
            suffix = Path(path).suffix.lower()
            text = WRITERS[suffix](edit)
            self._check_free(path)  # another run may have written it meanwhile
            with folder_created(Path(path).parent), written_atomically(Path(path)) as temporary:
                temporary.write_text(text, encoding="utf-8", newline="")
            line = tr("export: {path} (audio clips: {cuts}, markers: {markers})",
                      path=path, cuts=len(edit.cuts), markers=len(edit.markers))  # fmt: skip
            remainder_ms = edit.largest_remainder_ms()
            if suffix == ".edl" and remainder_ms >= MIN_SHOWN_MS:
                line += "; " + tr("an EDL has whole frames only: up to {ms:.1f} ms remain",
                                  ms=remainder_ms)  # fmt: skip
            yield line


def export_many(
    rows: Iterable[dict], folder: Path, suffixes: Sequence[str], overwrite: bool
) -> Iterator[str]:
    """Write the files of many pairs, ``<video name><suffix>`` in a folder: yields lines about them.

    A name that is in use, by a file or by another pair, is numbered.

    Args:
        rows: of ``batch.run_batch`` with details, which are taken out of them.
        suffixes: of the formats.
        overwrite: files that exist may be replaced.

    Raises:
        as ``EditExports.write``.
    """
    taken: set[Path] = set()
    for row in rows:
        details = row.pop("details")
        if details is None:
            yield tr("{video}: not exported: an earlier run processed it; use another --summary to "
                     "process it again, or it could not be read", video=row["video"])  # fmt: skip
            continue
        paths = [_free_path(folder, row["video"], suffix.lower(), taken, overwrite)
                 for suffix in suffixes]  # fmt: skip
        for line in EditExports(paths, overwrite).write(details):
            yield f"{row['video']}: {line}"


def _free_path(folder: Path, video: str, suffix: str, taken: set[Path], overwrite: bool) -> Path:
    number = 0
    while True:
        number += 1
        end = f"_{number}" if number > 1 else ""
        path = folder / f"{Path(video).stem}{end}{suffix}"
        if path not in taken and (overwrite or not path.exists()):
            taken.add(path)
            return path

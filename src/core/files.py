"""How this project writes files: complete, or not at all."""

import hashlib
import os
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ..i18n.messages import tr
from .errors import OutputError


def ensure_folder(folder: str | Path) -> Path:
    """The folder, created with its parents if it is missing.

    Raises:
        OutputError.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _folder_error(folder, error) from None
    return Path(folder)


@contextmanager
def folder_created(folder: str | Path):
    """``ensure_folder`` for what the block writes; if the block fails, the folders that it created
    and left empty are removed.

    Raises:
        OutputError.
    """
    folder = Path(folder)
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    try:
        yield ensure_folder(folder)
    except BaseException:
        for parent in missing:
            with suppress(OSError):  # it was not created, or is not empty
                parent.rmdir()
        raise


def check_writable(path: str | Path) -> None:
    """Reject a file that cannot be written, before the work that produces it. Leaves no trace:
    missing folders are tried out under a temporary one.

    Raises:
        OutputError.
    """
    requested, path = Path(path), Path(os.path.abspath(path))  # ".." would leave the temporary one
    if "\0" in str(path):
        raise OutputError(
            tr("cannot write {path}: {why}", path=requested, why=tr("no name may contain NUL"))
        )
    try:
        path.exists()  # a name that is too long shows here
        if path.parent.is_dir():
            with tempfile.TemporaryFile(dir=path.parent):
                return
    except OSError as error:
        raise _write_error(requested, error) from None
    try:
        # Broken links count as existing: no folder can be created in them.
        existing = next(filter(os.path.lexists, path.parents), path.parent)
        with tempfile.TemporaryDirectory(prefix=".lipsync-", dir=existing) as trial:
            folder = trial / path.parent.relative_to(existing)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / path.name).touch()
    except OSError as error:
        raise _folder_error(requested.parent, error) from None


@contextmanager
def trial_file(folder: str | Path):
    """A file in a folder while the block runs, for others to look whether they see it.

    Raises:
        OutputError: the folder cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=".lipsync-", dir=folder)
        os.close(handle)
    except OSError as error:
        raise _write_error(Path(folder), error) from None
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def real_path(path: str | Path) -> Path:
    """The path without links, to be compared; also of names that no file can have, and of links
    that lead to themselves."""
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError):  # a name with NUL
        return Path(os.path.abspath(path))


def display_path(path: Path) -> Path:
    """A path for messages: relative if it is inside the current folder."""
    current = Path.cwd()
    return path.relative_to(current) if path.is_relative_to(current) else path


@contextmanager
def written_atomically(path: str | Path, temporary_suffix: str | None = None):
    """A temporary path in the folder of ``path``, renamed to it when the block succeeds.

    Whatever ends the block early (an error, Ctrl+C) leaves the old file, if any, as it was. The
    temporary name is unique: two runs may write the same file.

    Args:
        temporary_suffix: of the temporary path, which then begins with the name; None: the same
            suffix.

    Raises:
        OutputError: the folder is missing or cannot be written, or the disk is full.
    """
    path = Path(path)
    try:
        prefix = f".{path.stem[:40]}-" if temporary_suffix is None else f"{path.name[:60]}."
        handle, full_name = tempfile.mkstemp(
            prefix=prefix, suffix=temporary_suffix or path.suffix, dir=path.parent
        )
        os.close(handle)
        temporary_path = Path(full_name)
    except OSError as error:
        raise _write_error(path, error) from None
    try:
        yield temporary_path
        with open(temporary_path, "rb+") as file:
            os.fsync(file.fileno())
        temporary_path.chmod(0o666 & ~_umask())
        os.replace(temporary_path, path)
    except OSError as error:
        raise _write_error(path, error) from None
    finally:
        temporary_path.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _folder_error(folder: str | Path, error: OSError) -> OutputError:
    return OutputError(
        tr("cannot create the folder {path}: {why}", path=folder, why=error.strerror or error)
    )


def _write_error(path: Path, error: OSError) -> OutputError:
    return OutputError(tr("cannot write {path}: {why}", path=path, why=error.strerror or error))


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with open(path, "rb") as file:
        return sha256_of(file)


def sha256_of(file: BinaryIO) -> str:
    """Hexadecimal SHA-256 of an open file, from where it stands to its end."""
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def check_output_path(output_path: str | Path, inputs: list, suffixes: set[str]) -> Path:
    """Reject an output that cannot or must not be written, before anything is measured.

    Raises:
        OutputError.
    """
    output = Path(output_path)
    check_writable(output)
    for input_path in filter(None, inputs):
        both_exist = os.path.exists(output) and os.path.exists(input_path)
        same_path = real_path(output) == real_path(input_path)
        if same_path or (both_exist and output.samefile(input_path)):  # hard links
            raise OutputError(
                tr("the output {path} is an input: choose another name", path=output_path)
            )
    if output.is_dir():
        raise OutputError(tr("the output {path} is a folder: give a file name", path=output_path))
    if output.suffix.lower() not in suffixes:
        raise OutputError(
            tr("{path}: the name must end in one of {suffixes}",
               path=output_path, suffixes=" ".join(sorted(suffixes)))
        )  # fmt: skip
    return output

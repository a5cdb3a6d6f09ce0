"""How this project writes files: complete, or not at all."""

import hashlib
import os
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

from ..i18n.messages import tr
from .errors import OutputError


def ensure_folder(folder: str | Path) -> Path:
    """The folder, made with its parents if it is missing.

    Raises:
        OutputError.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unmakable(folder, error) from None
    return Path(folder)


@contextmanager
def folder_created(folder: str | Path):
    """``ensure_folder`` for what the block writes; what the block did not fill is gone again when
    it fails.

    Raises:
        OutputError.
    """
    folder = Path(folder)
    new = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    try:
        yield ensure_folder(folder)
    except BaseException:
        for parent in new:
            with suppress(OSError):  # it was not made, or somebody else put something there
                parent.rmdir()
        raise


def check_writable(path: str | Path) -> None:
    """Refuse a file that cannot be written, before the work that is to fill it. Leaves nothing: a
    folder that is missing is tried beside where it would be.

    Raises:
        OutputError.
    """
    given, path = Path(path), Path(os.path.abspath(path))  # ".." would lead out of what is tried
    try:
        path.exists()  # a name that is too long shows here
        if path.parent.is_dir():
            with tempfile.TemporaryFile(dir=path.parent):
                return
    except OSError as error:
        raise _unwritable(given, error) from None
    try:
        # What is there, links that lead nowhere included: no folder can be made in those.
        there = next(filter(os.path.lexists, path.parents), path.parent)
        with tempfile.TemporaryDirectory(prefix=".lipsync-", dir=there) as tried:
            folder = tried / path.parent.relative_to(there)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / path.name).touch()
    except OSError as error:
        raise _unmakable(given.parent, error) from None


def display_path(path: Path) -> Path:
    """A path as short as it can be said: from the current folder, if it is in it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


@contextmanager
def written_atomically(path: str | Path, name: str | None = None):
    """A path beside ``path`` to write to; it takes the name only when the block succeeds.

    Whatever ends the block early (an error, Ctrl+C) leaves the old file, if any, as it was.

    Args:
        name: of the path beside it; None: a new one with the same ending.

    Raises:
        OutputError: the folder is missing or cannot be written, or the disk is full.
    """
    path = Path(path)
    try:
        if name is None:
            handle, full_name = tempfile.mkstemp(
                prefix=f".{path.stem[:40]}-", suffix=path.suffix, dir=path.parent
            )
            os.close(handle)
            aside = Path(full_name)
        else:
            aside = path.with_name(name)
            aside.touch()
    except OSError as error:
        raise _unwritable(path, error) from None
    try:
        yield aside
        with open(aside, "rb+") as file:
            os.fsync(file.fileno())
        aside.chmod(0o666 & ~_umask())
        os.replace(aside, path)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        aside.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _unmakable(folder: str | Path, error: OSError) -> OutputError:
    return OutputError(
        tr("cannot make the folder {path}: {why}", path=folder, why=error.strerror or error)
    )


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(tr("cannot write {path}: {why}", path=path, why=error.strerror or error))


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def check_output_path(output_path: str | Path, inputs: list, suffixes: set[str]) -> Path:
    """Refuse what cannot or must not be written, before anything is measured.

    Raises:
        OutputError.
    """
    output = Path(output_path)
    check_writable(output)
    for given in inputs:
        if given is None:
            continue
        there = output.exists() and Path(given).exists()  # links lead to what is there
        if output.resolve() == Path(given).resolve() or (there and output.samefile(given)):
            raise OutputError(
                tr("the output {path} is an input: choose another name", path=output_path)
            )
    if output.is_dir():
        raise OutputError(tr("the output {path} is a folder: name a file", path=output_path))
    if output.suffix.lower() not in suffixes:
        raise OutputError(
            tr("{path}: the name must end in one of {suffixes}",
               path=output_path, suffixes=" ".join(sorted(suffixes)))
        )  # fmt: skip
    return output

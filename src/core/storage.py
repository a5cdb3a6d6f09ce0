"""Files in a folder or at a URL (``s3://bucket/folder``, whatever fsspec knows): whole, or a range.

A request that fails is made again; what still fails is one line with what to do.
"""

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ..i18n.messages import tr
from .errors import ConfigError, OutputError, StorageError
from .files import ensure_folder, written_atomically

logger = logging.getLogger(__name__)

TRIES = 5
FIRST_WAIT_S = 0.2  # doubled after each try
# What never gets better by itself.
FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)

Result = TypeVar("Result")


def is_url(place: str) -> bool:
    return "://" in place


def join(place: str, name: str) -> str:
    """A name in a folder or under a URL."""
    return f"{place.rstrip('/')}/{name}" if is_url(place) else str(Path(place) / name)


def read_bytes(place: str, start: int = 0, stop: int | None = None) -> bytes:
    """The bytes ``start … stop − 1`` of a file.

    Raises:
        StorageError: it is missing, or cannot be read; ``StorageError.is_missing`` says which.
    """

    def read() -> bytes:
        if is_url(place):
            files, path = _file_system(place)
            return files.cat_file(path, start=start, end=stop)
        with open(place, "rb") as file:
            file.seek(start)
            return file.read() if stop is None else file.read(stop - start)

    return _tried(read, place)


def sizes_in(place: str) -> dict[str, int]:
    """Name and size in bytes of the files in a folder; nothing where there is none.

    Raises:
        StorageError.
    """

    def sizes() -> dict[str, int]:
        if is_url(place):
            files, path = _file_system(place)
            entries = files.ls(path, detail=True, refresh=True)
            return {entry["name"].rpartition("/")[2]: entry["size"] for entry in entries}
        return {path.name: path.stat().st_size for path in Path(place).iterdir()}

    try:
        return _tried(sizes, place)
    except StorageError as error:
        if error.is_missing:
            return {}
        raise


def versions_below(url: str) -> dict[str, str]:
    """All files below a URL, by their names relative to it, with ``/``: what changes with the
    content of each (its size, and its ETag or when it was written). Nothing where there is none.

    Raises:
        StorageError.
    """

    def versions() -> dict[str, str]:
        files, top = _file_system(url)
        files.invalidate_cache()
        top = top.rstrip("/")
        entries = files.find(top, detail=True)
        return {
            path.removeprefix(top).lstrip("/"): _version(entry) for path, entry in entries.items()
        }

    try:
        return _tried(versions, url)
    except StorageError as error:
        if error.is_missing:
            return {}
        raise


def _version(entry: dict) -> str:
    names = ("ETag", "etag", "md5Hash", "content_md5", "LastModified", "mtime", "created")
    marks = (entry[name] for name in names if entry.get(name))
    return f"{entry['size']} {next(marks, '')}".strip()


def fetch(url: str, path: Path) -> None:
    """Copy a file at a URL to one on this machine.

    Raises:
        StorageError.
    """

    def get() -> None:
        files, source = _file_system(url)
        files.get_file(source, str(path))

    _tried(get, url)


def check_writable_place(place: str) -> None:
    """Reject a folder or URL where nothing can be written, before the work.

    Raises:
        OutputError.
    """
    name = join(place, ".lipsync-trial")
    if not is_url(place):
        ensure_folder(place)
        return
    write(name, b"")

    def remove() -> None:
        files, path = _file_system(name)
        files.rm_file(path)

    _tried(remove, name, OutputError)


def write(place: str, content: bytes | Path) -> None:
    """Write a file, which appears complete or not at all.

    Args:
        content: bytes, or a file to copy.

    Raises:
        OutputError.
    """
    if not is_url(place):
        ensure_folder(Path(place).parent)
        with written_atomically(place) as temporary_path:
            if isinstance(content, bytes):
                temporary_path.write_bytes(content)
            else:
                shutil.copyfile(content, temporary_path)
        return

    def put() -> None:
        files, path = _file_system(place)
        if isinstance(content, bytes):
            files.pipe_file(path, content)
        else:
            files.put_file(str(content), path)

    _tried(put, place, OutputError)


def _file_system(url: str):
    """The file system of a URL, and the path in it."""
    try:
        from fsspec.core import url_to_fs

        return url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise ConfigError(
            tr("{url} cannot be used ({why}): pip install -r requirements-cluster.txt for s3://, "
               "or the package of fsspec for it", url=url, why=_one_line(error))
        ) from None  # fmt: skip


def _tried(act: Callable[[], Result], place: str, kind: type | None = None) -> Result:
    """Act, again where it fails.

    Args:
        kind: of the error that is raised at last; None: StorageError.
    """
    wait_s = FIRST_WAIT_S
    for number in range(1, TRIES + 1):
        try:
            return act()
        except ConfigError:
            raise
        except FINAL as error:
            reason, is_missing = error, isinstance(error, FileNotFoundError)
            break
        # Each store has its own errors for a server that is busy, or gone for a moment.
        except Exception as error:
            reason, is_missing = error, False
            if number < TRIES and is_url(place):
                logger.debug("%s: try %d failed: %s", place, number, error)
                time.sleep(wait_s)
                wait_s *= 2
                continue
            break
    text = _reason_text(reason)
    if kind is OutputError:
        raise OutputError(tr("cannot write {path}: {why}", path=place, why=text)) from None
    error = StorageError(tr("cannot read {path}: {why}", path=place, why=text))
    error.is_missing = is_missing
    raise error from None


def _reason_text(error: Exception) -> str:
    """What is wrong, with what to do about it where that is known."""
    text = _one_line(error)
    if "skew" in text.lower() or "RequestExpired" in text:
        return tr("{why} (the clock of this machine is wrong: set it)", why=text)
    if isinstance(error, PermissionError) or "Credential" in type(error).__name__:
        return tr("{why} (no permission: check your credentials for it)", why=text)
    if any(word in text for word in ("Quota", "StorageFull", "InsufficientStorage", "No space")):
        return tr("{why} (it is full: free some space or use another place)", why=text)
    return text


def _one_line(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(text.split()) or type(error).__name__

"""The .pth file format: written whole or not at all, and read without trusting the file.

``archive`` checks a file before PyTorch is asked to open it.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path

import torch

from ..core.errors import OutputError
from ..core.files import written_atomically
from ..i18n.messages import tr
from .archive import damaged_error, opened_archive

PART_SUFFIX = ".part"


def write_file(path: Path, payload: dict) -> None:
    """Write to a temporary file, flush it to the disk, then rename it.

    Raises:
        OutputError: it cannot be written; the file is as it was before.
    """
    # A killed run leaves its part behind, without the ending .pth; see remove_parts.
    with written_atomically(path, PART_SUFFIX) as temporary_path:
        try:
            torch.save(payload, temporary_path)
        except RuntimeError as error:  # how torch reports a full disk
            reason = str(error).splitlines()[0]
            raise OutputError(tr("cannot write {path}: {why}", path=path, why=reason)) from None


def remove_parts(folder: Path, names: tuple[str, ...]) -> None:
    """Remove what killed runs were writing: nobody else may be writing these files now.

    Args:
        names: of the files, as patterns.
    """
    for name in names:
        for unique in ("", ".????????"):  # earlier versions had one name for all runs
            for part in folder.glob(f"{name}{unique}{PART_SUFFIX}"):
                part.unlink(missing_ok=True)


def read_file(path: str | Path) -> object:
    """The object in a .pth file, its tensors on the CPU; code in the file is never run.

    Raises:
        MissingFileError: there is no such file.
        CheckpointError: it is truncated or damaged.
        NotACheckpointError: it is not a .pth file, or would run code.
    """
    return read_file_and_hash(path)[0]


def read_file_and_hash(path: str | Path) -> tuple[object, str]:
    """The object in a .pth file, and the hexadecimal SHA-256 of just the bytes it was read from.
    Raises as ``read_file`` does.
    """
    with opened_archive(path) as (file, digest), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's remarks on files it refuses
        payload = torch.load(file, map_location="cpu", weights_only=True)
        for tensor in iter_tensors(payload):
            if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
                raise damaged_error(path)
    return payload, digest


def iter_tensors(payload: object) -> Iterator[torch.Tensor]:
    """All tensors in nested dicts, lists and tuples."""
    pending, visited = [payload], set()
    while pending:
        item = pending.pop()
        if isinstance(item, torch.Tensor):
            yield item
        elif isinstance(item, (dict, list, tuple)) and id(item) not in visited:
            visited.add(id(item))  # a pickle may hold a list that contains itself
            pending += item.values() if isinstance(item, dict) else item

"""The .pth file format: written whole or not at all, and read without trusting the file.

A checkpoint of this project is a zip archive as ``torch.save`` writes it: tensors, stored without
compression, and one pickle of plain builtins. Before anything is unpickled, the archive is checked:
it is complete, no entry unpacks to more than the file holds, and the pickle imports nothing but
tensors.
"""

import os
import pickletools
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import torch

from ..core.errors import CheckpointError, MissingFileError, NotACheckpointError, OutputError
from ..core.files import sha256_of, written_atomically
from ..i18n.messages import tr

# All that tensors and OrderedDicts of them need; torch's own list is longer (bytearray, …).
STORAGES = ("Bool", "Byte", "Char", "Short", "Int", "Long", "Half", "BFloat16", "Float", "Double")
ALLOWED_GLOBALS = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2"} | {
    f"torch {name}Storage" for name in STORAGES
}
# The other opcodes by which a pickle can import a class or a function; torch.save writes none.
OTHER_IMPORT_OPCODES = {"STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"}
PART_SUFFIX = ".part"
MAX_PICKLE_BYTES = 1 << 26  # everything but the tensors is small


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
    """The object in a .pth file, and the hexadecimal SHA-256 of just the bytes it was read from:
    another file may take the name at any time. Raises as ``read_file`` does.
    """
    path = Path(path)
    if not os.path.isfile(path):
        raise MissingFileError(
            tr("checkpoint not found: {path}; python src/train.py makes one", path=path)
        )
    try:
        with open(path, "rb") as file, warnings.catch_warnings():
            digest = sha256_of(file)
            file.seek(0)
            _scan_archive(file, path)
            file.seek(0)
            warnings.simplefilter("ignore")  # torch's remarks on files it refuses
            payload = torch.load(file, map_location="cpu", weights_only=True)
        for tensor in iter_tensors(payload):
            if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
                raise _damaged_error(path)
    except CheckpointError:
        raise
    # A damaged file can raise nearly anything; none of it has run code from the file.
    except Exception:
        raise _damaged_error(path) from None
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


def _scan_archive(file: BinaryIO, path: Path) -> None:
    """Refuse files that torch should not be asked to open.

    Args:
        file: open at its start.
        path: its path, for the message.

    Raises:
        CheckpointError: truncated or damaged.
        NotACheckpointError: not a .pth file, or it would run code.
    """
    is_zip_start = file.read(2) == b"PK"
    if not zipfile.is_zipfile(file):
        if is_zip_start:
            raise CheckpointError(tr("{path} is truncated: copy or download it again", path=path))
        raise _not_a_checkpoint_error(path)
    file_size = file.seek(0, 2)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if any(e.compress_type != zipfile.ZIP_STORED or e.flag_bits & 1 for e in entries):
            raise _not_a_checkpoint_error(path)
        if sum(entry.file_size for entry in entries) > file_size:
            raise _damaged_error(path)
        pickles = [entry for entry in entries if entry.filename.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise _not_a_checkpoint_error(path)
        if pickles[0].file_size > MAX_PICKLE_BYTES:
            raise _damaged_error(path)
        names = disallowed_globals(archive.read(pickles[0]))
    if names:
        raise NotACheckpointError(
            tr("{path} was not opened: it refers to {names}, which could run code; a checkpoint of "
               "this project holds only tensors and plain values",
               path=path, names=", ".join(names))
        )  # fmt: skip


def disallowed_globals(data: bytes) -> list[str]:
    """The classes and functions other than tensors that a pickle imports, without unpickling it.

    Raises:
        ValueError: it is not a pickle.
    """
    names = set()
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name == "GLOBAL" and argument not in ALLOWED_GLOBALS:
            names.add(str(argument).replace(" ", "."))
        elif opcode.name in OTHER_IMPORT_OPCODES:
            names.add(opcode.name)
    return sorted(names)


def _not_a_checkpoint_error(path: Path) -> CheckpointError:
    return NotACheckpointError(
        tr("{path} is not a checkpoint; train one with python src/train.py", path=path)
    )


def _damaged_error(path: Path) -> CheckpointError:
    return CheckpointError(
        tr("{path} is damaged: copy it again, or train one with python src/train.py", path=path)
    )

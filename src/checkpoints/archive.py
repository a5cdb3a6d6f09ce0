"""A .pth file as the archive that it is, checked before anything of it is unpickled.

A checkpoint of this project is a zip archive as ``torch.save`` writes it: tensors, stored without
compression, and one pickle of plain builtins. It is read only if it is complete, no entry unpacks
to more than the file holds, and the pickle imports nothing but tensors. PyTorch is not needed:
``read_arrays`` reads tensors as arrays; ``safe_file`` reads and writes with PyTorch.
"""

import io
import os
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from operator import index
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..core.errors import CheckpointError, MissingFileError, NotACheckpointError
from ..core.files import sha256_of
from ..i18n.messages import tr

# What is in a storage of PyTorch; bfloat16 is the upper half of a float32.
STORAGES = {
    "Bool": "?", "Byte": "u1", "Char": "i1", "Short": "<i2", "Int": "<i4", "Long": "<i8",
    "Half": "<f2", "BFloat16": "<u2", "Float": "<f4", "Double": "<f8",
}  # fmt: skip
# All that tensors and OrderedDicts of them need; torch's own list is longer (bytearray, …).
ALLOWED_GLOBALS = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2"} | {
    f"torch {name}Storage" for name in STORAGES
}
# The other opcodes by which a pickle can import a class or a function; torch.save writes none.
OTHER_IMPORT_OPCODES = {"STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"}
# Unpickling allocates as many places as the largest number needs.
MEMO_OPCODES = {"PUT", "BINPUT", "LONG_BINPUT"}
MAX_PICKLE_BYTES = 1 << 26  # everything but the tensors is small


@contextmanager
def opened_archive(path: str | Path) -> Iterator[tuple[BinaryIO, str]]:
    """A .pth file, open and checked, and the hexadecimal SHA-256 of just the bytes that are read:
    another file may take the name at any time.

    Whatever else fails while the block reads it is damage.

    Raises:
        MissingFileError: there is no such file.
        CheckpointError: it is truncated or damaged.
        NotACheckpointError: it is not a .pth file, or would run code.
    """
    path = Path(path)
    if not os.path.isfile(path):
        raise MissingFileError(
            tr("checkpoint not found: {path}; python src/train.py makes one", path=path)
        )
    try:
        with open(path, "rb") as file:
            digest = sha256_of(file)
            file.seek(0)
            _scan_archive(file, path)
            file.seek(0)
            yield file, digest
    except CheckpointError:
        raise
    # A damaged file can raise nearly anything; none of it has run code from the file.
    except Exception:
        raise damaged_error(path) from None


def read_arrays(path: str | Path) -> tuple[object, str]:
    """As ``safe_file.read_file_and_hash``, with NumPy arrays for tensors; bfloat16 is read as
    float32."""
    with opened_archive(path) as (file, digest), zipfile.ZipFile(file) as archive:
        return _ArrayUnpickler(archive).load(), digest


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickles plain builtins and tensors, as ``torch.save`` pickles them."""

    def __init__(self, archive: zipfile.ZipFile):
        (name,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        super().__init__(io.BytesIO(archive.read(name)))
        self._archive, self._folder = archive, name.removesuffix("data.pkl")
        self._storages: dict[str, _Storage] = {}
        byte_order = self._folder + "byteorder"
        if byte_order in archive.namelist() and archive.read(byte_order) != b"little":
            raise pickle.UnpicklingError("numbers of another byte order")

    def find_class(self, module, name):
        allowed = {
            ("collections", "OrderedDict"): _PlainOrderedDict,
            # A function of its own for each file, which may set attributes of it.
            ("torch._utils", "_rebuild_tensor_v2"): lambda *parts: view_of(*parts),
        } | {("torch", f"{kind}Storage"): kind for kind in STORAGES}
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
        return allowed[module, name]

    def persistent_load(self, saved):
        label, kind, key, _, count = saved
        if label != "storage":
            raise pickle.UnpicklingError(f"{label} is not a storage")
        if key not in self._storages:
            data = self._archive.read(f"{self._folder}data/{key}")
            values = np.frombuffer(data, STORAGES[kind])
            if kind == "BFloat16":
                values = (values.astype(np.uint32) << 16).view(np.float32)
            self._storages[key] = _Storage(values)
        storage = self._storages[key]
        if count > len(storage.values):
            raise pickle.UnpicklingError("a storage holds less than it claims")
        return storage


@dataclass(frozen=True)
class _Storage:
    """All numbers of a file's entry, one after the other; of a type that a pickle cannot make."""

    values: np.ndarray


class _PlainOrderedDict(OrderedDict):
    """Its attributes in the file, which could hide its methods, are ignored."""

    def __setstate__(self, state):
        pass


def view_of(storage: _Storage, offset: int, size: tuple, stride: tuple, *_) -> np.ndarray:
    """A tensor in its storage, as ``torch._utils._rebuild_tensor_v2`` takes it.

    Raises:
        ValueError: it claims more than the storage holds.
        TypeError: that is none: a view of a view would reach beyond it.
    """
    if type(storage) is not _Storage:
        raise TypeError("a view is of a storage only")
    values = storage.values
    # Python's own numbers, which do not overflow: a file may give arrays in their place.
    offset, size, stride = index(offset), tuple(map(index, size)), tuple(map(index, stride))
    n_values = prod(size)
    reach = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    numbers = (offset, *size, *stride)
    if min(numbers) < 0 or n_values > len(values) or (n_values and reach >= len(values)):
        raise ValueError("a tensor claims more than its storage holds")
    if not n_values:
        return np.empty(size, values.dtype)
    strides = [step * values.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(values[offset:], size, strides, writeable=False)


def _scan_archive(file: BinaryIO, path: Path) -> None:
    """Refuse files that should not be read.

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
            raise damaged_error(path)
        pickles = [entry for entry in entries if entry.filename.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise _not_a_checkpoint_error(path)
        if pickles[0].file_size > MAX_PICKLE_BYTES:
            raise damaged_error(path)
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
    for n_before, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if opcode.name in MEMO_OPCODES and argument > n_before:
            raise ValueError("a place in the memo beyond what is stored")
        if opcode.name == "GLOBAL" and argument not in ALLOWED_GLOBALS:
            names.add(str(argument).replace(" ", "."))
        elif opcode.name in OTHER_IMPORT_OPCODES:
            names.add(opcode.name)
    return sorted(names)


def _not_a_checkpoint_error(path: Path) -> CheckpointError:
    return NotACheckpointError(
        tr("{path} is not a checkpoint; train one with python src/train.py", path=path)
    )


def damaged_error(path: Path) -> CheckpointError:
    return CheckpointError(
        tr("{path} is damaged: copy it again, or train one with python src/train.py", path=path)
    )

"""A .pth file: written whole or not at all, and read without trusting it.

A checkpoint of this project is a zip as ``torch.save`` writes it: stored (not compressed) tensors
and one pickle of plain builtins. Before anything is unpickled it is seen to that the file is whole,
that nothing in it unpacks to more than it is long, and that its pickle names nothing but tensors.
"""

import pickletools
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch

from ..core.errors import CheckpointError, MissingFileError, NotACheckpointError, OutputError
from ..core.files import written_atomically
from ..i18n.messages import tr

# All that tensors and OrderedDicts of them need; torch's own list is longer (bytearray, …).
STORAGES = ("Bool", "Byte", "Char", "Short", "Int", "Long", "Half", "BFloat16", "Float", "Double")
ALLOWED = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2"} | {
    f"torch {name}Storage" for name in STORAGES
}
# How a pickle can name a class or a function, beside GLOBAL; torch.save writes none of these.
OTHER_NAMES = {"STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"}
MOST_PICKLE = 1 << 26  # bytes: what is not tensors is small


def write_file(path: Path, content: dict) -> None:
    """Write aside, to the disk, then rename: the file is there whole, or as it was before.

    Raises:
        OutputError.
    """
    # A killed run leaves its part behind, under one name and without the ending .pth.
    with written_atomically(path, f"{path.name}.part") as aside:
        try:
            torch.save(content, aside)
        except RuntimeError as error:  # what torch makes of a full disk
            why = str(error).splitlines()[0]
            raise OutputError(tr("cannot write {path}: {why}", path=path, why=why)) from None


def read_file(path: str | Path) -> object:
    """What is in a .pth file; code in it is never run.

    Raises:
        MissingFileError: there is no such file.
        CheckpointError: it is cut off or damaged.
        NotACheckpointError: it is no such file at all, or would run code.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(
            tr("checkpoint not found: {path}; python src/train.py makes one", path=path)
        )
    try:
        _check(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's remarks on files that are refused
            content = torch.load(path, map_location="cpu", weights_only=True)
        for tensor in tensors_of(content):
            if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
                raise _damaged(path)
    except CheckpointError:
        raise
    # A damaged file can raise nearly anything; none of it has run foreign code.
    except Exception:
        raise _damaged(path) from None
    return content


def tensors_of(content: object) -> Iterator[torch.Tensor]:
    """All tensors in nested dicts, lists and tuples."""
    waiting, seen = [content], set()
    while waiting:
        one = waiting.pop()
        if isinstance(one, torch.Tensor):
            yield one
        elif isinstance(one, (dict, list, tuple)) and id(one) not in seen:
            seen.add(id(one))  # a pickle may hold a list that holds itself
            waiting += one.values() if isinstance(one, dict) else one


def _check(path: Path) -> None:
    """Refuse what torch should not be asked to open.

    Raises:
        CheckpointError: with a sentence of its own for each kind.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(4)
    if not zipfile.is_zipfile(path):
        if head.startswith(b"PK"):
            raise CheckpointError(
                tr("{path} is cut off: it was not written or copied to its end", path=path)
            )
        raise _none(path)
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if any(one.compress_type != zipfile.ZIP_STORED or one.flag_bits & 1 for one in entries):
            raise _none(path)
        if sum(one.file_size for one in entries) > size:
            raise _damaged(path)
        pickles = [one for one in entries if one.filename.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise _none(path)
        if pickles[0].file_size > MOST_PICKLE:
            raise _damaged(path)
        names = foreign_names(archive.read(pickles[0]))
    if names:
        raise NotACheckpointError(
            tr("{path} is not opened: it names {names}, which could run code; a checkpoint of this "
               "project holds tensors and plain values only", path=path, names=", ".join(names))
        )  # fmt: skip


def foreign_names(data: bytes) -> list[str]:
    """What a pickle names beside tensors, without unpickling it.

    Raises:
        ValueError: it is no pickle.
    """
    found = set()
    for code, argument, _ in pickletools.genops(data):
        if code.name == "GLOBAL" and argument not in ALLOWED:
            found.add(str(argument).replace(" ", "."))
        elif code.name in OTHER_NAMES:
            found.add(code.name)
    return sorted(found)


def _none(path: Path) -> CheckpointError:
    return NotACheckpointError(
        tr("{path} is not a checkpoint; train one with python src/train.py", path=path)
    )


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError(
        tr("{path} is damaged: copy it again, or train one with python src/train.py", path=path)
    )

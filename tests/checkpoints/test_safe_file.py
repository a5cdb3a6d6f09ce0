"""The .pth format: truncated, damaged, inflated and malicious files, and failing writes."""

import ast
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from src.checkpoints import archive
from src.checkpoints import safe_file as checkpoint_file
from src.checkpoints.archive import disallowed_globals, read_arrays
from src.checkpoints.safe_file import iter_tensors, read_file, read_file_and_hash, write_file
from src.core.errors import CheckpointError, MissingFileError, OutputError
from tests.support.training_helpers import ROOT

CONTENT = {
    "epoch": 3, "share": 0.5, "name": "ä", "nothing": None, "yes": True,
    "weights": {"a": torch.arange(6.0).reshape(2, 3), "b": torch.zeros(40_000)},
    "list": [1, (2, 3), torch.ones(2, dtype=torch.uint8)],
}  # fmt: skip


RISKY = {
    f"{module}.{name}" for module in ("torch", "pickle", "joblib", "dill")
    for name in ("load", "loads", "Unpickler")
}  # fmt: skip
SAFE = {"weights_only": "True", "allow_pickle": "False"}


@pytest.fixture
def saved(tmp_path) -> Path:
    path = tmp_path / "model.pth"
    write_file(path, CONTENT)
    return path


def refused(path: Path, *words: str) -> None:
    """With PyTorch, and without it."""
    for read in (read_file, read_arrays):
        with pytest.raises(CheckpointError) as caught:
            read(path)
        text = str(caught.value)
        assert str(path) in text and len(text.splitlines()) == 1
        for word in words:
            assert word in text


def printed_lines(code: str, path: Path) -> list[str]:
    """The lines that a program prints; its argument is the path."""
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, text=True,
                          capture_output=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def repacked(path: Path, change, compression=zipfile.ZIP_STORED) -> None:
    """Rewrite the archive of a checkpoint, with ``change(name, data)`` as its entries."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(name, change(name, data))


def test_what_is_written_is_read(saved):
    loaded = read_file(saved)
    assert torch.equal(loaded["weights"]["a"], CONTENT["weights"]["a"])
    assert {key: loaded[key] for key in ("epoch", "share", "name", "nothing", "yes")} == {
        key: CONTENT[key] for key in ("epoch", "share", "name", "nothing", "yes")
    }
    assert [tuple(tensor.shape) for tensor in iter_tensors(loaded["weights"])] == [
        (40_000,),
        (2, 3),
    ]
    assert list(saved.parent.iterdir()) == [saved]


def test_a_list_that_contains_itself_is_visited_once():
    loop = [torch.zeros(1)]
    loop.append(loop)
    assert len(list(iter_tensors(loop))) == 1


def test_arrays_are_what_pytorch_reads(tmp_path):
    """Of every kind of number, views, and whatever else a checkpoint may hold."""
    floats = torch.arange(24.0)
    content = {
        "numbers": [
            floats.to(kind) for kind in (torch.bool, torch.uint8, torch.int8, torch.int16,
                                         torch.int32, torch.int64, torch.float16, torch.bfloat16,
                                         torch.float32, torch.float64)
        ],
        "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3), "state": OrderedDict(a=floats),
        "transposed": floats.reshape(4, 6).T, "part": floats.reshape(4, 6)[1:3, ::2],
        "last": torch.arange(9.0)[8:], "parameter": torch.nn.Linear(3, 2).state_dict(),
        "plain": [None, True, 3, 2.5, "ä", (1, 2), {"deep": {"deeper": []}}],
    }  # fmt: skip
    path = tmp_path / "all.pth"
    torch.save(content, path)
    arrays, digest = read_arrays(path)
    expected, expected_digest = read_file_and_hash(path)
    assert digest == expected_digest
    assert_equal(arrays, expected)


def assert_equal(arrays, tensors) -> None:
    if isinstance(tensors, torch.Tensor):
        assert isinstance(arrays, np.ndarray) and arrays.shape == tuple(tensors.shape)
        if tensors.dtype == torch.bfloat16:
            tensors = tensors.float()
        assert arrays.dtype == tensors.numpy().dtype
        np.testing.assert_array_equal(arrays, tensors.numpy())
    elif isinstance(tensors, dict):
        assert list(arrays) == list(tensors)
        for key, value in tensors.items():
            assert_equal(arrays[key], value)
    elif isinstance(tensors, (list, tuple)):
        assert type(arrays) is type(tensors) and len(arrays) == len(tensors)
        for own, value in zip(arrays, tensors, strict=True):
            assert_equal(own, value)
    else:
        assert arrays == tensors and type(arrays) is type(tensors)


@pytest.mark.parametrize(
    "rebuild",
    ["(s, 39_999, (2,), (1,))", "(s, 0, (2, 3), (1, 39_998))", "(s, -1, (2,), (1,))",
     "(s, 0, (-2,), (1,))", "(s, 0, (2,), (-1,))", "(s, 0, (40_001,), (0,))",
     "(s, 0, (2, 2), (1,))", "(s, 0, (5,), n([2**62]))", "(s, n([2**63 - 1])[0], (2,), (1,))"],
)  # fmt: skip
def test_a_view_beyond_its_storage_is_refused(rebuild):
    storage = archive._Storage(np.zeros(40_000, np.float32))
    with pytest.raises(ValueError):
        archive.view_of(*eval(rebuild, {"s": storage, "n": np.array}))
    assert archive.view_of(storage, 39_999, (1, 1), (5, 1)).shape == (1, 1)


def test_a_view_of_a_view_is_refused(tmp_path):
    """Of a view whose steps are 0, all of whose values are the last one, another would reach
    beyond the storage; nested in a pickle, both would be read."""
    storage = archive._Storage(np.zeros(10, np.float32))
    view = archive.view_of(storage, 9, (10,), (0,))
    with pytest.raises(TypeError):
        archive.view_of(view, 0, (10,), (1,))
    path = tmp_path / "nested.pth"
    torch.save({"a": torch.zeros(10)}, path)
    rebuild, one = b"ctorch._utils\n_rebuild_tensor_v2\n", b"I10\nt"
    saved = b"((S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nI10\ntQ"
    inner = rebuild + saved + b"I9\n(" + one + b"(I0\ntI00\nc" + b"collections\nOrderedDict\n)RtR"
    outer = rebuild + b"(" + inner + b"I0\n(" + one + b"(I1\ntI00\nNtR."
    repacked(path, lambda name, old: outer if name.endswith("/data.pkl") else old)
    refused(path, "damaged")


def test_a_huge_memo_is_refused(saved):
    """A dozen bytes that would allocate gigabytes: LONG_BINPUT of a place far away."""
    data = b"\x80\x02}r\xff\xff\xff\x7f."
    repacked(saved, lambda name, old: data if name.endswith("/data.pkl") else old)
    refused(saved, "damaged")


@pytest.mark.parametrize("share", [0.001, 0.01, 0.3, 0.9, 0.9999])
def test_a_truncated_file_is_reported(saved, share):
    data = saved.read_bytes()
    saved.write_bytes(data[: max(4, int(len(data) * share))])
    refused(saved, "is truncated: copy or download it again")


def test_a_missing_file_is_reported(tmp_path):
    for path in (tmp_path / "none.pth", tmp_path):
        for read in (read_file, read_arrays):
            with pytest.raises(MissingFileError, match=r"src/train\.py"):
                read(path)


# --- code


class _Payload:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_file_is_never_run(tmp_path, legacy):
    target = tmp_path / "was_run"
    path = tmp_path / "evil.pth"
    torch.save(
        {**CONTENT, "payload": _Payload(target)}, path, _use_new_zipfile_serialization=not legacy
    )  # fmt: skip
    refused(path, *([] if legacy else ["could run code", "pathlib"]))
    path.write_bytes(pickle.dumps(_Payload(target)))
    refused(path)
    assert not target.exists()
    pickle.loads(path.read_bytes())  # the payload is real
    assert target.exists()


@pytest.mark.parametrize(
    "data",
    [b"cos\nsystem\n(S'true'\ntR.", b"(S'true'\nios\nsystem\n.",
     b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
     b"c__builtin__\nbytearray\n(I99\ntR.", b"\x80\x02\x82\x01."],
    ids=["GLOBAL", "INST", "STACK_GLOBAL", "bytearray", "EXT1"],
)  # fmt: skip
def test_every_kind_of_import_is_detected(saved, data):
    assert disallowed_globals(data)
    repacked(saved, lambda name, old: data if name.endswith("/data.pkl") else old)
    refused(saved, "could run code")


def risks(code: str) -> set[str]:
    """What in a program could open a pickle: calls, imported names, and unsafe arguments."""
    risky = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            risky |= {name} & RISKY or ({name} if name.endswith("read_pickle") else set())
            risky |= {
                f"{word.arg}={ast.unparse(word.value)}" for word in node.keywords
                if word.arg in SAFE and ast.unparse(word.value) != SAFE[word.arg]
            }  # fmt: skip
        elif isinstance(node, ast.ImportFrom):
            risky |= {f"{node.module}.{name.name}" for name in node.names} & RISKY
    return risky


@pytest.mark.parametrize(
    "code",
    ["import torch\ntorch.load(p, weights_only=False)", "from pickle import loads",
     "import numpy\nnumpy.load(p, allow_pickle=True)", "import pandas\npandas.read_pickle(p)",
     "from torch import load as f", "torch.load(p, weights_only=flag)"],
)  # fmt: skip
def test_the_search_for_risks_finds_them(code):
    assert risks(code)


def test_no_file_of_the_project_opens_pickles_unguarded():
    """One module reads .pth files; another the index, with its own unpickler; a third what a run
    and its own workers on a cluster send each other, no file."""
    allowed = {
        "src/checkpoints/safe_file.py": {"torch.load"},
        "src/core/cluster.py": {"pickle.loads"},
    }
    files = [*ROOT.glob("*.py")]
    files += [
        path for name in ("src", "tools", "benchmarks") for path in (ROOT / name).rglob("*.py")
    ]
    assert len(files) > 50
    risks_by_name = {
        path.relative_to(ROOT).as_posix(): risks(path.read_text(encoding="utf-8")) for path in files
    }
    assert {name: calls for name, calls in risks_by_name.items() if calls} == allowed


# --- false sizes


def test_a_compressed_file_is_not_unpacked(saved):
    """A few kilobytes of zip can hold gigabytes of zeros."""
    repacked(saved, lambda name, data: data, zipfile.ZIP_DEFLATED)
    refused(saved)


def test_entries_that_share_their_bytes_are_refused(saved):
    """Overlapping entries make an archive larger than its file (Fifield 2019)."""
    data = bytearray(saved.read_bytes())
    with zipfile.ZipFile(saved) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    # Its two sizes in the central directory (compressed and not) claim more than there is.
    start = data.rindex(largest.filename.encode()) - 46
    for position in (start + 20, start + 24):
        data[position : position + 4] = (0x7FFFFFFF).to_bytes(4, "little")
    saved.write_bytes(bytes(data))
    refused(saved)


@pytest.mark.parametrize("claimed", [40_001, 2**31 - 1, 2**40])
def test_a_tensor_that_claims_more_than_it_has_is_refused(saved, claimed):
    """In a process whose memory is measured."""

    def inflate(name: str, data: bytes) -> bytes:
        if not name.endswith("/data.pkl"):
            return data
        old = b"M@\x9c"  # BININT2 40,000: the elements of the storage, and the size of the tensor
        assert data.count(old) >= 2
        new = b"\x8a\x08" + claimed.to_bytes(8, "little")  # LONG1
        return data.replace(old, new)

    repacked(saved, inflate)
    for module, name in (("safe_file", "read_file"), ("archive", "read_arrays")):
        message, growth = printed_lines(_MEASURING.format(module=module, name=name), saved)
        assert str(saved) in message and int(growth) < 100_000, "kilobytes"


_MEASURING = (
    "import resource, sys, torch\n"
    "from src.checkpoints.{module} import {name}\n"
    "from src.core.errors import CheckpointError\n"
    "used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
    "try:\n    {name}(sys.argv[1])\nexcept CheckpointError as error:\n    print(error)\n"
    "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used)\n"
)


def test_a_small_storage_seen_as_a_huge_tensor_is_refused(tmp_path):
    """Views with a stride of 0 need no memory, but copies of them do."""
    path = tmp_path / "view.pth"
    write_file(path, {"weights": torch.zeros(1).expand(2**40)})
    refused(path, "damaged")


def test_a_huge_pickle_is_refused(saved, monkeypatch):
    monkeypatch.setattr(archive, "MAX_PICKLE_BYTES", 100)
    refused(saved, "damaged")


# --- writing


def test_a_failing_write_leaves_the_old_file(saved, monkeypatch):
    old = saved.read_bytes()

    def fails(content, path):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint_file.torch, "save", fails)
    with pytest.raises(OutputError, match="No space left"):
        write_file(saved, {"epoch": 4})
    assert saved.read_bytes() == old and list(saved.parent.iterdir()) == [saved]


@pytest.mark.skipif(sys.platform == "win32", reason="no limits there")
def test_a_full_disk_leaves_the_old_file(saved):
    """As torch reports it: the process may write only 50 kB."""
    old = saved.read_bytes()
    code = (
        "import resource, signal, sys, torch\n"
        "from pathlib import Path\n"
        "from src.checkpoints.safe_file import write_file\n"
        "from src.core.errors import OutputError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "try:\n    write_file(Path(sys.argv[1]), {'a': torch.zeros(1_000_000)})\n"
        "except OutputError as error:\n    print(error)\n"
    )
    (message,) = printed_lines(code, saved)
    assert f"cannot write {saved}" in message
    assert saved.read_bytes() == old and list(saved.parent.iterdir()) == [saved]


def test_an_interrupted_write_leaves_the_old_file(saved, monkeypatch):
    old = saved.read_bytes()

    def stops(content, path):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint_file.torch, "save", stops)
    with pytest.raises(KeyboardInterrupt):
        write_file(saved, {"epoch": 4})
    assert saved.read_bytes() == old and list(saved.parent.iterdir()) == [saved]


def test_a_missing_folder_is_a_readable_error(tmp_path):
    with pytest.raises(OutputError, match="cannot write"):
        write_file(tmp_path / "none" / "model.pth", CONTENT)

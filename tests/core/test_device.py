"""The device of the network, on machines with and without CUDA."""

import ctypes
import sys
from types import SimpleNamespace

import pytest
import torch

from src.core import device as device_module
from src.core.device import choose_device, default_workers, reuse_freed_memory
from src.core.errors import ConfigError


@pytest.fixture(params=[0, 2], ids=["no gpu", "2 gpus"])
def gpus(request, monkeypatch) -> int:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: request.param > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: request.param)
    return request.param


@pytest.mark.parametrize(("free_gib", "n_workers"), [(139, 16), (7.5, 3), (1, 1)])
def test_a_gpu_gets_no_more_processes_than_its_memory_holds(monkeypatch, free_gib, n_workers):
    monkeypatch.setattr(device_module, "cores", lambda: 16)
    free_bytes = int(free_gib * 2**30)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free_bytes, free_bytes))
    assert default_workers(torch.device("cuda", 0)) == n_workers
    assert default_workers(torch.device("cpu")) == 16


def test_cpu_is_the_cpu(gpus, capsys):
    assert choose_device("cpu") == torch.device("cpu")
    assert capsys.readouterr() == ("", "")


def test_auto_takes_the_gpu_or_the_cpu_silently(gpus, capsys):
    assert choose_device("auto").type == ("cuda" if gpus else "cpu")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_cuda_without_cuda_is_a_warning_in_one_line(gpus, capsys, name):
    device = choose_device(name)
    out, err = capsys.readouterr()
    assert out == ""
    if gpus:
        assert device == torch.device("cuda", int(name[5:] or 0)) and err == ""
    else:
        assert device == torch.device("cpu")
        assert len(err.splitlines()) == 1 and "CUDA" in err and "CPU" in err


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "mps", "CUDA"])
def test_other_names_are_rejected(gpus, name):
    with pytest.raises(ConfigError, match="allowed: auto, cpu, cuda, cuda:N"):
        choose_device(name)


def test_a_gpu_that_does_not_exist_is_rejected(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match=r"cuda:2: this machine has 2 GPU\(s\)"):
        choose_device("cuda:2")


@pytest.mark.parametrize(("platform", "has_mallopt", "expected"), [
    ("linux", True, [(-4, 0), (-1, 2**31 - 1)]), ("linux", False, []),
    ("darwin", True, []), ("win32", True, []),
])  # fmt: skip
def test_freed_memory_is_kept_where_glibc_is(monkeypatch, platform, has_mallopt, expected):
    """M_MMAP_MAX = 0, M_TRIM_THRESHOLD as large as it can be (malloc.h)."""
    calls = []
    library = SimpleNamespace()
    if has_mallopt:
        library.mallopt = lambda *arguments: calls.append(arguments)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    monkeypatch.setattr(sys, "platform", platform)
    reuse_freed_memory()
    assert calls == expected

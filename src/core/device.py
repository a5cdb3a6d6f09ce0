"""The device that the network runs on."""

import ctypes
import logging
import sys
from typing import TYPE_CHECKING

from ..i18n.messages import tr
from .errors import ConfigError
from .workers import cores

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

GPU_BYTES_PER_WORKER = 2 << 30  # a CUDA context, the model and its largest batch


def is_plain_cpu(name: str) -> bool:
    """Whether a name that ``choose_device`` takes is that of the CPU, as far as can be said
    without PyTorch: ``cpu``, or ``auto`` where no driver of a GPU is installed.

    Raises:
        ConfigError: as ``choose_device``, for the name.
    """
    kind, _ = _parse(name)
    return kind == "cpu" or (kind == "auto" and not _has_gpu_driver())


def _parse(name: str) -> tuple[str, int]:
    """``auto``, ``cpu`` or ``cuda``, and the number of the GPU.

    Raises:
        ConfigError: it is none of these.
    """
    kind, _, number = name.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (number and not number.isdigit()):
        raise ConfigError(tr("device {name}: allowed: auto, cpu, cuda, cuda:N", name=name))
    return kind, int(number or 0)


def _has_gpu_driver() -> bool:
    """Whether a program could compute on a GPU by CUDA: its driver can be loaded."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def choose_device(name: str) -> "torch.device":
    """The device for ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; without CUDA, the CPU.

    Raises:
        ConfigError: the name is none of these, or there is no GPU of that number.
    """
    import torch

    kind, number = _parse(name)
    if kind == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        if kind == "cuda":
            logger.warning(tr("CUDA is not available on this machine: using the CPU"))
        return torch.device("cpu")
    if number and number >= torch.cuda.device_count():
        raise ConfigError(
            tr("device {name}: this machine has {n} GPU(s), counted from 0",
               name=name, n=torch.cuda.device_count())
        )  # fmt: skip
    return torch.device("cuda", number)


def default_workers(device: "torch.device") -> int:
    """How many processes that each load a model this machine has room for: one per core, on a GPU
    no more than its free memory holds."""
    if device.type != "cuda":
        return cores()
    import torch

    free_bytes, _ = torch.cuda.mem_get_info(device)
    return max(1, min(cores(), free_bytes // GPU_BYTES_PER_WORKER))


def reuse_freed_memory() -> None:
    """Let glibc keep freed memory instead of returning it to the system.

    By default every large tensor is mapped afresh and its pages are cleared one by one; on 2 CPU
    cores keeping them made a training step 1.5 times as fast. Does nothing outside glibc.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        m_mmap_max, m_trim_threshold = -4, -1  # malloc.h
        mallopt(m_mmap_max, 0)
        mallopt(m_trim_threshold, 2**31 - 1)

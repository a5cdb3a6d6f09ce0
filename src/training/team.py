"""Several processes that train one network together (``torchrun``): who this one is, and what they
do together.

Each step's segments are dealt to the processes; the gradients are averaged by PyTorch's
``DistributedDataParallel``. All processes hold the same state after each step; the first one
writes files, logs and the console.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from ..core.cli import signals_caught
from ..core.console import PROJECT
from ..core.device import choose_device
from ..core.errors import ConfigError, TrainingError
from ..i18n.messages import tr

PEER_TIMEOUT = timedelta(minutes=30)  # the others may still be measuring the validation clips
LEAVE_S = 15.0  # after a signal: for the step to end and the checkpoint to be written
SEED_STRIDE = 1_000_003


@dataclass(frozen=True)
class Team:
    """The processes that train together.

    Attributes:
        rank: number of this one, 0 to ``size`` − 1.
        size: how many there are.
        local_rank: its number among those on this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_alone(self) -> bool:
        return self.size == 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes files, logs and the console."""
        return self.rank == 0

    def device(self, name: str) -> torch.device:
        """The device of ``training.device``: where no GPU is named, each process has its own.

        Raises:
            ConfigError: there is no such device.
        """
        device = choose_device(name)
        if self.is_alone or device.type != "cuda":
            return device
        return choose_device(f"cuda:{self.local_rank}")

    def share_of(self, count: int) -> slice:
        """This process's part of so many things: consecutive ones, so that the parts in the order
        of the processes are all of them."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def sum(self, *values: float) -> list[float]:
        """The sums of these numbers over all processes."""
        total = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(total, group=_control_group())
        return total.tolist()

    def measure(self, measure: Callable[..., list], *samples: Sequence) -> list:
        """``measure(*samples)``, shared out: a list of results by sample, in their order."""
        if self.is_alone:
            return measure(*samples)
        own = self.share_of(len(samples[0]))
        parts: list[Any] = [None] * self.size
        results = measure(*(part[own] for part in samples))
        dist.all_gather_object(parts, results, group=_control_group())
        return [result for part in parts for result in part]

    def wait_for_all(self) -> None:
        """Go on when all processes have come so far."""
        if not self.is_alone:
            dist.barrier(group=_control_group())

    def check_stop(self) -> None:
        """Raise KeyboardInterrupt in all processes, at the same step, where one was interrupted."""
        if not self.is_alone and self.sum(_stop.is_set())[0]:
            raise KeyboardInterrupt

    def seed_step(self, seed: int, step: int, generator: torch.Generator) -> None:
        """What a step draws depends on its number and the process alone: so it can be resumed, by
        any number of processes."""
        if not self.is_alone:
            seed = (seed * SEED_STRIDE + step) * SEED_STRIDE + self.rank
            torch.manual_seed(seed % 2**63)
            generator.manual_seed((seed + 1) % 2**63)

    def wrap(self, model: nn.Module, are_norms_shared: bool) -> nn.Module:
        """The network to train: its gradients are averaged over the processes."""
        if self.is_alone:
            return model
        devices = [next(model.parameters()).device.index] if _is_cuda(model) else None
        return nn.parallel.DistributedDataParallel(
            model, devices, broadcast_buffers=not are_norms_shared, gradient_as_bucket_view=True
        )

    def join_loss(
        self, loss: torch.Tensor, n_correct: torch.Tensor | int, n_total: int, n_copies: int = 1
    ) -> tuple[torch.Tensor, float, int, int]:
        """The losses of all processes as one.

        Args:
            loss: the mean over the choices of this process.
            n_copies: how many processes have the same segments.

        Returns:
            (what this process differentiates, mean loss over all choices, correct choices, all
            choices). The mean over the processes of the first is the mean over all choices.
        """
        if self.is_alone:
            return loss, loss.item(), int(n_correct), n_total
        total, n_all_correct, n_all = self.sum(loss.item() * n_total, int(n_correct), n_total)
        own = loss * (n_total * self.size / max(n_all, 1))
        counts = round(n_all_correct) // n_copies, round(n_all) // n_copies
        return own, total / max(n_all, 1), *counts

    def gather_segments(
        self, video: torch.Tensor, audio: torch.Tensor, anchors: torch.Tensor,
        candidates: torch.Tensor, sample_ids: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:  # fmt: skip
        """The same of the segments of all processes, in their order, with gradients; anchors only
        of this process's."""
        sizes: list[Any] = [None] * self.size
        dist.all_gather_object(sizes, len(video), group=_control_group())
        missing = max(sizes) - len(video)  # parts of one length; what is added is no candidate
        video, audio = (
            _Gathered.apply(nn.functional.pad(part, (0, 0, 0, 0, 0, missing)), self)
            for part in (video, audio)
        )
        own = nn.functional.pad(anchors, (0, 0, 0, missing))
        anchors = [own if rank == self.rank else torch.zeros_like(own) for rank in range(self.size)]
        candidates = self.gather(nn.functional.pad(candidates, (0, 0, 0, missing)))
        sample_ids = self.gather(nn.functional.pad(sample_ids, (0, missing), value=-1))
        return video, audio, torch.cat(anchors), candidates, sample_ids

    def gather(self, own: torch.Tensor) -> torch.Tensor:
        """Tensors of one shape of all processes, joined in their order; without gradients."""
        own = own.detach().contiguous()
        parts = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(parts, own)
        return torch.cat(parts)


class _Gathered(torch.autograd.Function):
    """``Team.gather`` with gradients: those of all processes for this one's part are added."""

    @staticmethod
    def forward(ctx, own: torch.Tensor, team: Team) -> torch.Tensor:
        ctx.part = slice(team.rank * len(own), (team.rank + 1) * len(own))
        return team.gather(own)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        return gradient[ctx.part], None


ALONE = Team()
_stop = threading.Event()  # this process was asked to end
_control: dict[str, Any] = {}  # the group for what is no gradient, over the CPU


def _control_group():
    return _control["group"]


def _is_cuda(model: nn.Module) -> bool:
    return next(model.parameters()).device.type == "cuda"


@contextmanager
def team_joined(device: str, batch_size: int) -> Iterator[Team]:
    """The team that ``torchrun`` has started; without it, ``ALONE``.

    Raises:
        ConfigError: a step has fewer segments than there are processes, or a process has no GPU.
        TrainingError: another process has ended.
    """
    size = int(os.environ.get("WORLD_SIZE", 1)) if "RANK" in os.environ else 1
    if size == 1:
        yield ALONE
        return
    team = Team(int(os.environ["RANK"]), size, int(os.environ.get("LOCAL_RANK", 0)))
    if not team.is_first:
        logging.getLogger(PROJECT).setLevel(logging.CRITICAL)
    if batch_size < size:
        raise ConfigError(
            tr("training.batch_size {batch} is shared by the processes: it must be at least {n}, "
               "their number", batch=batch_size, n=size)
        )  # fmt: skip
    chosen = team.device(device)
    is_cuda = chosen.type == "cuda"
    if is_cuda:
        torch.cuda.set_device(chosen)
    with _stopped_together(), _peers_lost():
        dist.init_process_group("nccl" if is_cuda else "gloo", timeout=PEER_TIMEOUT)
        _control["group"] = dist.new_group(backend="gloo", timeout=PEER_TIMEOUT)
        yield team
        team.wait_for_all()
        dist.destroy_process_group()


@contextmanager
def _peers_lost() -> Iterator[None]:
    """Another process that ends shows as an error of the connection to it."""
    try:
        yield
    except RuntimeError as error:
        is_lost = isinstance(error, dist.DistError) or "onnection" in str(error)
        if not is_lost and "gloo" not in str(error):
            raise
        raise TrainingError(
            tr(
                "another process of this training has ended: see its message, if any, and continue "
                "from the last checkpoint with --resume auto"
            )
        ) from None


@contextmanager
def _stopped_together() -> Iterator[None]:
    """Signals are noted, for ``check_stop``: in the middle of a step the others would wait for
    ever. Where no step follows, the process ends all the same."""

    def note(*_) -> None:
        if not _stop.is_set():
            timer = threading.Timer(LEAVE_S, os._exit, (130,))
            timer.daemon = True
            timer.start()
        _stop.set()

    _stop.clear()
    with signals_caught(note):
        yield

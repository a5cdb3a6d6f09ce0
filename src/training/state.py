"""Everything that changes during a training, and how a new training starts."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from ..core.config import Config
from ..dataset.samples import Sample
from ..models.spec import ModelSpec
from ..models.sync_model import SyncModel
from ..scoring.calibration import UNFITTED
from .batches import SegmentSampler
from .loss import n_way_loss
from .optim import make_ema, make_schedule
from .reproducibility import random_states, seed_all
from .shared_norm import share_norms
from .team import ALONE, Team

# (network, video and audio embeddings [B, W, D], anchors and candidates bool [B, W], sample
# numbers [B] or None) -> (mean loss, number of correct choices, number of choices).
LossFunction = Callable[
    [nn.Module, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None],
    tuple[torch.Tensor, torch.Tensor, int],
]


def sync_loss(
    model: SyncModel, video: torch.Tensor, audio: torch.Tensor, anchors: torch.Tensor,
    candidates: torch.Tensor, sample_ids: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor, int]:  # fmt: skip
    """The loss of the sync model: ``n_way_loss`` with the model's learned scale."""
    return n_way_loss(video, audio, model.scale, anchors, candidates, sample_ids)


@dataclass
class AverageMeter:
    """Running averages over the choices of one pass over the data.

    Attributes:
        loss: sum of the losses of all choices.
        n_correct: number of correct choices.
        n_total: number of choices.
    """

    loss: float = 0.0
    n_correct: int = 0
    n_total: int = 0

    def update(self, mean_loss: float, n_correct: int, n_total: int) -> None:
        """Add a batch."""
        self.loss += mean_loss * n_total
        self.n_correct += n_correct
        self.n_total += n_total

    @property
    def mean_loss(self) -> float:
        return self.loss / self.n_total if self.n_total else math.inf

    @property
    def accuracy(self) -> float:
        return self.n_correct / max(1, self.n_total)

    def state_dict(self) -> dict:
        """Plain values for a checkpoint."""
        return {"loss": self.loss, "right": self.n_correct, "asked": self.n_total}

    @classmethod
    def from_state_dict(cls, values: dict) -> "AverageMeter":
        return cls(values["loss"], values["right"], values["asked"])


@dataclass
class TrainingState:
    """Everything that changes during a training, and what it is trained on."""

    config: Config
    device: torch.device
    model: nn.Module
    loss: LossFunction
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    scaler: torch.amp.GradScaler
    train_segments: SegmentSampler
    val_segments: SegmentSampler
    generator: torch.Generator  # of the augmentation
    epoch: int = 0  # finished epochs
    epoch_step: int = 0  # finished steps of the current epoch
    step: int = 0  # finished steps in total
    skipped_steps: int = 0  # first steps of all without speech: nothing was learned from them
    train_meter: AverageMeter = field(default_factory=AverageMeter)  # of the current epoch
    splits_digest: str = ""  # of the clips and their splits
    trained_on: list[str] = field(default_factory=list)  # fingerprints, of earlier runs too
    val_loss: float = math.inf  # of the last finished epoch
    best_value: float = -math.inf  # of training.monitor, higher is better
    best_val_loss: float = math.inf
    best_val_acc: float = 0.0
    periodic: list[str] = field(default_factory=list)  # names of checkpoint_epoch_….pth, by age
    calibration: dict = field(default_factory=dict)
    zero_ms: float = 0.0  # zero reference: the offset measured in training clips
    last_saved: tuple[Path, int] | None = None  # the checkpoint to resume from, and its step
    own_files: set[str] = field(default_factory=set)  # names of this training's checkpoints
    failed_steps: int = 0  # latest steps in a row whose loss was not finite
    ema: AveragedModel | None = None  # with training.ema
    team: Team = ALONE
    wrapped_model: nn.Module | None = None  # the network as it is trained, by a team

    @property
    def eval_model(self) -> nn.Module:
        """The network that is validated, saved and used: the moving average where there is one."""
        return self.ema.module if self.ema else self.model

    def begin_epoch(self) -> None:
        """Reset the meter; the epoch's draws depend on its number alone."""
        self.generator.manual_seed(self.config.training.seed * 100_003 + self.epoch)
        self.train_meter = AverageMeter()

    def end_epoch(self, val_loss: float) -> None:
        self.epoch, self.epoch_step, self.val_loss = self.epoch + 1, 0, val_loss

    def restart_ema(self) -> None:
        """Begin the moving average with the weights of this moment."""
        if self.ema:
            self.ema.module.load_state_dict(self.model.state_dict())
            self.ema.n_averaged.fill_(1)  # at 0, the first update would replace them

    def update_ema(self) -> None:
        """Include the weights of this step in the moving average."""
        if self.ema:
            self.ema.update_parameters(self.model)

    def checkpoint(self) -> dict:
        """The content of a checkpoint of this moment."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "sampler": {
                "batch": self.epoch_step,
                "tally": self.train_meter.state_dict(),
                "idle": self.skipped_steps,
            },
            "model_state_dict": self.eval_model.state_dict(),
            "trained_state_dict": self.model.state_dict() if self.ema else None,
            "averaged_steps": int(self.ema.n_averaged) if self.ema else 0,
            "optimizer_state_dict": self.optimizer.state_dict(),
            "scheduler_state_dict": self.scheduler.state_dict(),
            "scaler": self.scaler.state_dict(),
            "val_loss": self.val_loss,
            "best_value": self.best_value,
            "best_val_loss": self.best_val_loss,
            "best_val_acc": self.best_val_acc,
            "config": self.config.model_dump(),
            "normalization": {"crops": "clip mean and deviation", "bands": "clip CMVN over speech"},
            "calibration": self.calibration,
            "zero_ms": self.zero_ms,
            "clips": self.splits_digest,
            "trained_on": self.trained_on,
            "periodic": self.periodic,
            "random_states": random_states() | {"augmentation": self.generator.get_state()},
        }


def new_model(config: Config, device: torch.device) -> SyncModel:
    """A new network; the same ``training.seed`` gives the same weights."""
    seed_all(config.training.seed)
    return SyncModel(ModelSpec.of(config)).to(device, memory_format=torch.channels_last)


def new_state(
    config: Config, model: nn.Module, train: list[Sample], val: list[Sample],
    loss: LossFunction = sync_loss, schedule: Callable[[int], float] | None = None,
    team: Team = ALONE,
) -> TrainingState:  # fmt: skip
    """The state of a training that is about to start.

    Args:
        model: the network, on its device; baselines bring their own with their own ``loss``.
        schedule: factor of the learning rate by step; default: ``make_schedule`` over
            ``training.num_epochs``.
        team: the processes that train together.
    """
    settings = config.training
    device = model.log_scale.device
    sampling = (settings.clip_frames, settings.batch_size, settings.seed)
    loading = {"team": team, "loader_workers": settings.loader_workers,
               "is_pinned": device.type == "cuda"}  # fmt: skip
    are_norms_shared = settings.sync_batch_norm and not team.is_alone
    if are_norms_shared:
        model = share_norms(model)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    train_segments = SegmentSampler(train, *sampling, balance=settings.speaker_balance, **loading)
    schedule = schedule or make_schedule(
        len(train_segments), settings.warmup_epochs, settings.num_epochs
    )
    return TrainingState(
        config, device, model, loss, optimizer,
        scheduler=torch.optim.lr_scheduler.LambdaLR(optimizer, schedule),
        scaler=torch.amp.GradScaler(device.type, enabled=device.type == "cuda"),
        train_segments=train_segments,
        val_segments=SegmentSampler(val, *sampling, **loading),
        generator=torch.Generator(),
        calibration=dict(UNFITTED),
        ema=make_ema(model, settings.ema) if settings.ema else None,
        team=team,
        wrapped_model=team.wrap(model, are_norms_shared),
    )  # fmt: skip

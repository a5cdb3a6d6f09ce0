"""Everything that changes while training, how it begins and how it is taken up again."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch.optim.swa_utils import AveragedModel

from ..core.config import Config
from ..dataset.samples import Sample
from ..models.spec import ModelSize
from ..models.sync_model import SyncModel
from ..scoring.calibration import UNFITTED
from .batches import SegmentSampler
from .optim import make_ema, make_schedule
from .reproducibility import random_states, seed_all


@dataclass
class State:
    """Everything that changes while training, and what it is trained on."""

    config: Config
    device: torch.device
    model: SyncModel
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    scaler: torch.amp.GradScaler
    train: SegmentSampler
    val: SegmentSampler
    val_samples: list[Sample]
    generator: torch.Generator  # of the augmentation
    epoch: int = 0  # finished epochs
    batch: int = 0  # finished steps of the epoch under way
    step: int = 0  # finished steps of all
    idle: int = 0  # the first of them, before there was anything to learn from
    tally: "AverageMeter" = field(default_factory=lambda: AverageMeter())  # of the epoch under way
    clips: str = ""  # digest of the clips and how they are split
    trained_on: list[str] = field(default_factory=list)  # fingerprints, of earlier runs, too
    val_loss: float = math.inf  # of the last finished epoch
    best_value: float = -math.inf  # of training.monitor, higher is better
    best_val_loss: float = math.inf
    best_val_acc: float = 0.0
    periodic: list[str] = field(default_factory=list)  # names of the checkpoints made on the way
    calibration: dict = field(default_factory=dict)
    zero_ms: float = 0.0  # what the network finds in clips it was trained on
    saved: tuple[Path, int] | None = None  # where to go on from, and its finished steps
    average: AveragedModel | None = None  # with training.ema

    @property
    def judged(self) -> SyncModel:
        """The network that is validated, saved and used."""
        return self.average.module if self.average else self.model

    def begin_epoch(self) -> None:
        """From here on only the epoch's number decides what is drawn in it."""
        self.generator.manual_seed(self.config.training.seed * 100_003 + self.epoch)
        self.tally = AverageMeter()

    def end_epoch(self, val_loss: float) -> None:
        self.epoch, self.batch, self.val_loss = self.epoch + 1, 0, val_loss

    def note_step(self) -> None:
        """Take the weights of this step into the running mean."""
        if self.average:
            self.average.update_parameters(self.model)

    def content(self) -> dict:
        """The checkpoint of this moment."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "sampler": {"batch": self.batch, "tally": vars(self.tally), "idle": self.idle},
            "model_state_dict": self.judged.state_dict(),
            "trained_state_dict": self.model.state_dict() if self.average else None,
            "averaged_steps": int(self.average.n_averaged) if self.average else 0,
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
            "clips": self.clips,
            "trained_on": self.trained_on,
            "periodic": self.periodic,
            "random_states": random_states() | {"augmentation": self.generator.get_state()},
        }


@dataclass
class AverageMeter:
    """Running sums of one pass over the data."""

    loss: float = 0.0
    right: int = 0
    asked: int = 0

    def add(self, loss: float, right: int, asked: int) -> None:
        self.loss += loss * asked
        self.right += right
        self.asked += asked

    @property
    def mean_loss(self) -> float:
        return self.loss / self.asked if self.asked else math.inf

    @property
    def accuracy(self) -> float:
        return self.right / max(1, self.asked)


def new_model(config: Config, device: torch.device) -> SyncModel:
    """A fresh network, the same for the same ``training.seed``."""
    seed_all(config.training.seed)
    return SyncModel(ModelSize.of(config)).to(device, memory_format=torch.channels_last)


def new_state(config: Config, model: SyncModel, train: list[Sample], val: list[Sample]) -> State:
    """A network that is to be trained on some samples for ``training.num_epochs``."""
    settings = config.training
    device = model.log_scale.device
    pieces = (settings.clip_frames, settings.batch_size, settings.seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    batches = SegmentSampler(train, *pieces, balance=settings.speaker_balance)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, make_schedule(len(batches), settings.warmup_epochs, settings.num_epochs)
    )
    scaler = torch.amp.GradScaler(device.type, enabled=device.type == "cuda")
    return State(
        config, device, model, optimizer, scheduler, scaler,
        batches, SegmentSampler(val, *pieces), val, torch.Generator(), calibration=dict(UNFITTED),
        average=make_ema(model, settings.ema) if settings.ema else None,
    )  # fmt: skip

"""Everything that changes while training, how it begins and how it is taken up again."""

import math
import random
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel

from src.calibration import UNFITTED
from src.checkpoint import PRETRAINED, load_checkpoint, load_weights
from src.config import Config
from src.dataset import Pieces
from src.errors import CheckpointError
from src.files import shown_path
from src.messages import tr
from src.model import ModelSize, SyncModel
from src.samples import Sample


@dataclass
class State:
    """Everything that changes while training, and what it is trained on."""

    config: Config
    device: torch.device
    model: SyncModel
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    scaler: torch.amp.GradScaler
    train: Pieces
    val: Pieces
    val_samples: list[Sample]
    epoch: int = 0  # finished epochs
    clips: str = ""  # digest of the clips and how they are split
    best_val_loss: float = math.inf
    best_val_acc: float = 0.0
    calibration: dict = field(default_factory=dict)
    zero_ms: float = 0.0  # what the network finds in clips it was trained on
    saved: tuple[Path, int] | None = None  # where to go on from, and its finished epochs
    average: AveragedModel | None = None  # with training.ema

    @property
    def judged(self) -> SyncModel:
        """The network that is validated, saved and used."""
        return self.average.module if self.average else self.model

    def note_step(self) -> None:
        """Take the weights of this step into the running mean."""
        if self.average:
            self.average.update_parameters(self.model)

    def content(self, val_loss: float) -> dict:
        """The checkpoint of this moment."""
        return {
            "epoch": self.epoch,
            "model_state_dict": self.judged.state_dict(),
            "trained_state_dict": self.model.state_dict() if self.average else None,
            "averaged_steps": int(self.average.n_averaged) if self.average else 0,
            "optimizer_state_dict": self.optimizer.state_dict(),
            "scheduler_state_dict": self.scheduler.state_dict(),
            "scaler": self.scaler.state_dict(),
            "val_loss": val_loss,
            "best_val_loss": self.best_val_loss,
            "best_val_acc": self.best_val_acc,
            "config": self.config.model_dump(),
            "normalization": {"crops": "clip mean and deviation", "bands": "clip CMVN over speech"},
            "calibration": self.calibration,
            "zero_ms": self.zero_ms,
            "clips": self.clips,
            "random_states": {"torch": torch.get_rng_state(), "cuda": cuda_random_states()},
        }


@dataclass
class Tally:
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


def cuda_random_states() -> list[torch.Tensor]:
    """One a GPU; empty without."""
    return torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []


def seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def new_model(config: Config, device: torch.device) -> SyncModel:
    """A fresh network, the same for the same ``training.seed``, or ``training.init_from``'s.

    Raises:
        MissingFileError, CheckpointError: there are no weights of this network to begin with.
    """
    seed_all(config.training.seed)
    model = SyncModel(ModelSize.of(config))
    origin = config.training.init_from
    if origin != "none":
        path = PRETRAINED if origin == "pretrained" else Path(origin)
        load_weights(model, load_checkpoint(path), path)
        print(tr("the weights begin with those of {path}", path=shown_path(path)))
    return model.to(device, memory_format=torch.channels_last)


def new_state(config: Config, model: SyncModel, train: list[Sample], val: list[Sample]) -> State:
    """A network that is to be trained on some samples for ``training.num_epochs``."""
    settings = config.training
    device = model.log_scale.device
    pieces = (settings.clip_frames, settings.batch_size, settings.seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    batches = Pieces(train, *pieces, balance=settings.speaker_balance)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, make_schedule(len(batches), settings.warmup_epochs, settings.num_epochs)
    )
    scaler = torch.amp.GradScaler(device.type, enabled=device.type == "cuda")
    return State(
        config, device, model, optimizer, scheduler, scaler,
        batches, Pieces(val, *pieces), val, calibration=dict(UNFITTED),
        average=running_mean(model, settings.ema) if settings.ema else None,
    )  # fmt: skip


def running_mean(model: SyncModel, decay: float) -> AveragedModel:
    """The exponential moving average of a network's weights (Polyak & Juditsky 1992), quicker
    in its first steps so that where it began is soon forgotten."""

    @torch.no_grad()
    def average(means, weights, seen):
        now = min(decay, (1 + int(seen)) / (10 + int(seen)))
        for mean, weight in zip(means, weights, strict=True):
            if mean.is_floating_point():
                mean.lerp_(weight, 1 - now)
            else:
                mean.copy_(weight)  # the number of batches seen

    return AveragedModel(model, multi_avg_fn=average, use_buffers=True)


def make_schedule(steps_per_epoch: int, warmup_epochs: float, num_epochs: int):
    """Factor of the learning rate by step: linear warm-up, then a cosine to zero at the end."""
    total = steps_per_epoch * num_epochs
    warmup = round(steps_per_epoch * min(warmup_epochs, num_epochs / 2))

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        done = (step - warmup) / max(1, total - warmup)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    return factor


def take_up(state: State, path: Path) -> None:
    """Go on from a checkpoint of an earlier run, at this run's learning rate.

    Raises:
        MissingFileError, CheckpointError: also where the network has another shape, or where the
            clips would be split otherwise: what was trained on would be tested on.
    """
    content = load_checkpoint(path)
    load_weights(state.model, content, path)
    settings = state.config.training
    try:
        if content["clips"] != state.clips:
            raise CheckpointError(
                tr("{path} was trained on other clips or another split of them (training.seed, "
                   "*_split): clips it was trained on would be tested on; train anew, "
                   "without --resume", path=path)
            )  # fmt: skip
        state.optimizer.load_state_dict(content["optimizer_state_dict"])
        # The schedule of this run, which may have other steps to an epoch and another rate.
        steps = content["epoch"] * len(state.train)
        state.scheduler.last_epoch = steps
        for group in state.optimizer.param_groups:
            group["initial_lr"] = settings.learning_rate
            group["lr"] = settings.learning_rate * state.scheduler.lr_lambdas[0](steps)
            group["weight_decay"] = settings.weight_decay
        state.scheduler._last_lr = [group["lr"] for group in state.optimizer.param_groups]
        if content["scaler"] and state.scaler.is_enabled():
            state.scaler.load_state_dict(content["scaler"])
        torch.set_rng_state(content["random_states"]["torch"])
        if state.device.type == "cuda" and content["random_states"]["cuda"]:
            torch.cuda.set_rng_state_all(content["random_states"]["cuda"])
        if state.average:  # of a run without a mean: it begins where that run ended
            state.average.module.load_state_dict(state.model.state_dict())
            state.average.n_averaged.fill_(max(1, content.get("averaged_steps", 0)))
        if content.get("trained_state_dict"):
            state.model.load_state_dict(content["trained_state_dict"])
        state.epoch = content["epoch"]
        state.best_val_loss = content["best_val_loss"]
        state.best_val_acc = content["best_val_acc"]
        state.calibration = content["calibration"]
        state.zero_ms = content.get("zero_ms", 0.0)
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            tr("{path} holds no training state to go on from ({why})", path=path, why=error)
        ) from None
    state.saved = (path, state.epoch)
    print(tr("resumed from {path} after epoch {epoch}", path=path, epoch=state.epoch))

"""Everything that changes while training, how it begins and how it is taken up again."""

import math
import random
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel

from src.calibration import UNFITTED
from src.checkpoint import (
    PRETRAINED,
    checked,
    config_of,
    is_bare,
    load_checkpoint,
    load_weights,
)
from src.checkpoint_file import read_file
from src.config import Config, TrainingConfig
from src.dataset import Pieces
from src.errors import CheckpointError
from src.files import shown_path
from src.messages import tr
from src.model import ModelSize, SyncModel, parts_in, view_of
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
    generator: torch.Generator  # of the augmentation
    epoch: int = 0  # finished epochs
    batch: int = 0  # finished steps of the epoch under way
    step: int = 0  # finished steps of all
    idle: int = 0  # the first of them, before there was anything to learn from
    tally: "Tally" = field(default_factory=lambda: Tally())  # of the epoch under way
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
        self.tally = Tally()

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


def random_states() -> dict:
    """Of Python, NumPy and PyTorch, in plain builtins and tensors."""
    kind, keys, place, gauss, value = np.random.get_state()
    version, inner, other = random.getstate()
    return {
        "python": [version, list(inner), other],
        "numpy": [kind, torch.from_numpy(keys.astype(np.int64)), place, gauss, value],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_states(states: dict) -> None:
    """What ``random_states`` gave."""
    version, inner, other = states["python"]
    random.setstate((version, tuple(inner), other))
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states["torch"])
    if states["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"][: torch.cuda.device_count()])


def seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def new_model(config: Config, device: torch.device) -> SyncModel:
    """A fresh network, the same for the same ``training.seed``."""
    seed_all(config.training.seed)
    return SyncModel(ModelSize.of(config)).to(device, memory_format=torch.channels_last)


def with_shape_of(config: Config, origin: Path) -> Config:
    """Settings of as many networks side by side, with the same view, as in the checkpoint that a
    training goes on from or begins with.

    Raises:
        MissingFileError, CheckpointError: there are none.
    """
    content = read_file(origin)
    if is_bare(content):
        parts = parts_in(content, ModelSize.of(config))
        found = {"members": len(parts), "view": view_of(parts)}
    else:
        earlier = config_of(checked(content, origin), origin).model
        found = {"members": earlier.members, "view": earlier.view}
    others = {name: value for name, value in found.items() if getattr(config.model, name) != value}
    for name, value in others.items():
        print(tr("model.{name}: {value}, as in {path}",
                 name=name, value=value, path=shown_path(origin)))  # fmt: skip
    return config.model_copy(update={"model": config.model.model_copy(update=others)})


def origin_of(settings: TrainingConfig) -> Path | None:
    """The file of ``training.init_from``."""
    if settings.init_from == "none":
        return None
    return PRETRAINED if settings.init_from == "pretrained" else Path(settings.init_from)


def begin_with(model: SyncModel, path: Path) -> list[str]:
    """Give a network the weights of an earlier training.

    Returns:
        fingerprints of the samples these weights were trained on.

    Raises:
        MissingFileError, CheckpointError: there are none, or they are of another network.
    """
    content = read_file(path)
    content = content if is_bare(content) else checked(content, path)
    load_weights(model, content, path)
    print(tr("the weights begin with those of {path}", path=shown_path(path)))
    return content.get("trained_on", [])


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
        batches, Pieces(val, *pieces), val, torch.Generator(), calibration=dict(UNFITTED),
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


# What may not differ where a training is taken up, and what needs to be asked for.
OF_THE_NETWORK = ("model", "data.input_size", "data.n_mfcc")
OF_THE_ORDER = ("training.batch_size", "training.clip_frames", "training.speaker_balance")
RATE = "training.learning_rate"
# Where things are, and what is not training, may change without a word.
ELSEWHERE = ("paths", "inference", "cleaning", "data", "training.device", "training.init_from")


def changed_settings(old: dict, new: dict) -> dict[str, tuple]:
    """Settings of training and network that differ, by key: (old, new)."""
    changes = {}
    for section, values in new.items():
        for name, value in values.items():
            key = f"{section}.{name}"
            before = old.get(section, {}).get(name)
            if before != value and (_among(key, OF_THE_NETWORK) or not _among(key, ELSEWHERE)):
                changes[key] = (before, value)
    return changes


def _among(key: str, keys: tuple[str, ...]) -> bool:
    return key in keys or key.split(".")[0] in keys


def take_up(state: State, path: Path, change_rate: bool = False) -> None:
    """Go on where a checkpoint of an earlier run was written, in the middle of an epoch, too.

    Args:
        change_rate: go on at this run's learning rate, if it is another.

    Raises:
        MissingFileError, CheckpointError: also where the network has another shape, where the rate
            is another without being asked for, or where the clips would be split otherwise: what
            was trained on would be tested on.
    """
    content = load_checkpoint(path)
    earlier = config_of(content, path).model_dump()
    changes = changed_settings(earlier, state.config.model_dump())
    for key, (old, new) in changes.items():
        if _among(key, OF_THE_NETWORK):
            raise CheckpointError(
                tr("{path} was trained with {key} = {old}, the settings say {new}: another network "
                   "cannot go on from it", path=path, key=key, old=old, new=new)
            )  # fmt: skip
        if key == RATE and not change_rate:
            raise CheckpointError(
                tr("{path} was trained with {key} = {old}, the settings say {new}: add "
                   "--change-rate to go on with that", path=path, key=key, old=old, new=new)
            )  # fmt: skip
    load_weights(state.model, content, path)
    try:
        if content["clips"] != state.clips:
            raise CheckpointError(
                tr("{path} was trained on other clips or another split of them "
                   "(training.split_seed, *_split): clips it was trained on would be tested on; "
                   "train anew, without --resume", path=path)
            )  # fmt: skip
        _restore(state, content, in_order=not any(_among(key, OF_THE_ORDER) for key in changes))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        why = " ".join(str(error).split())
        raise CheckpointError(
            tr("{path} holds no training state to go on from ({why})", path=path, why=why)
        ) from None
    state.saved = (path, state.step)
    print(tr("resumed from {path} after epoch {epoch}", path=path, epoch=state.epoch))
    for key, (old, new) in changes.items():
        print(tr("changed since: {key}: {old} → {new}", key=key, old=old, new=new))


def _restore(state: State, content: dict, in_order: bool) -> None:
    """Put everything but the weights of a checkpoint into a state.

    Args:
        in_order: the epoch under way goes on at its place; else it is begun anew, because its
            steps are others now.
    """
    settings = state.config.training
    state.optimizer.load_state_dict(content["optimizer_state_dict"])
    state.epoch, state.step = content["epoch"], content["step"]
    state.batch = content["sampler"]["batch"] if in_order else 0
    state.tally = Tally(**content["sampler"]["tally"])
    # The schedule of this run, which may have other steps to an epoch and another rate.
    state.idle = content["sampler"].get("idle", 0)
    steps = max(0, state.epoch * len(state.train) + state.batch - state.idle)
    state.scheduler.last_epoch, state.scheduler._step_count = steps, steps + 1
    for group in state.optimizer.param_groups:
        group["initial_lr"] = settings.learning_rate
        group["lr"] = settings.learning_rate * state.scheduler.lr_lambdas[0](steps)
        group["weight_decay"] = settings.weight_decay
    state.scheduler._last_lr = [group["lr"] for group in state.optimizer.param_groups]
    if content["scaler"] and state.scaler.is_enabled():
        state.scaler.load_state_dict(content["scaler"])
    if state.average:  # of a run without a mean: it begins where that run ended
        state.average.module.load_state_dict(state.model.state_dict())
        state.average.n_averaged.fill_(max(1, content["averaged_steps"]))
    if content["trained_state_dict"]:
        state.model.load_state_dict(content["trained_state_dict"])
    for name in ("val_loss", "best_value", "best_val_loss", "best_val_acc", "calibration",
                 "zero_ms", "periodic"):  # fmt: skip
        setattr(state, name, content[name])
    # Samples may have been added since to the same speakers.
    state.trained_on = sorted({*state.trained_on, *content["trained_on"]})
    set_random_states(content["random_states"])
    state.generator.set_state(content["random_states"]["augmentation"])

"""Taking up a training where a checkpoint left it, or beginning with its weights."""

from pathlib import Path

from ..checkpoints.checkpoint import (
    PRETRAINED,
    checked,
    config_of,
    is_state_dict,
    load_checkpoint,
    load_weights,
)
from ..checkpoints.file_format import read_file
from ..core.config import Config, TrainingConfig
from ..core.errors import CheckpointError
from ..core.files import display_path
from ..i18n.messages import tr
from ..models.ensemble import parts_in
from ..models.spec import ModelSize, view_of
from ..models.sync_model import SyncModel
from .reproducibility import set_random_states
from .state import AverageMeter, State

# What may not differ where a training is taken up, and what needs to be asked for.
OF_THE_NETWORK = ("model", "data.input_size", "data.n_mfcc")
OF_THE_ORDER = ("training.batch_size", "training.clip_frames", "training.speaker_balance")
RATE = "training.learning_rate"
# Where things are, and what is not training, may change without a word.
ELSEWHERE = ("paths", "inference", "cleaning", "data", "training.device", "training.init_from")


def with_network_of(config: Config, origin: Path) -> Config:
    """Settings of as many networks side by side, with the same view, as in the checkpoint that a
    training goes on from or begins with.

    Raises:
        MissingFileError, CheckpointError: there are none.
    """
    content = read_file(origin)
    if is_state_dict(content):
        parts = parts_in(content, ModelSize.of(config))
        found = {"members": len(parts), "view": view_of(parts)}
    else:
        earlier = config_of(checked(content, origin), origin).model
        found = {"members": earlier.members, "view": earlier.view}
    others = {name: value for name, value in found.items() if getattr(config.model, name) != value}
    for name, value in others.items():
        print(tr("model.{name}: {value}, as in {path}",
                 name=name, value=value, path=display_path(origin)))  # fmt: skip
    return config.model_copy(update={"model": config.model.model_copy(update=others)})


def init_checkpoint(settings: TrainingConfig) -> Path | None:
    """The file of ``training.init_from``."""
    if settings.init_from == "none":
        return None
    return PRETRAINED if settings.init_from == "pretrained" else Path(settings.init_from)


def load_pretrained(model: SyncModel, path: Path) -> list[str]:
    """Give a network the weights of an earlier training.

    Returns:
        fingerprints of the samples these weights were trained on.

    Raises:
        MissingFileError, CheckpointError: there are none, or they are of another network.
    """
    content = read_file(path)
    content = content if is_state_dict(content) else checked(content, path)
    load_weights(model, content, path)
    print(tr("the weights begin with those of {path}", path=display_path(path)))
    return content.get("trained_on", [])


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


def resume_state(state: State, path: Path, change_rate: bool = False) -> None:
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
    state.tally = AverageMeter(**content["sampler"]["tally"])
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

"""Resuming a training from a checkpoint, or starting one from existing weights."""

import logging
from pathlib import Path

import torch

from ..checkpoints.checkpoint import LoadedFile, load_weights
from ..checkpoints.contents import (
    check_calibration,
    stored_config,
    validate_checkpoint,
    weights_of,
)
from ..checkpoints.location import PERIODIC_NAME, PRETRAINED
from ..core.config import MAX_COUNT, Config, TrainingConfig
from ..core.errors import CheckpointError
from ..core.files import display_path
from ..i18n.messages import tr
from ..models.spec import BLOCK_SETTINGS, ModelSpec
from ..models.sync_model import SyncModel
from ..models.weight_names import detect_network
from .reproducibility import set_random_states
from .state import AverageMeter, TrainingState

logger = logging.getLogger(__name__)

# Keys or whole sections of the settings. A resumed training may not change the first, restarts
# its epoch where one of the second changed, and changes the third only with --change-rate.
NETWORK_KEYS = ("model", "data.input_size", "data.n_mfcc")
BATCH_ORDER_KEYS = ("training.batch_size", "training.clip_frames", "training.speaker_balance")
LEARNING_RATE_KEY = "training.learning_rate"
# Folders, and what does not concern training, may change without notice.
UNRELATED_KEYS = (
    "paths", "inference", "cleaning", "data", "training.device", "training.init_from",
    "training.loader_workers",
)  # fmt: skip


def init_checkpoint(settings: TrainingConfig) -> Path | None:
    """The file of ``training.init_from``; None: training starts from scratch."""
    if settings.init_from == "none":
        return None
    return PRETRAINED if settings.init_from == "pretrained" else Path(settings.init_from)


def match_network(config: Config, source: LoadedFile) -> Config:
    """Settings with the members, their views and temporal blocks of the network in a file.

    Args:
        source: what the training resumes from or is initialised from.

    Raises:
        CheckpointError: the settings in the file are not valid.
    """
    if source.is_bare:
        stored = detect_network(source.payload, ModelSpec.of(config))
    else:
        earlier = stored_config(source.payload, source.path).model
        stored = {name: getattr(earlier, name) for name in ("members", "view", "temporal")}
    changes = {key: value for key, value in stored.items() if getattr(config.model, key) != value}
    for key, value in changes.items():
        logger.info(
            tr("model.{name}: {value}, as in {path}",
               name=key, value=value, path=display_path(source.path))
        )  # fmt: skip
    return config.model_copy(update={"model": config.model.model_copy(update=changes)})


def load_pretrained(model: SyncModel, source: LoadedFile) -> list[str]:
    """Initialise a network with the weights of an earlier training.

    Returns:
        fingerprints of the samples these weights were trained on, where known.

    Raises:
        CheckpointError: they are the weights of another network.
    """
    load_weights(model, weights_of(source.payload), source.path)
    logger.info(tr("weights initialised from {path}", path=display_path(source.path)))
    return source.payload.get("trained_on", [])


def warn_of_repetition(source: LoadedFile, state: TrainingState) -> None:
    """Log that a training would see what its initial weights were trained on once more, segment by
    segment and augmented alike: these were learned by heart where that was done."""
    if source.is_bare or source.payload["clips"] != state.splits_digest:
        return
    seed = state.config.training.seed
    if stored_config(source.payload, source.path).training.seed == seed:
        logger.info(
            tr("training.seed is {seed}, as when the initial weights were trained on these clips: "
               "the same segments would come again, augmented alike; choose another seed",
               seed=seed)
        )  # fmt: skip


def changed_settings(earlier: dict, current: dict) -> dict[str, tuple]:
    """Settings of training and network that differ, by key: (earlier, current) value."""
    changes = {}
    for section, values in current.items():
        for name, value in values.items():
            key = f"{section}.{name}"
            earlier_value = earlier.get(section, {}).get(name)
            is_related = _is_among(key, NETWORK_KEYS) or not _is_among(key, UNRELATED_KEYS)
            if earlier_value != value and is_related:
                changes[key] = (earlier_value, value)
    return changes


def _is_among(key: str, keys: tuple[str, ...]) -> bool:
    """Whether ``section.name`` or its whole section is one of the keys."""
    return key in keys or key.split(".")[0] in keys


def resume_state(state: TrainingState, source: LoadedFile, change_rate: bool = False) -> None:
    """Continue where a checkpoint of an earlier run was written, also within an epoch.

    Args:
        change_rate: continue at this run's learning rate if it differs.

    Raises:
        CheckpointError: the file is no such checkpoint, its network has another shape, its
            learning rate differs without ``change_rate``, or its clips are split differently:
            training clips would become test clips.
    """
    path, checkpoint = source.path, validate_checkpoint(source.payload, source.path)
    earlier = stored_config(checkpoint, path).model_dump()
    changes = changed_settings(earlier, state.config.model_dump())
    _check_changes(changes, path, change_rate, state.model.spec.has_no_block)
    check_calibration(checkpoint, path)
    load_weights(state.model, weights_of(checkpoint), path)
    try:
        if checkpoint["clips"] != state.splits_digest:
            raise CheckpointError(
                tr("{path} was trained on other clips or another split of them "
                   "(training.split_seed, *_split), so that training clips would become test "
                   "clips; start over without --resume", path=path)
            )  # fmt: skip
        is_same_order = not any(_is_among(key, BATCH_ORDER_KEYS) for key in changes)
        _restore(state, checkpoint, is_same_order)
    # What another program wrote there can raise nearly anything that a wrong type or size does.
    except (LookupError, TypeError, AttributeError, ArithmeticError, ValueError,
            RuntimeError) as error:  # fmt: skip
        reason = " ".join(str(error).split())
        raise CheckpointError(
            tr("{path} holds no training state to resume from ({why})", path=path, why=reason)
        ) from None
    state.last_saved = (path, state.step)
    logger.info(tr("resumed from {path} after epoch {epoch}", path=path, epoch=state.epoch))
    for key, (old, new) in changes.items():
        logger.info(tr("setting changed: {key}: {old} → {new}", key=key, old=old, new=new))


def _check_changes(
    changes: dict[str, tuple], path: Path, change_rate: bool, has_no_block: bool
) -> None:
    """Refuse settings that a resumed training may not change.

    Args:
        has_no_block: the network has no temporal block.

    Raises:
        CheckpointError.
    """
    without_effect = {f"model.{name}" for name in BLOCK_SETTINGS} if has_no_block else ()
    for key, (old, new) in changes.items():
        if _is_among(key, NETWORK_KEYS) and key not in without_effect:
            raise CheckpointError(
                tr("{path} was trained with {key} = {old}, but it is now set to {new}: training "
                   "cannot resume with a different network", path=path, key=key, old=old, new=new)
            )  # fmt: skip
        if key == LEARNING_RATE_KEY and not change_rate:
            raise CheckpointError(
                tr("{path} was trained with {key} = {old}, but it is now set to {new}: add "
                   "--change-rate to use the new value", path=path, key=key, old=old, new=new)
            )  # fmt: skip


def _restore(state: TrainingState, checkpoint: dict, is_same_order: bool) -> None:
    """Restore everything but the weights that are already loaded.

    Args:
        is_same_order: the batches come in the same order, so that the current epoch continues
            after its last step; else it starts over.
    """
    settings, sampler = state.config.training, checkpoint["sampler"]
    _check_numbers(checkpoint)
    _restore_optimizer(state.optimizer, checkpoint["optimizer_state_dict"])
    state.epoch, state.step = checkpoint["epoch"], checkpoint["step"]
    state.epoch_step = sampler["batch"] if is_same_order else 0
    state.train_meter = AverageMeter.from_state_dict(sampler["tally"])
    state.skipped_steps = sampler.get("idle", 0)
    _restore_schedule(state)
    for group in state.optimizer.param_groups:
        group["weight_decay"] = settings.weight_decay
    if checkpoint["scaler"] and state.scaler.is_enabled():
        state.scaler.load_state_dict(checkpoint["scaler"])
    state.restart_ema()  # of a run without an average: it starts from the last weights of that run
    if state.ema:
        state.ema.n_averaged.fill_(max(1, checkpoint["averaged_steps"]))
    if checkpoint["trained_state_dict"]:
        state.model.load_state_dict(checkpoint["trained_state_dict"])
    for name in ("val_loss", "best_value", "best_val_loss", "best_val_acc", "calibration",
                 "zero_ms"):  # fmt: skip
        setattr(state, name, checkpoint[name])
    # These files are deleted one day: a checkpoint from elsewhere must not name any others.
    state.periodic = [
        name for name in checkpoint["periodic"]
        if isinstance(name, str) and PERIODIC_NAME.fullmatch(name)
    ]  # fmt: skip
    # Samples of the same speakers may have been added since.
    state.trained_on = sorted({*state.trained_on, *checkpoint["trained_on"]})
    set_random_states(checkpoint["random_states"])
    state.generator.set_state(checkpoint["random_states"]["augmentation"])


def _check_numbers(checkpoint: dict) -> None:
    """Raises ValueError, which names the number that is none."""
    sampler = checkpoint["sampler"]
    counts = {"epoch": checkpoint["epoch"], "step": checkpoint["step"], "batch": sampler["batch"],
              "idle": sampler.get("idle", 0), "asked": sampler["tally"]["asked"],
              "right": sampler["tally"]["right"]}  # fmt: skip
    for name, value in counts.items():
        if type(value) is not int or not 0 <= value < MAX_COUNT:
            raise ValueError(tr("{name} = {value}", name=name, value=value))
    # Infinite ones are those of a run that has not validated yet.
    values = {name: checkpoint[name] for name in ("val_loss", "best_value", "best_val_loss",
                                                  "best_val_acc", "zero_ms")}  # fmt: skip
    for name, value in (values | {"loss": sampler["tally"]["loss"]}).items():
        if type(value) not in (int, float) or value != value:
            raise ValueError(tr("{name} = {value}", name=name, value=value))


def _restore_optimizer(optimizer: torch.optim.Optimizer, states: dict) -> None:
    """Restore the moments alone: how steps are made is up to this run's settings.

    Raises:
        ValueError: they are those of other weights, or no finite numbers.
    """
    settings = [
        {name: value for name, value in group.items() if name != "params"}
        for group in optimizer.param_groups
    ]  # fmt: skip
    optimizer.load_state_dict(states)
    for group, own in zip(optimizer.param_groups, settings, strict=True):
        group |= own
    for parameter, moments in optimizer.state.items():
        for name in ("step", "exp_avg", "exp_avg_sq"):
            shape = parameter.shape if name != "step" else ()
            if moments[name].shape != shape or not torch.isfinite(moments[name]).all():
                raise ValueError(tr("{name} of the optimizer", name=name))


def _restore_schedule(state: TrainingState) -> None:
    """Advance this run's schedule, which may have other steps per epoch and another rate."""
    settings, scheduler = state.config.training, state.scheduler
    finished = state.epoch * len(state.train_segments) + state.epoch_step - state.skipped_steps
    steps = max(0, finished)
    scheduler.last_epoch, scheduler._step_count = steps, steps + 1
    for group in state.optimizer.param_groups:
        group["initial_lr"] = settings.learning_rate
        group["lr"] = settings.learning_rate * scheduler.lr_lambdas[0](steps)
    scheduler._last_lr = [group["lr"] for group in state.optimizer.param_groups]

"""Checkpoints: saved, loaded and validated. Only this package touches .pth files.

A checkpoint holds tensors and plain builtins only::

    format, format_version, versions, epoch, step, sampler, model_state_dict,
    optimizer_state_dict, scheduler_state_dict, scaler, val_loss, best_value, best_val_loss,
    best_val_acc, config, normalization, calibration, zero_ms, clips, trained_on, periodic,
    random_states

and, with ``training.ema``, ``trained_state_dict`` and ``averaged_steps``: ``model_state_dict`` is
then the moving average. So ``torch.load(path, weights_only=True)`` reads it, here and anywhere;
docs/checkpoints.md describes each key.
"""

import logging
import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

import numpy as np
import torch

from ..core.config import Config, parse_stored_config
from ..core.errors import CheckpointError, ConfigError, MissingFileError, NotACheckpointError
from ..core.files import display_path
from ..core.resources import resource_path
from ..i18n.messages import tr
from ..models.ensemble import detect_network
from ..models.spec import ModelSpec
from ..models.sync_model import SyncModel
from ..scoring.calibration import UNFITTED, invalid_fits
from .safe_file import read_file, read_file_and_hash, write_file

logger = logging.getLogger(__name__)

BEST, LAST, FINAL = "best_model.pth", "last.pth", "final_model.pth"
PERIODIC_NAME = re.compile(r"checkpoint_epoch_[0-9]+(_step_[0-9]+)?\.pth")
PRETRAINED = resource_path(f"pretrained/{BEST}")  # comes with the project
WRAPPER_PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and torch.compile
OWN_PARTS = {"log_scale", "video", "audio"}  # what names of weights begin with
FORMAT = "lipsync-checkpoint"
FORMAT_VERSION = 2  # 1: another network
REQUIRED_TYPES = {
    "epoch": int, "step": int, "sampler": dict, "model_state_dict": dict, "config": dict,
    "calibration": dict, "versions": dict,
}  # fmt: skip
# What scoring and fine-tuning need; the other keys only resume this training.
INFERENCE_KEYS = (
    "epoch", "step", "sampler", "model_state_dict", "val_loss", "best_val_loss", "best_val_acc",
    "config", "normalization", "calibration", "zero_ms", "clips", "trained_on",
)  # fmt: skip


def save_checkpoint(path: Path, checkpoint: dict) -> None:
    """Write a checkpoint: whole, or not at all.

    Raises:
        OutputError.
    """
    header = {"format": FORMAT, "format_version": FORMAT_VERSION}
    write_file(path, {**header, **checkpoint, "versions": library_versions()})


def library_versions() -> dict[str, str]:
    """The versions of Python and the libraries that write a checkpoint."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": str(np.__version__),
    }


def load_checkpoint(path: str | Path) -> dict:
    """Read a checkpoint; code in the file is never run.

    Raises:
        MissingFileError: there is no such file.
        CheckpointError: it is not a checkpoint of this project, of another version, or damaged;
            the message says which.
    """
    return validate_checkpoint(read_file(path), path)


@dataclass(frozen=True)
class LoadedFile:
    """A .pth file, read and checked once: a checkpoint, or bare weights.

    Attributes:
        path: where it was read.
        payload: the checkpoint, or the weights by name.
    """

    path: Path
    payload: dict

    @property
    def is_bare(self) -> bool:
        """Whether it holds only weights, without settings and calibration."""
        return is_state_dict(self.payload)


def load_checkpoint_or_weights(path: str | Path) -> LoadedFile:
    """Read a checkpoint or bare weights; code in the file is never run.

    Raises:
        MissingFileError, CheckpointError: as of ``load_checkpoint``.
    """
    payload = read_file(path)
    if is_own_state_dict(payload):
        payload = unwrapped(payload)
    else:
        payload = validate_checkpoint(payload, path)
    return LoadedFile(Path(path), payload)


def validate_checkpoint(payload: object, path: str | Path) -> dict:
    """Check that what was read from a file is a checkpoint of this version, and return it.

    Raises:
        CheckpointError.
    """
    if not isinstance(payload, dict) or payload.get("format") != FORMAT:
        raise _foreign_file_error(payload, path)
    if payload.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(
            tr("{path} has format version {found}, this program reads version {known}: use the "
               "program that wrote it, or train again",
               path=path, found=payload.get("format_version"), known=FORMAT_VERSION)
        )  # fmt: skip
    missing = [
        name for name, kind in REQUIRED_TYPES.items() if not isinstance(payload.get(name), kind)
    ]
    if "calibration" not in missing and not {"score", "peak"} <= payload["calibration"].keys():
        missing.append("calibration")
    if missing:
        raise CheckpointError(
            tr("{path} is incomplete: {names} missing", path=path, names=", ".join(missing))
        )
    return payload


def is_state_dict(payload: object) -> bool:
    """Whether an object is weights by name and nothing else."""
    return (
        isinstance(payload, dict) and bool(payload) and all(map(torch.is_tensor, payload.values()))
    )


def unwrapped(weights: dict) -> dict:
    """Weights by name, without the prefixes of ``DataParallel`` and ``torch.compile``."""
    for prefix in WRAPPER_PREFIXES:
        if weights and all(str(name).startswith(prefix) for name in weights):
            return unwrapped({name.removeprefix(prefix): weights[name] for name in weights})
    return weights


def is_own_state_dict(payload: object) -> bool:
    """Whether an object is weights of this project's network, of whatever size, and nothing
    else."""
    if not is_state_dict(payload):
        return False
    return {str(name).partition(".")[0] for name in unwrapped(payload)} == OWN_PARTS


def _foreign_file_error(payload: object, path: str | Path) -> NotACheckpointError:
    """For a .pth file that is not a checkpoint of this project: it says what it is."""
    if is_own_state_dict(payload):
        return NotACheckpointError(
            tr("{path} holds bare weights, without settings and calibration: use the checkpoint "
               "they were extracted from, or add --config with their settings", path=path)
        )  # fmt: skip
    if is_state_dict(payload):
        return NotACheckpointError(
            tr("{path} is not a checkpoint of this project: it holds the weights of another "
               "network, such as {name}", path=path, name=str(next(iter(payload)))[:60])
        )  # fmt: skip
    return NotACheckpointError(
        tr("{path} is a PyTorch file, but not a checkpoint of this project; train one with "
           "python src/train.py", path=path)
    )  # fmt: skip


def resolve_checkpoint(path: str | Path | None, folder: str | Path) -> Path:
    """The checkpoint to use: the given one, or the usual one.

    Args:
        path: the given one, which is never replaced; None: the usual one.
        folder: ``paths.checkpoint_dir``.

    Returns:
        ``path``; where None is given ``best_model.pth`` of ``folder`` or, with a warning, the
        pretrained one where that does not exist.

    Raises:
        MissingFileError: the given one does not exist.
    """
    if path is not None:
        if not os.path.exists(path) and PRETRAINED.is_file():
            raise MissingFileError(
                tr("checkpoint not found: {path}; python src/train.py makes one, and without "
                   "--checkpoint the pretrained model is used", path=path)
            )  # fmt: skip
        return Path(path)
    path = Path(folder) / BEST
    if os.path.exists(path) or not PRETRAINED.is_file():
        return path
    logger.warning(
        tr("{path} does not exist: using the pretrained model {pretrained}",
           path=path, pretrained=display_path(PRETRAINED))
    )  # fmt: skip
    return PRETRAINED


def newest_checkpoint(folder: Path) -> Path:
    """The checkpoint in a folder that was written last and can be resumed from.

    Raises:
        MissingFileError: there is none.
    """
    paths = [*folder.glob(LAST), *folder.glob("checkpoint_epoch_*.pth")]
    if not paths:
        raise MissingFileError(
            tr("{folder} holds no checkpoint to resume from: remove --resume", folder=folder)
        )
    return max(paths, key=lambda path: path.stat().st_mtime_ns)


def strip_training_state(checkpoint: dict, path: str | Path) -> dict:
    """The part of a checkpoint that scoring needs.

    Without the state of its training, and without the folders of the machine it was trained on,
    which are private.

    Args:
        path: where it was read.

    Raises:
        CheckpointError: its settings cannot be used.
    """
    settings = stored_config(checkpoint, path).model_dump()
    for section, defaults in Config().model_dump().items():
        settings[section] |= {key: defaults[key] for key in defaults if key.endswith("_dir")}
    init_from = PureWindowsPath(settings["training"]["init_from"])  # accepts both kinds of slashes
    settings["training"]["init_from"] = init_from.name
    stripped = {key: checkpoint[key] for key in INFERENCE_KEYS if key in checkpoint}
    return stripped | {"config": settings}


@dataclass
class TrainedModel:
    """A model ready to score, with what it needs besides its weights.

    Attributes:
        sha256: of the file it was read from, hexadecimal; empty: of none.
    """

    model: SyncModel
    config: Config
    calibration: dict
    sha256: str = ""


def load_trained(
    path: str | Path, device: torch.device, settings: Config | None = None
) -> TrainedModel:
    """The model of a checkpoint, in evaluation mode.

    Args:
        settings: for bare weights: what they were trained with; their score is not calibrated.

    Raises:
        MissingFileError, CheckpointError.
    """
    payload, digest = read_file_and_hash(path)
    if is_own_state_dict(payload) and settings:
        checkpoint = {"model_state_dict": payload, "calibration": UNFITTED}
        changes = detect_network(unwrapped(payload), ModelSpec.of(settings))
        model_settings = settings.model.model_copy(update=changes)
        config = settings.model_copy(update={"model": model_settings})
    else:
        checkpoint = validate_checkpoint(payload, path)
        config = stored_config(checkpoint, path)
    check_calibration(checkpoint, path)
    with torch.device("meta"):  # without memory: the settings may claim a huge network
        model = SyncModel(ModelSpec.of(config))
    load_weights(model, checkpoint, path, assign=True)
    model.to(device, memory_format=torch.channels_last).eval()
    return TrainedModel(model, config, checkpoint["calibration"], digest)


def check_calibration(checkpoint: dict, path: str | Path) -> None:
    """Refuse a checkpoint whose calibration would give no probabilities.

    Raises:
        CheckpointError.
    """
    names = invalid_fits(checkpoint["calibration"])
    if names:
        raise CheckpointError(
            tr("{path} is damaged: the calibration of {names} is invalid; train again, or use "
               "another checkpoint", path=path, names=", ".join(names))
        )  # fmt: skip


def stored_config(checkpoint: dict, path: str | Path) -> Config:
    """The settings a checkpoint was trained with.

    Raises:
        CheckpointError: they are not valid settings.
    """
    try:
        return parse_stored_config(checkpoint["config"], str(path))
    except ConfigError as error:
        raise CheckpointError(str(error)) from None


def load_weights(model: SyncModel, payload: dict, path: str | Path, assign: bool = False) -> None:
    """Load the weights of a checkpoint, or bare ones, into a model.

    Args:
        assign: the model takes the tensors themselves instead of copying them.

    Raises:
        CheckpointError: they belong to a network of another shape, or are no finite numbers.
    """
    weights = unwrapped(payload if is_state_dict(payload) else payload["model_state_dict"])
    for name, values in weights.items():
        if torch.is_tensor(values) and not torch.isfinite(values.float()).all():
            raise CheckpointError(
                tr("{path}: the weights {name} are not finite numbers, as of a training that has "
                   "diverged; use an earlier checkpoint", path=path, name=name)
            )  # fmt: skip
    try:
        model.load_state_dict(weights, assign=assign)
        model.float()  # whatever precision they were written in
    except (RuntimeError, AttributeError, TypeError):  # the last two: names that are no text
        raise CheckpointError(
            tr("the weights of {path} do not fit the network: model.* or data.input_size differ "
               "from those it was trained with", path=path)
        ) from None  # fmt: skip

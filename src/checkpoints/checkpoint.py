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

import platform
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..core.config import Config
from ..models.spec import ModelSpec
from ..models.sync_model import SyncModel
from .contents import (
    FORMAT,
    FORMAT_VERSION,
    is_own_state_dict,
    is_state_dict,
    misfit_error,
    not_finite_error,
    scoring_parts,
    unwrapped,
    validate_checkpoint,
)
from .safe_file import read_file, read_file_and_hash, write_file


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
    weights, config, calibration = scoring_parts(payload, path, settings)
    return make_trained(weights, config, calibration, digest, path, device)


def make_trained(
    weights: dict, config: Config, calibration: dict, sha256: str, path: str | Path,
    device: torch.device,
) -> TrainedModel:  # fmt: skip
    """The model of weights by name, in evaluation mode.

    Args:
        path: where they were read.

    Raises:
        CheckpointError: as ``load_weights``.
    """
    with torch.device("meta"):  # without memory: the settings may claim a huge network
        model = SyncModel(ModelSpec.of(config))
    load_weights(model, weights, path, assign=True)
    model.to(device, memory_format=torch.channels_last).eval()
    return TrainedModel(model, config, calibration, sha256)


def load_weights(model: SyncModel, weights: dict, path: str | Path, assign: bool = False) -> None:
    """Load weights by name into a model.

    Args:
        weights: of ``contents.weights_of``.
        path: where they were read.
        assign: the model takes the tensors themselves instead of copying them.

    Raises:
        CheckpointError: they belong to a network of another shape, or are no finite numbers.
    """
    for name, values in weights.items():
        if torch.is_tensor(values) and not torch.isfinite(values.float()).all():
            raise not_finite_error(path, name)
    try:
        model.load_state_dict(weights, assign=assign)
        model.float()  # whatever precision they were written in
    except (RuntimeError, AttributeError, TypeError):  # the last two: names that are no text
        raise misfit_error(path) from None

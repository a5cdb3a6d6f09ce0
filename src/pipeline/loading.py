"""Which model an engine uses, with which settings, and on which device."""

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from multiprocessing import parent_process
from pathlib import Path
from typing import TYPE_CHECKING

from ..checkpoints.exported import ExportedModel, load_exported, resolve_export
from ..checkpoints.location import resolve_checkpoint
from ..checkpoints.onnx_model import load_onnx
from ..core.config import (
    DEFAULT_CONFIG,
    Config,
    DataConfig,
    load_config,
    override_key,
    with_overrides,
)
from ..core.device import is_plain_cpu
from ..core.errors import ConfigError, MisfitError
from ..i18n.messages import tr
from ..models.spec import ModelSpec
from .torch_parts import has_torch, load_trained, to_torch

if TYPE_CHECKING:
    from ..checkpoints.checkpoint import TrainedModel

BACKENDS = ("auto", "torch", "onnx")
# Settings of the section ``data`` that scoring uses.
SCORING_DATA = (
    "detector", "detection_size", "detect_every", "min_score", "min_face_size", "max_faces",
    "max_lost_frames", "input_size", "n_mfcc",
)  # fmt: skip

logger = logging.getLogger(__name__)


@dataclass
class LoadedModel:
    """A model that is ready to score.

    Attributes:
        path: where it came from.
        trained: what scores.
        config: the settings it was trained with, and those given for scoring.
        device: where its network computes.
    """

    path: Path
    trained: "TrainedModel | ExportedModel"
    config: Config
    device: str
    _in_torch: "TrainedModel | None" = None

    def in_torch(self) -> "TrainedModel":
        """The model with its network in PyTorch, made when it is first asked for.

        Raises:
            ConfigError: it consists of exported encoders, or PyTorch is not installed.
        """
        if not isinstance(self.trained, ExportedModel):
            return self.trained
        if self.trained.weights is None:
            raise ConfigError(
                tr("{path} holds exported encoders, which can only score and correct: give the "
                   "checkpoint (.pth) that they were exported from", path=self.path)
            )  # fmt: skip
        if self._in_torch is None:
            self._in_torch = to_torch(self.trained, self.path)
        return self._in_torch


def load_model(
    path: str | Path | None,
    device: str | None,
    given_config: Config | None,
    overrides: list[str],
    backend: str,
) -> LoadedModel:
    """Load a model; arguments and errors as those of ``LipSyncInference``."""
    usual_config = given_config or load_config()
    scoring_config = with_overrides(usual_config, overrides, str(DEFAULT_CONFIG))
    path = model_path(path, scoring_config, backend)
    bare_settings = scoring_config if given_config else None
    asked_device = device_name(device, overrides, scoring_config)
    trained, device = _load(path, backend, asked_device, bare_settings)
    config = trained.config.model_copy(
        update={"inference": scoring_config.inference, "paths": scoring_config.paths}
    )
    config = with_overrides(config, overrides, str(path))
    if ModelSpec.of(config) != trained.model.spec:
        raise ConfigError(
            tr("{path}: model.*, data.input_size and data.n_mfcc are those it was trained with",
               path=path)
        )  # fmt: skip
    _warn_of_unused_settings(usual_config.data, config.data)
    return LoadedModel(path, trained, config, device)


def _load(
    path: Path, backend: str, device: str, bare_settings: Config | None
) -> tuple["TrainedModel | ExportedModel", str]:
    """The model, and the name of the device that it computes on.

    Raises:
        CheckpointError: it cannot be used.
        ConfigError: this backend cannot compute it, or not on this device.
    """
    is_on_cpu = computes_on_cpu(device)
    if path.is_dir() or backend == "onnx":
        if not is_on_cpu and device != "auto":
            raise ConfigError(
                tr("device {name}: ONNX Runtime computes on the CPU; a GPU takes a checkpoint "
                   "(.pth) and --backend torch", name=device)
            )  # fmt: skip
        trained = load_exported(path) if path.is_dir() else load_onnx(path, bare_settings)
    elif backend == "auto" and is_on_cpu:
        try:
            trained = load_onnx(path, bare_settings)
        except MisfitError:
            if not has_torch():
                raise
            trained = None  # PyTorch's network may have been changed: let it decide
    else:
        trained = None
    if trained is not None:
        return trained, "cpu"
    if backend == "onnx" or (backend == "auto" and is_on_cpu and not has_torch()):
        raise ConfigError(
            tr("{path}: its temporal block (model.temporal) is computed by PyTorch only: pip "
               "install -r requirements.txt, and no --backend onnx", path=path)
        )  # fmt: skip
    trained = load_trained(path, bare_settings, device)
    return trained, str(trained.model.log_scale.device)


def model_path(path: str | Path | None, config: Config, backend: str) -> Path:
    """The checkpoint, or the folder of exported encoders, to use: the given one or the usual one.

    Raises:
        MissingFileError: it does not exist.
        ConfigError: no such backend, or one that cannot compute it.
    """
    if backend not in BACKENDS:
        raise ConfigError(
            tr("backend {name} does not exist: choose from {names}",
               name=backend, names=", ".join(BACKENDS))
        )  # fmt: skip
    if path is None or not os.path.isdir(path):
        return resolve_checkpoint(path, config.paths.checkpoint_dir)
    if backend == "torch":
        raise ConfigError(
            tr("{path} is a folder: --backend torch takes a checkpoint (.pth)", path=path)
        )
    return resolve_export(path)


def computes_on_cpu(device: str) -> bool:
    """Whether a device of ``device_name`` is the CPU: without PyTorch there is no GPU to choose.

    Raises:
        ConfigError: there is no such device.
    """
    return is_plain_cpu(device) or (device == "auto" and not has_torch())


def device_name(device: str | None, overrides: Iterable[str], config: Config) -> str:
    """The device to score on: as asked for, or as ``--set training.device`` says; ``auto``
    otherwise, because the one in config.yaml is that of the training."""
    is_set = "training.device" in map(override_key, overrides)
    return device or (config.training.device if is_set else "auto")


def _warn_of_unused_settings(usual: DataConfig, used: DataConfig) -> None:
    """Say once, not in every process, which changed settings of config.yaml do not count."""
    if parent_process() is not None:
        return
    for name in SCORING_DATA:
        value, default = getattr(usual, name), getattr(DataConfig(), name)
        if value not in (default, getattr(used, name)):
            logger.warning(
                tr("the setting data.{name} = {value} is not used: the model has its own, {own}; "
                   "--set data.{name}={value} overrides it",
                   name=name, value=value, own=getattr(used, name))
            )  # fmt: skip

"""Which model an engine uses, with which settings, and on which device."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from multiprocessing import parent_process
from pathlib import Path
from typing import TYPE_CHECKING

from ..checkpoints.exported import ExportedModel, load_exported, resolve_export
from ..core.config import (
    DEFAULT_CONFIG,
    Config,
    DataConfig,
    load_config,
    override_key,
    with_overrides,
)
from ..core.device import choose_device
from ..core.errors import ConfigError
from ..i18n.messages import tr
from ..models.spec import ModelSpec
from .torch_parts import checkpoint_of, load_trained

if TYPE_CHECKING:
    import torch

    from ..checkpoints.checkpoint import TrainedModel

BACKENDS = ("torch", "onnx")
# Settings of the section ``data`` that scoring uses.
SCORING_DATA = (
    "detector", "detection_size", "detect_every", "min_score", "min_face_size", "max_faces",
    "max_lost_frames", "input_size", "n_mfcc",
)  # fmt: skip

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to score.

    Attributes:
        path: where it came from.
        config: the settings it was trained with, and those given for scoring.
        device: where its network is; None for exported encoders, which compute on the CPU.
    """

    path: Path
    trained: "TrainedModel | ExportedModel"
    config: Config
    device: "torch.device | None"


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
    trained = (
        load_exported(path)
        if backend == "onnx"
        else load_trained(path, scoring_config if given_config else None)
    )
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
    if backend == "onnx":
        _check_cpu(device)
        return LoadedModel(path, trained, config, None)
    chosen_device = device_of(device, overrides, config)
    trained.model.to(chosen_device)
    return LoadedModel(path, trained, config, chosen_device)


def model_path(path: str | Path | None, config: Config, backend: str) -> Path:
    """The checkpoint, or the folder of exported encoders, to use: the given one or the usual one.

    Raises:
        MissingFileError: it does not exist.
        ConfigError: no such backend, or PyTorch is not installed.
    """
    if backend not in BACKENDS:
        raise ConfigError(
            tr("backend {name} does not exist: choose from {names}",
               name=backend, names=", ".join(BACKENDS))
        )  # fmt: skip
    if backend == "onnx":
        return resolve_export(path)
    return checkpoint_of(path, config.paths.checkpoint_dir)


def device_of(device: str | None, overrides: Iterable[str], config: Config) -> "torch.device":
    """The device to score on: as asked for, or as ``--set training.device`` says; ``auto``
    otherwise, because the one in config.yaml is that of the training."""
    is_set = "training.device" in map(override_key, overrides)
    return choose_device(device or (config.training.device if is_set else "auto"))


def _check_cpu(device: str | None) -> None:
    """Raise ConfigError for a device that the ONNX backend has not."""
    if device not in (None, "auto", "cpu"):
        raise ConfigError(
            tr("device {name}: the ONNX backend runs on the CPU; use --backend torch", name=device)
        )


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

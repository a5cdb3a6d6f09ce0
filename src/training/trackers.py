"""Where a training's curves go: TensorBoard, or Weights & Biases or SwanLab, offline by default.

All have the methods of ``torch.utils.tensorboard.SummaryWriter`` that a training uses.
"""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import torch

from ..core.errors import ConfigError
from ..i18n.messages import tr

PROJECT = "lipsync"
# What takes the place of the environment variable where it is not set: nothing leaves the machine.
WANDB_MODE, SWANLAB_MODE = "offline", "offline"


class Writer(Protocol):
    """What metrics and images are written with."""

    def add_scalar(self, name: str, value: float, step: int) -> None: ...

    def add_image(self, name: str, image: torch.Tensor, step: int) -> None:
        """An image, float [1 or 3, height, width], 0…1."""

    def flush(self) -> None: ...

    def close(self) -> None: ...


class WandbWriter:
    """A run of Weights & Biases in a folder.

    Args:
        folder: an existing one; ``wandb sync`` uploads what is in it.
        settings: shown with the run.
    """

    def __init__(self, folder: Path, settings: dict):
        import wandb

        self._wandb = wandb
        mode = os.environ.get("WANDB_MODE", WANDB_MODE)
        self._run = wandb.init(
            project=PROJECT, name=folder.name, dir=str(folder), mode=mode, config=settings,
            settings=wandb.Settings(silent=True, disable_git=True, save_code=False),
        )  # fmt: skip

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self._run.log({name: value}, step=step)

    def add_image(self, name: str, image: torch.Tensor, step: int) -> None:
        self._run.log({name: self._wandb.Image(_pixels(image))}, step=step)

    def flush(self) -> None:
        """Its own process writes what it is given."""

    def close(self) -> None:
        self._run.finish()


class SwanlabWriter:
    """A run of SwanLab in a folder; arguments as of ``WandbWriter`` (``swanlab sync``)."""

    def __init__(self, folder: Path, settings: dict):
        import swanlab

        self._swanlab = swanlab
        mode = os.environ.get("SWANLAB_MODE", SWANLAB_MODE)
        swanlab.init(
            project=PROJECT, experiment_name=folder.name, logdir=str(folder), mode=mode,
            config=settings,
        )  # fmt: skip

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self._swanlab.log({name: float(value)}, step=step)

    def add_image(self, name: str, image: torch.Tensor, step: int) -> None:
        self._swanlab.log({name: self._swanlab.Image(_pixels(image))}, step=step)

    def flush(self) -> None:
        """It writes what it is given."""

    def close(self) -> None:
        self._swanlab.finish()


def _pixels(image: torch.Tensor):
    """Float [1 or 3, height, width], 0…1 -> uint8 [height, width, 3]."""
    pixels = (image.clamp(0, 1) * 255).round().to(torch.uint8)
    return pixels.expand(3, -1, -1).permute(1, 2, 0).contiguous().cpu().numpy()


def check_tracker(name: str) -> None:
    """Raise ConfigError where the library of ``training.tracker`` is not installed."""
    if name != "tensorboard" and find_spec(name) is None:
        raise ConfigError(
            tr("training.tracker = {name}: it is not installed: pip install {name}", name=name)
        )


def make_writer(name: str, folder: Path, settings: dict) -> Writer:
    """The writer of ``training.tracker``.

    Raises:
        OSError: the folder cannot be written.
    """
    if name == "tensorboard":
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    return {"wandb": WandbWriter, "swanlab": SwanlabWriter}[name](folder, settings)

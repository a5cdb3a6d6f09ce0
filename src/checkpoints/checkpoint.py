"""Save, load and resume: the only room that touches .pth files.

A checkpoint holds tensors and plain builtins only::

    format, format_version, versions, epoch, step, sampler, model_state_dict,
    optimizer_state_dict, scheduler_state_dict, scaler, val_loss, best_value, best_val_loss,
    best_val_acc, config, normalization, calibration, zero_ms, clips, trained_on, periodic,
    random_states

and, with ``training.ema``, ``trained_state_dict`` and ``averaged_steps``: ``model_state_dict`` is
the running mean then. So ``torch.load(path, weights_only=True)`` reads it, here and anywhere;
docs/checkpoints.md says what each is.
"""

import platform
import sys
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

import numpy as np
import torch

from ..core.config import Config, parse_config
from ..core.errors import CheckpointError, ConfigError, MissingFileError, NotACheckpointError
from ..core.files import display_path
from ..core.resources import resource_path
from ..i18n.messages import tr
from ..models.spec import ModelSize
from ..models.sync_model import SyncModel
from ..scoring.calibration import UNFITTED
from .file_format import read_file, write_file

BEST, LAST, FINAL = "best_model.pth", "last.pth", "final_model.pth"
PRETRAINED = resource_path(f"pretrained/{BEST}")  # comes with the project
FORMAT = "lipsync-checkpoint"
FORMAT_VERSION = 2  # 1: another network
NEEDED = {
    "epoch": int, "step": int, "sampler": dict, "model_state_dict": dict, "config": dict,
    "calibration": dict, "versions": dict,
}  # fmt: skip
# What judging a clip and beginning another training take; the rest goes on with this training.
FOR_INFERENCE = (
    "epoch", "step", "sampler", "model_state_dict", "val_loss", "best_val_loss", "best_val_acc",
    "config", "normalization", "calibration", "zero_ms", "clips", "trained_on",
)  # fmt: skip


def save_checkpoint(path: Path, content: dict) -> None:
    """Write a checkpoint: whole, or not at all.

    Raises:
        OutputError.
    """
    head = {"format": FORMAT, "format_version": FORMAT_VERSION}
    write_file(path, {**head, **content, "versions": versions()})


def versions() -> dict[str, str]:
    """What this was written with."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": str(np.__version__),
    }


def load_checkpoint(path: str | Path) -> dict:
    """Read a checkpoint; code in it is never run.

    Raises:
        MissingFileError: there is no such file.
        CheckpointError: it is not a checkpoint of this project, of another version, or damaged;
            each is told in its own words.
    """
    return checked(read_file(path), path)


def checked(content: object, path: str | Path) -> dict:
    """See to it that the content of a file is a checkpoint of this version.

    Raises:
        CheckpointError.
    """
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise NotACheckpointError(_foreign(content, path))
    if content.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(
            tr("{path} has format version {found}, this program reads version {known}: use the "
               "program that wrote it, or train anew",
               path=path, found=content.get("format_version"), known=FORMAT_VERSION)
        )  # fmt: skip
    missing = [name for name, kind in NEEDED.items() if not isinstance(content.get(name), kind)]
    if "calibration" not in missing and not {"score", "peak"} <= content["calibration"].keys():
        missing.append("calibration")
    if missing:
        raise CheckpointError(
            tr("{path} is incomplete: {names} missing", path=path, names=", ".join(missing))
        )
    return content


def is_state_dict(content: object) -> bool:
    """Whether a file holds weights by name and nothing else."""
    return (
        isinstance(content, dict) and bool(content) and all(map(torch.is_tensor, content.values()))
    )


def _foreign(content: object, path: str | Path) -> str:
    """What a file of tensors is that is no checkpoint of this project."""
    if is_state_dict(content):
        return tr("{path} holds bare weights, without settings and calibration: name the "
                  "checkpoint they were taken from, or add --config with their settings",
                  path=path)  # fmt: skip
    return tr("{path} is a file of PyTorch, but not a checkpoint of this project; train one with "
              "python src/train.py", path=path)  # fmt: skip


def resolve_checkpoint(path: str | Path | None, folder: str | Path) -> Path:
    """The checkpoint to use, where the user's own best model may not be there yet.

    Args:
        path: the one asked for; None: ``best_model.pth`` of ``folder``.
        folder: ``paths.checkpoint_dir``.

    Returns:
        ``path``; the pretrained one if that is the user's own best model and is missing, which
        is said on stderr.
    """
    own = Path(folder) / BEST
    path = own if path is None else Path(path)
    if path.exists() or path.resolve() != own.resolve() or not PRETRAINED.is_file():
        return path
    print(tr("{path} is not there: using the pretrained model {pretrained}",
             path=path, pretrained=display_path(PRETRAINED)), file=sys.stderr)  # fmt: skip
    return PRETRAINED


def newest_checkpoint(folder: Path) -> Path:
    """Where the last training in a folder stopped: its checkpoint written last that can be gone on
    from.

    Raises:
        MissingFileError: there is none.
    """
    found = [*folder.glob(LAST), *folder.glob("checkpoint_epoch_*.pth")]
    if not found:
        raise MissingFileError(
            tr("{folder} holds no checkpoint to go on from: leave out --resume", folder=folder)
        )
    return max(found, key=lambda path: path.stat().st_mtime_ns)


def for_inference(content: dict, path: str | Path) -> dict:
    """Of a checkpoint, what is needed to use it: without the state of its training, and without
    the folders of the machine it was trained on, which are nobody else's business.

    Args:
        path: where it was read.

    Raises:
        CheckpointError: its settings cannot be used.
    """
    settings = config_of(content, path).model_dump()
    for section, usual in Config().model_dump().items():
        settings[section] |= {name: usual[name] for name in usual if name.endswith("_dir")}
    origin = PureWindowsPath(settings["training"]["init_from"])  # knows both kinds of slashes
    settings["training"]["init_from"] = origin.name
    left = {name: content[name] for name in FOR_INFERENCE if name in content}
    return left | {"config": settings}


@dataclass
class TrainedModel:
    """A model ready to judge, with what it needs besides its weights."""

    model: SyncModel
    config: Config
    calibration: dict


def load_trained(
    path: str | Path, device: torch.device, settings: Config | None = None
) -> TrainedModel:
    """The model of a checkpoint, in evaluation mode.

    Args:
        settings: for bare weights: what they were trained with; their score is not calibrated.

    Raises:
        MissingFileError, CheckpointError.
    """
    content = read_file(path)
    if is_state_dict(content) and settings:
        content = {"model_state_dict": content, "calibration": UNFITTED}
        config = settings
    else:
        config = config_of(checked(content, path), path)
    with torch.device("meta"):  # without memory: what the settings claim may be huge
        model = SyncModel(ModelSize.of(config))
    load_weights(model, content, path, assign=True)
    model.to(device, memory_format=torch.channels_last).eval()
    return TrainedModel(model, config, content["calibration"])


def config_of(content: dict, path: str | Path) -> Config:
    """The settings a checkpoint was trained with.

    Raises:
        CheckpointError.
    """
    settings = content["config"]
    if isinstance(settings, dict) and isinstance(settings.get("model"), dict):
        # Before there was a choice all looked at the lower face.
        settings = settings | {"model": {"view": "lower_face"} | settings["model"]}
    try:
        return parse_config(settings, str(path))
    except ConfigError as error:
        raise CheckpointError(str(error)) from None


def load_weights(model: SyncModel, content: dict, path: str | Path, assign: bool = False) -> None:
    """Put a checkpoint's weights, or bare ones, into a model.

    Args:
        assign: the model takes the tensors themselves, in the place of its own.

    Raises:
        CheckpointError: they belong to a network of another shape.
    """
    try:
        weights = content if is_state_dict(content) else content["model_state_dict"]
        model.load_state_dict(weights, assign=assign)
        model.float()  # of whatever precision they were written in
    except RuntimeError:
        raise CheckpointError(
            tr("the weights of {path} do not fit the network: model.* or data.input_size differ "
               "from those it was trained with", path=path)
        ) from None  # fmt: skip

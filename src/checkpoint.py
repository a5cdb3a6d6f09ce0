"""Save, load and resume: the only room that touches .pth files.

A checkpoint holds tensors and plain builtins only::

    format, format_version, epoch, model_state_dict, optimizer_state_dict, scheduler_state_dict,
    scaler, val_loss, best_val_loss, best_val_acc, config, normalization, calibration, zero_ms,
    clips, random_states, versions

and, with ``training.ema``, ``trained_state_dict`` and ``averaged_steps``: ``model_state_dict`` is
the running mean then

so ``torch.load(path, weights_only=True)`` reads it, here and anywhere.
"""

import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch

from src.config import Config, parse_config
from src.errors import CheckpointError, ConfigError, MissingFileError
from src.files import shown_path, written_aside
from src.messages import tr
from src.model import ModelSize, SyncModel

BEST = "best_model.pth"
PRETRAINED = Path(__file__).resolve().parents[1] / "pretrained" / BEST  # comes with the project
FORMAT = "lipsync-checkpoint"
FORMAT_VERSION = 2  # 1: another network
NEEDED = {"epoch": int, "model_state_dict": dict, "config": dict, "calibration": dict}
# What judging a clip and beginning another training take; the rest goes on with this training.
FOR_INFERENCE = (
    "epoch", "model_state_dict", "val_loss", "best_val_loss", "best_val_acc", "config",
    "normalization", "calibration", "zero_ms", "people",
)  # fmt: skip


def save_checkpoint(path: Path, content: dict) -> None:
    """Write a checkpoint aside and rename it.

    Raises:
        OutputError.
    """
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        **content,
        "versions": {"torch": str(torch.__version__)},
    }
    with written_aside(path) as aside:
        torch.save(content, aside)


def load_checkpoint(path: str | Path) -> dict:
    """Read a checkpoint; code in it is never run.

    Raises:
        MissingFileError: there is no such file.
        CheckpointError: it is not a checkpoint of this project, or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(
            tr("checkpoint not found: {path}; python src/train.py makes one", path=path)
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's remarks on files that are refused below
            content = torch.load(path, map_location="cpu", weights_only=True)
    # A damaged file can raise nearly anything; none of it has run foreign code.
    except Exception:
        raise CheckpointError(
            tr("{path} is not a checkpoint, or it is damaged; train one with python src/train.py",
               path=path)
        ) from None  # fmt: skip
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(
            tr("{path} is not a checkpoint of this project; train one with python src/train.py",
               path=path)
        )  # fmt: skip
    if content.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(
            tr("{path} has format version {found}, this program reads version {known}: use the "
               "program that wrote it, or train anew",
               path=path, found=content.get("format_version"), known=FORMAT_VERSION)
        )  # fmt: skip
    missing = [name for name, kind in NEEDED.items() if not isinstance(content.get(name), kind)]
    if missing:
        raise CheckpointError(
            tr("{path} is incomplete: {names} missing", path=path, names=", ".join(missing))
        )
    if not {"score", "peak"} <= content["calibration"].keys():
        raise CheckpointError(
            tr("{path} is incomplete: {names} missing", path=path, names="calibration")
        )
    return content


def own_or_pretrained(path: str | Path | None, folder: str | Path) -> Path:
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
             path=path, pretrained=shown_path(PRETRAINED)), file=sys.stderr)  # fmt: skip
    return PRETRAINED


def for_inference(content: dict) -> dict:
    """Of a checkpoint, what is needed to use it: without the state of its training."""
    return {name: content[name] for name in FOR_INFERENCE if name in content}


@dataclass
class Trained:
    """A model ready to judge, with what it needs besides its weights."""

    model: SyncModel
    config: Config
    calibration: dict


def load_trained(path: str | Path, device: torch.device) -> Trained:
    """The model of a checkpoint, in evaluation mode.

    Raises:
        MissingFileError, CheckpointError.
    """
    content = load_checkpoint(path)
    try:
        config = parse_config(content["config"], str(path))
    except ConfigError as error:
        raise CheckpointError(str(error)) from None
    model = SyncModel(ModelSize.of(config))
    load_weights(model, content, path)
    model.to(device, memory_format=torch.channels_last).eval()
    return Trained(model, config, content["calibration"])


def load_weights(model: SyncModel, content: dict, path: str | Path) -> None:
    """Put a checkpoint's weights into a model.

    Raises:
        CheckpointError: they belong to a network of another shape.
    """
    try:
        model.load_state_dict(content["model_state_dict"])
    except RuntimeError:
        raise CheckpointError(
            tr("the weights of {path} do not fit the network: model.* or data.input_size differ "
               "from those it was trained with", path=path)
        ) from None  # fmt: skip

"""What a .pth file holds: whether it is a checkpoint of this version, and its settings.

Its tensors may be PyTorch's or NumPy's; this module needs neither.
"""

from pathlib import Path, PureWindowsPath

from ..core.config import Config, parse_stored_config
from ..core.errors import CheckpointError, ConfigError, MisfitError, NotACheckpointError
from ..i18n.messages import tr
from ..models.spec import ModelSpec
from ..models.weight_names import detect_network
from ..scoring.calibration import UNFITTED, invalid_fits

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


def validate_checkpoint(payload: object, path: str | Path) -> dict:
    """Check that what was read from a file is a checkpoint of this version, and return it.

    Raises:
        CheckpointError.
    """
    if not isinstance(payload, dict):
        raise _foreign_file_error(payload, path)
    payload = dict(dict.items(payload))  # of an OrderedDict, attributes may hide methods
    # Types first: an array compares value by value.
    if not isinstance(payload.get("format"), str) or payload["format"] != FORMAT:
        raise _foreign_file_error(payload, path)
    version = payload.get("format_version")
    if not isinstance(version, int) or version != FORMAT_VERSION:
        raise CheckpointError(
            tr("{path} has format version {found}, this program reads version {known}: use the "
               "program that wrote it, or train again",
               path=path, found=version, known=FORMAT_VERSION)
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


def is_tensor(value: object) -> bool:
    """Whether a value of a checkpoint is a tensor, or the array that stands for it."""
    return hasattr(value, "dtype") and hasattr(value, "shape")


def is_state_dict(payload: object) -> bool:
    """Whether an object is weights by name and nothing else."""
    return isinstance(payload, dict) and bool(payload) and all(map(is_tensor, payload.values()))


def unwrapped(weights: dict) -> dict:
    """Weights by name, without the prefixes of ``DataParallel`` and ``torch.compile``."""
    for prefix in WRAPPER_PREFIXES:
        if weights and all(str(name).startswith(prefix) for name in weights):
            return unwrapped({name.removeprefix(prefix): weights[name] for name in weights})
    return weights


def weights_of(payload: dict) -> dict:
    """The weights by name of a checkpoint, or of a file that holds nothing else."""
    return unwrapped(payload if is_state_dict(payload) else payload["model_state_dict"])


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


def scoring_parts(
    payload: object, path: str | Path, settings: Config | None
) -> tuple[dict, Config, dict]:
    """What scoring needs of a file: the weights by name, the settings, and the calibration.

    Args:
        payload: what was read.
        path: where.
        settings: for bare weights: what they were trained with; their score is not calibrated.

    Raises:
        CheckpointError: it is no checkpoint, or a damaged one.
    """
    if is_own_state_dict(payload) and settings:
        weights = unwrapped(payload)
        changes = detect_network(weights, ModelSpec.of(settings))
        model_settings = settings.model.model_copy(update=changes)
        return weights, settings.model_copy(update={"model": model_settings}), UNFITTED
    checkpoint = validate_checkpoint(payload, path)
    config = stored_config(checkpoint, path)
    check_calibration(checkpoint, path)
    return weights_of(checkpoint), config, checkpoint["calibration"]


def misfit_error(path: str | Path) -> MisfitError:
    """For weights of a network of another shape."""
    return MisfitError(
        tr("the weights of {path} do not fit the network: model.* or data.input_size differ "
           "from those it was trained with", path=path)
    )  # fmt: skip


def not_finite_error(path: str | Path, name: str) -> CheckpointError:
    """For the weights of that name, which are infinite or no numbers."""
    return CheckpointError(
        tr("{path}: the weights {name} are not finite numbers, as of a training that has "
           "diverged; use an earlier checkpoint", path=path, name=name)
    )  # fmt: skip


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

"""Encoders that ``tools/export_models.py`` wrote: read and checked without PyTorch."""

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from ..core.config import Config, parse_stored_config
from ..core.errors import CheckpointError, ConfigError, MissingFileError
from ..core.files import file_sha256
from ..i18n.messages import tr
from ..models.onnx_embedding import ENCODERS, OnnxModel, encoder_name
from ..models.spec import ModelSpec
from ..scoring.calibration import invalid_fits

SETTINGS_NAME = "model_config.json"


@dataclass
class ExportedModel:
    """Encoders in ONNX with what scoring needs beside them, as ``checkpoint.TrainedModel``.

    Attributes:
        sha256: of the checkpoint, or of the folder's files (``export_sha256``).
        weights: of the checkpoint, arrays by name; None: there is only the folder.
    """

    model: OnnxModel
    config: Config
    calibration: dict
    sha256: str
    weights: dict | None = None


def resolve_export(folder: str | Path) -> Path:
    """The folder.

    Raises:
        MissingFileError: it is incomplete.
    """
    folder = Path(folder)
    missing = [name for name in _names() if not (folder / name).is_file()]
    if missing:
        raise MissingFileError(
            tr("{folder} has no exported encoders ({name} is missing): give a checkpoint (.pth), "
               "or run python tools/export_models.py CHECKPOINT --output-dir {folder}",
               folder=folder, name=missing[0])
        )  # fmt: skip
    return folder


def export_sha256(folder: Path) -> str:
    """A digest of the encoders and their settings, hexadecimal."""
    digests = [file_sha256(folder / name) for name in _names()]
    return sha256("".join(digests).encode()).hexdigest()


def _names() -> list[str]:
    return [SETTINGS_NAME, *map(encoder_name, ENCODERS)]


def load_exported(folder: Path) -> ExportedModel:
    """The model of a folder.

    Raises:
        CheckpointError: a file is damaged, or of an earlier version of this program.
    """
    path = folder / SETTINGS_NAME
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        stored, calibration = settings["config"], settings["calibration"]
        invalid = invalid_fits(calibration)
        config = parse_stored_config(stored, str(path))
    except (ValueError, TypeError, KeyError, AttributeError, ConfigError):
        raise CheckpointError(
            tr("{path} is damaged, or of an earlier version: export the checkpoint again with "
               "python tools/export_models.py", path=path)
        ) from None  # fmt: skip
    if invalid:
        raise CheckpointError(
            tr("{path} is damaged: the calibration of {names} is invalid; train again, or use "
               "another checkpoint", path=path, names=", ".join(invalid))
        )  # fmt: skip
    encoders = {name: folder / encoder_name(name) for name in ENCODERS}
    model = OnnxModel(ModelSpec.of(config), encoders)
    return ExportedModel(model, config, calibration, export_sha256(folder))

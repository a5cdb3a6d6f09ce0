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

EXPORT_FOLDER = Path("exported_models")  # where the tool writes by default
SETTINGS_NAME = "model_config.json"


@dataclass
class ExportedModel:
    """Exported encoders with what scoring needs beside them, as ``checkpoint.TrainedModel``.

    Attributes:
        sha256: of the folder's files (``export_sha256``).
    """

    model: OnnxModel
    config: Config
    calibration: dict
    sha256: str


def resolve_export(path: str | Path | None) -> Path:
    """The folder to use: the given one, or ``exported_models``.

    Raises:
        MissingFileError: it is none, or incomplete.
    """
    folder = Path(EXPORT_FOLDER if path is None else path)
    if folder.is_file():
        raise MissingFileError(
            tr("{path} is a file; the ONNX backend takes a folder: run python "
               "tools/export_models.py {path} where PyTorch is installed and name the folder it "
               "writes", path=folder)
        )  # fmt: skip
    missing = [name for name in _names() if not (folder / name).is_file()]
    if missing:
        raise MissingFileError(
            tr("{folder} has no exported encoders ({name} is missing): run python "
               "tools/export_models.py CHECKPOINT --output-dir {folder} where PyTorch is installed",
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
    model = OnnxModel(folder, ModelSpec.of(config))
    return ExportedModel(model, config, calibration, export_sha256(folder))

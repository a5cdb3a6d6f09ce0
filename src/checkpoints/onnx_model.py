"""The model of a .pth file for ONNX Runtime: read, checked and scored with without PyTorch."""

from pathlib import Path

import numpy as np

from ..core.config import Config
from ..models.onnx_embedding import AUDIO, VIDEO, OnnxModel
from ..models.onnx_graph import audio_hop_graph, has_graph, video_graph
from ..models.spec import ModelSpec
from .archive import read_arrays
from .contents import OWN_PARTS, misfit_error, not_finite_error, scoring_parts
from .exported import ExportedModel


def load_onnx(path: str | Path, settings: Config | None = None) -> ExportedModel | None:
    """The model of a checkpoint, as ``checkpoint.load_trained``; None: its temporal block needs
    PyTorch.

    Args:
        settings: for bare weights: what they were trained with; their score is not calibrated.

    Raises:
        MissingFileError, CheckpointError; MisfitError: the weights are not those of the layers that
            ``onnx_graph`` writes.
    """
    payload, digest = read_arrays(path)
    weights, config, calibration = scoring_parts(payload, path, settings)
    for name, values in weights.items():
        if isinstance(values, np.ndarray) and not np.isfinite(values).all():
            raise not_finite_error(path, name)
    spec = ModelSpec.of(config)
    if not has_graph(spec):
        return None
    if {str(name).partition(".")[0] for name in weights} != OWN_PARTS:
        raise misfit_error(path)
    try:
        encoders = {VIDEO: video_graph(weights, spec), AUDIO: audio_hop_graph(weights, spec)}
    except (ValueError, TypeError, AttributeError):  # names or weights that are none, too
        raise misfit_error(path) from None
    return ExportedModel(OnnxModel(spec, encoders), config, calibration, digest, weights)

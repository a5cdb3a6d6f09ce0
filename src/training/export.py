"""Export of a checkpoint's encoders: weights, ONNX, TorchScript, and how to prepare their input."""

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ..audio.features import N_FFT, WINDOW
from ..checkpoints.checkpoint import TrainedModel
from ..checkpoints.contents import strip_training_state
from ..checkpoints.safe_file import write_file
from ..core.constants import FPS, HOP, HOP_MS, HOPS_PER_FRAME, N_MELS, SAMPLE_RATE, WINDOW_FRAMES
from ..core.errors import OutputError
from ..core.files import written_atomically
from ..core.resources import resource_path
from ..dataset.samples import Sample
from ..faces.alignment import TEMPLATE, TEMPLATE_SIZE
from ..i18n.messages import tr
from ..models.limits import MAX_BAND, MIN_BAND_VARIANCE, MIN_REGION_VARIANCE
from ..models.sync_model import AudioHopEncoder, SyncModel, example_input
from ..scoring.calibration import (
    LONG_WINDOWS,
    MIN_SCALE,
    MIN_SPREAD,
    PEAK_ERROR_MS,
    SCORE_TOLERANCE_MS,
)
from ..scoring.evidence import MIN_SUPPORT, MIN_WINDOWS, PEAK_FIT_HOPS
from .batches import collate, prepare_input

EXAMPLE = resource_path("tools/inference_example.py")
CHECKED_FRAMES = (7, 12, 33)  # lengths at which an exported encoder must agree with PyTorch
TOLERANCE = 1e-4
OPSET = 17
TRACED_FRAMES = 9  # length of the input that exports are traced with; any other works too


def make_encoder_inputs(model: SyncModel, n_frames: int) -> dict[str, torch.Tensor]:
    """Synthetic input of each encoder: two clips of ``n_frames`` frames."""
    regions, bands = example_input(model.spec, n_frames, 2)
    return {"video": regions, "audio": bands, "audio_hop": bands}


def named_encoders(model: SyncModel) -> dict[str, torch.nn.Module]:
    """Both encoders by name."""
    return {"video": model.video, "audio": model.audio}


def _exported_encoders(model: SyncModel) -> dict[str, torch.nn.Module]:
    """Those, and the audio encoder that gives an embedding every 10 ms, which measuring needs: its
    first layers are computed once, not once for each phase."""
    # The export puts a module back into the mode it was in, with all that it holds.
    return named_encoders(model) | {"audio_hop": AudioHopEncoder(model.audio).eval()}


def export_weights(model: SyncModel, folder: Path, heads: bool) -> list[Path]:
    """Write ``video_encoder.pth``, ``audio_encoder.pth`` and, with ``heads``,
    ``training_head.pth``: the scale from similarity to logit, which only training needs.

    Raises:
        OutputError.
    """
    encoders = named_encoders(model)
    parts = {f"{name}_encoder": encoder.state_dict() for name, encoder in encoders.items()}
    if heads:
        parts["training_head"] = {"log_scale": model.log_scale.detach()}
    for name, weights in parts.items():
        write_file(folder / f"{name}.pth", weights)
    return [folder / f"{name}.pth" for name in parts]


def export_onnx(model: SyncModel, folder: Path) -> list[Path]:
    """The encoders as ONNX, for any number of clips and frames.

    Raises:
        OutputError: they cannot be written, or differ from PyTorch by more than 1e-4.
    """
    import onnxruntime

    paths = []
    for name, encoder in _exported_encoders(model).items():
        path = folder / f"{name}_encoder.onnx"
        input_name, time_axis = ("views", "frames") if name == "video" else ("bands", "steps")
        with written_atomically(path) as temporary_path, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracer's, on sizes that are dynamic on purpose
            torch.onnx.export(
                encoder, (make_encoder_inputs(model, TRACED_FRAMES)[name],), str(temporary_path),
                dynamo=False, opset_version=OPSET,
                input_names=[input_name], output_names=["embeddings"],
                dynamic_axes={
                    input_name: {0: "clips", 1: time_axis},
                    "embeddings": {0: "clips", 1: "windows"},
                },
            )  # fmt: skip
            session = onnxruntime.InferenceSession(str(temporary_path))
            _check_agreement(model, name, _session_encoder(session), path)
        paths.append(path)
    return paths


def export_torchscript(model: SyncModel, folder: Path) -> list[Path]:
    """Both encoders as TorchScript, likewise.

    Raises:
        OutputError.
    """
    paths = []
    for name, encoder in named_encoders(model).items():
        path = folder / f"{name}_encoder.torchscript.pt"
        with written_atomically(path) as temporary_path, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            example = make_encoder_inputs(model, TRACED_FRAMES)[name]
            traced = torch.jit.trace(encoder, example, check_trace=False)
            torch.jit.save(traced, str(temporary_path))
            _check_agreement(model, name, torch.jit.load(str(temporary_path)), path)
        paths.append(path)
    return paths


def _session_encoder(session) -> Callable[[torch.Tensor], torch.Tensor]:
    """An ONNX session as a function of tensors."""
    key = session.get_inputs()[0].name
    return lambda x: torch.from_numpy(session.run(None, {key: x.contiguous().numpy()})[0])


@torch.inference_mode()
def _check_agreement(
    model: SyncModel, name: str, exported: Callable[[torch.Tensor], torch.Tensor], path: Path
) -> None:
    """Compare an exported encoder with the model's.

    Raises:
        OutputError: they differ by more than ``TOLERANCE``.
    """
    for n_frames in CHECKED_FRAMES:
        inputs = make_encoder_inputs(model, n_frames)[name]
        expected = _exported_encoders(model)[name](inputs)
        difference = float((exported(inputs) - expected).abs().max())
        if not difference <= TOLERANCE:
            raise OutputError(
                tr("{path} differs from the network by {difference:.1e}: not written",
                   path=path, difference=difference)
            )  # fmt: skip


def quantize(folder: Path, trained: TrainedModel, samples: list[Sample]) -> list[Path]:
    """The ONNX encoders of a folder in int8: static quantisation, calibrated on samples.

    Only convolutions, with 7-bit weights: on CPUs without VNNI, sums of 8-bit products saturate
    (on one speaker that cost 8 points at K = 5).

    Raises:
        OutputError.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self, key: str, inputs: list[np.ndarray]):
            self.feeds = iter([{key: array} for array in inputs])

        def get_next(self):
            return next(self.feeds, None)

    paths = []
    inputs = [
        prepare_input(collate([sample.read()], [0]), trained.model.spec) for sample in samples
    ]
    for index, (name, key) in enumerate((("video", "views"), ("audio", "bands"))):
        path = folder / f"{name}_encoder.int8.onnx"
        with written_atomically(path) as temporary_path, warnings.catch_warnings():
            prepared = temporary_path.with_suffix(".prepared.onnx")
            warnings.simplefilter("ignore")
            try:
                quant_pre_process(
                    str(folder / f"{name}_encoder.onnx"), str(prepared), skip_symbolic_shape=True
                )
                quantize_static(
                    str(prepared), str(temporary_path),
                    Reader(key, [pair[index].numpy() for pair in inputs]),
                    quant_format=QuantFormat.QDQ, op_types_to_quantize=["Conv"],
                    per_channel=True, reduce_range=True,
                    weight_type=QuantType.QInt8, activation_type=QuantType.QUInt8,
                )  # fmt: skip
            finally:
                prepared.unlink(missing_ok=True)
        paths.append(path)
    return paths


def write_settings(trained: TrainedModel, checkpoint: dict, folder: Path) -> list[Path]:
    """Write ``model_config.json`` and ``normalization_params.json``: all that is needed to prepare
    the encoders' input and to interpret their output.

    Raises:
        OutputError.
    """
    config, spec = trained.config, trained.model.spec
    height, width = spec.region_shape
    model = {
        "format_version": checkpoint["format_version"],
        "epoch": checkpoint["epoch"],
        "best_val_acc": checkpoint.get("best_val_acc"),
        "model": config.model.model_dump(),
        "config": strip_training_state(checkpoint, folder)["config"],
        "checkpoint_sha256": trained.sha256,
        "inputs": {
            "video": {"views": ["clips", "frames", height, width]},
            "audio": {"bands": ["clips", "4 * frames", N_MELS]},
        },
        "output": {"embeddings": ["clips", "frames - 4", spec.output_dim], "length": 1.0},
        "similarity": "cosine of the video embedding at window t and the audio embedding at step "
                      "4 t - offset (offset > 0: the audio must be delayed)",
        "calibration": trained.calibration,
        "zero_ms": checkpoint.get("zero_ms"),
    }  # fmt: skip
    params = {
        "fps": FPS,
        "sample_rate": SAMPLE_RATE,
        "window_frames": WINDOW_FRAMES,
        "steps_per_frame": HOPS_PER_FRAME,
        "step_ms": HOP_MS,
        "reach_steps": config.inference.max_offset_frames * HOPS_PER_FRAME,
        "least_windows": MIN_WINDOWS,
        "least_support": MIN_SUPPORT,
        "least_spread": MIN_SPREAD,
        "least_lead": MIN_SCALE,
        "score_tolerance_ms": SCORE_TOLERANCE_MS,
        "peak_error_ms": PEAK_ERROR_MS,
        "long_windows": LONG_WINDOWS,
        "fit_steps": PEAK_FIT_HOPS,
        "embedding_dim": spec.output_dim,
        "n_mels": N_MELS,
        "mfcc": {
            "n_mfcc": config.data.n_mfcc, "n_fft": N_FFT, "win_length": WINDOW, "hop_length": HOP,
            "window": "hann", "mel_scale": "slaney", "mel_norm": "slaney", "dct_norm": "ortho",
            "scale": "10 log10(power), not limited relative to the maximum",
            "first_step": "centred on sample 0, the audio padded with zeros",
        },
        "crop": {
            "side": spec.input_size, "colour": "grey, 0 to 255",
            "points": (TEMPLATE * spec.input_size / TEMPLATE_SIZE).tolist(),
            "points_are": "left eye, right eye, nose, left and right mouth corner in the image; "
                          "least-squares similarity transform (Umeyama 1991)",
        },
        "view": {
            "top": spec.region_top, "left": (spec.input_size - width) // 2,
            "height": height, "width": width,
        },
        "views_are": "crop / 255, cut to the view, minus the clip's mean, divided by its standard "
                     "deviation",
        "least_variance_views": MIN_REGION_VARIANCE,
        "bands_are": "inverse DCT of the MFCC, minus each band's mean over speech, divided by the "
                     "standard deviation over all bands there, clipped at clip_bands",
        "least_variance_bands": MIN_BAND_VARIANCE,
        "clip_bands": MAX_BAND,
    }  # fmt: skip
    paths = []
    for name, values in (("model_config", model), ("normalization_params", params)):
        paths.append(folder / f"{name}.json")
        with written_atomically(paths[-1]) as temporary_path:
            temporary_path.write_text(
                json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False), encoding="utf-8"
            )
    return paths


def write_example(folder: Path) -> Path:
    """Write a script that scores a sample with the exported encoders, without this project.

    Raises:
        OutputError.
    """
    path = folder / EXAMPLE.name
    with written_atomically(path) as temporary_path:
        shutil.copyfile(EXAMPLE, temporary_path)
    return path


class OnnxModel:
    """The ONNX encoders of a folder with the interface of a ``SyncModel``, to be measured.

    Args:
        suffix: ``.onnx`` or ``.int8.onnx``.
    """

    def __init__(self, folder: Path, model: SyncModel, suffix: str):
        import onnxruntime

        self.spec, self.log_scale = model.spec, model.log_scale
        self.video, self.audio = (
            _session_encoder(onnxruntime.InferenceSession(str(folder / f"{name}_encoder{suffix}")))
            for name in ("video", "audio")
        )

    def eval(self) -> "OnnxModel":
        return self

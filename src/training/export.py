"""A checkpoint -> encoders for other programs: weights, ONNX, TorchScript, and how to feed them."""

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import torch

from ..audio.features import N_FFT, WINDOW
from ..checkpoints.checkpoint import TrainedModel
from ..checkpoints.file_format import write_file
from ..core.constants import FPS, HOP, HOP_MS, HOPS_PER_FRAME, N_MELS, SAMPLE_RATE, WINDOW_FRAMES
from ..core.errors import OutputError
from ..core.files import written_atomically
from ..core.resources import resource_path
from ..dataset.samples import Sample
from ..faces.alignment import TEMPLATE, TEMPLATE_SIZE
from ..i18n.messages import tr
from ..models.sync_model import SyncModel, made_input
from ..scoring.evidence import FIT_STEPS, MIN_WINDOWS
from .batches import collate, network_input

EXAMPLE = resource_path("tools/inference_example.py")
TRIED_FRAMES = (7, 12, 33)  # lengths on which an exported encoder must agree with PyTorch's
TOLERANCE = 1e-4
OPSET = 17


def made_inputs(model: SyncModel, frames: int) -> dict[str, torch.Tensor]:
    """What each encoder takes, of so many frames, two clips."""
    return dict(zip(("video", "audio"), made_input(model.size, frames, 2), strict=True))


def encoders_of(model: SyncModel) -> dict[str, torch.nn.Module]:
    return {"video": model.video, "audio": model.audio}


def export_weights(model: SyncModel, folder: Path, heads: bool) -> list[Path]:
    """``video_encoder.pth``, ``audio_encoder.pth`` and, with ``heads``, ``training_head.pth``: the
    scale between similarity and logits, which only training needs.

    Raises:
        OutputError.
    """
    parts = {f"{name}_encoder": net.state_dict() for name, net in encoders_of(model).items()}
    if heads:
        parts["training_head"] = {"log_scale": model.log_scale.detach()}
    for name, weights in parts.items():
        write_file(folder / f"{name}.pth", weights)
    return [folder / f"{name}.pth" for name in parts]


def export_onnx(model: SyncModel, folder: Path) -> list[Path]:
    """Both encoders as ONNX with any number of clips and frames.

    Raises:
        OutputError: they cannot be written, or do not give what PyTorch gives (to 1e-4).
    """
    import onnxruntime

    paths = []
    for name, net in encoders_of(model).items():
        path = folder / f"{name}_encoder.onnx"
        axes = {0: "clips", 1: "frames" if name == "video" else "steps"}
        with written_atomically(path) as aside, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracer's, on sizes that are dynamic on purpose
            torch.onnx.export(
                net, (made_inputs(model, 9)[name],), str(aside), dynamo=False, opset_version=OPSET,
                input_names=["views" if name == "video" else "bands"],
                output_names=["embeddings"],
                dynamic_axes={
                    "views" if name == "video" else "bands": axes,
                    "embeddings": {0: "clips", 1: "windows"},
                },
            )  # fmt: skip
            session = onnxruntime.InferenceSession(str(aside))
            key = session.get_inputs()[0].name
            _see_agreement(
                model, name, lambda x, s=session, k=key: s.run(None, {k: x.numpy()})[0], path
            )
        paths.append(path)
    return paths


def export_torchscript(model: SyncModel, folder: Path) -> list[Path]:
    """Both encoders as TorchScript, likewise.

    Raises:
        OutputError.
    """
    paths = []
    for name, net in encoders_of(model).items():
        path = folder / f"{name}_encoder.torchscript.pt"
        with written_atomically(path) as aside, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(net, made_inputs(model, 9)[name], check_trace=False)
            torch.jit.save(traced, str(aside))
            loaded = torch.jit.load(str(aside))
            _see_agreement(model, name, lambda x, n=loaded: n(x).numpy(), path)
        paths.append(path)
    return paths


@torch.inference_mode()
def _see_agreement(model: SyncModel, name: str, encode, path: Path) -> None:
    """Refuse an export that does not give what the encoder gives."""
    for frames in TRIED_FRAMES:
        given = made_inputs(model, frames)[name]
        difference = float(np.abs(encode(given) - encoders_of(model)[name](given).numpy()).max())
        if not difference <= TOLERANCE:
            raise OutputError(
                tr("{path} differs from the network by {difference:.1e}: not written",
                   path=path, difference=difference)
            )  # fmt: skip


def quantize(folder: Path, trained: TrainedModel, samples: list[Sample]) -> list[Path]:
    """The ONNX encoders of a folder in int8, static, calibrated on samples.

    Convolutions only, and weights of 7 bits: without VNNI sums of products of 8 bits saturate
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
            self.left = iter([{key: one} for one in inputs])

        def get_next(self):
            return next(self.left, None)

    paths = []
    inputs = [
        network_input(collate([sample.read()], [0]), trained.model.size) for sample in samples
    ]
    for number, (name, key) in enumerate((("video", "views"), ("audio", "bands"))):
        path = folder / f"{name}_encoder.int8.onnx"
        prepared = folder / f".{name}_encoder.prepared.onnx"
        with written_atomically(path) as aside, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                quant_pre_process(
                    str(folder / f"{name}_encoder.onnx"), str(prepared), skip_symbolic_shape=True
                )
                quantize_static(
                    str(prepared), str(aside),
                    Reader(key, [pair[number].numpy() for pair in inputs]),
                    quant_format=QuantFormat.QDQ, op_types_to_quantize=["Conv"],
                    per_channel=True, reduce_range=True,
                    weight_type=QuantType.QInt8, activation_type=QuantType.QUInt8,
                )  # fmt: skip
            finally:
                prepared.unlink(missing_ok=True)
        paths.append(path)
    return paths


def write_settings(trained: TrainedModel, content: dict, folder: Path) -> list[Path]:
    """``model_config.json`` and ``normalization_params.json``: all a stranger needs.

    Raises:
        OutputError.
    """
    config, size = trained.config, trained.model.size
    height, width = size.view
    model = {
        "format_version": content["format_version"],
        "epoch": content["epoch"],
        "best_val_acc": content.get("best_val_acc"),
        "model": config.model.model_dump(),
        "inputs": {
            "video": {"views": ["clips", "frames", height, width]},
            "audio": {"bands": ["clips", "4 * frames", N_MELS]},
        },
        "output": {"embeddings": ["clips", "frames - 4", size.length], "length": 1.0},
        "similarity": "cosine of the video embedding at window t and the audio embedding at step "
                      "4 t - offset (offset > 0: the sound must be delayed)",
        "calibration": trained.calibration,
        "zero_ms": content.get("zero_ms"),
    }  # fmt: skip
    params = {
        "fps": FPS,
        "sample_rate": SAMPLE_RATE,
        "window_frames": WINDOW_FRAMES,
        "steps_per_frame": HOPS_PER_FRAME,
        "step_ms": HOP_MS,
        "reach_steps": config.inference.max_offset_frames * HOPS_PER_FRAME,
        "least_windows": MIN_WINDOWS,
        "fit_steps": FIT_STEPS,
        "embedding_dim": size.length,
        "n_mels": N_MELS,
        "mfcc": {
            "n_mfcc": config.data.n_mfcc, "n_fft": N_FFT, "win_length": WINDOW, "hop_length": HOP,
            "window": "hann", "mel_scale": "slaney", "mel_norm": "slaney", "dct_norm": "ortho",
            "scale": "10 log10(power), no floor under the loudest moment",
            "first_step": "centred on sample 0, the sound padded with zeros",
        },
        "crop": {
            "side": size.input_size, "colour": "grey, 0 to 255",
            "points": (TEMPLATE * size.input_size / TEMPLATE_SIZE).tolist(),
            "points_are": "left eye, right eye, nose, left and right mouth corner as seen; "
                          "least-squares similarity transform (Umeyama 1991)",
        },
        "view": {
            "top": size.view_top, "left": (size.input_size - width) // 2,
            "height": height, "width": width,
        },
        "views_are": "crop / 255, cut to the view, less the clip's mean, by its deviation",
        "least_variance_views": 1e-6,
        "bands_are": "inverse DCT of the MFCC, less each band's mean where somebody speaks, by the "
                     "deviation over all bands there, cut at clip_bands",
        "least_variance_bands": 1e-3,
        "clip_bands": 4.0,
    }  # fmt: skip
    paths = []
    for name, values in (("model_config", model), ("normalization_params", params)):
        paths.append(folder / f"{name}.json")
        with written_atomically(paths[-1]) as aside:
            aside.write_text(
                json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False), encoding="utf-8"
            )
    return paths


def write_example(folder: Path) -> Path:
    """A script that scores a sample with the exported encoders and nothing of this project.

    Raises:
        OutputError.
    """
    path = folder / EXAMPLE.name
    with written_atomically(path) as aside:
        shutil.copyfile(EXAMPLE, aside)
    return path


class OnnxModel:
    """ONNX encoders of a folder in the place of a ``SyncModel``, to be measured.

    Args:
        ending: ``.onnx`` or ``.int8.onnx``.
    """

    def __init__(self, folder: Path, model: SyncModel, ending: str):
        import onnxruntime

        self.size, self.log_scale = model.size, model.log_scale
        self.video, self.audio = (
            self._encoder(onnxruntime.InferenceSession(str(folder / f"{name}_encoder{ending}")))
            for name in ("video", "audio")
        )

    @staticmethod
    def _encoder(session):
        key = session.get_inputs()[0].name
        return lambda x: torch.from_numpy(session.run(None, {key: x.contiguous().numpy()})[0])

    def eval(self) -> "OnnxModel":
        return self

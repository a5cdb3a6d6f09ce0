"""Exported encoders give the results of the library, also without the library."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from src.checkpoints.checkpoint import load_trained
from src.dataset.index import INDEX_NAME, read_index
from src.models.sync_model import embed_every_hop
from src.scoring.calibration import peak_probability, sync_probability
from src.scoring.clip_evidence import compute_evidence
from src.scoring.evidence import peak_ms, similarity_curve
from src.scoring.result_builder import build_result
from src.training.export import make_encoder_inputs
from tests.support.training_helpers import call_script, run_script
from tools.inference_example import score_sample

pytest_plugins = ("tests.support.training_fixtures",)


@pytest.fixture(scope="module")
def exported(trained, corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    done = call_script(
        "tools/export_models.py", "--checkpoint", trained, "--output-dir", folder,
        "--format", "pth,onnx,torchscript", "--create-inference-script", "--quantize", "int8",
        "--index", corpus / "processed" / INDEX_NAME,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_the_files_and_the_table(exported):
    folder, stdout = exported
    names = {path.name for path in folder.iterdir()}
    encoders = {f"{name}_encoder" for name in ("video", "audio")}
    assert names == {
        *(f"{encoder}{end}" for encoder in encoders
          for end in (".pth", ".onnx", ".int8.onnx", ".torchscript.pt")),
        "audio_hop_encoder.onnx", "training_head.pth", "model_config.json",
        "normalization_params.json", "inference_example.py", "example_sample.npy",
    }  # fmt: skip
    for name in names:
        assert name in stdout
    assert "float32" in stdout and "int8 " in stdout, "the accuracy of int8 is reported"
    for encoder in encoders:
        assert (folder / f"{encoder}.int8.onnx").stat().st_size < 0.6 * (
            folder / f"{encoder}.onnx"
        ).stat().st_size


@pytest.mark.parametrize("frames", [5, 6, 40])
def test_onnx_gives_what_pytorch_gives(exported, trained, frames):
    import onnxruntime

    model = load_trained(trained, torch.device("cpu")).model
    for name, inputs in make_encoder_inputs(model, frames).items():
        session = onnxruntime.InferenceSession(str(exported[0] / f"{name}_encoder.onnx"))
        exported_output = session.run(None, {session.get_inputs()[0].name: inputs.numpy()})[0]
        with torch.no_grad():
            expected = (
                embed_every_hop(model.audio, inputs)
                if name == "audio_hop"
                else getattr(model, name)(inputs)
            ).numpy()
        assert exported_output.shape == expected.shape
        assert np.abs(exported_output - expected).max() <= 1e-4


@pytest.mark.parametrize("backend", ["onnx", "torchscript"])
def test_the_example_alone_scores_like_the_library(exported, trained, corpus, tmp_path, backend):
    folder = tmp_path / "elsewhere"
    shutil.copytree(exported[0], folder)
    model = load_trained(trained, torch.device("cpu"))
    for record in read_index(corpus / "processed" / INDEX_NAME)["samples"][:2]:
        path = corpus / "processed" / record["file"]
        done = subprocess.run(
            [sys.executable, "-I", str(folder / "inference_example.py"), str(path),
             "--backend", backend],
            cwd=tmp_path, text=True, capture_output=True,
            env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        records = np.load(path)
        mfcc = np.ascontiguousarray(records["mfcc"]).reshape(-1, records["mfcc"].shape[-1])
        speech = np.ascontiguousarray(records["speech"])
        crops = np.ascontiguousarray(records["crop"])
        evidence = compute_evidence(model.model, crops, mfcc, speech, 60)
        expected = build_result([evidence], len(records), model.calibration, 0.0)
        assert result["score"] == pytest.approx(expected.score, abs=1e-4)
        assert result["offset_ms"] == pytest.approx(expected.offset_ms, abs=0.1)
        assert result["offset_probability"] == pytest.approx(expected.offset_probability, abs=1e-3)


@pytest.mark.parametrize("late_frames", [0, 2, -5, 10])
def test_the_example_scores_short_and_shifted_clips_like_the_library(
    exported, trained, corpus, tmp_path, late_frames
):
    """1.2 s: an offset of ten frames leaves few windows. Two frames are nearly in sync."""
    model = load_trained(trained, torch.device("cpu"))
    record = read_index(corpus / "processed" / INDEX_NAME)["samples"][0]
    records = np.load(corpus / "processed" / record["file"])
    sample = records[12:42].copy()
    for name in ("mfcc", "speech"):
        sample[name] = records[name][12 - late_frames : 42 - late_frames]
    mfcc = np.ascontiguousarray(sample["mfcc"]).reshape(-1, sample["mfcc"].shape[-1])
    speech, crops = (np.ascontiguousarray(sample[name]) for name in ("speech", "crop"))
    result = score_sample(sample, exported[0])
    evidence = compute_evidence(model.model, crops, mfcc, speech, 60)
    curve = similarity_curve([evidence])
    assert result["score"] == pytest.approx(sync_probability(curve, model.calibration), abs=1e-4)
    assert result["offset_ms"] == pytest.approx(peak_ms(curve), abs=0.1)
    expected = peak_probability(curve, model.calibration)
    assert result["offset_probability"] == pytest.approx(expected, abs=1e-3)


def test_the_example_runs_as_the_guide_says(exported, tmp_path):
    """Without arguments, in a folder that was copied elsewhere: it scores the sample beside it."""
    folder = tmp_path / "elsewhere"
    shutil.copytree(exported[0], folder)
    done = subprocess.run(
        [sys.executable, "-I", str(folder / "inference_example.py")], cwd=tmp_path, text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert 0 <= result["score"] <= 1 and abs(result["offset_ms"]) <= 600
    assert len(np.load(folder / "example_sample.npy")) == 50


def test_training_heads_can_be_omitted(trained, tmp_path):
    done = run_script("tools/export_models.py", trained, "--output-dir", tmp_path / "out",
                      "--format", "pth", "--no-training-heads")  # fmt: skip
    assert done.returncode == 0 and not (tmp_path / "out" / "training_head.pth").exists()
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".pth", ".json"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--format", "pth,caffe"], "caffe"), (["--quantize", "int8"], "--index"),
     (["--quantize", "int8", "--index", "x.pkl", "--format", "pth"], "onnx")],
)  # fmt: skip
def test_invalid_options_are_reported(tmp_path, arguments, words):
    done = call_script(
        "tools/export_models.py", "x.pth", "--output-dir", tmp_path / "o", *arguments
    )
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "o").exists()

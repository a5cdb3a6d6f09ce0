"""The ONNX backend: the figures of PyTorch, without PyTorch; one line for what cannot be used."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from src.checkpoints.exported import SETTINGS_NAME, export_sha256, load_exported, resolve_export
from src.checkpoints.location import PRETRAINED
from src.core.errors import CheckpointError, ConfigError, MissingFileError
from src.live.stream import LipSyncStream
from src.pipeline.engine import LipSyncInference
from tests.support.training_helpers import call_script

ROOT = Path(__file__).resolve().parents[2]
# What the packages of requirements-infer.txt do not bring is as if it were not installed.
BLOCKER = """
import sys

HIDDEN = {"torch", "torchaudio", "torchvision", "librosa", "sklearn", "silero_vad", "tensorboard",
          "face_alignment", "numba"}

class Hiding:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, *arguments):
        hidden = name.partition(".")[0] in HIDDEN
        return None if hidden else self.finder.find_spec(name, *arguments)

sys.meta_path[:] = map(Hiding, sys.meta_path)
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The encoders of the pretrained model."""
    folder = tmp_path_factory.mktemp("exported")
    done = call_script("tools/export_models.py", PRETRAINED, "--output-dir", folder,
                       "--format", "onnx")  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def without_torch(tmp_path_factory):
    """A function that runs src/inference.py where PyTorch cannot be imported."""
    script = tmp_path_factory.mktemp("script") / "inference_without_torch.py"
    script.write_text(
        BLOCKER + f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from src.core.cli import run\nfrom src.inference import main\nrun(main)\n"
    )

    def call(*arguments):
        return subprocess.run(
            [sys.executable, str(script), *map(str, arguments)], capture_output=True, text=True,
            cwd=ROOT, env=os.environ | {"LIPSYNC_LANG": "en"}, check=False,
        )  # fmt: skip

    return call


@pytest.fixture(scope="module")
def with_torch(talking_clip):
    return LipSyncInference(PRETRAINED, "cpu").compute_sync_score(talking_clip)


def check_equal(score, details, expected_score, expected):
    assert score == pytest.approx(expected_score, abs=1e-3)
    assert details["status"] == expected["status"] and details["verdict"] == expected["verdict"]
    for name, tolerance in (("offset_ms", 0.1), ("offset_probability", 1e-3), ("confidence", 1e-3),
                            ("min_distance", 1e-3)):  # fmt: skip
        assert details[name] == pytest.approx(expected[name], abs=tolerance), name
    assert details["curve"]["similarity"] == pytest.approx(
        expected["curve"]["similarity"], abs=1e-3
    )


def test_a_pair_is_scored_without_pytorch_as_with_it(
    exported, without_torch, with_torch, talking_clip
):
    done = without_torch("--checkpoint", exported, "--backend", "onnx", "--video", talking_clip,
                         "--score-only", "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    check_equal(result["score"], result["details"], *with_torch)
    assert result["details"]["model"] == {"file": str(exported), "sha256": export_sha256(exported)}


def test_a_pair_is_corrected_without_pytorch(exported, without_torch, talking_clip, tmp_path):
    output = tmp_path / "corrected.mp4"
    done = without_torch("--checkpoint", exported, "--backend", "onnx", "--video", talking_clip,
                         "--output", output, "--report", tmp_path / "r.html")  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    assert (tmp_path / "r.html").is_file() and "Traceback" not in done.stderr
    assert output.is_file() == (done.returncode == 0)


def test_other_processes_use_the_same_encoders(exported, talking_clip, with_torch):
    engine = LipSyncInference(exported, backend="onnx")
    (result,) = engine.batch_process([(talking_clip, None)], score_only=True, workers=2)
    check_equal(result["score"], result["details"], *with_torch)


def test_without_pytorch_the_default_backend_says_what_to_do(without_torch, talking_clip):
    done = without_torch("--video", talking_clip, "--score-only")
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "PyTorch is not installed" in done.stderr and "--backend onnx" in done.stderr


@pytest.fixture
def folder(exported, tmp_path):
    return shutil.copytree(exported, tmp_path / "copy")


def test_a_missing_file_is_named(folder):
    (folder / "audio_hop_encoder.onnx").unlink()
    with pytest.raises(MissingFileError, match=r"hop_encoder\.onnx is missing.*export_models"):
        resolve_export(folder)
    with pytest.raises(MissingFileError, match="is a file; the ONNX backend takes a folder"):
        LipSyncInference(PRETRAINED, backend="onnx")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"config": {}, "calibration": {}}'])
def test_settings_that_are_damaged_or_of_earlier_exports_are_refused(folder, text):
    (folder / SETTINGS_NAME).write_text(text)
    with pytest.raises(CheckpointError, match=r"model_config\.json is damaged"):
        load_exported(folder)


def test_an_export_from_before_the_temporal_block_could_be_set_has_convolutions(folder):
    path = folder / SETTINGS_NAME
    settings = json.loads(path.read_text(encoding="utf-8"))
    del settings["config"]["model"]["temporal"]
    path.write_text(json.dumps(settings), encoding="utf-8")
    assert load_exported(folder).config.model.temporal == "tcn"


def test_a_damaged_encoder_is_refused(folder):
    path = folder / "video_encoder.onnx"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"video_encoder\.onnx is damaged"):
        load_exported(folder)


def test_encoders_of_another_network_are_refused(folder, talking_clip):
    shutil.copy(folder / "audio_hop_encoder.onnx", folder / "video_encoder.onnx")
    with pytest.raises(CheckpointError, match="cannot be used"):
        LipSyncInference(folder, backend="onnx").compute_sync_score(talking_clip)


def test_what_the_backend_cannot_do_is_refused(exported, talking_clip, tmp_path):
    with pytest.raises(ConfigError, match="choose from torch, onnx"):
        LipSyncInference(exported, backend="tensorrt")
    with pytest.raises(ConfigError, match="runs on the CPU"):
        LipSyncInference(exported, "cuda", backend="onnx")
    engine = LipSyncInference(exported, backend="onnx")
    with pytest.raises(ConfigError, match="live measuring needs PyTorch"):
        LipSyncStream(engine)
    with pytest.raises(ConfigError, match="new speech needs PyTorch"):
        engine.present(talking_clip, talking_clip, tmp_path / "o.mp4", consent=True)

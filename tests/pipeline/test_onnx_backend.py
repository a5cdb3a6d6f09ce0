"""The ONNX backend: the figures of PyTorch, without PyTorch; one line for what cannot be used."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from src.checkpoints.checkpoint import (
    TrainedModel,
    load_trained,
    save_checkpoint,
)
from src.checkpoints.exported import (
    SETTINGS_NAME,
    ExportedModel,
    export_sha256,
    load_exported,
    resolve_export,
)
from src.checkpoints.location import PRETRAINED
from src.core import device
from src.core.config import parse_config
from src.core.errors import CheckpointError, ConfigError, MissingFileError
from src.core.files import file_sha256
from src.core.workers import cores
from src.live.stream import LipSyncStream
from src.models import sync_model
from src.models.spec import ModelSpec
from src.models.sync_model import AudioEncoder, SyncModel
from src.pipeline import loading, torch_parts
from src.pipeline.engine import LipSyncInference
from tests.checkpoints.test_checkpoint import content
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
    """A function that runs a script of ``src`` where PyTorch cannot be imported."""
    path = tmp_path_factory.mktemp("script") / "without_torch.py"
    path.write_text(
        BLOCKER + f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from importlib import import_module\nfrom src.core.cli import run\n"
        "run(import_module(f'src.{sys.argv.pop(1)}').main)\n"
    )

    def call(*arguments, script="inference"):
        return subprocess.run(
            [sys.executable, str(path), script, *map(str, arguments)], capture_output=True,
            text=True, cwd=ROOT, env=os.environ | {"LIPSYNC_LANG": "en"}, check=False,
        )  # fmt: skip

    return call


@pytest.fixture(scope="module")
def with_torch(talking_clip):
    return LipSyncInference(PRETRAINED, "cpu", backend="torch").compute_sync_score(talking_clip)


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
    engine = LipSyncInference(exported)  # a folder needs no --backend
    (result,) = engine.batch_process([(talking_clip, None)], score_only=True, workers=2)
    check_equal(result["score"], result["details"], *with_torch)


@pytest.mark.parametrize("options", [(), ("--backend", "onnx"), ("--device", "cpu")], ids=str)
def test_a_checkpoint_is_scored_without_pytorch(without_torch, with_torch, talking_clip, options):
    done = without_torch("--checkpoint", PRETRAINED, "--video", talking_clip, "--score-only",
                         "--json", *options)  # fmt: skip
    assert done.returncode == 0 and done.stderr.strip() == "", done.stderr
    result = json.loads(done.stdout)
    check_equal(result["score"], result["details"], *with_torch)
    digest = file_sha256(PRETRAINED)
    assert result["details"]["model"] == {"file": str(PRETRAINED), "sha256": digest}


def test_without_pytorch_a_driver_of_a_gpu_changes_nothing(monkeypatch):
    monkeypatch.setattr(loading, "is_plain_cpu", lambda name: False)
    monkeypatch.setattr(loading, "has_torch", lambda: False)
    monkeypatch.setattr(torch_parts, "has_torch", lambda: False)
    engine = LipSyncInference(PRETRAINED)
    assert isinstance(engine.trained, ExportedModel)
    assert engine.spec.count_workers(0) == cores(), "many pairs, too"


@pytest.mark.parametrize("options", [("--backend", "torch"), ("--device", "cuda")], ids=str)
def test_without_pytorch_what_needs_it_says_so(without_torch, talking_clip, options):
    done = without_torch("--video", talking_clip, "--score-only", *options)
    assert done.returncode == 2 and "PyTorch is not installed" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("script", ["train", "evaluate", "present", "clean_offsets"])
def test_commands_that_need_pytorch_say_so_in_a_line(without_torch, talking_clip, tmp_path, script):
    options = {
        "evaluate": ["--index", tmp_path / "none.pkl"],
        "present": ["--video", talking_clip, "--audio", talking_clip, "--output", tmp_path / "o"],
    }
    done = without_torch(*options.get(script, ()), script=script)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert done.stderr.strip().splitlines()[-1] == (
        "error: the package torch is not installed: pip install -r requirements.txt"
    )


def test_with_a_gpu_pytorch_computes(monkeypatch):
    """Where a driver is installed, PyTorch decides; here it has only the CPU."""
    monkeypatch.setattr(loading, "is_plain_cpu", lambda name: False)
    engine = LipSyncInference(PRETRAINED)
    assert isinstance(engine.trained, TrainedModel) and engine.device == "cpu"
    assert engine.in_torch() is engine.trained


def test_a_driver_is_looked_for_without_pytorch(monkeypatch):
    monkeypatch.setattr(device, "_has_gpu_driver", lambda: True)
    assert not device.is_plain_cpu("auto") and device.is_plain_cpu("cpu")
    monkeypatch.setattr(device, "_has_gpu_driver", lambda: False)
    assert device.is_plain_cpu("auto") and not device.is_plain_cpu("cuda:1")
    for name in ("gpu", "cuda:x", ""):
        with pytest.raises(ConfigError, match="allowed: auto, cpu, cuda"):
            device.is_plain_cpu(name)


def test_a_block_that_is_no_convolution_is_computed_by_pytorch(monkeypatch, tmp_path):
    config = parse_config({"model": {"temporal": "gru", "hidden_dim": 16}}, "test")
    path = tmp_path / "gru.pth"
    torch.manual_seed(0)
    save_checkpoint(path, content(
        config=config.model_dump(), model_state_dict=SyncModel(ModelSpec.of(config)).state_dict()
    ))  # fmt: skip
    assert isinstance(LipSyncInference(path, "cpu").trained, TrainedModel)
    with pytest.raises(ConfigError, match="computed by PyTorch only"):
        LipSyncInference(path, "cpu", backend="onnx")
    monkeypatch.setattr(loading, "has_torch", lambda: False)
    with pytest.raises(ConfigError, match="computed by PyTorch only"):
        LipSyncInference(path, "cpu")


def test_bare_weights_are_scored_with_their_settings(tmp_path, talking_clip):
    shipped = load_trained(PRETRAINED, torch.device("cpu"))
    path = tmp_path / "bare.pth"
    torch.save(shipped.model.state_dict(), path)
    results = [
        LipSyncInference(path, "cpu", shipped.config, backend=backend).compute_sync_score(
            talking_clip
        )
        for backend in ("onnx", "torch")
    ]
    check_equal(*results[0], *results[1])


def test_the_network_in_pytorch_is_made_when_it_is_needed(tmp_path):
    """Of what was read, whatever the file holds by then."""
    path = Path(shutil.copy(PRETRAINED, tmp_path / "model.pth"))
    engine = LipSyncInference(path, "cpu")
    assert isinstance(engine.trained, ExportedModel)
    path.unlink()
    in_torch = engine.in_torch()
    assert isinstance(in_torch, TrainedModel) and engine.in_torch() is in_torch
    assert in_torch.sha256 == engine.trained.sha256 == engine.model_file.sha256
    expected = LipSyncInference(PRETRAINED, "cpu", backend="torch").trained.model.state_dict()
    own = in_torch.model.state_dict()
    assert own.keys() == expected.keys()
    assert all(torch.equal(own[name], values) for name, values in expected.items())


@pytest.fixture
def folder(exported, tmp_path):
    return shutil.copytree(exported, tmp_path / "copy")


def test_a_missing_file_is_named(folder):
    (folder / "audio_hop_encoder.onnx").unlink()
    with pytest.raises(MissingFileError, match=r"hop_encoder\.onnx is missing.*export_models"):
        resolve_export(folder)
    for backend in ("auto", "onnx"):
        with pytest.raises(MissingFileError, match=r"hop_encoder\.onnx is missing"):
            LipSyncInference(folder, backend=backend)


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
    with pytest.raises(ConfigError, match="choose from auto, torch, onnx"):
        LipSyncInference(exported, backend="tensorrt")
    with pytest.raises(ConfigError, match="is a folder: --backend torch takes a checkpoint"):
        LipSyncInference(exported, backend="torch")
    with pytest.raises(ConfigError, match="computes on the CPU"):
        LipSyncInference(exported, "cuda", backend="onnx")
    engine = LipSyncInference(exported, backend="onnx")
    with pytest.raises(ConfigError, match=r"exported encoders, which can only score.*\.pth"):
        LipSyncStream(engine)
    with pytest.raises(ConfigError, match=r"exported encoders, which can only score.*\.pth"):
        engine.present(talking_clip, talking_clip, tmp_path / "o.mp4", consent=True)


def test_a_network_whose_layers_were_changed_is_computed_by_pytorch(monkeypatch, tmp_path):
    """As someone does who tries another network: with PyTorch it still scores."""

    class Deeper(AudioEncoder):
        def __init__(self, spec):
            super().__init__(spec)
            self.more = torch.nn.Linear(2, 2)

    monkeypatch.setattr(sync_model, "AudioEncoder", Deeper)
    config = parse_config({}, "test")
    path = tmp_path / "deeper.pth"
    save_checkpoint(path, content(
        config=config.model_dump(), model_state_dict=SyncModel(ModelSpec.of(config)).state_dict()
    ))  # fmt: skip
    assert isinstance(LipSyncInference(path, "cpu").trained, TrainedModel)
    for options in ({"backend": "onnx"}, {"without_torch": True}):
        if options.pop("without_torch", False):
            monkeypatch.setattr(loading, "has_torch", lambda: False)
        with pytest.raises(CheckpointError, match="do not fit the network"):
            LipSyncInference(path, "cpu", **options)

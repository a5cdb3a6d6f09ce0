"""Output and exit status of verify_model for valid, damaged and other files."""

import pytest
import torch

from src.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from src.checkpoints.location import PRETRAINED
from src.dataset.index import INDEX_NAME, read_index, write_index
from src.models import onnx_graph
from src.training.verification import inspect_checkpoint
from tests.support.training_helpers import call_script, run_script

pytest_plugins = ("tests.support.training_fixtures",)


@pytest.fixture
def content(trained) -> dict:
    return load_checkpoint(trained)


@pytest.fixture
def verified(tmp_path):
    """``verified(content, *arguments)``: exit status and output for a checkpoint."""

    def verify(content: dict, *arguments):
        path = tmp_path / "model.pth"
        save_checkpoint(path, content)
        done = call_script("tools/verify_model.py", "--ckpt", path, *arguments)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout

    return verify


def test_a_valid_checkpoint_with_its_metrics(trained, corpus):
    index = corpus / "processed" / INDEX_NAME
    done = run_script("tools/verify_model.py", trained, "--index", index)
    assert done.returncode == 0, done.stdout
    for words in (
        "lipsync-checkpoint 2", "epoch", "val_loss", "temporal none", "parameters",
        "embeddings of length 1", "validation loss", "the checkpoint is valid",
    ):  # fmt: skip
        assert words in done.stdout
    chinese = call_script("tools/verify_model.py", trained, language="zh")
    assert chinese.returncode == 0 and "检查点有效" in chinese.stdout


def test_each_kind_of_damage_is_reported(content, verified):
    weights = content["model_state_dict"]
    broken = dict(weights)
    first = "audio.front.0.0.weight"
    broken[first] = torch.full_like(weights[first], torch.nan)
    few = {name: value for name, value in weights.items() if name != "log_scale"}
    more = weights | {"extra": torch.zeros(1)}
    shape = weights | {"log_scale": torch.zeros(3)}
    flat = {name: torch.zeros_like(value) for name, value in weights.items()}
    calibration = {"score": content["calibration"]["score"], "peak": {"mean": [0.0]}}
    for changes, words in (
        ({"model_state_dict": broken}, "not finite: audio.front.0.0.weight"),
        ({"model_state_dict": few}, "missing weights: log_scale"),
        ({"model_state_dict": more}, "unknown weights: extra"),
        ({"model_state_dict": shape}, "weights of a wrong shape: log_scale"),
        ({"model_state_dict": flat}, "not of length 1"),
        ({"calibration": calibration}, "the calibration of peak is invalid"),
    ):
        status, stdout = verified(content | changes)
        assert status == 1 and words in stdout and "is valid" not in stdout, words


def test_false_metrics_are_reported(content, verified, corpus, tmp_path):
    index = corpus / "processed" / INDEX_NAME
    status, stdout = verified(content | {"val_loss": content["val_loss"] + 0.5}, "--index", index)
    assert status == 1 and "val_loss is stored as" in stdout
    middle = content | {"sampler": content["sampler"] | {"batch": 2}, "val_loss": 9.0}
    assert verified(middle, "--index", index)[0] == 0, "of the epoch before"
    held = read_index(index)
    for name in ("samples", "skipped.csv"):
        if (index.parent / name).exists() and not (tmp_path / name).exists():
            (tmp_path / name).symlink_to(index.parent / name)
    write_index(tmp_path / INDEX_NAME, held["settings"], held["samples"][:-1])
    status, stdout = verified(content, "--index", tmp_path / INDEX_NAME)
    assert status == 1 and "other clips" in stdout


def test_other_files_are_refused(trained, tmp_path):
    path = tmp_path / "x.pth"
    path.write_bytes(trained.read_bytes()[:50_000])
    done = call_script("tools/verify_model.py", path)
    assert (done.returncode, "is truncated" in done.stdout) == (1, True)
    for foreign, status, words in (
        ({"state_dict": {}}, 2, "not a checkpoint of this project"),
        ({"a.weight": torch.zeros(2)}, 2, "weights of another network"),
        ({**torch.load(trained, weights_only=True), "format_version": 1}, 1, "format version 1"),
    ):
        torch.save(foreign, path)
        done = call_script("tools/verify_model.py", path)
        assert done.returncode == status and words in done.stdout + done.stderr, words
    path.write_text("no checkpoint")
    done = call_script("tools/verify_model.py", path)
    assert done.returncode == 2 and "is not a checkpoint" in done.stderr
    assert call_script("tools/verify_model.py", tmp_path / "none.pth").returncode == 2


def test_a_file_that_would_run_code_is_refused(tmp_path):
    from pathlib import Path

    class Payload:
        def __reduce__(self):
            return Path.touch, (tmp_path / "was_run",)

    torch.save({"format": "lipsync-checkpoint", "x": Payload()}, tmp_path / "evil.pth")
    done = call_script("tools/verify_model.py", tmp_path / "evil.pth")
    assert done.returncode == 2 and "could run code" in done.stderr
    assert not (tmp_path / "was_run").exists()


def test_layers_that_differ_without_pytorch_are_reported(monkeypatch):
    """Someone changed the network and not the graph that scoring computes."""
    report, _, model = inspect_checkpoint(PRETRAINED)
    assert model is not None and report.problems == []
    monkeypatch.setattr(onnx_graph, "BATCH_NORM_EPSILON", 0.5)
    (problem,) = inspect_checkpoint(PRETRAINED)[0].problems
    assert "embeddings differ from PyTorch's" in problem and "--backend torch" in problem

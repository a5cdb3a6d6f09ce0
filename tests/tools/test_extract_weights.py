"""The extracted file: complete for scoring, without training state."""

import hashlib
import shutil

import pytest
import torch

from src.checkpoints.checkpoint import (
    load_checkpoint,
    load_checkpoint_or_weights,
    load_trained,
)
from src.core.config import load_config
from src.core.errors import CheckpointError, NotACheckpointError
from src.models.folded_norms import fold_batch_norms
from src.models.sync_model import example_input
from src.pipeline.engine import LipSyncInference
from src.training.resume import load_pretrained
from src.training.state import new_model
from tests.support.training_helpers import assert_one_line, call_script, run_script
from tools import extract_weights

pytest_plugins = ("tests.support.training_fixtures",)
CPU = torch.device("cpu")


@pytest.fixture
def copy(trained, tmp_path):
    return shutil.copy(trained, tmp_path / "model.pth")


def extracted(*arguments) -> str:
    done = call_script("tools/extract_weights.py", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("named", [[], ["--ckpt"], ["--checkpoint"]])
def test_the_extracted_file_has_the_same_weights(trained, copy, tmp_path, named):
    stdout = extracted(*named, copy)
    small = tmp_path / "model_inference.pth"
    assert hashlib.sha256(small.read_bytes()).hexdigest() in stdout
    assert f"{copy.stat().st_size / 1e6:.1f} MB" in stdout and "calibration" in stdout
    assert small.stat().st_size < 0.4 * trained.stat().st_size  # AdamW stores two values per weight
    assert "optimizer_state_dict" not in load_checkpoint(small)
    before, after = (load_trained(path, CPU) for path in (trained, small))
    assert before.config.model == after.config.model and before.calibration == after.calibration
    home = str(trained.parents[1])
    assert home in str(before.config.data) and home in str(before.config.paths)
    assert home not in str(load_checkpoint(small)), "no folder of the machine is stored"
    for name, tensor in before.model.state_dict().items():
        assert torch.equal(tensor, after.model.state_dict()[name])
    LipSyncInference(small, device="cpu")
    model = new_model(before.config, CPU)
    fingerprints = load_pretrained(model, load_checkpoint_or_weights(small))
    assert fingerprints == load_checkpoint(trained)["trained_on"]


def test_half_precision_gives_nearly_the_same_embeddings(trained, copy, tmp_path):
    extracted(copy, "-o", tmp_path / "whole.pth")
    extracted(copy, "--half", "-o", tmp_path / "half.pth")
    sizes = [(tmp_path / name).stat().st_size for name in ("whole.pth", "half.pth")]
    assert sizes[1] < 0.6 * sizes[0]
    whole, half = (load_trained(tmp_path / name, CPU).model for name in ("whole.pth", "half.pth"))
    assert {tensor.dtype for tensor in half.parameters()} == {torch.float32}
    data = example_input(whole.spec, 40)
    with torch.inference_mode():
        for expected, actual in zip(whole(*data), half(*data), strict=True):
            assert torch.allclose(expected, actual, atol=2e-3)


def test_bare_weights_need_their_settings(trained, copy, tmp_path):
    extracted(copy, "--weights-only")
    bare = tmp_path / "model_weights.pth"
    weights = torch.load(bare, weights_only=True)
    assert all(torch.is_tensor(value) for value in weights.values())
    with pytest.raises(NotACheckpointError, match="--config"):
        LipSyncInference(bare, device="cpu")
    whole = load_trained(trained, CPU)
    engine = LipSyncInference(bare, device="cpu", config=whole.config)
    fold_batch_norms(whole.model)  # as for scoring
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, engine.in_torch().model.state_dict()[name])
    with pytest.raises(CheckpointError, match="do not fit"):
        LipSyncInference(bare, device="cpu", config=load_config())
    model = new_model(whole.config, CPU)
    assert load_pretrained(model, load_checkpoint_or_weights(bare)) == []
    assert torch.equal(model.state_dict()["log_scale"], weights["log_scale"])


def test_the_original_is_deleted_only_on_request_after_comparing(copy, tmp_path, monkeypatch):
    extracted(copy, "-o", tmp_path / "one.pth")
    assert copy.exists()
    check = extract_weights.check_written

    def damaged(weights, written, path):
        written["log_scale"] = written["log_scale"] + 1
        check(weights, written, path)

    with monkeypatch.context() as patch:
        patch.setattr(extract_weights, "check_written", damaged)
        patch.setattr("sys.argv", ["extract_weights.py", str(copy), "--delete-original"])
        with pytest.raises(CheckpointError, match="differs from what was written: check the disk"):
            extract_weights.main()
    assert copy.exists()
    stdout = extracted(copy, "--delete-original")
    assert f"deleted: {copy}" in stdout and not copy.exists()
    load_checkpoint(tmp_path / "model_inference.pth")


def test_it_never_overwrites_its_input(copy):
    before = copy.read_bytes()
    done = run_script("tools/extract_weights.py", copy, "-o", copy, "--delete-original")
    assert_one_line(done, str(copy), "is an input")
    assert copy.read_bytes() == before


@pytest.mark.parametrize("name", ["none.pth", "text.pth"])
def test_other_files_are_refused(tmp_path, name):
    (tmp_path / "text.pth").write_text("no checkpoint")
    assert_one_line(call_script("tools/extract_weights.py", tmp_path / name), name)
    assert not (tmp_path / "text_inference.pth").exists()


@pytest.mark.parametrize("arguments", [[], ["a.pth", "--ckpt", "b.pth"]])
def test_exactly_one_checkpoint_is_required(arguments):
    done = call_script("tools/extract_weights.py", *arguments)
    assert done.returncode == 2 and "give exactly one checkpoint" in done.stderr

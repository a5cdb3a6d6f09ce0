"""The small file: complete enough to judge, and free of the training."""

import hashlib

import pytest
import torch

from src.checkpoint import load_checkpoint, load_trained
from src.inference import LipSyncInference
from tests.training_helpers import assert_one_line, run_script

pytest_plugins = ("tests.training_fixtures",)


def test_the_small_file_judges_the_same(trained, tmp_path):
    small = tmp_path / "small.pth"
    done = run_script("tools/extract_weights.py", trained, "-o", small)
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(small.read_bytes()).hexdigest() in done.stdout
    assert small.stat().st_size < 0.4 * trained.stat().st_size  # AdamW keeps two more a weight
    assert "optimizer_state_dict" not in load_checkpoint(small)
    before, after = (load_trained(path, torch.device("cpu")) for path in (trained, small))
    assert before.config == after.config and before.calibration == after.calibration
    for name, tensor in before.model.state_dict().items():
        assert torch.equal(tensor, after.model.state_dict()[name])
    LipSyncInference(small, device="cpu")


def test_it_never_writes_over_its_input(trained):
    before = trained.read_bytes()
    done = run_script("tools/extract_weights.py", trained, "-o", trained)
    assert_one_line(done, str(trained), "is an input")
    assert trained.read_bytes() == before


@pytest.mark.parametrize("name", ["none.pth", "text.pth"])
def test_what_is_no_checkpoint_is_refused(tmp_path, name):
    (tmp_path / "text.pth").write_text("no checkpoint")
    assert_one_line(run_script("tools/extract_weights.py", tmp_path / name), name)
    assert not (tmp_path / "text_inference.pth").exists()

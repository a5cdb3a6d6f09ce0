"""The mean of checkpoints: its weights, what is measured of it, and what is refused."""

import re

import pytest
import torch

from src.checkpoint import load_checkpoint, load_trained
from src.errors import CheckpointError
from src.sample_index import INDEX_NAME
from tests.training_helpers import assert_one_line, run_script
from tools.average_checkpoints import mean_of

pytest_plugins = ("tests.training_fixtures",)


def test_the_mean_is_measured_and_calibrated(trained, corpus, tmp_path):
    one, other = trained, trained.with_name("last.pth")
    assert load_checkpoint(one)["epoch"] != load_checkpoint(other)["epoch"]
    done = run_script("tools/average_checkpoints.py", one, other, "--index",
                      corpus / "processed" / INDEX_NAME, "-o", tmp_path / "mean.pth")  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second, mean = (load_checkpoint(p) for p in (one, other, tmp_path / "mean.pth"))
    for name, tensor in mean["model_state_dict"].items():
        both = [content["model_state_dict"][name] for content in (first, second)]
        if tensor.is_floating_point():
            assert torch.allclose(tensor, (both[0] + both[1]) / 2, atol=1e-6), name
    rows = re.findall(r"^(\S+\.pth|the mean) +([\d.]+) ", done.stdout, re.MULTILINE)
    assert [name for name, _ in rows] == ["best_model.pth", "last.pth", "the mean"]
    for (_, loss), content in zip(rows, (first, second, mean), strict=True):
        assert float(loss) == pytest.approx(content["val_loss"], abs=2e-4)
    assert mean["calibration"] != first["calibration"] and mean["zero_ms"] is not None
    assert mean["trained_on"] == first["trained_on"] and "optimizer_state_dict" not in mean
    load_trained(tmp_path / "mean.pth", torch.device("cpu"))


def test_another_network_is_refused():
    with pytest.raises(CheckpointError, match=r"b\.pth holds another network"):
        mean_of([{"a": torch.zeros(3)}, {"a": torch.zeros(4)}], "b.pth")


def test_inputs_stay_as_they_are(trained, corpus):
    index = corpus / "processed" / INDEX_NAME
    done = run_script("tools/average_checkpoints.py", trained, trained, "--index", index,
                      "-o", trained)  # fmt: skip
    assert_one_line(done, str(trained), "is an input")
    done = run_script("tools/average_checkpoints.py", trained, "--index", index, "-o", "x.pth")
    assert done.returncode == 2 and "two or more" in done.stderr

"""Combining checkpoints: weights, metrics, and what is refused."""

import re
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from src.checkpoints.checkpoint import load_checkpoint, load_trained, save_checkpoint
from src.core.config import parse_config
from src.core.errors import CheckpointError
from src.dataset.index import INDEX_NAME
from src.models.spec import ModelSpec
from src.models.sync_model import SyncModel, example_input
from src.training.verification import load_original_splits
from tests.support.training_helpers import assert_one_line, call_script, run_script
from tools.combine_checkpoints import check_same_network, combine

pytest_plugins = ("tests.support.training_fixtures",)
CPU = torch.device("cpu")


@pytest.fixture
def index(corpus):
    return corpus / "processed" / INDEX_NAME


@pytest.fixture
def both(trained):
    """Two checkpoints of different epochs; which epoch is best differs between machines."""
    best = load_checkpoint(trained)["epoch"]
    others = (trained.with_name(name) for name in ("checkpoint_epoch_10.pth", "last.pth"))
    return [trained, next(path for path in others if load_checkpoint(path)["epoch"] != best)]


def combined(how: str, both, index, output) -> str:
    done = call_script("tools/combine_checkpoints.py", *both, "--as", how, "--index", index,
                       "-o", output)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def assert_measured(stdout: str, paths, output, name: str):
    rows = re.findall(r"^(\S+\.pth|[a-z ]+[a-z]) +([\d.]+) ", stdout, re.MULTILINE)
    assert [row[0] for row in rows] == [*map(str, paths), name]
    for (_, loss), path in zip(rows, [*paths, output], strict=True):
        assert float(loss) == pytest.approx(load_checkpoint(path)["val_loss"], abs=2e-4)
    content = load_checkpoint(output)
    first = load_checkpoint(paths[0])
    assert content["calibration"] != first["calibration"] and content["zero_ms"] is not None
    assert content["trained_on"] == first["trained_on"]
    assert "optimizer_state_dict" not in content


def test_the_mean_is_measured_and_calibrated(both, index, tmp_path):
    stdout = combined("mean", both, index, tmp_path / "mean.pth")
    assert_measured(stdout, both, tmp_path / "mean.pth", "mean")
    first, second, mean = (load_checkpoint(path)["model_state_dict"]
                           for path in [*both, tmp_path / "mean.pth"])  # fmt: skip
    for name, tensor in mean.items():
        if tensor.is_floating_point():
            assert torch.allclose(tensor, (first[name] + second[name]) / 2, atol=1e-6), name
    load_trained(tmp_path / "mean.pth", CPU)


def test_the_similarity_of_an_ensemble_is_the_mean(both, index, tmp_path):
    stdout = combined("members", both, index, tmp_path / "both.pth")
    assert_measured(stdout, both, tmp_path / "both.pth", "ensemble")
    first, second, joint = (load_trained(path, CPU) for path in [*both, tmp_path / "both.pth"])
    assert joint.config.model.members == 2
    views, bands = example_input(joint.model.spec, 12)
    with torch.inference_mode():
        cosines = [(video * audio).sum(-1) for video, audio in
                   (trained.model(views, bands) for trained in (first, second, joint))]  # fmt: skip
        assert torch.allclose(cosines[2], (cosines[0] + cosines[1]) / 2, atol=1e-5)
        video, _ = joint.model(views, bands)
        assert torch.allclose(video.norm(dim=-1), torch.ones(1, 8), atol=1e-5)
    three, _ = combine([tmp_path / "both.pth", both[0]], index, "members")
    assert three["config"]["model"]["members"] == 3


def test_members_keep_their_views(both, index, tmp_path):
    content = load_checkpoint(both[1])
    content["config"]["model"]["view"] = "mouth"
    mouth = SyncModel(replace(load_trained(both[1], CPU).model.spec, view="mouth"))
    save_checkpoint(tmp_path / "mouth.pth", content | {"model_state_dict": mouth.state_dict()})
    joint, _ = combine([both[0], tmp_path / "mouth.pth"], index, "members")
    assert joint["config"]["model"]["view"] == "lower_face+mouth"
    save_checkpoint(tmp_path / "joint.pth", joint)
    spec = load_trained(tmp_path / "joint.pth", CPU).model.spec
    assert [member.view for member in spec.member_specs] == ["lower_face", "mouth"]
    with pytest.raises(CheckpointError, match=r"the network in .*mouth\.pth differs from that in"):
        combine([both[0], tmp_path / "mouth.pth"], index, "mean")


def test_settings_without_effect_do_not_make_another_network():
    """The width and the number of layers are those of the temporal block."""
    for block, is_same in (("none", True), ("tcn", False)):
        one, other = (
            parse_config({"model": {"temporal": block, "hidden_dim": width}}, "test")
            for width in (64, 128)
        )
        expected = nullcontext() if is_same else pytest.raises(CheckpointError, match="differs")
        with expected:
            check_same_network(one, other, "mean", Path("one.pth"), Path("other.pth"))


def test_members_keep_their_temporal_blocks(both, index, tmp_path):
    """The width is that of the networks whose block has one, and these must agree."""
    content = load_checkpoint(both[1])
    paths = [both[0]]
    for name, width in (("narrow", 16), ("wide", 24)):
        settings = content["config"]["model"] | {"temporal": "tcn", "hidden_dim": width}
        config = content["config"] | {"model": settings}
        model = SyncModel(ModelSpec.of(parse_config(config, "test")))
        paths.append(tmp_path / f"{name}.pth")
        save_checkpoint(
            paths[-1], content | {"config": config, "model_state_dict": model.state_dict()}
        )
    joint, _ = combine(paths[:2], index, "members")
    assert joint["config"]["model"]["temporal"] == "none+tcn"
    assert joint["config"]["model"]["hidden_dim"] == 16
    save_checkpoint(tmp_path / "joint.pth", joint)
    load_trained(tmp_path / "joint.pth", CPU)
    with pytest.raises(CheckpointError, match=r"in .*wide\.pth differs from that in .*narrow\.pth"):
        combine(paths, index, "members")
    with pytest.raises(CheckpointError, match=r"in .*best_model\.pth differs from that in"):
        combine(paths[:2], index, "mean")


def test_checkpoints_that_do_not_match_are_refused(both, index, tmp_path):
    content = load_checkpoint(both[1])
    content["config"]["model"]["embedding_dim"] = 32
    save_checkpoint(tmp_path / "long.pth", content)
    with pytest.raises(CheckpointError, match=r"the network in .*long\.pth differs from that in"):
        combine([both[0], tmp_path / "long.pth"], index, "members")
    content = load_checkpoint(both[1])
    config = load_trained(both[1], CPU).config
    val = load_original_splits(content, config, index)[1]
    for trained_on in ([], [*content["trained_on"], val[0].fingerprint]):  # unknown; held out
        save_checkpoint(
            tmp_path / "elsewhere.pth", content | {"clips": "others", "trained_on": trained_on}
        )
        with pytest.raises(CheckpointError, match=r"elsewhere\.pth was trained on other clips"):
            combine([both[0], tmp_path / "elsewhere.pth"], index, "mean")


def test_a_training_on_further_clips_of_the_same_speakers_is_accepted(both, index, tmp_path):
    """Copies of the clips, say: nothing that is held out was trained on."""
    save_checkpoint(tmp_path / "more.pth", load_checkpoint(both[1]) | {"clips": "others"})
    mean, _ = combine([both[0], tmp_path / "more.pth"], index, "mean")
    assert mean["clips"] == load_checkpoint(both[0])["clips"]


def test_inputs_are_not_overwritten(trained, index):
    script = ("tools/combine_checkpoints.py", trained)
    rest = ("--as", "mean", "--index", index, "-o")
    assert_one_line(run_script(*script, trained, *rest, trained), str(trained), "is an input")
    done = call_script(*script, *rest, "x.pth")
    assert done.returncode == 2 and "two or more checkpoints are required" in done.stderr

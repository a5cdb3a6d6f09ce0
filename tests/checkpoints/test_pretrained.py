"""The pretrained weights: small, as documented, and without training state."""

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from src.checkpoints.checkpoint import load_checkpoint, load_checkpoint_or_weights, load_trained
from src.checkpoints.contents import stored_config
from src.checkpoints.location import PRETRAINED
from src.core.config import Config, TrainingConfig
from src.models.spec import ModelSpec
from src.training.resume import init_checkpoint, load_pretrained, match_network
from src.training.state import new_model

ROOT = Path(__file__).resolve().parents[2]
CARD = (ROOT / "MODEL_CARD.md").read_text(encoding="utf-8")


JUDGE = ROOT / "pretrained" / "judge.pth"  # of presenter.judge


def test_the_files_are_the_documented_ones():
    assert PRETRAINED.stat().st_size <= 12_000_000 and JUDGE.stat().st_size <= 5_000_000
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (PRETRAINED, JUDGE)]
    assert re.findall(r"`([0-9a-f]{64})`", CARD) == digests
    for path in (PRETRAINED, JUDGE):
        assert f"{path.stat().st_size / 1e6:.1f} MB" in CARD


def test_the_judge_is_another_network_without_training_state():
    content = load_checkpoint(JUDGE)
    assert not {"optimizer_state_dict", "scheduler_state_dict", "random_states"} & set(content)
    model, judge = (stored_config(load_checkpoint(path), path) for path in (PRETRAINED, JUDGE))
    assert judge.paths == Config().paths
    assert judge.training.seed != model.training.seed
    assert judge.data.input_size != model.data.input_size
    assert judge.data.n_mfcc != model.data.n_mfcc


@pytest.mark.parametrize("name", ["MODEL_CARD.md", "README.md", "README.zh-CN.md"])
def test_no_metric_is_missing_in_documents(name):
    assert not re.findall(r"@[A-Z_0-9]+@", (ROOT / name).read_text(encoding="utf-8"))


def test_it_holds_what_scoring_needs_and_nothing_private():
    content = load_checkpoint(PRETRAINED)
    assert not {"optimizer_state_dict", "scheduler_state_dict", "random_states"} & set(content)
    config = stored_config(content, PRETRAINED)
    assert config.paths == Config().paths
    assert config.data.model_dump() == Config().data.model_dump()
    assert len(content["trained_on"]) >= 1798 + 1721 and content["zero_ms"] is not None
    assert f"{content['zero_ms']:+.1f} ms".replace("-", "−") in CARD


def test_it_scores_and_initialises_a_training_with_default_settings():
    trained = load_trained(PRETRAINED, torch.device("cpu"))
    fine_tuning = Config(training=TrainingConfig(init_from="pretrained"))
    source = load_checkpoint_or_weights(init_checkpoint(fine_tuning.training))
    config = match_network(fine_tuning, source)
    # The dropout rate is this training's own.
    spec = replace(trained.model.spec, dropout=Config().model.dropout)
    assert spec == ModelSpec.of(config)
    assert ModelSpec.of(config.model_copy(update={"model": fine_tuning.model})) == ModelSpec.of(
        Config()
    )
    model = new_model(config, torch.device("cpu"))
    assert load_pretrained(model, source) == load_checkpoint(PRETRAINED)["trained_on"]
    weights = trained.model.state_dict()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())

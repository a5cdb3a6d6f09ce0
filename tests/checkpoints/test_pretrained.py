"""The weights that come with the project: small, as described, and free of their training."""

import hashlib
import re
from pathlib import Path

import pytest
import torch

from src.checkpoints.checkpoint import PRETRAINED, config_of, load_checkpoint, load_trained
from src.core.config import Config, TrainingConfig
from src.models.spec import ModelSize
from src.training.resume import init_checkpoint, load_pretrained, with_network_of
from src.training.state import new_model

ROOT = Path(__file__).resolve().parents[2]
CARD = (ROOT / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_the_file_is_the_one_described():
    assert PRETRAINED.stat().st_size <= 12_000_000
    digest = hashlib.sha256(PRETRAINED.read_bytes()).hexdigest()
    assert re.findall(r"`([0-9a-f]{64})`", CARD) == [digest]
    assert f"{PRETRAINED.stat().st_size / 1e6:.1f} MB" in CARD


@pytest.mark.parametrize("name", ["MODEL_CARD.md", "README.md", "README.zh-CN.md"])
def test_no_figure_is_still_to_come(name):
    assert not re.findall(r"@[A-Z_0-9]+@", (ROOT / name).read_text(encoding="utf-8"))


def test_it_holds_what_judging_takes_and_nothing_of_the_machine():
    content = load_checkpoint(PRETRAINED)
    assert not {"optimizer_state_dict", "scheduler_state_dict", "random_states"} & set(content)
    config = config_of(content, PRETRAINED)
    assert config.paths == Config().paths
    assert config.data.model_dump() == Config().data.model_dump()
    assert len(content["trained_on"]) >= 1812 and content["zero_ms"] is not None
    assert f"{content['zero_ms']:+.1f} ms" in CARD


def test_it_judges_and_begins_a_training_with_the_usual_settings():
    trained = load_trained(PRETRAINED, torch.device("cpu"))
    asked = Config(training=TrainingConfig(init_from="pretrained"))
    origin = init_checkpoint(asked.training)
    config = with_network_of(asked, origin)
    assert trained.model.size == ModelSize.of(config)
    assert ModelSize.of(config.model_copy(update={"model": asked.model})) == ModelSize.of(Config())
    model = new_model(config, torch.device("cpu"))
    assert load_pretrained(model, origin) == load_checkpoint(PRETRAINED)["trained_on"]
    weights = trained.model.state_dict()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())

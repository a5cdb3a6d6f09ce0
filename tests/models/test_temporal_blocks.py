"""Temporal blocks: each joins the frames of one window, all of them and no others."""

from dataclasses import replace

import pytest
import torch

from src.core.config import load_config
from src.core.errors import ConfigError
from src.models.ensemble import merge_into_ensemble
from src.models.spec import ModelSpec
from src.models.sync_model import SyncModel, embed_every_hop, example_input
from src.models.temporal_blocks import BLOCKS, temporal_block
from src.models.weight_names import detect_temporal_blocks

SPEC = ModelSpec(48, 40, 32, 24, 2, 0.1)


@pytest.fixture(params=BLOCKS)
def spec(request) -> ModelSpec:
    return replace(SPEC, temporal=request.param)


def test_each_output_depends_on_three_inputs_and_no_others(spec):
    torch.manual_seed(0)
    block = temporal_block(16, spec).eval()
    x = torch.randn(1, 16, 9, requires_grad=True)
    y = block(x)
    assert y.shape == (1, spec.embedding_dim, 7)
    for position in range(7):
        (gradient,) = torch.autograd.grad(y[0, :, position].square().sum(), x, retain_graph=True)
        inputs = gradient[0].abs().sum(0).nonzero().flatten().tolist()
        assert inputs == [position, position + 1, position + 2]


def test_a_network_with_it_gives_the_same_for_a_window_and_for_the_clip_around_it(spec):
    torch.manual_seed(0)
    model = SyncModel(spec).eval()
    regions, bands = example_input(spec, 14, 2)
    video, audio = model(regions, bands)
    window_video, window_audio = model(regions[:, 3:8], bands[:, 12:32])
    assert torch.allclose(video[:, 3], window_video[:, 0], atol=1e-5)
    assert torch.allclose(audio[:, 3], window_audio[:, 0], atol=1e-5)
    by_hop = embed_every_hop(model.audio, bands)
    assert torch.allclose(by_hop[:, ::4][:, :10], audio, atol=1e-5)


def test_the_block_of_weights_is_recognised(spec):
    weights = SyncModel(spec).state_dict()
    assert detect_temporal_blocks(weights, "unknown") == [spec.temporal]
    other = SyncModel(replace(SPEC, temporal="none")).state_dict()
    joint = merge_into_ensemble([weights, other])
    assert detect_temporal_blocks(joint, "unknown") == [spec.temporal, "none"]
    assert detect_temporal_blocks({"backbone.weight": torch.zeros(1)}, "tcn") == ["tcn"]


def test_the_block_is_a_setting():
    for name in BLOCKS:
        assert load_config(None, [f"model.temporal={name}"]).model.temporal == name
    with pytest.raises(ConfigError, match=r"model\.temporal"):
        load_config(None, ["model.temporal=lstm"])

"""Batch norms folded into convolutions: the same embeddings, with fewer layers."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from src.models.folded_norms import fold_batch_norms
from src.models.spec import ModelSpec
from src.models.sync_model import SyncModel, embed_every_hop, example_input
from src.models.temporal_blocks import BLOCKS

SPEC = ModelSpec(48, 40, 32, 24, 2, 0.1, 2, "lower_face+mouth")


def norms_of(model: nn.Module) -> list[nn.Module]:
    return [
        layer for layer in model.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)
    ]


@pytest.mark.parametrize("block", BLOCKS)
@torch.no_grad()
def test_embeddings_stay_the_same(block):
    torch.manual_seed(0)
    model = SyncModel(replace(SPEC, temporal=block))
    regions, bands = example_input(SPEC, 20, 3)
    for norm in norms_of(model):  # as after a training: not 0 and 1
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.normal_(norm.bias)
    model.eval()
    before = *model(regions, bands), embed_every_hop(model.audio, bands)
    assert norms_of(model)
    fold_batch_norms(model)
    assert not norms_of(model)
    after = *model(regions, bands), embed_every_hop(model.audio, bands)
    for folded, plain in zip(after, before, strict=True):
        torch.testing.assert_close(folded, plain, atol=2e-6, rtol=0)


def test_a_network_in_training_is_not_folded():
    with pytest.raises(AssertionError, match="eval"):
        fold_batch_norms(SyncModel(SPEC))

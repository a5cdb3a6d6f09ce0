"""Encoders written as ONNX: the same embeddings as PyTorch's, for every network that fits."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from src.core.constants import HOPS_PER_FRAME, WINDOW_FRAMES
from src.models.onnx_embedding import AUDIO, VIDEO, OnnxModel
from src.models.onnx_graph import audio_hop_graph, has_graph, video_graph
from src.models.spec import ModelSpec
from src.models.sync_model import SyncModel, embed_every_hop, example_input

SPEC = ModelSpec(48, 40, 16, 24, 2, 0.1)


def make_network(spec: ModelSpec) -> SyncModel:
    """In evaluation mode, with non-trivial batch norms."""
    torch.manual_seed(0)
    model = SyncModel(spec).eval()
    for name, values in model.state_dict().items():
        if "running_var" in name or name.endswith("1.weight"):
            values.mul_(torch.rand_like(values) + 0.5)
        elif "running_mean" in name or name.endswith("1.bias"):
            values.add_(0.3 * torch.randn_like(values))
    return model


def weights_of(model: SyncModel) -> dict[str, np.ndarray]:
    return {name: values.numpy() for name, values in model.state_dict().items()}


def to_onnx(model: SyncModel) -> OnnxModel:
    weights, spec = weights_of(model), model.spec
    return OnnxModel(
        spec, {VIDEO: video_graph(weights, spec), AUDIO: audio_hop_graph(weights, spec)}
    )


@pytest.mark.parametrize(
    "changes",
    [{}, {"view": "mouth"}, {"temporal": "tcn"}, {"temporal": "tcn", "num_layers": 1},
     {"temporal": "tcn", "num_layers": 4}, {"members": 2, "view": "mouth+lower_face"},
     {"members": 3, "view": "mouth", "temporal": "none+tcn+none"}, {"input_size": 96}],
    ids=str,
)  # fmt: skip
@torch.inference_mode()
def test_embeddings_are_those_of_pytorch(changes):
    model = make_network(replace(SPEC, **changes))
    network = to_onnx(model)
    for n_frames in (WINDOW_FRAMES, 6, 9, 33):
        regions, bands = example_input(model.spec, n_frames)
        expected = model.video(regions)[0].numpy(), embed_every_hop(model.audio, bands)[0].numpy()
        video = network.encode(VIDEO, regions[0].numpy())
        audio = network.encode(AUDIO, bands[0].numpy())
        n_windows = n_frames - WINDOW_FRAMES + 1
        assert len(video) == n_windows and len(audio) == HOPS_PER_FRAME * n_windows - 3
        np.testing.assert_allclose(video, expected[0], atol=2e-6)
        np.testing.assert_allclose(audio, expected[1], atol=2e-6)


def test_the_graphs_are_valid_onnx():
    model = make_network(SPEC)
    for graph in (video_graph, audio_hop_graph):
        onnx.checker.check_model(onnx.load_from_string(graph(weights_of(model), SPEC)), True)


def test_empty_input_gives_numbers():
    """Where all features are 0, the length of an embedding is that of its bias, or 0."""
    model = make_network(SPEC)
    weights = {name: np.zeros_like(values) for name, values in weights_of(model).items()}
    network = OnnxModel(
        SPEC, {VIDEO: video_graph(weights, SPEC), AUDIO: audio_hop_graph(weights, SPEC)}
    )
    embeddings = network.encode(AUDIO, np.zeros((40, 40), np.float32))
    assert (embeddings == 0).all()


@pytest.mark.parametrize("temporal", ["gru", "transformer", "none+gru"])
def test_blocks_that_are_no_convolutions_have_no_graph(temporal):
    assert not has_graph(replace(SPEC, temporal=temporal, members=2))
    assert has_graph(replace(SPEC, temporal="tcn+none", members=2))


@pytest.mark.parametrize(
    "changes",
    [{"embedding_dim": 8}, {"input_size": 96}, {"view": "mouth"}, {"temporal": "tcn"},
     {"members": 2}],
    ids=str,
)  # fmt: skip
def test_weights_of_another_network_are_refused(changes):
    weights = weights_of(make_network(SPEC))
    with pytest.raises(ValueError):
        for graph in (video_graph, audio_hop_graph):
            graph(weights, replace(SPEC, **changes))


def test_weights_of_one_member_more_are_refused():
    weights = weights_of(make_network(replace(SPEC, members=3)))
    with pytest.raises(ValueError, match=r"video\.members\.2"):
        video_graph(weights, replace(SPEC, members=2))

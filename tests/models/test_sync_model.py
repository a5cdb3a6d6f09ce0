"""The network: what a window covers, that it is convolutional, its ensembles and face regions."""

import pytest
import torch

from src.core.config import parse_config
from src.core.errors import ConfigError
from src.models.ensemble import merge_into_ensemble
from src.models.normalization import crop_face_region
from src.models.spec import FACE_REGIONS, ModelSpec, join_members
from src.models.sync_model import GridSum, SyncModel, count_parameters, embed_every_hop
from src.models.weight_names import count_members, detect_network, detect_views


def make_model(**changes) -> SyncModel:
    """A small network in evaluation mode and double precision with non-trivial batch norms."""
    settings = {
        "input_size": 48, "n_mfcc": 40, "embedding_dim": 16, "hidden_dim": 24, "num_layers": 2,
        "dropout": 0.4,
    }  # fmt: skip
    torch.manual_seed(0)
    model = SyncModel(ModelSpec(**(settings | changes))).double()
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    return model.eval()


def make_input(model: SyncModel, frames: int, batch: int = 1):
    """Face regions and bands of noise, in double precision."""
    torch.manual_seed(1)
    regions = torch.randn(batch, frames, *model.spec.region_shape, dtype=torch.float64)
    return regions, torch.randn(batch, 4 * frames, 40, dtype=torch.float64)


@pytest.mark.parametrize("input_size", [48, 96, 128])
@pytest.mark.parametrize("frames", [5, 6, 13])
def test_t_frames_give_t_minus_4_embeddings_of_length_1(input_size, frames):
    model = make_model(input_size=input_size)
    with torch.no_grad():
        video, audio = model(*make_input(model, frames, batch=2))
    for embeddings in (video, audio):
        assert embeddings.shape == (2, frames - 4, 16)
        assert torch.allclose(embeddings.norm(dim=-1), torch.ones(2, frames - 4).double())


@pytest.mark.parametrize("num_layers", [1, 2, 3, 4])
@torch.no_grad()
def test_a_window_is_5_frames_and_the_20_hops_under_them(num_layers):
    model = make_model(num_layers=num_layers, temporal="tcn")
    regions, bands = make_input(model, 9)
    windows = torch.arange(5)
    altered = regions.repeat(9, 1, 1, 1)  # in row t, frame t is altered
    noise = torch.randn(9, *model.spec.region_shape, dtype=torch.float64)
    altered[range(9), range(9)] += 2 * noise
    changed = (model.video(altered) - model.video(regions)).abs().amax(-1) > 1e-9
    frames = torch.arange(9)[:, None]
    assert torch.equal(changed, (windows <= frames) & (frames <= windows + 4))
    altered = bands.repeat(36, 1, 1)
    altered[range(36), range(36)] += 2 * torch.randn(36, 40, dtype=torch.float64)
    changed = (model.audio(altered) - model.audio(bands)).abs().amax(-1) > 1e-9
    hops = torch.arange(36)[:, None]
    assert torch.equal(changed, (4 * windows <= hops) & (hops < 4 * windows + 20))


@torch.no_grad()
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_sum_of_a_grid_is_a_convolution(memory_format):
    torch.manual_seed(0)
    layer = GridSum(8, 6, (3, 4)).double()
    grid = torch.randn(5, 8, 3, 4, dtype=torch.float64).contiguous(memory_format=memory_format)
    expected = torch.nn.functional.conv2d(grid, layer.weight, layer.bias)
    torch.testing.assert_close(layer(grid), expected)


@torch.no_grad()
def test_one_pass_equals_separate_windows():
    model = make_model()
    regions, bands = make_input(model, 11)
    video, audio = model(regions, bands)
    for first in range(7):
        single = model(regions[:, first : first + 5], bands[:, 4 * first : 4 * first + 20])
        assert torch.allclose(video[:, first], single[0][:, 0], atol=1e-5)
        assert torch.allclose(audio[:, first], single[1][:, 0], atol=1e-5)


@torch.no_grad()
def test_embeddings_by_hop_are_those_of_the_windows_at_each_hop():
    model = make_model()
    _, bands = make_input(model, 9)
    by_hop = embed_every_hop(model.audio, bands)
    assert by_hop.shape == (1, 4 * 5 - 3, 16)
    assert torch.allclose(by_hop[:, ::4], model.audio(bands))
    for hop in range(by_hop.shape[1]):
        single = model.audio(bands[:, hop : hop + 20])[:, 0]
        assert torch.allclose(by_hop[:, hop], single, atol=1e-5), hop


@pytest.mark.parametrize("members", [1, 2])
@torch.no_grad()
def test_embeddings_by_hop_are_those_of_four_passes(members):
    model = make_model(members=members)
    _, bands = make_input(model, 30)
    by_hop = embed_every_hop(model.audio, bands)
    for phase in range(4):
        one_pass = model.audio(bands[:, phase : 120 - 4 + phase])
        assert torch.allclose(by_hop[:, phase::4][:, : one_pass.shape[1]], one_pass, atol=1e-5)
    assert (by_hop.norm(dim=-1) - 1).abs().max() < 1e-5


@torch.no_grad()
def test_embeddings_by_hop_of_a_single_window():
    model = make_model()
    _, bands = make_input(model, 5)
    assert torch.equal(embed_every_hop(model.audio, bands), model.audio(bands))


def temporal_parameters(model: SyncModel) -> int:
    return count_parameters(model.video.temporal) + count_parameters(model.audio.temporal)


def test_hidden_dim_and_num_layers_change_the_temporal_blocks_only():
    changes = {}, {"hidden_dim": 48}, {"num_layers": 3}
    plain, wide, deep = (make_model(temporal="tcn", **change) for change in changes)
    for other in (wide, deep):
        assert temporal_parameters(other) > temporal_parameters(plain)
        outside = [count_parameters(model) - temporal_parameters(model) for model in (plain, other)]
        assert outside[0] == outside[1]
    # One more layer of one 24 -> 24 convolution of kernel 1 in each stream, with its batch norm.
    assert temporal_parameters(deep) - temporal_parameters(plain) == 2 * (24 * 24 + 2 * 24)


def test_count_parameters_counts_trainable_parameters():
    model = make_model()
    total = count_parameters(model)
    model.log_scale.requires_grad_(False)
    assert count_parameters(model) == total - 1


def test_an_ensemble_averages_the_similarities_of_its_members():
    """And weights can be merged into one and its members counted."""
    joint = make_model(members=2)
    first, second = make_model(), make_model()
    for parameter in second.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    weights = merge_into_ensemble([first.state_dict(), second.state_dict()])
    assert count_members(weights) == 2 and count_members(first.state_dict()) == 1
    joint.load_state_dict(weights)
    assert count_parameters(joint) == 2 * (count_parameters(first) - 1) + 1
    inputs = make_input(first, 9)
    embeddings = [model(*inputs) for model in (first, second)]
    video, audio = joint(*inputs)
    assert video.shape == audio.shape == (1, 5, joint.spec.output_dim)
    means = sum((v * a).sum(-1) for v, a in embeddings) / 2
    torch.testing.assert_close((video * audio).sum(-1), means)
    torch.testing.assert_close(video.norm(dim=-1), torch.ones(1, 5, dtype=video.dtype))
    three = merge_into_ensemble([weights, first.state_dict()])
    assert count_members(three) == 3
    assert torch.equal(three["video.members.2.stem.1.0.weight"], first.video.stem[1][0].weight)


def test_members_may_have_different_face_regions():
    joint = make_model(members=2, view="lower_face+mouth")
    wide, mouth = make_model(), make_model(view="mouth")
    assert wide.video.gather[0].weight.shape[2:] > mouth.video.gather[0].weight.shape[2:]
    joint.load_state_dict(merge_into_ensemble([wide.state_dict(), mouth.state_dict()]))
    regions, bands = make_input(joint, 9)
    embeddings = [model(regions, bands) for model in (wide, mouth)]
    similarity = sum((v * a).sum(-1) for v, a in embeddings) / 2
    video, audio = joint(regions, bands)
    torch.testing.assert_close((video * audio).sum(-1), similarity)
    assert detect_views(joint.state_dict(), joint.spec) == ["lower_face", "mouth"]
    assert detect_views(mouth.state_dict(), wide.spec) == ["mouth"]
    assert join_members(["mouth", "mouth"]) == "mouth"
    # Pixels outside the mouth region change nothing for the network with that region.
    altered = regions.clone()
    altered[..., :8] += 1
    assert torch.equal(mouth.video(altered), mouth.video(regions))
    assert not torch.allclose(wide.video(altered), wide.video(regions))


def test_a_view_for_each_member_or_one_for_all():
    spec = ModelSpec.of(parse_config({"model": {"members": 3, "view": "mouth"}}, "test"))
    assert [member.view for member in spec.member_specs] == ["mouth"] * 3
    with pytest.raises(ConfigError, match="view must be one region, or one per member"):
        parse_config({"model": {"members": 3, "view": "mouth+lower_face"}}, "test")
    with pytest.raises(ConfigError, match=r"model\.view"):
        parse_config({"model": {"view": "nose"}}, "test")


def test_a_temporal_block_for_each_member_or_one_for_all():
    settings = {"members": 3, "view": "mouth", "temporal": "tcn+none+none"}
    spec = ModelSpec.of(parse_config({"model": settings}, "test"))
    assert [member.temporal for member in spec.member_specs] == ["tcn", "none", "none"]
    assert all((member.members, member.view) == (1, "mouth") for member in spec.member_specs)
    with pytest.raises(ConfigError, match="temporal must be one block, or one per member"):
        parse_config({"model": settings | {"temporal": "tcn+none"}}, "test")
    with pytest.raises(
        ConfigError, match=r"'tcn\+lstm': allowed: none, tcn, gru or transformer, or"
    ):
        parse_config({"model": settings | {"temporal": "tcn+lstm"}}, "test")


def test_members_may_have_different_temporal_blocks():
    changes = {"temporal": "tcn"}, {"temporal": "none"}, {"temporal": "gru", "view": "mouth"}
    singles = [make_model(**change) for change in changes]
    weights = merge_into_ensemble([model.state_dict() for model in singles])
    found = detect_network(weights, ModelSpec.of(parse_config({}, "test")))
    assert found["members"] == 3 and found["temporal"] == "tcn+none+gru"
    joint = make_model(**found | {"view": "lower_face+lower_face+mouth"})
    joint.load_state_dict(weights)
    regions, bands = make_input(joint, 9)
    similarities = [(v * a).sum(-1) for v, a in (model(regions, bands) for model in singles)]
    video, audio = joint(regions, bands)
    torch.testing.assert_close((video * audio).sum(-1), sum(similarities) / 3)
    by_hop = embed_every_hop(joint.audio, bands)
    torch.testing.assert_close(by_hop[:, ::4], audio)


def test_the_specification_follows_the_settings():
    config = parse_config({"data": {"input_size": 48}, "model": {"hidden_dim": 32}}, "test")
    spec = ModelSpec.of(config)
    assert (spec.input_size, spec.hidden_dim, spec.num_layers) == (48, 32, 2)
    assert ModelSpec.of(parse_config({}, "test")).region_shape == (64, 80)


@pytest.mark.parametrize("name", FACE_REGIONS)
@pytest.mark.parametrize("side", range(48, 257, 16))
def test_face_regions_lie_inside_every_crop(side, name):
    model = make_model(input_size=side, view=name)
    spec, encoder = model.spec, model.video
    crops = torch.arange(side * side).reshape(1, side, side)
    region = crop_face_region(crops, spec)
    assert region.shape == (1, *spec.region_shape)
    region = region[:, encoder.rows, encoder.columns]
    assert region.shape[1] % 16 == region.shape[2] % 16 == 0 and region.numel() > 0
    assert model(*make_input(model, 6))[0].shape == (1, 2, spec.output_dim)
    left, right = int(region[0, 0, 0]) % side, side - 1 - int(region[0, 0, -1]) % side
    assert left == right, "the region is centred"
    # The mouth corners lie halfway down the crop (faces.alignment): lips and chin must be inside.
    top, bottom = int(region[0, 0, 0]) // side, int(region[0, -1, 0]) // side
    assert top <= 0.28 * side and bottom >= (0.8 if name == "lower_face" else 0.7) * side


def test_the_scale_is_trainable_but_bounded():
    model = make_model()
    assert model.scale.item() == pytest.approx(10)
    model.log_scale.data.fill_(9.0)
    assert model.scale.item() == 50

"""The network: what a window sees, that it is convolutional, and the inputs made comparable."""

import numpy as np
import pytest
import torch
from scipy.fft import dct, idct

from src.core.config import parse_config
from src.core.errors import ConfigError
from src.models.ensemble import combine_members, members_in, parts_in
from src.models.normalization import (
    bands_of,
    brightness,
    central_view,
    normalise_bands,
    normalise_views,
    speech_steps,
)
from src.models.spec import VIEWS, ModelSize, view_of
from src.models.sync_model import SyncModel, count_parameters, fine_audio_embeddings


def make_model(**changes) -> SyncModel:
    """A small network in evaluation mode and double precision, its batch norms not trivial."""
    size = {
        "input_size": 48, "n_mfcc": 40, "embedding_dim": 16, "hidden_dim": 24, "num_layers": 2,
        "dropout": 0.4,
    }  # fmt: skip
    torch.manual_seed(0)
    model = SyncModel(ModelSize(**(size | changes))).double()
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    return model.eval()


def make_input(model: SyncModel, frames: int, batch: int = 1):
    torch.manual_seed(1)
    views = torch.randn(batch, frames, *model.size.view, dtype=torch.float64)
    return views, torch.randn(batch, 4 * frames, 40, dtype=torch.float64)


@pytest.mark.parametrize("input_size", [48, 96, 128])
@pytest.mark.parametrize("frames", [5, 6, 13])
def test_t_frames_give_t_minus_4_embeddings_of_length_1(input_size, frames):
    model = make_model(input_size=input_size)
    with torch.no_grad():
        both = model(*make_input(model, frames, batch=2))
    for stream in both:
        assert stream.shape == (2, frames - 4, 16)
        assert torch.allclose(stream.norm(dim=-1), torch.ones(2, frames - 4).double())


@pytest.mark.parametrize("num_layers", [1, 2, 3, 4])
@torch.no_grad()
def test_a_window_is_5_frames_and_the_20_steps_under_them(num_layers):
    model = make_model(num_layers=num_layers)
    views, bands = make_input(model, 9)
    windows = torch.arange(5)
    others = views.repeat(9, 1, 1, 1)  # in row t, frame t is another
    others[range(9), range(9)] += 2 * torch.randn(9, *model.size.view, dtype=torch.float64)
    changed = (model.video(others) - model.video(views)).abs().amax(-1) > 1e-9
    frames = torch.arange(9)[:, None]
    assert torch.equal(changed, (windows <= frames) & (frames <= windows + 4))
    others = bands.repeat(36, 1, 1)
    others[range(36), range(36)] += 2 * torch.randn(36, 40, dtype=torch.float64)
    changed = (model.audio(others) - model.audio(bands)).abs().amax(-1) > 1e-9
    steps = torch.arange(36)[:, None]
    assert torch.equal(changed, (4 * windows <= steps) & (steps < 4 * windows + 20))


@torch.no_grad()
def test_one_pass_equals_separate_windows():
    model = make_model()
    views, bands = make_input(model, 11)
    video, audio = model(views, bands)
    for first in range(7):
        alone = model(views[:, first : first + 5], bands[:, 4 * first : 4 * first + 20])
        assert torch.allclose(video[:, first], alone[0][:, 0], atol=1e-5)
        assert torch.allclose(audio[:, first], alone[1][:, 0], atol=1e-5)


@torch.no_grad()
def test_fine_audio_embeddings_are_the_window_at_every_step():
    model = make_model()
    _, bands = make_input(model, 9)
    fine = fine_audio_embeddings(model.audio, bands)
    assert fine.shape == (1, 4 * 5 - 3, 16)
    assert torch.allclose(fine[:, ::4], model.audio(bands))
    for step in range(fine.shape[1]):
        alone = model.audio(bands[:, step : step + 20])[:, 0]
        assert torch.allclose(fine[:, step], alone, atol=1e-5), step


@pytest.mark.parametrize("members", [1, 2])
@torch.no_grad()
def test_fine_audio_embeddings_are_those_of_four_passes(members):
    model = make_model(members=members)
    _, bands = make_input(model, 30)
    fine = fine_audio_embeddings(model.audio, bands)
    for phase in range(4):
        one_pass = model.audio(bands[:, phase : 120 - 4 + phase])
        assert torch.allclose(fine[:, phase::4][:, : one_pass.shape[1]], one_pass, atol=1e-5)
    assert (fine.norm(dim=-1) - 1).abs().max() < 1e-5


@torch.no_grad()
def test_fine_audio_embeddings_of_a_single_window():
    model = make_model()
    _, bands = make_input(model, 5)
    assert torch.equal(fine_audio_embeddings(model.audio, bands), model.audio(bands))


def temporal_parameters(model: SyncModel) -> int:
    return count_parameters(model.video.temporal) + count_parameters(model.audio.temporal)


def test_hidden_dim_and_num_layers_change_the_temporal_part_only():
    plain, wide, deep = make_model(), make_model(hidden_dim=48), make_model(num_layers=3)
    for other in (wide, deep):
        assert temporal_parameters(other) > temporal_parameters(plain)
        rest = [count_parameters(model) - temporal_parameters(model) for model in (plain, other)]
        assert rest[0] == rest[1]
    # One more layer of one 24 -> 24 convolution of kernel 1 in each stream, with its batch norm.
    assert temporal_parameters(deep) - temporal_parameters(plain) == 2 * (24 * 24 + 2 * 24)


def test_count_parameters_counts_what_is_trained():
    model = make_model()
    total = count_parameters(model)
    model.log_scale.requires_grad_(False)
    assert count_parameters(model) == total - 1


def test_networks_side_by_side_average_their_similarities():
    """Independent of each other, and their weights can be put together and told apart."""
    joint = make_model(members=2)
    one, other = make_model(), make_model()
    for parameter in other.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    weights = combine_members([one.state_dict(), other.state_dict()])
    assert members_in(weights) == 2 and members_in(one.state_dict()) == 1
    joint.load_state_dict(weights)
    assert count_parameters(joint) == 2 * (count_parameters(one) - 1) + 1
    data = make_input(one, 9)
    both = [model(*data) for model in (one, other)]
    video, audio = joint(*data)
    assert video.shape == audio.shape == (1, 5, joint.size.length)
    means = sum((v * a).sum(-1) for v, a in both) / 2
    torch.testing.assert_close((video * audio).sum(-1), means)
    torch.testing.assert_close(video.norm(dim=-1), torch.ones(1, 5, dtype=video.dtype))
    again = combine_members([weights, one.state_dict()])
    assert members_in(again) == 3
    assert torch.equal(again["video.members.2.stem.1.0.weight"], one.video.stem[1][0].weight)


def test_members_may_look_at_different_parts():
    both = make_model(members=2, view_of="lower_face+mouth")
    wide, mouth = make_model(), make_model(view_of="mouth")
    assert wide.video.gather[0].weight.shape[2:] > mouth.video.gather[0].weight.shape[2:]
    both.load_state_dict(combine_members([wide.state_dict(), mouth.state_dict()]))
    views, bands = make_input(both, 9)
    similarity = sum((v * a).sum(-1) for v, a in (one(views, bands) for one in (wide, mouth))) / 2
    video, audio = both(views, bands)
    torch.testing.assert_close((video * audio).sum(-1), similarity)
    assert parts_in(both.state_dict(), both.size) == ["lower_face", "mouth"]
    assert parts_in(mouth.state_dict(), wide.size) == ["mouth"]
    assert view_of(["mouth", "mouth"]) == "mouth"
    # What is around the mouth changes nothing for the one that does not look at it.
    others = views.clone()
    others[..., :8] += 1
    assert torch.equal(mouth.video(others), mouth.video(views))
    assert not torch.allclose(wide.video(others), wide.video(views))


def test_a_view_for_each_member_or_one_for_all():
    assert ModelSize.of(parse_config({"model": {"members": 3, "view": "mouth"}}, "test")).looked_at
    with pytest.raises(ConfigError, match="one for each"):
        parse_config({"model": {"members": 3, "view": "mouth+lower_face"}}, "test")
    with pytest.raises(ConfigError, match=r"model\.view"):
        parse_config({"model": {"view": "nose"}}, "test")


def test_size_follows_the_settings():
    config = parse_config({"data": {"input_size": 48}, "model": {"hidden_dim": 32}}, "test")
    size = ModelSize.of(config)
    assert (size.input_size, size.hidden_dim, size.num_layers) == (48, 32, 2)
    assert ModelSize.of(parse_config({}, "test")).view == (64, 80)


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("side", range(48, 257, 16))
def test_what_is_looked_at_lies_inside_every_crop(side, name):
    model = make_model(input_size=side, view_of=name)
    size, encoder = model.size, model.video
    crops = torch.arange(side * side).reshape(1, side, side)
    view = central_view(crops, size)
    assert view.shape == (1, *size.view)
    view = view[:, encoder.rows, encoder.columns]
    assert view.shape[1] % 16 == view.shape[2] % 16 == 0 and view.numel() > 0
    assert model(*make_input(model, 6))[0].shape == (1, 2, size.length)
    left, right = int(view[0, 0, 0]) % side, side - 1 - int(view[0, 0, -1]) % side
    assert left == right  # the same room on both sides
    # The corners of the mouth lie halfway down the crop (faces.py): lips and chin must be seen.
    top, bottom = int(view[0, 0, 0]) // side, int(view[0, -1, 0]) // side
    assert top <= 0.28 * side and bottom >= (0.8 if name == "lower_face" else 0.7) * side


def test_the_scale_is_learned_but_bounded():
    model = make_model()
    assert model.scale.item() == pytest.approx(10)
    model.log_scale.data.fill_(9.0)
    assert model.scale.item() == 50


@pytest.mark.parametrize("n_mfcc", [40, 20, 13])
def test_bands_of_undoes_the_dct(n_mfcc):
    bands = np.random.default_rng(0).normal(-40, 20, (2, 30, 40))
    mfcc = dct(bands, type=2, norm="ortho")[..., :n_mfcc]
    expected = idct(np.pad(mfcc, ((0, 0), (0, 0), (0, 40 - n_mfcc))), type=2, norm="ortho")
    found = bands_of(torch.from_numpy(mfcc.astype(np.float32)))
    np.testing.assert_allclose(found, expected, atol=1e-3)
    if n_mfcc == 40:
        np.testing.assert_allclose(found, bands, atol=1e-3)


def test_silence_around_speech_changes_nothing_about_it():
    torch.manual_seed(0)
    speech = torch.randn(1, 80, 40) * 12 - 30
    around = torch.full((1, 60, 40), -90.0)
    spoken = torch.ones(1, 80, dtype=torch.bool)
    longer = torch.cat([around, speech, around], 1)
    counted = torch.cat([~spoken[:, :60], spoken, ~spoken[:, :60]], 1)
    plain = normalise_bands(speech, spoken)
    assert torch.allclose(normalise_bands(longer, counted)[:, 60:140], plain, atol=1e-5)
    assert plain.abs().max() > 1 and abs(float(plain.mean())) < 0.05
    assert float(plain.std()) == pytest.approx(1, abs=0.05)
    # The check can fail: were the silence counted, the speech would look different.
    assert not torch.allclose(
        normalise_bands(longer, torch.ones_like(counted))[:, 60:140], plain, atol=0.1
    )


def test_loudness_does_not_matter():
    torch.manual_seed(0)
    bands = torch.randn(2, 40, 40) * 10 - 30
    spoken = torch.ones(2, 40, dtype=torch.bool)
    louder = normalise_bands(bands + 17, spoken)
    assert torch.allclose(louder, normalise_bands(bands, spoken), atol=1e-4)


def test_without_speech_all_steps_count_and_silence_stays_finite():
    bands = torch.randn(1, 40, 40)
    nothing = torch.zeros(1, 40, dtype=torch.bool)
    assert torch.equal(normalise_bands(bands, nothing), normalise_bands(bands, ~nothing))
    assert torch.isfinite(normalise_bands(torch.full((1, 40, 40), -100.0), nothing)).all()


def test_views_do_not_depend_on_brightness_and_contrast():
    torch.manual_seed(0)
    views = torch.rand(2, 7, 32, 48)
    valid = torch.ones(2, 7, dtype=torch.bool)
    plain = normalise_views(views, *brightness(views, valid))
    gain, offset = torch.tensor([0.4, 1.7])[:, None, None, None], 0.2
    other = views * gain + offset
    assert torch.allclose(normalise_views(other, *brightness(other, valid)), plain, atol=1e-3)
    assert plain.mean((1, 2, 3)).abs().max() < 1e-4
    assert torch.allclose(plain.std((1, 2, 3)), torch.ones(2), atol=1e-3)


def test_padding_does_not_count_in_the_brightness():
    views = torch.rand(1, 7, 8, 8)
    valid = torch.ones(1, 7, dtype=torch.bool)
    valid[:, 5:] = False
    mean, deviation = brightness(views, valid)
    assert float(mean) == pytest.approx(float(views[:, :5].mean()), abs=1e-5)
    assert float(deviation) == pytest.approx(float(views[:, :5].std(correction=0)), abs=1e-5)


def test_speech_steps():
    speech = torch.tensor([[True, False, True]])
    assert speech_steps(speech).tolist() == [[True] * 4 + [False] * 4 + [True] * 4]

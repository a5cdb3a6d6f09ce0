"""Variants of the network: shapes, inputs, and that all parts of them learn."""

import numpy as np
import pytest
import torch
from librosa.feature import delta

from benchmarks import methods, variants
from benchmarks.variants import VARIANTS, DeltaAudioEncoder
from src.core.config import load_config
from src.models.normalization import crop_face_region
from src.models.spec import ModelSpec
from src.models.sync_model import embed_every_hop, example_input
from tests.support.training_helpers import settings_for

pytest_plugins = ("tests.support.training_fixtures",)

SPEC = ModelSpec.of(load_config(None, ["model.hidden_dim=32", "model.embedding_dim=16"]))


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_embeds_windows_and_learns(name):
    torch.manual_seed(0)
    model = VARIANTS[name](SPEC)
    views, bands = example_input(model.spec, 9, 2)
    video, audio = model(views, bands)
    assert video.shape == audio.shape == (2, 5, 16)
    assert torch.allclose(video.norm(dim=-1), torch.ones(2, 5), atol=1e-5)
    (video * audio).sum().backward()
    unused = [n for n, p in model.named_parameters() if p.grad is None and n != "log_scale"]
    assert not unused, "parameters without a gradient"


@pytest.mark.parametrize("name", VARIANTS)
def test_a_window_depends_on_its_five_frames_alone(name):
    torch.manual_seed(0)
    model = VARIANTS[name](SPEC).eval()
    views, bands = example_input(model.spec, 12)
    other_views, other_bands = views.clone(), bands.clone()
    other_views[:, 8:] += 1
    other_bands[:, 8 * 4 + 2 :] += 1  # deltas look two steps ahead
    with torch.no_grad():
        before, after = model(views, bands), model(other_views, other_bands)
        assert embed_every_hop(model.audio, bands).shape[1] == 4 * 8 - 3
    for first, second in zip(before, after, strict=True):
        change = (first - second).abs().amax((0, 2))
        assert change[:4].max() < 1e-6 and change[4] > 1e-5


def test_face_regions_of_the_variants():
    crops = torch.arange(96 * 96).reshape(1, 96, 96)
    regions = {}
    for name, make in VARIANTS.items():
        model = make(SPEC)
        view = crop_face_region(crops, model.spec)
        regions[name] = view[:, model.video.rows, model.video.columns]
    assert regions["the whole crop"].shape == (1, 96, 96)
    assert regions["as it is"].shape == (1, 48, 64) and regions["the lower face"].shape == (
        1,
        64,
        80,
    )
    lips = {50 * 96 + 31, 50 * 96 + 65}  # mouth corners
    assert all(lips <= set(view.flatten().tolist()) for view in regions.values())


def test_deltas_equal_those_of_librosa():
    encoder = DeltaAudioEncoder(SPEC)
    inputs = []
    encoder.front[0].register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    bands = example_input(SPEC, 9)[1]
    encoder(bands)
    expected = delta(bands[0].numpy().T, width=5, mode="nearest")
    assert np.allclose(inputs[0][0, 40:].detach().numpy() / 3, expected, atol=1e-5)


def test_the_table(corpus, tmp_path, monkeypatch, capsys):
    command = ["variants.py", *settings_for(corpus), "--minutes", "0.02", "--rows", "as it is",
               "GRU", "--output", str(tmp_path)]  # fmt: skip
    monkeypatch.setattr("sys.argv", command)
    assert variants.main() == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert len(rows) == 3 and rows[1].startswith("| as it is |") and "%" in rows[2]
    monkeypatch.setattr(methods, "train_for", None)
    assert variants.main() == 0  # finished rows are not trained again

"""The published networks: their windows, and their losses by formula."""

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from benchmarks.baselines import NETWORKS, draw_negatives, scale_channels
from benchmarks.networks import contrastive_loss, cosine_bce, syncnet, wav2lip_expert
from src.models.spec import ModelSpec
from src.models.sync_model import count_parameters

SPEC = ModelSpec(96, 40, 64, 64, 2, 0.0)


def random_input(frames: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randn(2, frames, *SPEC.region_shape), torch.randn(2, 4 * frames, 40)


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_a_clip_gives_the_embeddings_of_its_windows(make):
    torch.manual_seed(0)
    model = make(SPEC).eval()
    views, bands = random_input(9)
    with torch.no_grad():
        video, audio = model(views, bands)
        assert video.shape == audio.shape and video.shape[:2] == (2, 5)
        for stream in (video, audio):
            assert torch.allclose(stream.norm(dim=-1), torch.ones(2, 5), atol=1e-4)
        for t in range(5):
            window_video, window_audio = model(views[:, t : t + 5], bands[:, 4 * t : 4 * t + 20])
            assert torch.allclose(window_video[:, 0], video[:, t], atol=1e-4)
            assert torch.allclose(window_audio[:, 0], audio[:, t], atol=1e-4)


def test_channels_scale():
    whole, half = (count_parameters(scale_channels(SPEC, factor)) for factor in (1.0, 0.5))
    assert 0.2 < half / whole < 0.5
    for make in (syncnet, wav2lip_expert):
        assert count_parameters(make(SPEC, 0.25)) < 0.15 * count_parameters(make(SPEC))


@pytest.fixture
def pairs():
    torch.manual_seed(0)
    video, audio = (torch.nn.functional.normalize(torch.rand(2, 6, 8), dim=-1) for _ in range(2))
    anchors = torch.rand(2, 6) < 0.7
    negatives = torch.randint(6, (2, 6))
    return video, audio, anchors, negatives


def iterate_pairs(video, audio, anchors, negatives):
    """Distance and cosine of the positive and the negative pair of each anchor."""
    for b, w in np.argwhere(anchors.numpy()):
        v, a, other = (
            x.double().numpy() for x in (video[b, w], audio[b, w], audio[b, negatives[b, w]])
        )
        yield np.linalg.norm(v - a), np.linalg.norm(v - other), v @ a, v @ other


def test_contrastive_loss_is_the_formula(pairs):
    positive, negative, *_ = np.array(list(iterate_pairs(*pairs))).T
    expected = 0.5 * np.mean(positive**2) + 0.5 * np.mean(np.maximum(0.8 - negative, 0) ** 2)
    assert float(contrastive_loss(*pairs, margin=0.8)) == pytest.approx(expected, rel=1e-4)


def test_cosine_bce_is_the_log_loss(pairs):
    *_, positive, negative = np.array(list(iterate_pairs(*pairs))).T
    labels = np.concatenate([np.ones_like(positive), np.zeros_like(negative)])
    expected = log_loss(labels, np.concatenate([positive, negative]))
    assert float(cosine_bce(*pairs)) == pytest.approx(expected, rel=1e-4)


def test_negatives_are_other_windows_of_the_clip():
    candidate = torch.ones(3, 20, dtype=torch.bool)
    candidate[1, 12:] = False
    drawn = draw_negatives(candidate, torch.Generator().manual_seed(0))
    position = torch.arange(20)
    assert ((drawn - position).abs() > 1).all() and (drawn[1] < 12).all()
    assert len(set(drawn[0].tolist())) > 5

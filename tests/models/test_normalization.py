"""Inputs made comparable: mel bands, brightness, loudness; and levels accumulated row by row."""

import numpy as np
import pytest
import torch
from scipy.fft import dct, idct

from src.models.embedding import measure_spectrum
from src.models.normalization import (
    RunningLevels,
    frame_moments,
    measure_bands,
    measure_regions,
    mfcc_to_bands,
    normalise_bands,
    normalise_regions,
    speech_by_hop,
)

CPU = torch.device("cpu")


def normalise(bands: torch.Tensor, has_speech: torch.Tensor) -> torch.Tensor:
    return normalise_bands(bands, *measure_bands(bands, has_speech))


@pytest.mark.parametrize("n_mfcc", [40, 20, 13])
def test_mfcc_to_bands_inverts_the_dct(n_mfcc):
    bands = np.random.default_rng(0).normal(-40, 20, (2, 30, 40))
    mfcc = dct(bands, type=2, norm="ortho")[..., :n_mfcc]
    expected = idct(np.pad(mfcc, ((0, 0), (0, 0), (0, 40 - n_mfcc))), type=2, norm="ortho")
    inverted = mfcc_to_bands(torch.from_numpy(mfcc.astype(np.float32)))
    np.testing.assert_allclose(inverted, expected, atol=1e-3)
    if n_mfcc == 40:
        np.testing.assert_allclose(inverted, bands, atol=1e-3)


def test_silence_around_speech_does_not_change_the_speech():
    torch.manual_seed(0)
    speech = torch.randn(1, 80, 40) * 12 - 30
    silence = torch.full((1, 60, 40), -90.0)
    has_speech = torch.ones(1, 80, dtype=torch.bool)
    padded = torch.cat([silence, speech, silence], 1)
    has_speech_padded = torch.cat([~has_speech[:, :60], has_speech, ~has_speech[:, :60]], 1)
    alone = normalise(speech, has_speech)
    assert torch.allclose(normalise(padded, has_speech_padded)[:, 60:140], alone, atol=1e-5)
    assert alone.abs().max() > 1 and abs(float(alone.mean())) < 0.05
    assert float(alone.std()) == pytest.approx(1, abs=0.05)
    # The check can fail: were the silence counted, the speech would look different.
    all_hops = torch.ones_like(has_speech_padded)
    assert not torch.allclose(normalise(padded, all_hops)[:, 60:140], alone, atol=0.1)


def test_loudness_does_not_matter():
    torch.manual_seed(0)
    bands = torch.randn(2, 40, 40) * 10 - 30
    has_speech = torch.ones(2, 40, dtype=torch.bool)
    louder = normalise(bands + 17, has_speech)
    assert torch.allclose(louder, normalise(bands, has_speech), atol=1e-4)


def test_without_speech_all_hops_count_and_silence_stays_finite():
    bands = torch.randn(1, 40, 40)
    no_speech = torch.zeros(1, 40, dtype=torch.bool)
    assert torch.equal(normalise(bands, no_speech), normalise(bands, ~no_speech))
    assert torch.isfinite(normalise(torch.full((1, 40, 40), -100.0), no_speech)).all()


def test_brightness_and_contrast_do_not_matter():
    torch.manual_seed(0)
    regions = torch.rand(2, 7, 32, 48)
    valid = torch.ones(2, 7, dtype=torch.bool)
    plain = normalise_regions(regions, *measure_regions(regions, valid))
    gain, offset = torch.tensor([0.4, 1.7])[:, None, None, None], 0.2
    changed = regions * gain + offset
    assert torch.allclose(
        normalise_regions(changed, *measure_regions(changed, valid)), plain, atol=1e-3
    )
    assert plain.mean((1, 2, 3)).abs().max() < 1e-4
    assert torch.allclose(plain.std((1, 2, 3)), torch.ones(2), atol=1e-3)


def test_padding_does_not_count_in_the_brightness():
    regions = torch.rand(1, 7, 8, 8)
    valid = torch.ones(1, 7, dtype=torch.bool)
    valid[:, 5:] = False
    mean, deviation = measure_regions(regions, valid)
    assert float(mean) == pytest.approx(float(regions[:, :5].mean()), abs=1e-5)
    assert float(deviation) == pytest.approx(float(regions[:, :5].std(correction=0)), abs=1e-5)


def test_speech_by_hop():
    speech = torch.tensor([[True, False, True]])
    assert speech_by_hop(speech).tolist() == [[True] * 4 + [False] * 4 + [True] * 4]


# --- row by row


def test_running_levels_are_those_of_all_rows_whatever_the_chunks():
    rows = np.random.default_rng(0).normal(5, 2, (90, 3)).astype(np.float32)
    levels = RunningLevels(3, memory_rows=90)
    assert (levels.count, levels.moments.tolist()) == (0, [[0, 0, 0], [0, 0, 0]])
    for start, stop in ((0, 1), (1, 1), (1, 40), (40, 90)):
        levels.add_bands(rows[start:stop])
    assert levels.count == 90
    expected = [rows.mean(0, dtype=float), np.square(rows.astype(float)).mean(0)]
    np.testing.assert_allclose(levels.moments, expected, rtol=1e-12)


def test_the_past_fades_once_the_memory_is_full():
    levels, unlimited = RunningLevels(1, memory_rows=100), RunningLevels(1)
    for rows in (np.zeros((1000, 1)), *[np.ones((10, 1))] * 10):
        levels.add_bands(rows)
        unlimited.add_bands(rows)
        assert levels.count == 100
    # A hundred rows later two of three parts of the old weight are gone.
    assert levels.moments == pytest.approx(1 - (100 / 110) ** 10)
    assert unlimited.moments == pytest.approx(100 / 1100) and unlimited.count == 1100


def test_running_levels_of_frames_are_the_brightness_of_the_clip():
    torch.manual_seed(0)
    regions = 0.3 + 0.2 * torch.rand(1, 50, 16, 32)
    levels = RunningLevels(1)
    for start, stop in ((0, 7), (7, 50)):
        moments = frame_moments(regions[0, start:stop])
        levels.add(*(values.numpy()[:, None] for values in moments))
    expected = measure_regions(regions, torch.ones(1, 50, dtype=torch.bool))
    for value, reference in zip(levels.region_levels(CPU), expected, strict=True):
        assert value.shape == reference.shape == (1,) and value.dtype == torch.float32
        torch.testing.assert_close(value, reference, atol=1e-5, rtol=0)


@pytest.mark.parametrize("share", [0.6, 0.0])
def test_running_levels_of_hops_are_the_spectrum_of_the_speech(monkeypatch, share):
    """Read in chunks as at once; without speech (``share`` 0) all hops count."""
    rng = np.random.default_rng(0)
    speech = rng.random(60) < share
    bands = torch.from_numpy(rng.normal(-40, 15, (1, 240, 40)).astype(np.float32))
    monkeypatch.setattr("src.models.embedding.CHUNK", 7)
    levels = measure_spectrum(lambda first, stop: bands[:, 4 * first : 4 * stop], speech)
    expected = measure_bands(bands, speech_by_hop(torch.from_numpy(speech))[None])
    for value, reference in zip(levels, expected, strict=True):
        assert value.shape == reference.shape and value.dtype == torch.float32
        torch.testing.assert_close(value, reference, atol=1e-4, rtol=0)

"""Augmentation: what changes, by how much, and that the offset never does."""

import math
from dataclasses import replace
from typing import get_args

import cv2
import numpy as np
import pytest
import torch

from src.core.config import Change
from src.models.normalization import crop_face_region
from src.models.spec import ModelSpec
from src.training.augmentation import Augmentation

SPEC = ModelSpec(48, 40, 16, 16, 1, 0.0)


class Unchanged(Augmentation):
    """No change: all ranges are 0."""

    ROTATION_DEG = SCALE = STRETCH = SHIFT = WARP = GAMMA = SHADE = NOISE = 0.0
    EXPOSURE = 0.0
    VOICE = TILT_DB = BAND_DB = 0.0
    MASK_BANDS = MASK_HOPS = 0

    def _draw_clips(self, batch, share, kind):
        return torch.zeros(batch, dtype=torch.bool)


def augmentation(kind=Augmentation, seed=0, size=SPEC, without=(), **ranges) -> Augmentation:
    augmenter = kind(size, torch.Generator().manual_seed(seed), without)
    for name, value in ranges.items():
        setattr(augmenter, name, value)
    return augmenter


def make_crops(batch=2, frames=3, side=48) -> torch.Tensor:
    """Smooth random crops, so that interpolation hardly matters."""
    torch.manual_seed(0)
    coarse = torch.rand(batch, frames, side // 8, side // 8)
    smooth = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic")
    return (smooth.clamp(0, 1) * 255).to(torch.uint8)


@pytest.mark.parametrize("side", [48, 64, 96, 128])
def test_without_changes_views_are_the_face_regions(side):
    size = replace(SPEC, input_size=side)
    crops = make_crops(side=side)
    views = augmentation(Unchanged, size=size).augment_views(crops)
    assert torch.allclose(views, crop_face_region(crops, size).float() / 255, atol=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_views_have_the_shape_and_range_of_the_network_input(seed):
    views = augmentation(seed=seed).augment_views(make_crops(batch=6))
    assert views.shape == (6, 3, *SPEC.region_shape) and views.dtype == torch.float32
    assert views.min() > -0.2 and views.max() < 1.2 and views.std() > 0.02


@pytest.mark.parametrize("seed", range(4))
def test_changes_are_drawn_once_for_all_frames_of_a_clip(seed):
    crops = make_crops(batch=4, frames=1).expand(-1, 5, -1, -1)
    views = augmentation(seed=seed, NOISE=0.0, EXPOSURE=0.0).augment_views(crops)
    assert torch.allclose(views, views[:, :1].expand_as(views), atol=1e-5)
    assert not torch.allclose(views[0], views[1], atol=0.05)  # each clip its own


def test_changes_depend_on_the_generator_only():
    crops, bands = make_crops(), torch.randn(2, 80, 40) * 10 - 30
    for method, data in (("augment_views", crops), ("augment_bands", bands)):
        first, repeated, different = (
            getattr(augmentation(seed=seed), method)(data.clone()) for seed in (1, 1, 2)
        )
        assert torch.equal(first, repeated) and not torch.equal(first, different)


def centre_of_light(view: torch.Tensor) -> tuple[float, float]:
    """x and y in pixels of the centre of brightness."""
    rows, columns = torch.meshgrid(*(torch.arange(n) for n in view.shape), indexing="ij")
    return float((view * columns).sum() / view.sum()), float((view * rows).sum() / view.sum())


def spot(x: int, y: int) -> torch.Tensor:
    """A black crop with a bright spot of 5 × 5 pixels."""
    crops = torch.zeros(1, 1, 96, 96, dtype=torch.uint8)
    crops[..., y - 2 : y + 3, x - 2 : x + 3] = 255
    return crops


def draws(monkeypatch, augmenter: Augmentation, numbers: list[float]) -> Augmentation:
    """Fix the draws of ``_draw_signed``: angle, scale, stretch, shift x and y, gamma, noise."""
    queue = iter(numbers)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.tensor([next(queue) for _ in range(math.prod(shape))]).reshape(shape)

    monkeypatch.setattr(augmenter, "_draw_signed", uniform)
    return augmenter


LARGE_SPEC = replace(SPEC, input_size=96)
# A spot at (60, 50) of a crop of 96 × 96; the face region starts at (8, 24), so that the spot is at
# (52, 26) in it, and its centre at (39.5, 31.5).


@pytest.mark.parametrize(
    ("ranges", "numbers", "expected"),
    [
        ({}, [0, 0, 0, 0, 0, 0, 0], (52, 26)),
        ({"SHIFT": 0.05}, [0, 0, 0, 1, 0, 0, 0], (52 - 4.8, 26)),  # 0.05 of 96 pixels
        ({"SHIFT": 0.05}, [0, 0, 0, 0, -1, 0, 0], (52, 26 + 4.8)),
        ({"SCALE": 0.2}, [0, 1, 0, 0, 0, 0, 0], (39.5 + 1.2 * 12.5, 31.5 - 1.2 * 5.5)),
        ({"SCALE": 0.2}, [0, -1, 0, 0, 0, 0, 0], (39.5 + 0.8 * 12.5, 31.5 - 0.8 * 5.5)),
        ({"STRETCH": 0.2}, [0, 0, 1, 0, 0, 0, 0], (39.5 + 1.2 * 12.5, 26)),  # wider, not higher
        # By the drawn angle, which is small here.
        ({"ROTATION_DEG": 30.0}, [1, 0, 0, 0, 0, 0, 0], (
            39.5 + 12.5 * np.cos(np.pi / 6) - 5.5 * np.sin(np.pi / 6),
            31.5 - 12.5 * np.sin(np.pi / 6) - 5.5 * np.cos(np.pi / 6),
        )),
    ],
)  # fmt: skip
def test_views_move_by_the_drawn_amounts(monkeypatch, ranges, numbers, expected):
    unchanged = augmentation(Unchanged, size=LARGE_SPEC, without=("warp", "shade"), **ranges)
    augmenter = draws(monkeypatch, unchanged, numbers)
    centre = centre_of_light(augmenter.augment_views(spot(60, 50))[0, 0].clamp(min=0))
    assert centre == pytest.approx(expected, abs=0.35)


def test_a_flip_mirrors_the_view(monkeypatch):
    augmenter = augmentation(Unchanged, size=LARGE_SPEC)
    monkeypatch.setattr(
        augmenter, "_draw_clips", lambda batch, share, kind: torch.full((batch,), kind == "flip")
    )
    crops = make_crops(side=96)
    expected = crop_face_region(crops, LARGE_SPEC).float().flip(-1) / 255
    assert torch.allclose(augmenter.augment_views(crops), expected, atol=1e-4)


def test_bands_keep_shape_and_stay_finite():
    bands = torch.randn(4, 200, 40) * 12 - 40
    bands[3] = -100.0  # silence
    for seed in range(5):
        changed = augmentation(seed=seed).augment_bands(bands)
        assert changed.shape == bands.shape and torch.isfinite(changed).all()
        assert not torch.equal(changed, bands)


def test_augmentation_does_not_shift_audio():
    """Bursts stay at their hops, whatever else changes."""
    bands = torch.full((1, 400, 40), -60.0)
    bursts = torch.arange(20, 400, 40)
    bands[:, bursts] = 0.0
    for seed in range(5):
        changed = augmentation(seed=seed, MASK_HOPS=0, without=("babble",)).augment_bands(bands)
        changed = changed[0].mean(1)
        assert set(changed.topk(len(bursts)).indices.tolist()) == set(bursts.tolist())


def test_masks_cover_at_most_their_maximum():
    bands = torch.arange(40.0) + torch.randn(1, 80, 40)
    for seed in range(10):
        augmenter = augmentation(Unchanged, seed=seed, MASK_BANDS=8, MASK_HOPS=12)
        augmenter._draw_signed = torch.zeros  # no tilt
        hidden = (augmenter.augment_bands(bands) - bands).abs()[0] > 1e-6
        columns, rows = hidden.all(0).sum(), hidden.all(1).sum()
        assert columns <= 8 and rows <= 12
        assert hidden.sum() <= columns * 80 + rows * 40


class Always(Unchanged):
    """Only one kind of change, applied to every clip."""

    KIND = ""

    def _draw_clips(self, batch, share, kind):
        return torch.full((batch,), kind == self.KIND)


def only(kind: str, seed: int = 0, **ranges) -> Augmentation:
    return augmentation(type("Only", (Always,), {"KIND": kind}), seed, **ranges)


def test_every_kind_can_be_omitted():
    crops, bands = make_crops(), torch.randn(2, 80, 40) * 10 - 30
    kinds = get_args(Change)
    none = augmentation(without=kinds)
    assert torch.allclose(
        none.augment_views(crops), crop_face_region(crops, SPEC).float() / 255, atol=1e-4
    )
    assert torch.equal(none.augment_bands(bands), bands)
    for kind in kinds:
        omitted = tuple(other for other in kinds if other != kind)
        changed = [
            not torch.allclose(augmenter.augment_views(crops), none.augment_views(crops), atol=1e-4)
            or not torch.allclose(augmenter.augment_bands(bands), bands)
            for augmenter in (augmentation(seed=seed, without=omitted) for seed in range(12))
        ]
        assert any(changed), kind


def test_warp_is_smooth_and_within_its_range():
    """The crops hold their own coordinates, so that views show where each pixel comes from."""
    size = replace(SPEC, input_size=96)
    ramp = torch.arange(96).to(torch.uint8)
    across = ramp.expand(1, 2, 96, 96)
    down = across.transpose(2, 3)
    moved = []
    for crops in (across, down):
        views = augmentation(Unchanged, 3, size, WARP=0.04).augment_views(crops) * 255
        assert torch.equal(views[:, 0], views[:, 1]), "the same for all frames"
        moved.append((views - crop_face_region(crops, size).float())[0, 0].numpy())
    for shift in moved:
        assert 1 < np.abs(shift).max() < 1.3 * 0.04 * 96  # bicubic overshoots a little
        assert max(np.abs(np.diff(shift, axis=axis)).max() for axis in (0, 1)) < 0.5
    assert not np.allclose(moved[0], moved[1], atol=0.5)


class AlwaysExposure(Unchanged):
    """Nothing but the brightness of frames changes, in every clip."""

    EXPOSURE = 0.4

    def _draw_clips(self, batch, share, kind):
        return torch.full((batch,), kind == "exposure")


def test_exposure_goes_up_and_down_at_one_rate():
    """The brightness of a constant video is a sine: its spectrum has one line, within the range."""
    crops = torch.full((3, 250, 48, 48), 100, dtype=torch.uint8)
    views = augmentation(AlwaysExposure, EXPOSURE_HZ=(1.2, 1.2)).augment_views(crops)
    brightness = views.mean((2, 3)) / (100 / 255)
    assert torch.allclose(views.std((2, 3)), torch.zeros(3, 250), atol=1e-5)  # whole frames
    assert (brightness.mean(1) - 1).abs().max() < 0.02
    assert 0.02 < brightness.max() - 1 <= 0.4001
    for clip in brightness:
        spectrum = torch.fft.rfft(clip - clip.mean()).abs()
        assert int(spectrum.argmax()) == 12  # 1.2 Hz over 10 s


def test_shade_changes_brightness_smoothly():
    crops = torch.full((3, 2, 48, 48), 128, dtype=torch.uint8)
    views = augmentation(Unchanged, SHADE=0.4).augment_views(crops) / (128 / 255)
    assert torch.equal(views[:, 0], views[:, 1]) and not torch.allclose(views[0], views[1])
    assert 0.45 < views.min() < 0.95 and 1.05 < views.max() < 1.55
    assert views.diff(dim=2).abs().max() < 0.1 and views.diff(dim=3).abs().max() < 0.1


def test_coarse_views_have_a_lower_resolution():
    """As OpenCV scales down and up again."""
    crops = (torch.rand(1, 2, 48, 48) * 255).to(torch.uint8)
    sharp = crop_face_region(crops, SPEC).float() / 255
    augmenter = only("coarse")
    augmenter._draw_between = lambda low, high, *shape: torch.tensor([2.0])
    views = augmenter.augment_views(crops)[0].numpy()
    height, width = SPEC.region_shape
    for view, original in zip(views, sharp[0].numpy(), strict=True):
        small = cv2.resize(original, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        assert np.allclose(view, cv2.resize(small, (width, height)), atol=1e-3)


@pytest.mark.parametrize("factor", [0.88, 1.0, 1.12])
def test_voice_scales_frequencies(monkeypatch, factor):
    """A tone of 1,500 Hz moves to where a vocal tract of another length would put it."""
    from librosa import mel_frequencies

    centres = mel_frequencies(42, fmin=0, fmax=8000)[1:-1]
    loudness = -((np.log(centres / 1500) * 8) ** 2)
    augmenter = augmentation(VOICE=0.12)
    monkeypatch.setattr(
        augmenter, "_draw_signed", lambda *shape: torch.full(shape, (factor - 1) / 0.12)
    )
    bands = torch.tensor(loudness, dtype=torch.float32).expand(1, 8, 40)
    scaled = augmenter._scale_frequencies(bands)[0]
    assert torch.equal(scaled, scaled[:1].expand(8, 40))  # all hops of a clip alike
    peak = np.exp(np.average(np.log(centres), weights=np.exp(scaled[0].double().numpy())))
    original_peak = np.exp(np.average(np.log(centres), weights=np.exp(loudness)))
    assert peak / original_peak == pytest.approx(1 / factor, rel=0.01)
    if factor == 1:
        assert torch.allclose(scaled, bands[0], atol=1e-4)


def test_reverb_follows_a_burst_and_never_precedes_it():
    bands = torch.full((1, 100, 40), -80.0)
    bands[:, 30] = 0.0
    augmenter = only("reverb")
    augmenter._draw_between = lambda low, high, *shape: torch.full(shape, high)
    wet = augmenter.augment_bands(bands)[0, :, 0]
    assert wet[30] == pytest.approx(0, abs=0.01) and wet[:30].max() < -70
    tail = wet[31:60]
    assert torch.allclose(tail.diff(), torch.full((28,), -60 / 70), atol=0.01), "60 dB in 700 ms"
    power = (10 ** (wet[31:] / 10)).sum()
    assert float(power) == pytest.approx(augmenter.MAX_WET, rel=0.02), "of the direct power"


def test_babble_adds_the_next_clip_at_a_lower_level():
    bands = torch.full((2, 60, 40), -70.0)
    bands[0, 10], bands[1, 40] = 0.0, -20.0
    augmenter = only("babble")
    augmenter._draw_between = lambda low, high, *shape: torch.full(shape, 12.0)
    mixed = augmenter.augment_bands(bands)
    assert mixed[0, 40, 0] == pytest.approx(-12, abs=0.1), "12 dB below the loudest"
    assert mixed[1, 10, 0] == pytest.approx(-32, abs=0.1)
    assert mixed[0, 10, 0] == pytest.approx(0, abs=0.1)
    assert torch.equal(augmenter.augment_bands(bands[:1]), bands[:1]), (
        "a single clip has no background"
    )

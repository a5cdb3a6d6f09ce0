"""What training changes at random: where, how bright, which bands; never the time."""

import math
from dataclasses import replace
from typing import get_args

import cv2
import numpy as np
import pytest
import torch

from src.core.config import Change
from src.models.normalization import central_view
from src.models.spec import ModelSize
from src.training.augmentation import Augmentation

SIZE = ModelSize(48, 40, 16, 16, 1, 0.0)


class Still(Augmentation):
    """All ranges 0."""

    ROTATION_DEG = SCALE = STRETCH = SHIFT = WARP = GAMMA = SHADE = NOISE = 0.0
    VOICE = TILT_DB = BAND_DB = 0.0
    MASK_BANDS = MASK_STEPS = 0

    def _chance(self, batch, share, kind):
        return torch.zeros(batch, dtype=torch.bool)


def augmentation(kind=Augmentation, seed=0, size=SIZE, without=(), **ranges) -> Augmentation:
    made = kind(size, torch.Generator().manual_seed(seed), without)
    for name, value in ranges.items():
        setattr(made, name, value)
    return made


def pictures(batch=2, frames=3, side=48) -> torch.Tensor:
    """Smooth random crops, so that interpolation matters little."""
    torch.manual_seed(0)
    coarse = torch.rand(batch, frames, side // 8, side // 8)
    smooth = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic")
    return (smooth.clamp(0, 1) * 255).to(torch.uint8)


@pytest.mark.parametrize("side", [48, 64, 96, 128])
def test_without_ranges_the_picture_is_the_central_view(side):
    size = replace(SIZE, input_size=side)
    crops = pictures(side=side)
    found = augmentation(Still, size=size).views(crops)
    assert torch.allclose(found, central_view(crops, size).float() / 255, atol=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_views_have_the_shape_and_range_the_network_wants(seed):
    views = augmentation(seed=seed).views(pictures(batch=6))
    assert views.shape == (6, 3, *SIZE.view) and views.dtype == torch.float32
    assert views.min() > -0.2 and views.max() < 1.2 and views.std() > 0.02


@pytest.mark.parametrize("seed", range(4))
def test_one_draw_a_clip_the_same_for_all_its_frames(seed):
    crops = pictures(batch=4, frames=1).expand(-1, 5, -1, -1)
    views = augmentation(seed=seed, NOISE=0.0).views(crops)
    assert torch.allclose(views, views[:, :1].expand_as(views), atol=1e-5)
    assert not torch.allclose(views[0], views[1], atol=0.05)  # each clip its own


def test_draws_follow_the_generator():
    crops, bands = pictures(), torch.randn(2, 80, 40) * 10 - 30
    for name, given in (("views", crops), ("bands", bands)):
        one, again, other = (
            getattr(augmentation(seed=seed), name)(given.clone()) for seed in (1, 1, 2)
        )
        assert torch.equal(one, again) and not torch.equal(one, other)


def centre_of_light(view: torch.Tensor) -> tuple[float, float]:
    """x and y, pixels, of what is bright in a picture."""
    rows, columns = torch.meshgrid(*(torch.arange(n) for n in view.shape), indexing="ij")
    return float((view * columns).sum() / view.sum()), float((view * rows).sum() / view.sum())


def spot(x: int, y: int) -> torch.Tensor:
    """A black crop with a bright spot of 5 pixels."""
    crops = torch.zeros(1, 1, 96, 96, dtype=torch.uint8)
    crops[..., y - 2 : y + 3, x - 2 : x + 3] = 255
    return crops


def draws(monkeypatch, made: Augmentation, numbers: list[float]) -> Augmentation:
    """Let ``_uniform`` return these: angle, scale, stretch, shift x and y, gamma, noise."""
    queue = iter(numbers)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.tensor([next(queue) for _ in range(math.prod(shape))]).reshape(shape)

    monkeypatch.setattr(made, "_uniform", uniform)
    return made


BIG = replace(SIZE, input_size=96)
# A spot at (60, 50) of a crop of 96; the view begins at (8, 24), so there it is at (52, 26), and
# the middle of the view (39.5, 31.5).


@pytest.mark.parametrize(
    ("ranges", "numbers", "expected"),
    [
        ({}, [0, 0, 0, 0, 0, 0, 0], (52, 26)),
        ({"SHIFT": 0.05}, [0, 0, 0, 1, 0, 0, 0], (52 - 4.8, 26)),  # 0.05 of 96 pixels
        ({"SHIFT": 0.05}, [0, 0, 0, 0, -1, 0, 0], (52, 26 + 4.8)),
        ({"SCALE": 0.2}, [0, 1, 0, 0, 0, 0, 0], (39.5 + 1.2 * 12.5, 31.5 - 1.2 * 5.5)),
        ({"SCALE": 0.2}, [0, -1, 0, 0, 0, 0, 0], (39.5 + 0.8 * 12.5, 31.5 - 0.8 * 5.5)),
        ({"STRETCH": 0.2}, [0, 0, 1, 0, 0, 0, 0], (39.5 + 1.2 * 12.5, 26)),  # wider, not higher
        # 90 degrees would carry (12.5, −5.5) to (−5.5, −12.5) or back; the angle is small here.
        ({"ROTATION_DEG": 30.0}, [1, 0, 0, 0, 0, 0, 0], (
            39.5 + 12.5 * np.cos(np.pi / 6) - 5.5 * np.sin(np.pi / 6),
            31.5 - 12.5 * np.sin(np.pi / 6) - 5.5 * np.cos(np.pi / 6),
        )),
    ],
)  # fmt: skip
def test_the_picture_moves_as_drawn(monkeypatch, ranges, numbers, expected):
    still = augmentation(Still, size=BIG, without=("warp", "shade"), **ranges)
    made = draws(monkeypatch, still, numbers)
    found = centre_of_light(made.views(spot(60, 50))[0, 0].clamp(min=0))
    assert found == pytest.approx(expected, abs=0.35)


def test_a_flip_mirrors_the_view(monkeypatch):
    made = augmentation(Still, size=BIG)
    monkeypatch.setattr(
        made, "_chance", lambda batch, share, kind: torch.full((batch,), kind == "flip")
    )
    crops = pictures(side=96)
    expected = central_view(crops, BIG).float().flip(-1) / 255
    assert torch.allclose(made.views(crops), expected, atol=1e-4)


def test_bands_keep_shape_and_stay_finite():
    bands = torch.randn(4, 200, 40) * 12 - 40
    bands[3] = -100.0  # silence
    for seed in range(5):
        changed = augmentation(seed=seed).bands(bands)
        assert changed.shape == bands.shape and torch.isfinite(changed).all()
        assert not torch.equal(changed, bands)


def test_sound_keeps_its_time():
    """Bursts stay at their steps, whatever else is done to the sound."""
    bands = torch.full((1, 400, 40), -60.0)
    bursts = torch.arange(20, 400, 40)
    bands[:, bursts] = 0.0
    for seed in range(5):
        changed = augmentation(seed=seed, MASK_STEPS=0, without=("babble",)).bands(bands)
        changed = changed[0].mean(1)
        assert set(changed.topk(len(bursts)).indices.tolist()) == set(bursts.tolist())


def test_masks_cover_no_more_than_they_may():
    bands = torch.arange(40.0) + torch.randn(1, 80, 40)
    for seed in range(10):
        made = augmentation(Still, seed=seed, MASK_BANDS=8, MASK_STEPS=12)
        made._uniform = torch.zeros  # no tilt
        hidden = (made.bands(bands) - bands).abs()[0] > 1e-6
        columns, rows = hidden.all(0).sum(), hidden.all(1).sum()
        assert columns <= 8 and rows <= 12
        assert hidden.sum() <= columns * 80 + rows * 40


class Always(Still):
    """Only one kind of change, and that to every clip."""

    KIND = ""

    def _chance(self, batch, share, kind):
        return torch.full((batch,), kind == self.KIND)


def only(kind: str, seed: int = 0, **ranges) -> Augmentation:
    return augmentation(type("Only", (Always,), {"KIND": kind}), seed, **ranges)


def test_every_kind_can_be_left_out():
    crops, bands = pictures(), torch.randn(2, 80, 40) * 10 - 30
    kinds = get_args(Change)
    none = augmentation(without=kinds)
    assert torch.allclose(none.views(crops), central_view(crops, SIZE).float() / 255, atol=1e-4)
    assert torch.equal(none.bands(bands), bands)
    for kind in kinds:
        rest = tuple(other for other in kinds if other != kind)
        changed = [
            not torch.allclose(made.views(crops), none.views(crops), atol=1e-4)
            or not torch.allclose(made.bands(bands), bands)
            for made in (augmentation(seed=seed, without=rest) for seed in range(12))
        ]
        assert any(changed), kind


def test_a_warp_bends_smoothly_and_no_further_than_it_says():
    """Where each pixel came from stands in a picture of coordinates."""
    size = replace(SIZE, input_size=96)
    ramp = torch.arange(96).to(torch.uint8)
    across = ramp.expand(1, 2, 96, 96)
    down = across.transpose(2, 3)
    moved = []
    for crops in (across, down):
        found = augmentation(Still, 3, size, WARP=0.04).views(crops) * 255
        assert torch.equal(found[:, 0], found[:, 1]), "the same for all frames"
        moved.append((found - central_view(crops, size).float())[0, 0].numpy())
    for shift in moved:
        assert 1 < np.abs(shift).max() < 1.3 * 0.04 * 96  # bicubic overshoots a little
        assert max(np.abs(np.diff(shift, axis=axis)).max() for axis in (0, 1)) < 0.5
    assert not np.allclose(moved[0], moved[1], atol=0.5)


def test_light_from_elsewhere_changes_brightness_smoothly():
    crops = torch.full((3, 2, 48, 48), 128, dtype=torch.uint8)
    found = augmentation(Still, SHADE=0.4).views(crops) / (128 / 255)
    assert torch.equal(found[:, 0], found[:, 1]) and not torch.allclose(found[0], found[1])
    assert 0.45 < found.min() < 0.95 and 1.05 < found.max() < 1.55
    assert found.diff(dim=2).abs().max() < 0.1 and found.diff(dim=3).abs().max() < 0.1


def test_a_coarse_view_is_that_of_fewer_pixels():
    """As OpenCV scales it down and up again."""
    crops = (torch.rand(1, 2, 48, 48) * 255).to(torch.uint8)
    sharp = central_view(crops, SIZE).float() / 255
    made = only("coarse")
    made._between = lambda low, high, *shape: torch.tensor([2.0])
    found = made.views(crops)[0].numpy()
    height, width = SIZE.view
    for view, given in zip(found, sharp[0].numpy(), strict=True):
        few = cv2.resize(given, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        assert np.allclose(view, cv2.resize(few, (width, height)), atol=1e-3)


@pytest.mark.parametrize("factor", [0.88, 1.0, 1.12])
def test_another_voice_has_its_tones_elsewhere(monkeypatch, factor):
    """A tone of 1,500 Hz is found where a throat of another length would put it."""
    from librosa import mel_frequencies

    centres = mel_frequencies(42, fmin=0, fmax=8000)[1:-1]
    loudness = -((np.log(centres / 1500) * 8) ** 2)
    made = augmentation(VOICE=0.12)
    monkeypatch.setattr(made, "_uniform", lambda *shape: torch.full(shape, (factor - 1) / 0.12))
    bands = torch.tensor(loudness, dtype=torch.float32).expand(1, 8, 40)
    found = made._voice(bands)[0]
    assert torch.equal(found, found[:1].expand(8, 40))  # all of a clip alike
    peak = np.exp(np.average(np.log(centres), weights=np.exp(found[0].double().numpy())))
    still = np.exp(np.average(np.log(centres), weights=np.exp(loudness)))
    assert peak / still == pytest.approx(1 / factor, rel=0.01)
    if factor == 1:
        assert torch.allclose(found, bands[0], atol=1e-4)


def test_reverb_goes_on_after_a_sound_and_never_before():
    bands = torch.full((1, 100, 40), -80.0)
    bands[:, 30] = 0.0
    made = only("reverb")
    made._between = lambda low, high, *shape: torch.full(shape, high)
    wet = made.bands(bands)[0, :, 0]
    assert wet[30] == pytest.approx(0, abs=0.01) and wet[:30].max() < -70
    tail = wet[31:60]
    assert torch.allclose(tail.diff(), torch.full((28,), -60 / 70), atol=0.01), "60 dB in 700 ms"
    power = (10 ** (wet[31:] / 10)).sum()
    assert float(power) == pytest.approx(made.WET, rel=0.02), "of that of the sound"


def test_babble_is_the_next_clip_under_this_one():
    bands = torch.full((2, 60, 40), -70.0)
    bands[0, 10], bands[1, 40] = 0.0, -20.0
    made = only("babble")
    made._between = lambda low, high, *shape: torch.full(shape, 12.0)
    mixed = made.bands(bands)
    assert mixed[0, 40, 0] == pytest.approx(-12, abs=0.1), "12 dB under the loudest"
    assert mixed[1, 10, 0] == pytest.approx(-32, abs=0.1)
    assert mixed[0, 10, 0] == pytest.approx(0, abs=0.1)
    assert torch.equal(made.bands(bands[:1]), bands[:1]), "alone there is nobody else"

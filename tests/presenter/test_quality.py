"""Frames that may not be shown are found, and others are not."""

import cv2
import numpy as np
import pytest

from src.presenter.quality import MAX_TURN, closed_threshold, measure_quality
from src.presenter.store import POSE_VALUES
from tests.support.made_presenters import texture

N_FRAMES, SIDE = 150, 80


@pytest.fixture
def lumas() -> np.ndarray:
    """uint8 [N, side, side]: a mouth that opens and a head that nods a little."""
    rng = np.random.default_rng(0)
    skin, lips, nod = (texture(SIDE + 8, SIDE + 8, seed, 4) - 125 for seed in (1, 2, 3))
    frames = []
    for _ in range(N_FRAMES):
        image = 120 + skin + rng.uniform(-0.5, 0.5) * lips + rng.uniform(-0.3, 0.3) * nod
        x, y = rng.integers(3, 6, 2)
        grain = rng.normal(0, 2, (SIDE, SIDE))
        frames.append(image[y : y + SIDE, x : x + SIDE] + grain)
    return np.clip(frames, 0, 255).astype(np.uint8)


@pytest.fixture
def pose() -> np.ndarray:
    """float32 [N, P], from the front."""
    return np.full((N_FRAMES, POSE_VALUES), 48, np.float32)


def test_good_footage_is_usable(lumas, pose):
    quality = measure_quality(lumas, pose)
    assert quality.usable.mean() > 0.98
    for values in (quality.profile, quality.blurred, quality.hidden):
        assert values.shape == (N_FRAMES,) and values.dtype == bool


@pytest.mark.parametrize("is_left", [False, True])
def test_heads_that_are_turned_away(lumas, pose, is_left):
    turn = -1 if is_left else 1
    pose[20:40, 0] = 48 + turn * (MAX_TURN + 0.5)
    pose[40:60, 0] = 48 + turn * (MAX_TURN - 0.5)
    quality = measure_quality(lumas, pose)
    assert np.flatnonzero(quality.profile).tolist() == list(range(20, 40))
    assert not quality.usable[20:40].any() and quality.usable[40:60].mean() > 0.9


def test_blurred_frames(lumas, pose):
    """Out of focus, and by motion."""
    lumas[10] = cv2.GaussianBlur(lumas[10], (0, 0), 2)
    lumas[30] = cv2.blur(lumas[30], (9, 1))
    quality = measure_quality(lumas, pose)
    assert np.flatnonzero(quality.blurred).tolist() == [10, 30]
    assert not quality.usable[[10, 30]].any()


def test_frames_with_something_in_front_of_the_mouth(lumas, pose):
    for row in (25, 26, 27, 90):  # a hand, a microphone
        hand = 200 + 0.4 * (texture(36, 40, 1000 + row, 2) - 125)
        lumas[row, 30:66, 20:60] = np.clip(hand, 0, 255)
    quality = measure_quality(lumas, pose)
    assert np.flatnonzero(quality.hidden).tolist() == [25, 26, 27, 90]


def test_brighter_light_hides_nothing(lumas, pose):
    later, flash = lumas.copy(), lumas.copy()
    later[70:] = np.clip(lumas[70:].astype(int) + 15, 0, 255)
    flash[33] = np.clip(lumas[33].astype(int) + 40, 0, 255)
    assert measure_quality(later, pose).usable.mean() > 0.97
    assert measure_quality(flash, pose).usable[33]


def test_a_few_frames_can_be_measured_too(lumas, pose):
    for count in (1, 2, 8):
        assert measure_quality(lumas[:count], pose[:count]).usable.shape == (count,)


def test_the_threshold_of_shut_lips_lies_between_the_gaps():
    rng = np.random.default_rng(1)
    gaps = np.concatenate([rng.uniform(0.8, 1.4, 300), rng.uniform(4, 11, 700)])
    threshold = closed_threshold(gaps)
    assert 1.4 < threshold < 4
    # It scales and moves with how the lips of the person rest.
    assert closed_threshold(3 * gaps + 5) == pytest.approx(3 * threshold + 5)
    # 2 % and 95 % of an even distribution from 0 to 10.
    assert closed_threshold(np.linspace(0, 10, 100_001)) == pytest.approx(0.2 + 0.2 * 9.3, abs=1e-3)

"""Mouths between two: the ends are the mouths themselves; in the middle, all has moved halfway."""

import cv2
import numpy as np
import pytest

from src.presenter.compose import Mouth
from src.presenter.morph import morph
from tests.support.made_presenters import jaw_points, lip_points, make_planes, psnr


def mouth(seed: int, side: int = 128, chin: float = 80.0, right: float = 0.0) -> Mouth:
    """A smooth random crop, its content moved to the right by so many pixels."""
    planes = make_planes(side + 64, side + 64, seed, side / 32)
    parts = []
    for number, plane in enumerate(planes):
        border, size = (16, side // 2) if number else (32, side)
        matrix = np.array([[1, 0, border - right / (2 if number else 1)], [0, 1, border]])
        parts.append(cv2.warpAffine(
            plane, matrix, (size, size), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        ).ravel())  # fmt: skip
    return Mouth(np.concatenate(parts).reshape(side * 3 // 2, side), jaw_points(chin), lip_points())


def luma(mouth_: Mouth) -> np.ndarray:
    return mouth_.crop[: mouth_.crop.shape[1]]


def plane(mouth_: Mouth, number: int) -> np.ndarray:
    """Luma (0) or the first chroma plane (1)."""
    side = mouth_.crop.shape[1]
    chroma = mouth_.crop.ravel()[side * side :][: side * side // 4]
    return chroma.reshape(side // 2, side // 2) if number else luma(mouth_)


@pytest.mark.parametrize("weight", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_between_a_mouth_and_itself_there_is_itself(weight):
    own = mouth(1)
    between = morph(own, own, weight)
    assert psnr(between.crop, own.crop) > 45
    assert np.allclose(between.jaw, own.jaw)


def test_the_ends_are_the_mouths():
    first, second = mouth(1, chin=78), mouth(2, chin=84)
    assert np.array_equal(morph(first, second, 0.0).crop, first.crop)
    assert np.array_equal(morph(first, second, 1.0).crop, second.crop)
    for weight, chin in ((0.0, 78), (0.25, 79.5), (0.5, 81), (1.0, 84)):
        jaw = morph(first, second, weight).jaw
        assert jaw.dtype == np.float32 and jaw[8, 1] == pytest.approx(chin, abs=1e-4)


@pytest.mark.parametrize("weight", [0.25, 0.5, 0.75])
def test_what_moved_is_part_of_the_way(weight):
    """Not two images on top of each other."""
    first, second = mouth(5), mouth(5, right=5)
    between = morph(first, second, weight)
    for number, name in enumerate(("luma", "chroma")):
        inner = np.s_[8:-8, 8:-8] if number else np.s_[16:-16, 16:-16]
        shown = plane(between, number)[inner].astype(float)
        rights = np.linspace(0, 5, 21)
        errors = [
            np.square(plane(mouth(5, right=right), number)[inner] - shown).mean()
            for right in rights
        ]
        assert rights[int(np.argmin(errors))] == pytest.approx(5 * weight, abs=0.3), name
        assert 10 * np.log10(255**2 / min(errors)) > 32, name


@pytest.mark.parametrize(("weight", "shown"), [(0.3, 40), (0.7, 200)])
def test_what_does_not_match_is_not_shown_twice(weight, shown):
    """A tooth that is only in one of them is there, or it is not."""
    crops = []
    for value in (40, 200):
        image = np.full((128, 128), 120, np.uint8)
        cv2.circle(image, (64, 64), 24, value, -1)
        crops.append(np.concatenate([image, np.full((64, 128), 128, np.uint8)]))
    first, second = (Mouth(crop, jaw_points(), lip_points()) for crop in crops)
    between = luma(morph(first, second, weight))
    assert np.abs(between[56:72, 56:72].astype(int) - shown).max() < 8
    assert np.abs(between[:20].astype(int) - 120).max() < 3


def test_mouths_of_two_files_have_the_size_of_the_first():
    for first_side, second_side in ((128, 160), (160, 128)):
        first = Mouth(
            np.full((first_side * 3 // 2, first_side), 100, np.uint8), jaw_points(), lip_points()
        )
        second = Mouth(
            np.full((second_side * 3 // 2, second_side), 110, np.uint8), jaw_points(), lip_points()
        )
        between = morph(first, second, 0.5)
        assert between.crop.shape == first.crop.shape and between.crop.dtype == np.uint8
        assert np.abs(between.crop.astype(int) - 105).max() <= 1
    textured = mouth(3, 128)
    larger = mouth(3, 256)  # other content, of another size
    ended = morph(textured, larger, 1.0)
    reference = cv2.resize(luma(larger), (128, 128), interpolation=cv2.INTER_AREA)
    assert psnr(luma(ended), reference) > 35

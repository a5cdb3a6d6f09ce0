"""Crops of the lower face: the right place, to parts of a pixel, of luma and chroma."""

import cv2
import numpy as np
import pytest

from src.presenter.crops import (
    MAX_PIXELS_PER_UNIT,
    WINDOW_LEFT,
    WINDOW_SIDE,
    WINDOW_TOP,
    crop_side,
    cut_crop,
    to_full_range,
)
from tests.support.made_presenters import (
    frame_of,
    make_planes,
    similarity_matrix,
    texture,
    to_planes,
)

HEIGHT, WIDTH = 240, 320
TO_FRAME = similarity_matrix(1.7, 0.15, 55.3, 20.8)


def split(crop: np.ndarray) -> list[np.ndarray]:
    """Luma and chroma of a crop, as the layout of planar 4:2:0 says."""
    side = crop.shape[1]
    quarter = side * side // 4
    flat = crop.ravel()
    return [flat[: side * side].reshape(side, side),
            flat[side * side : side * side + quarter].reshape(side // 2, side // 2),
            flat[side * side + quarter :].reshape(side // 2, side // 2)]  # fmt: skip


def frame_positions(side: int, to_frame: np.ndarray, is_chroma: bool = False) -> np.ndarray:
    """[2, n, n], where in the luma of the frame (x, y) the samples of a crop lie."""
    n = side // 2 if is_chroma else side
    pixel = 2 * np.arange(n) + 0.5 if is_chroma else np.arange(n).astype(float)
    x, y = np.meshgrid(WINDOW_LEFT + pixel * WINDOW_SIDE / side,
                       WINDOW_TOP + pixel * WINDOW_SIDE / side)  # fmt: skip
    return (
        np.einsum("ij,jyx->iyx", to_frame[:2, :2], np.stack([x, y])) + to_frame[:2, 2, None, None]
    )


@pytest.mark.parametrize("side", [92, 156, 220])
def test_samples_of_gradients_have_the_value_of_their_place(side):
    """Luma and chroma are linear in the place, so each sample tells where it was taken."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    planes = to_planes(30 + 0.4 * x + 0.3 * y, 60 + 0.35 * x, 200 - 0.47 * y)
    crop = cut_crop(frame_of(planes), TO_FRAME, side)
    assert crop.shape == (side * 3 // 2, side) and crop.dtype == np.uint8
    luma, blue, red = split(crop)
    at_x, at_y = frame_positions(side, TO_FRAME)
    assert np.abs(luma - (30 + 0.4 * at_x + 0.3 * at_y)).max() <= 1.2
    at_x, at_y = frame_positions(side, TO_FRAME, is_chroma=True)
    assert np.abs(blue - (60 + 0.35 * at_x)).max() <= 1.2
    assert np.abs(red - (200 - 0.47 * at_y)).max() <= 1.2
    for plane, true in ((blue, 60 + 0.35 * at_x), (red, 200 - 0.47 * at_y)):
        assert abs(np.mean(plane - true)) < 0.05, "within a sixth of a pixel"


def test_chroma_is_where_luma_is():
    """Compared with the warp of the image in full colour, which has no planes to misalign."""
    rng = np.random.default_rng(8)
    image = np.stack([texture(HEIGHT, WIDTH, 40 + k, 4.0) for k in range(3)], -1)
    side, matrix = 160, similarity_matrix(1.9, -0.2, 60, 30)
    matrix[:2, 2] += rng.uniform(0, 1, 2)
    luma, blue, red = split(cut_crop(frame_of(to_planes(*np.moveaxis(image, -1, 0))), matrix, side))
    at_x, at_y = frame_positions(side, matrix).astype(np.float32)
    warped = cv2.remap(image, at_x, at_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    assert np.abs(luma - warped[..., 0]).mean() < 0.6
    halves = warped.reshape(side // 2, 2, side // 2, 2, 3).mean((1, 3))
    for plane, channel in ((blue, 1), (red, 2)):
        true = halves[..., channel]
        error = np.abs(plane - true).mean()
        moved = np.abs(plane[:, 1:] - true[:, :-1]).mean()
        assert error < 0.8 and error < moved / 5


def test_full_range_footage_gives_the_same_crop():
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    grey, blue, red = x / WIDTH, 0.8 * y / HEIGHT - 0.4, 0.4 - 0.8 * x / WIDTH
    limited = to_planes(16 + 219 * grey, 128 + 224 * blue, 128 + 224 * red)
    full = to_planes(255 * grey, 128 + 255 * blue, 128 + 255 * red)
    first = cut_crop(frame_of(limited), TO_FRAME, 128)
    second = cut_crop(frame_of(full, is_full_range=True), TO_FRAME, 128)
    assert np.abs(first.astype(int) - second).max() <= 2
    assert np.abs(first.astype(int) - second).mean() < 0.6


def test_a_crop_goes_back_to_full_range():
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    full = to_planes(255 * x / WIDTH, 40 + 170 * y / HEIGHT, 128 + 0 * x)
    crop = to_full_range(cut_crop(frame_of(full, is_full_range=True), TO_FRAME, 128))
    at_x, _ = frame_positions(128, TO_FRAME)
    _, at_y = frame_positions(128, TO_FRAME, is_chroma=True)
    luma, blue, red = split(crop)
    assert np.abs(luma - 255 * at_x / WIDTH).max() <= 2
    assert np.abs(blue - (40 + 170 * at_y / HEIGHT)).max() < 2.5
    assert (red == 128).all(), "no tint"
    extremes = np.array([[16, 235], [235, 16], [16, 240]], np.uint8)
    assert to_full_range(extremes).tolist() == [[0, 255], [255, 0], [0, 255]]


def test_an_odd_frame_is_cut_like_an_even_one():
    """The last row and column are half a chroma sample."""
    planes = make_planes(HEIGHT, WIDTH, 5)
    odd = [planes[0][:-1, :-1], *planes[1:]]
    whole, cut = (cut_crop(frame_of(p), TO_FRAME, 128) for p in (planes, odd))
    at_x, at_y = frame_positions(128, TO_FRAME)
    inside = (at_x < WIDTH - 8) & (at_y < HEIGHT - 8) & (at_x > 8) & (at_y > 8)
    assert inside.mean() > 0.8
    assert np.array_equal(split(whole)[0][inside], split(cut)[0][inside])
    for first, second in zip(split(whole)[1:], split(cut)[1:], strict=True):
        assert np.array_equal(first, second)


def test_outside_the_frame_its_edge_goes_on():
    planes = make_planes(HEIGHT, WIDTH, 6, 12)
    crop = cut_crop(frame_of(planes), similarity_matrix(1, 0, WIDTH - 50, 40), 92)
    luma, _, _ = split(crop)
    assert np.abs(luma[10, 60:].astype(int) - planes[0][64, -1]).max() <= 2


def test_fine_detail_does_not_alias():
    stripes = np.zeros((HEIGHT * 2, WIDTH * 2))
    stripes[:, ::2] = 200
    flat = np.full_like(stripes, 128)
    frame = frame_of(to_planes(stripes + 20, flat, flat))
    luma = split(cut_crop(frame, similarity_matrix(4.4, 0, 100, 0), 92))[0]
    assert luma[2:-2, 2:-2].std() < 8 and luma.mean() == pytest.approx(120, abs=2)


def test_the_side_keeps_the_detail_of_the_footage():
    assert crop_side(np.full(9, 2.0)) == 184
    assert crop_side(np.array([1.0, 1.1, 30.0])) == pytest.approx(101, abs=2), "the median"
    assert crop_side(np.full(9, 50.0)) == pytest.approx(MAX_PIXELS_PER_UNIT * 92, abs=2)
    for pixels in np.linspace(0.001, 6, 50):
        assert crop_side(np.array([pixels])) % 4 == 0 and crop_side(np.array([pixels])) >= 4

"""Alignment: where the landmarks of a face land in its crop."""

import numpy as np
import pytest

from src.faces.alignment import TEMPLATE, align
from src.faces.boxes import box_iou


def transform(points: np.ndarray, scale: float, degrees: float, centre) -> np.ndarray:
    angle = np.deg2rad(degrees)
    rotation = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return ((points - points.mean(0)) @ rotation.T + centre).astype(np.float32)


def draw_dots(points: np.ndarray, size: tuple[int, int], sigma: float) -> np.ndarray:
    """Soft bright dots on black, exact to a fraction of a pixel."""
    y, x = np.mgrid[: size[0], : size[1]]
    image = np.zeros(size)
    for point in points:
        image += np.exp(-0.5 * ((x - point[0]) ** 2 + (y - point[1]) ** 2) / sigma**2)
    return np.clip(image * 250, 0, 255).astype(np.uint8)


def local_centroid(crop: np.ndarray, point: np.ndarray, radius: int) -> np.ndarray:
    """Centroid of the brightness around a point of the crop."""
    y, x = np.mgrid[: crop.shape[0], : crop.shape[1]]
    local = crop * (np.hypot(x - point[0], y - point[1]) <= radius)
    return np.array([(x * local).sum(), (y * local).sum()]) / local.sum()


@pytest.mark.parametrize("degrees", [0, 25, -70, 180])
@pytest.mark.parametrize("scale", [0.5, 1.0, 1.9, 2.1, 3.7, 4.2, 9.0])
def test_landmarks_land_on_the_template(scale, degrees):
    """At a scale of 2 and more the frame is averaged down before it is warped."""
    side = int(260 * max(1, scale))
    points = transform(TEMPLATE, scale, degrees, (side / 2 + 0.3, side / 2 - 0.4))
    for size in (96, 48):
        crop = align(draw_dots(points, (side, side), 2.2 * scale), points, size)
        assert crop.shape == (size, size) and crop.dtype == np.uint8
        targets = TEMPLATE * size / 96
        for target in targets[2:]:  # the eyes are at the edge: half of a dot would be missing
            measured = local_centroid(crop, target, 8 * size // 96)
            assert np.abs(measured - target).max() < 0.35, (scale, degrees, size)


def test_the_transform_is_the_least_squares_fit():
    from scipy.optimize import least_squares

    rng = np.random.default_rng(2)
    points = transform(TEMPLATE, 1.3, 10, (150, 150)) + rng.normal(0, 4, (5, 2)).astype(np.float32)

    def residual(p):
        rotation = np.array([[p[0], -p[1]], [p[1], p[0]]])
        return (points @ rotation.T + p[2:] - TEMPLATE).ravel()

    a, b, *shift = least_squares(residual, [1, 0, 0, 0]).x
    expected = (points[2] @ np.array([[a, -b], [b, a]]).T) + shift
    crop = align(draw_dots(points[2:3], (300, 300), 3), points, 96)
    assert np.abs(local_centroid(crop, expected, 10) - expected).max() < 0.35


def test_large_faces_do_not_alias():
    """Fine stripes become their mean, not a moiré pattern."""
    frame = np.zeros((800, 800), np.uint8)
    frame[:, ::2] = 200
    crop = align(frame, transform(TEMPLATE, 6, 0, (400, 400)), 96)
    assert crop.std() < 4 and abs(crop.mean() - 100) < 4


@pytest.mark.parametrize("centre", [(0, 0), (-900, -900), (320, -700), (5000, 100), (320, 479)])
@pytest.mark.parametrize("scale", [0.7, 5.0])
def test_faces_outside_the_frame_repeat_the_edge(centre, scale):
    frame = np.full((480, 640), 77, np.uint8)
    crop = align(frame, transform(TEMPLATE, scale, 0, centre), 96)
    assert crop.shape == (96, 96) and np.all(crop == 77)


def test_coinciding_landmarks_still_give_a_crop():
    assert align(np.zeros((50, 50), np.uint8), np.full((5, 2), 9, np.float32), 96).shape == (96, 96)


def test_intersection_over_union():
    box = np.array([0, 0, 10, 10], np.float32)
    assert box_iou(box, box) == pytest.approx(1)
    assert box_iou(box, box + 10) == 0
    assert box_iou(box, np.array([5, 0, 15, 10], np.float32)) == pytest.approx(50 / 150)
    assert box_iou(box, np.array([2, 2, 7, 7], np.float32)) == pytest.approx(25 / 100)
    assert box_iou(box * 0, box * 0) == 0, "a box of no size"

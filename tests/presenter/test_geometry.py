"""Where a face is: known transforms are found, and speech does not move them."""

import numpy as np
import pytest

from src.faces.mesh import CHIN, JAW, LEFT_EYE, LOWER_LIP, MOUTH_CORNERS, RIGHT_EYE, UPPER_LIP
from src.presenter.geometry import ANCHOR_SHAPE, ANCHORS, POSE_POINTS, measure_shapes, place_faces
from tests.support.made_presenters import similarity_matrix

FPS = 25.0
UNSMOOTHED = 1e-6  # frames per second at which smoothing reaches no neighbour


def template_face(n_frames: int = 30, seed: int = 0) -> np.ndarray:
    """float64 [N, 468, 2], landmarks in the template: the anchors where they belong."""
    points = np.random.default_rng(seed).uniform(0, 96, (468, 2))
    points[list(ANCHORS)] = ANCHOR_SHAPE
    return np.repeat(points[None], n_frames, 0)


def in_pixels(face: np.ndarray, scale, angle, x, y) -> np.ndarray:
    """Scaled (pixels per unit), turned (radians) and moved (pixels), each a number or [N]."""
    scale, angle, x, y = (np.broadcast_to(value, len(face))[:, None] for value in
                          (scale, angle, x, y))  # fmt: skip
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    return np.stack([cos * face[..., 0] - sin * face[..., 1] + x,
                     sin * face[..., 0] + cos * face[..., 1] + y], -1)  # fmt: skip


@pytest.mark.parametrize("transform", [(1, 0, 0, 0), (2.7, 0.4, 320, 110), (0.6, -1.2, -30, 900)])
def test_a_known_transform_is_recovered(transform):
    face = template_face()
    placement = place_faces(in_pixels(face, *transform), FPS)
    assert np.allclose(placement.to_template(in_pixels(face, *transform)), face, atol=1e-6)
    assert np.allclose(placement.pixels_per_unit(), transform[0])
    matrix = placement.to_frame(7)
    scale, angle, x, y = transform
    assert np.allclose(matrix, similarity_matrix(scale, angle, x, y))


def test_it_is_the_least_squares_fit_of_noisy_anchors():
    rng = np.random.default_rng(4)
    pixels = in_pixels(template_face(1), 2.1, 0.2, 50, 60) + rng.normal(0, 3, (1, 468, 2))
    placement = place_faces(pixels, UNSMOOTHED)
    x, y = pixels[0, ANCHORS].T
    ones, zeros = np.ones(len(x)), np.zeros(len(x))
    # template x = a x − b y + tx, template y = b x + a y + ty
    system = np.concatenate([np.stack([x, -y, ones, zeros], 1), np.stack([y, x, zeros, ones], 1)])
    a, b, tx, ty = np.linalg.lstsq(system, ANCHOR_SHAPE.T.ravel(), rcond=None)[0]
    assert placement.factor[0] == pytest.approx(complex(a, b), abs=1e-9)
    assert placement.shift[0] == pytest.approx(complex(tx, ty), abs=1e-6)


def test_to_frame_is_the_inverse_of_to_template():
    rng = np.random.default_rng(1)
    pixels = in_pixels(template_face(), rng.uniform(1, 3, 30), rng.uniform(-1, 1, 30), 200, 100)
    placement = place_faces(pixels, FPS)
    units = rng.uniform(0, 96, (30, 50, 2))
    for index in (0, 13, 29):
        matrix = placement.to_frame(index)
        placed = units[index] @ matrix[:2, :2].T + matrix[:2, 2]
        every = np.repeat(placed[None], 30, 0)
        assert np.allclose(placement.to_template(every)[index], units[index])


@pytest.mark.parametrize("fps", [25.0, 60.0])
def test_there_is_no_lag_in_uniform_motion(fps):
    n_frames = 40
    face, frame = template_face(n_frames), np.arange(n_frames)
    pixels = in_pixels(face, 2 + 0.01 * frame, 0.3, 100 + 3.0 * frame, 50 - 1.5 * frame)
    placed = place_faces(pixels, fps).to_template(pixels)
    edge = int(np.ceil(4 * 0.04 * fps)) + 1  # where smoothing lacks frames
    assert np.abs(placed[edge:-edge] - face[edge:-edge]).max() < 1e-6
    assert np.abs(placed - face).max() < 4, "also not far off at the ends"


def test_jitter_is_smoothed():
    pixels = in_pixels(template_face(400), 2, 0, 100, 100)
    shaken = pixels + np.random.default_rng(2).normal(0, 1, (400, 1, 2))
    rough, smooth = (
        np.std([place_faces(shaken, fps).to_frame(i)[0, 2] for i in range(10, 390)])
        for fps in (UNSMOOTHED, FPS)
    )
    assert rough == pytest.approx(1, rel=0.1)
    # White noise after a Gaussian of one frame: the root of the sum of its squared weights.
    assert smooth == pytest.approx(0.53, rel=0.1)


def test_mouth_and_chin_do_not_move_the_face():
    pixels = in_pixels(template_face(), 2, 0.1, 100, 100)
    spoken = pixels.copy()
    moving = [*UPPER_LIP, *LOWER_LIP, *MOUTH_CORNERS, CHIN, *JAW]
    spoken[:, moving] += np.random.default_rng(3).normal(0, 20, (30, len(moving), 2))
    before, after = place_faces(pixels, FPS), place_faces(spoken, FPS)
    assert np.array_equal(before.factor, after.factor)
    assert np.array_equal(before.shift, after.shift)


def test_measured_shapes_are_those_drawn():
    """In template units, whatever the size and the turn of the face."""
    n_frames = 60
    face = template_face(n_frames)
    opening = np.where(np.arange(n_frames) % 10 < 5, 1.0, 9.0)  # a quick mouth
    for points, side in ((UPPER_LIP, 0), (LOWER_LIP, 1)):
        face[:, points] = [48, 55]
        face[:, points, 1] += side * opening[:, None]
    face[:, MOUTH_CORNERS[0]], face[:, MOUTH_CORNERS[1]] = [30, 58], [63, 58]
    for eye, gap in ((LEFT_EYE, 4.0), (RIGHT_EYE, 6.0)):
        face[:, eye[2]] = face[:, eye[3]] = [20, 0]
        face[:, eye[3], 1] += gap
    chin = 78 + 0.1 * np.arange(n_frames)
    face[:, CHIN] = np.stack([np.full(n_frames, 48), chin], 1)
    pixels = in_pixels(face, 2.4, 0.5, 400, 80)
    shape = measure_shapes(pixels, place_faces(pixels, FPS), FPS)
    assert np.allclose(shape.opening, opening, atol=1e-3), "not smoothed: lips are quick"
    assert np.allclose(shape.width, 33, atol=1e-3) and np.allclose(shape.eyes, 5, atol=1e-3)
    assert np.allclose(shape.chin[3:-3], chin[3:-3], atol=1e-3)
    assert shape.jaw.shape == (n_frames, 17, 2) and shape.pose.shape == (n_frames, 12)
    assert np.allclose(shape.pose.reshape(-1, 6, 2), face[:, POSE_POINTS], atol=1e-3)


def test_a_degenerate_face_has_a_finite_place():
    placement = place_faces(np.full((3, 468, 2), 7.0), FPS)
    assert np.isfinite(placement.factor).all() and np.isfinite(placement.to_frame(1)).all()

"""Landmarks of drawn faces, whose eyes and lips are at known places."""

import numpy as np
import pytest

from src.faces.mesh import (
    CHIN,
    JAW,
    LEFT_EYE,
    LOWER_LIP,
    MESH_MARGIN,
    MESH_POINTS,
    MESH_SIZE,
    MOUTH_CORNERS,
    NOSE_TIP,
    RIGHT_EYE,
    UPPER_LIP,
    find_landmarks,
    mesh_window,
)
from src.media.frame import to_video_frame
from tools.drawn_face import EYE_Y, IMAGE_UNIT, MOUTH_Y, Look, Pose, draw_face

SIZE = 320
REST = Pose()
LOOKS = {
    "short hair": Look(),
    "long hair": Look(hair_style="long", lips=(80, 80, 180), width=0.66),
    "beard and glasses": Look(hair_style="buzz", beard=0.8, glasses=True, skin=(90, 120, 165)),
}


def mouth(opening: float) -> np.ndarray:
    return np.array([opening, 0.5, 0.0, 0.3, 0.0])


def drawn_place(x: float, y: float, pose: Pose = REST) -> np.ndarray:
    """Pixels of a place of the head, given in half heights of the face."""
    unit = IMAGE_UNIT * SIZE * pose.scale
    return np.array([SIZE / 2 + pose.x + x * unit, 0.455 * SIZE + pose.y + y * unit])


def face_box(pose: Pose = REST) -> np.ndarray:
    """x0 y0 x1 y1 around the drawn face."""
    return np.concatenate([drawn_place(-0.75, -0.95, pose), drawn_place(0.75, 0.95, pose)])


def cut(image: np.ndarray, window: np.ndarray) -> np.ndarray:
    return to_video_frame(image).crop_square(window, MESH_SIZE, 0)


def locate(images: list[np.ndarray], box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks, [n, 468, 2], pixels of the images, and their scores."""
    window = mesh_window(box)
    points, scores = find_landmarks(np.stack([cut(image, window) for image in images]))
    assert points.shape == (len(images), MESH_POINTS, 3) and scores.shape == (len(images),)
    return points[..., :2] * window[0, 0] + window[:, 2], scores


@pytest.mark.parametrize("name", LOOKS)
def test_landmarks_are_where_the_face_is_drawn(name):
    look = LOOKS[name]
    (points,), scores = locate([draw_face(look, mouth(0.3), REST)], face_box())
    assert scores[0] > 0.95
    unit = IMAGE_UNIT * SIZE
    for eye, side in ((LEFT_EYE, -1), (RIGHT_EYE, 1)):
        drawn = drawn_place(side * look.eyes, EYE_Y)
        assert np.linalg.norm(points[list(eye)].mean(0) - drawn) < 0.08 * unit
    lips = points[[*UPPER_LIP, *LOWER_LIP]].mean(0)
    assert np.linalg.norm(lips - drawn_place(0, MOUTH_Y)) < 0.12 * unit
    left, right = points[list(MOUTH_CORNERS)]
    assert right[0] - left[0] == pytest.approx(2 * look.mouth * unit, rel=0.3)
    assert np.linalg.norm(points[CHIN] - drawn_place(0, 0.95)) < 0.2 * unit


def test_parts_of_the_face_are_in_order():
    """Left and right are those of the image."""
    (points,), _ = locate([draw_face(Look(), mouth(0.5), REST)], face_box())
    outer, inner = LEFT_EYE[:2]
    other_outer, other_inner = RIGHT_EYE[:2]
    across = points[[outer, inner, NOSE_TIP, other_inner, other_outer], 0]
    assert (np.diff(across) > 0).all()
    parts = (LEFT_EYE, [NOSE_TIP], UPPER_LIP, LOWER_LIP, [CHIN])
    down = [points[list(part), 1].mean() for part in parts]
    assert (np.diff(down) > 0).all()
    assert points[LEFT_EYE[2], 1] < points[LEFT_EYE[3], 1], "upper and lower lid"
    jaw = points[list(JAW)]
    assert (np.diff(jaw[:, 0]) > 0).all() and jaw[:, 1].argmax() == JAW.index(CHIN)


@pytest.mark.parametrize("name", LOOKS)
def test_the_gap_of_the_lips_grows_with_the_drawn_opening(name):
    openings = [0.0, 0.25, 0.5, 0.75]
    images = [draw_face(LOOKS[name], mouth(opening), REST) for opening in openings]
    points, _ = locate(images, face_box())
    gaps = points[:, LOWER_LIP, 1].mean(1) - points[:, UPPER_LIP, 1].mean(1)
    assert (np.diff(gaps) > 0.5).all() and gaps[-1] - gaps[0] > 6
    chins = points[:, CHIN, 1]
    assert chins[-1] > chins[0], "and the chin goes down"


@pytest.mark.parametrize("pose", [
    Pose(x=25, y=-14), Pose(scale=0.8), Pose(scale=1.15, y=8),
], ids=["moved", "smaller", "larger"])  # fmt: skip
def test_landmarks_follow_the_face(pose):
    """At its own box, and at a box that is not quite right."""
    rest, moved = (draw_face(Look(), mouth(0.3), p) for p in (REST, pose))
    (first,), _ = locate([rest], face_box())
    for slack in (0, 4):
        (second,), scores = locate([moved], face_box(pose) + slack)
        middle = drawn_place(0, 0), drawn_place(0, 0, pose)
        expected = (first - middle[0]) * pose.scale + middle[1]
        assert scores[0] > 0.9
        assert np.linalg.norm(second - expected, axis=1).mean() < 2.5


def test_a_batch_gives_what_single_images_give():
    images = [draw_face(look, mouth(0.4), REST) for look in LOOKS.values()]
    crops = np.stack([cut(image, mesh_window(face_box())) for image in images])
    points, scores = find_landmarks(crops)
    for index, crop in enumerate(crops):
        own_points, own_scores = find_landmarks(crop[None])
        assert np.abs(own_points[0] - points[index]).max() < 1e-2
        assert own_scores[0] == pytest.approx(scores[index], abs=1e-3)


def test_where_there_is_no_face_the_score_says_so():
    noise = np.random.default_rng(0).integers(0, 256, (MESH_SIZE, MESH_SIZE, 3)).astype(np.uint8)
    _, scores = find_landmarks(np.stack([np.full_like(noise, 128), noise]))
    assert (scores < 0.5).all()


@pytest.mark.parametrize("box", [(10, 20, 110, 80), (10.5, 20, 40, 160), (-30, -20, 50, 70)])
def test_the_window_is_a_square_around_the_box(box):
    window = mesh_window(np.array(box, float))
    corners = np.array([[-0.5, -0.5], [MESH_SIZE - 0.5, MESH_SIZE - 0.5]])  # edges of its pixels
    (x0, y0), (x1, y1) = corners @ window[:, :2].T + window[:, 2]
    side = MESH_MARGIN * max(box[2] - box[0], box[3] - box[1])
    assert x1 - x0 == pytest.approx(side) and y1 - y0 == pytest.approx(side)
    assert (x0 + x1) / 2 == pytest.approx((box[0] + box[2]) / 2)
    assert (y0 + y1) / 2 == pytest.approx((box[1] + box[3]) / 2)


def test_an_empty_box_has_a_window():
    assert np.isfinite(mesh_window(np.array([5.0, 5, 5, 5]))).all()

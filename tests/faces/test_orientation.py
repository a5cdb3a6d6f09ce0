"""Which way up the faces of a video are."""

from collections.abc import Iterable

import numpy as np
import pytest

from src.faces.alignment import TEMPLATE
from src.faces.detection import FaceDetection
from src.faces.orientation import CERTAIN_SCORE, MIN_SAMPLES, OrientationWatch, roll

TURNS = [90, 180, 270]
FACE = np.zeros((40, 40, 3), np.uint8)
FACE[4:10, 12:28] = 255  # hair: bright at the top
NO_FACE = np.zeros((40, 40, 3), np.uint8)


def face(score: float, points: np.ndarray = TEMPLATE) -> FaceDetection:
    return FaceDetection(np.array([0, 0, 40, 40], np.float32), points, score)


class HairDetector:
    """Detects a face where the hair is at the top, and another one, badly, where it is not.

    Args:
        wrong: what it detects in a face that is turned.
    """

    def __init__(self, *wrong: FaceDetection):
        self.wrong, self.n_images = wrong, 0

    def detect(self, images: np.ndarray, zoomed: bool = False) -> list[list[FaceDetection]]:
        self.n_images += len(images)
        return [
            [face(0.999)] if image[:20].any() and not image[20:].any()
            else list(self.wrong) if image.any() else []
            for image in images
        ]  # fmt: skip


def watch(images: Iterable[np.ndarray], *wrong: FaceDetection) -> tuple[int, int]:
    """The turn that is found, and how many images were detected to find it."""
    detector = HairDetector(*wrong)
    orientation = OrientationWatch(detector)
    for image in images:
        orientation.detect(image[None])
    n_tracked = detector.n_images
    return orientation.find_turn(), detector.n_images - n_tracked


def turned(degrees: int) -> np.ndarray:
    """The face turned clockwise."""
    return np.ascontiguousarray(np.rot90(FACE, -degrees // 90))


def rolled_by(degrees: int) -> np.ndarray:
    """The five points of a face turned clockwise."""
    angle = np.deg2rad(degrees)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.float32((TEMPLATE - 48) @ matrix.T + 48)


@pytest.mark.parametrize("degrees", [0, 45, 90, 180, -90, -135])
def test_the_roll_of_a_face(degrees):
    assert abs((roll(rolled_by(degrees)) - degrees + 180) % 360 - 180) < 2


@pytest.mark.parametrize("degrees", TURNS)
@pytest.mark.parametrize(
    "wrong",
    [[], [face(0.998, rolled_by(90))], [face(0.9)], [face(CERTAIN_SCORE - 0.01)]],
    ids=["nothing", "strongly rolled", "by mistake", "nearly as good"],
)
def test_turned_faces_are_turned_back(degrees, wrong):
    turn, n_images = watch([turned(degrees)] * 12, *wrong)
    assert turn == 360 - degrees and n_images == 36


def test_upright_faces_are_not_looked_at_again():
    assert watch([FACE] * 60) == (0, 0)
    assert watch([FACE, FACE, NO_FACE] * 20) == (0, 0)


def test_some_turned_faces_do_not_turn_the_video():
    """As of somebody who lies in bed in some shots."""
    assert watch([FACE, FACE, FACE, turned(90)] * 10)[0] == 0
    assert watch([FACE, turned(90), turned(90), turned(90)] * 10)[0] == 0
    assert watch([turned(90), turned(270)] * 10)[0] == 0


def test_a_video_without_faces_is_not_turned():
    assert watch([NO_FACE] * 12) == (0, 36)
    assert watch([NO_FACE] * 12 + [turned(90)] * 2)[0] == 0


def test_faces_that_are_rarely_visible_are_enough():
    assert watch([*[NO_FACE] * 4, turned(180)] * 10)[0] == 180


def test_a_long_video_costs_no_more():
    turn, n_images = watch([turned(90)] * 5000)
    assert turn == 270 and 3 * MIN_SAMPLES <= n_images < 6 * MIN_SAMPLES

"""A face's boxes in few numbers."""

import numpy as np
import pytest

from src.core.constants import FPS
from src.faces.boxes import NEAR, BoxPath, key_boxes


def moving(seconds: float, reach: float, seed: int = 0) -> np.ndarray:
    """Boxes 80 pixels wide of a head that sways by so many pixels."""
    rng = np.random.default_rng(seed)
    at = np.arange(round(seconds * FPS)) / FPS
    sway = sum(np.sin(2 * np.pi * (rate * at + rng.random())) for rate in (0.3, 0.8, 1.7)) / 3
    x, y = 200 + reach * sway, 100 + 0.5 * reach * sway
    return np.stack([x, y, x + 80, y + 100], axis=1).astype(np.float32)


@pytest.mark.parametrize("reach", [0, 4, 40, 160])
@pytest.mark.parametrize("first_frame", [0, 137])
def test_no_box_is_further_off_than_promised(reach, first_frame):
    boxes = moving(9.6, reach)
    path = BoxPath(key_boxes(boxes, first_frame))
    drawn = np.array([path.at((first_frame + frame) / FPS) for frame in range(len(boxes))])
    assert np.abs(drawn - boxes).max() <= NEAR * 80 + 0.2  # boxes are told to 0.1 pixels


def test_a_still_face_has_one_box_a_second_and_a_lively_one_more():
    still, lively = key_boxes(moving(10, 0), 50), key_boxes(moving(10, 160), 50)
    assert [row[0] for row in still] == [*(2.0 + n for n in range(10)), 11.96]
    assert len(still) < len(lively) < 10 * FPS
    assert np.all(np.diff([row[0] for row in lively]) > 0)


def test_one_box_stands_for_all_times():
    path = BoxPath(key_boxes(moving(0.04, 0), 3))
    assert path.at(0.0).tolist() == path.at(99.0).tolist()
    assert path.at(1.0) == pytest.approx([200, 100, 280, 200])

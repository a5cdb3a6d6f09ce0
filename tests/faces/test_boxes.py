"""Key boxes of a face track, and their interpolation."""

import numpy as np
import pytest

from src.core.constants import FPS
from src.faces.boxes import MAX_DEVIATION, BoxPath, key_boxes


def swaying_boxes(seconds: float, amplitude: float, seed: int = 0) -> np.ndarray:
    """Boxes 80 pixels wide of a head that sways by so many pixels."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(seconds * FPS)) / FPS
    sway = sum(np.sin(2 * np.pi * (rate * time_s + rng.random())) for rate in (0.3, 0.8, 1.7)) / 3
    x, y = 200 + amplitude * sway, 100 + 0.5 * amplitude * sway
    return np.stack([x, y, x + 80, y + 100], axis=1).astype(np.float32)


@pytest.mark.parametrize("amplitude", [0, 4, 40, 160])
@pytest.mark.parametrize("first_frame", [0, 137])
def test_interpolated_boxes_deviate_by_five_percent_at_most(amplitude, first_frame):
    boxes = swaying_boxes(9.6, amplitude)
    path = BoxPath(key_boxes(boxes, first_frame))
    interpolated = np.array(
        [path.box_at((first_frame + frame) / FPS) for frame in range(len(boxes))]
    )
    assert (
        np.abs(interpolated - boxes).max() <= MAX_DEVIATION * 80 + 0.2
    )  # key boxes are rounded to 0.1 pixels


def test_a_still_face_has_one_box_a_second_and_a_moving_one_more():
    still, moving = (key_boxes(swaying_boxes(10, pixels), 50) for pixels in (0, 160))
    assert [row[0] for row in still] == [*(2.0 + n for n in range(10)), 11.96]
    assert len(still) < len(moving) < 10 * FPS
    assert np.all(np.diff([row[0] for row in moving]) > 0)


def test_a_single_box_is_used_at_all_times():
    path = BoxPath(key_boxes(swaying_boxes(0.04, 0), 3))
    assert path.box_at(0.0).tolist() == path.box_at(99.0).tolist()
    assert path.box_at(1.0) == pytest.approx([200, 100, 280, 200])

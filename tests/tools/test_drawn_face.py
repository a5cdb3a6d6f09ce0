"""The image of a drawn head."""

from dataclasses import replace

import numpy as np
import pytest

from tools.drawn_face import SIZE, Look, Pose, draw_face, smooth_step

SHUT = np.array([0, 0.5, 0.08, 0, 0])
OPEN = np.array([1, 0.5, 0.08, 0.3, 0.2])


def change(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Where two frames differ: rows and columns, as shares of the side."""
    return np.argwhere(np.abs(one.astype(int) - two).max(axis=2) > 20) / len(one)


@pytest.mark.parametrize("size", [SIZE, 160])
def test_a_picture_has_its_size(size):
    image = draw_face(Look(), SHUT, Pose(), size)
    assert image.shape == (size, size, 3) and image.dtype == np.uint8


def test_an_open_mouth_changes_the_lower_half_only():
    rows, columns = change(draw_face(Look(), SHUT, Pose()), draw_face(Look(), OPEN, Pose())).T
    assert len(rows) > 500
    assert rows.min() > 0.5 and abs(columns.mean() - 0.5) < 0.02


def test_the_mouth_opens_as_far_as_it_is_told():
    shut = draw_face(Look(), SHUT, Pose())
    changed = [
        len(change(shut, draw_face(Look(), np.array([opening, *SHUT[1:]]), Pose())))
        for opening in (0.1, 0.4, 0.7, 1.0)
    ]
    assert changed == sorted(set(changed))


def test_a_blink_changes_the_eyes_only():
    rows, columns = change(
        draw_face(Look(), SHUT, Pose()), draw_face(Look(), SHUT, Pose(blink=1))
    ).T
    assert len(rows) > 100
    assert rows.min() > 0.35 and rows.max() < 0.5
    assert 0.3 < columns.min() < 0.45 and 0.55 < columns.max() < 0.7


def test_the_head_moves_by_pixels():
    look = replace(Look(), background=(0, 0, 0), shirt=(0, 0, 0))
    still, moved = (draw_face(look, SHUT, Pose(x=x, y=y)) for x, y in ((0, 0), (7, -4)))
    assert np.abs(still[20:-20, 20:-20].astype(int) - moved[16:-24, 27:-13]).mean() < 0.5


@pytest.mark.parametrize("style", ["short", "long", "bob", "bun", "buzz"])
def test_every_look_can_be_drawn(style):
    plain = draw_face(Look(hair_style=style), SHUT, Pose())
    more = draw_face(Look(hair_style=style, beard=0.5, glasses=True), SHUT, Pose())
    assert len(change(plain, more)) > 300


def test_smooth_step_is_flat_outside_and_half_in_the_middle():
    assert smooth_step(np.array([-1, 0, 0.5, 1, 2])).tolist() == [0, 0, 0.5, 1, 1]

"""Mouths are warped into shapes: where to, how far, and what stays."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from src.faces.mesh import CHIN, JAW
from src.models.spec import ModelSpec
from src.presenter.choice import Choice
from src.presenter.compose import Mouth
from src.presenter.crops import WINDOW_LEFT, WINDOW_TOP
from src.presenter.mouth_shapes import FaceSpace
from src.presenter.reshape import BOTTOM, TOP, Reshaper, make_reshaper, warp_mouth
from src.presenter.speech import Speech
from src.presenter.sync_regions import region_matrix, sync_region
from tests.support.made_presenters import (
    DIM,
    footage_clip,
    footage_of,
    jaw_points,
    lip_points,
    presenter_of,
)

SPEC = ModelSpec(96, 40, 16, 16, 1, 0.0)
SHAPE = SPEC.region_shape
SIDE = 184  # pixels: two a template unit


def face(lip_y: float) -> np.ndarray:
    """A crop with a dark, soft mouth at a height in template units, in a lit, grainy face."""
    rows, columns = np.indices((SIDE, SIDE)) * 92 / SIDE
    x, y = columns + WINDOW_LEFT - 48, rows + WINDOW_TOP
    luma = 170 - 0.02 * x**2 - 90 * np.exp(-((x / 14) ** 2) - ((y - lip_y) / 3.5) ** 2)
    luma += np.random.default_rng(3).normal(0, 2, luma.shape)
    crop = np.full((SIDE * 3 // 2, SIDE), 128, np.uint8)
    crop[:SIDE] = np.clip(luma, 0, 255)
    return crop


def a_mouth() -> Mouth:
    return Mouth(face(60.0), jaw_points(), lip_points())


def lips(crop: np.ndarray) -> float:
    """Where the mouth is, template units: the darkest place of the middle column."""
    column = cv2.GaussianBlur(crop[:SIDE].astype(np.float32), (0, 0), 2)[:, SIDE // 2 - 4]
    return float(np.argmin(column)) * 92 / SIDE + WINDOW_TOP


@pytest.fixture(scope="module")
def shapes():
    """Shapes whose two first components are these faces, made of faces of all heights."""
    heights = np.arange(52, 68, 0.5)
    regions = np.stack([sync_region(face(y), SPEC) for y in heights])
    values = regions.reshape(len(regions), -1) / np.float32(255)
    levels = np.float32([[values.mean(), values.std()]])
    values = (values - levels[0, 0]) / levels[0, 1]
    mean = values.mean(0)
    axes = np.linalg.svd(values - mean, full_matrices=False)[2][:12]
    space = FaceSpace(axes, mean, axes.T.copy(), levels, np.zeros(12), np.ones(12))

    class Shapes:
        pass

    made = Shapes()
    made.space = space
    made.of = lambda y: space.project_region(sync_region(face(y), SPEC), 0)
    return made


def reshaper_to(shapes, heights, strength=1.0) -> Reshaper:
    components = np.stack([shapes.of(y) for y in heights]).astype(np.float32)
    n_frames = len(components)
    return Reshaper(
        shapes, SPEC, components, np.zeros(n_frames, int), np.full(n_frames, strength, np.float32)
    )


@pytest.mark.parametrize("wanted", [57.0, 60.0, 63.0])
def test_the_mouth_moves_to_where_it_is_asked_for(shapes, wanted):
    made = reshaper_to(shapes, [wanted]).reshape(a_mouth(), 0.0)
    assert abs(lips(made.crop) - wanted) <= 1.0
    assert lips(made.crop) - 60 == pytest.approx(wanted - 60, abs=1.0)


def test_between_two_frames_the_shape_is_between(shapes):
    reshaper = reshaper_to(shapes, [58.0, 58.0, 62.0, 62.0])
    heights = [lips(reshaper.reshape(a_mouth(), t).crop) for t in (1, 2)]
    middle = lips(reshaper.reshape(a_mouth(), 1.5).crop)
    assert heights[0] < middle < heights[1]


def test_without_strength_nothing_changes(shapes):
    mouth = a_mouth()
    assert reshaper_to(shapes, [64.0], strength=0.0).reshape(mouth, 0.0) is mouth


def test_pixels_stay_as_sharp_and_those_around_stay_in_place(shapes):
    mouth = a_mouth()
    made = reshaper_to(shapes, [63.0]).reshape(mouth, 0.0)
    above = slice(0, int((TOP - WINDOW_TOP) * 2) - 2)
    below = slice(int((BOTTOM - WINDOW_TOP) * 2) + 4, SIDE)
    for rows in (above, below):
        assert np.array_equal(made.crop[rows], mouth.crop[rows])
    sharp = [cv2.Laplacian(m.crop[60:130, 60:130], cv2.CV_32F).var() for m in (made, mouth)]
    assert sharp[0] > 0.6 * sharp[1]


def test_the_jaw_moves_with_its_pixels():
    """A flow that takes everything from two units higher moves the chin down by two units."""
    flow = np.zeros((*SHAPE, 2), np.float32)
    flow[..., 1] = -2.0
    mouth = a_mouth()
    made = warp_mouth(mouth, flow, region_matrix(SPEC))
    chin = JAW.index(CHIN)
    assert made.jaw[chin, 1] - mouth.jaw[chin, 1] == pytest.approx(2.0, abs=0.1)
    assert made.jaw[chin, 0] == pytest.approx(mouth.jaw[chin, 0])
    assert lips(made.crop) == pytest.approx(62.0, abs=0.6)


def test_what_is_chosen_for_shut_lips_stays_as_it_is():
    """In pauses, and for the sounds that shut the lips; around them the warp fades."""
    presenter = presenter_of(footage_clip(((0.0, 2.0),)))
    footage = footage_of(presenter)
    silent, closure = np.zeros((2, 40), bool)
    silent[25:] = True
    closure[10] = True
    choice = Choice(np.arange(40), np.zeros(40, np.float32), silent, closure)
    speech = Speech(Path("a.wav"), 1.6, np.zeros((40, DIM), np.float32), ~silent)

    class Shapes:
        header = SimpleNamespace(clips=["another", presenter.clips[0].key])

        def shape(self, audio, pose, clip):
            assert (clip == 1).all(), "as the shapes number the clips"
            assert (
                np.abs(np.diff(pose, axis=0)).max()
                < np.abs(np.diff(footage.frames.pose[:40], axis=0)).max()
            ), "averaged"
            return np.zeros((40, 3), np.float32)

    strength = make_reshaper(Shapes(), presenter, footage, speech, choice, SPEC)._strength
    assert (strength[25:] == 0).all() and strength[10] == 0
    assert 0 < strength[9] < 1 and 0 < strength[24] < 1
    assert (strength[13:22] == 1).all() and (strength[:8] == 1).all()

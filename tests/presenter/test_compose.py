"""A mouth laid onto a frame: invisible where it is the frame's own, and nothing changes outside."""

import cv2
import numpy as np
import pytest

from src.presenter.compose import (
    CHIN_MARGIN,
    GRID,
    JAW_REACH_DOWN,
    JAW_REACH_UP,
    MASK_HALF_WIDTH,
    MASK_TOP,
    MIN_SIDE,
    SIDE_FADE,
    Mouth,
    compose,
    face_mask,
    jaw_line,
    jaw_shift,
    side_mask,
)
from src.presenter.crops import WINDOW_LEFT, WINDOW_SIDE, WINDOW_TOP, cut_crop
from tests.support.made_presenters import (
    frame_of,
    jaw_points,
    lip_points,
    make_planes,
    psnr,
    similarity_matrix,
    to_planes,
)

HEIGHT, WIDTH = 300, 320
JAW = jaw_points(80)
# Small, turned and large faces.
PLACES = {
    "small": similarity_matrix(0.8, 0.0, 100.3, 90.7),
    "turned": similarity_matrix(1.9, 0.25, 90.4, 31.2),
    "large": similarity_matrix(2.6, -0.1, 20, 20),
}


def units_of(shape: tuple[int, int], to_frame: np.ndarray, is_chroma: bool) -> np.ndarray:
    """[2, height, width], template units of the samples of a plane."""
    step, first = (2, 0.5) if is_chroma else (1, 0)
    y, x = (np.indices(shape) * step + first).astype(float)
    matrix = np.linalg.inv(to_frame)
    return np.einsum("ij,jyx->iyx", matrix[:2, :2], np.stack([x, y])) + matrix[:2, 2, None, None]


def composed(planes, to_frame, mouth: Mouth, base_jaw=JAW) -> list[np.ndarray]:
    result = [plane.copy() for plane in planes]
    compose(result, to_frame, base_jaw, mouth)
    return result


def mouth_of(planes, to_frame, side=240, jaw=JAW) -> Mouth:
    return Mouth(cut_crop(frame_of(planes), to_frame, side), jaw, lip_points())


@pytest.mark.parametrize("place", PLACES)
def test_the_own_mouth_is_invisible(place):
    to_frame = PLACES[place]
    planes = make_planes(HEIGHT, WIDTH, 1)
    result = composed(planes, to_frame, mouth_of(planes, to_frame))
    for number, (plane, old) in enumerate(zip(result, planes, strict=True)):
        x, y = units_of(plane.shape, to_frame, number > 0)
        laid = (np.abs(x - 48) < 25) & (y > 36) & (y < 78)
        assert laid.sum() > 200 and psnr(plane[laid], old[laid]) > 42
        assert np.abs(plane.astype(int) - old).max() <= 8


@pytest.mark.parametrize("chin", [80.0, 85.0], ids=["same jaw", "lower jaw"])
@pytest.mark.parametrize("place", PLACES)
def test_nothing_changes_outside(place, chin):
    """Bit by bit: outside the mask, and with another jaw outside the stretch that follows it."""
    to_frame = PLACES[place]
    planes, others = make_planes(HEIGHT, WIDTH, 1), make_planes(HEIGHT, WIDTH, 50)
    mouth = mouth_of(others, to_frame, jaw=jaw_points(chin))
    result = composed(planes, to_frame, mouth)
    for number, (plane, old) in enumerate(zip(result, planes, strict=True)):
        x, y = units_of(plane.shape, to_frame, number > 0)
        edge = 1.01  # the fields are interpolated between points a unit apart
        can_change = (
            (np.abs(x - 48) < MASK_HALF_WIDTH + edge)
            & (y > MASK_TOP - edge) & (y < chin + CHIN_MARGIN + edge)
        )  # fmt: skip
        if chin != 80:
            line = np.interp(x, mouth.jaw[2:-2, 0], mouth.jaw[2:-2, 1])
            can_change |= (
                (np.abs(x - 48) < 42 + edge)
                & (y > line - JAW_REACH_UP - 2 * edge) & (y < line + JAW_REACH_DOWN + 2 * edge)
            )  # fmt: skip
        can_change &= (x > WINDOW_LEFT) & (x < WINDOW_LEFT + WINDOW_SIDE)
        can_change &= (y > WINDOW_TOP) & (y < WINDOW_TOP + WINDOW_SIDE)
        assert np.array_equal(plane[~can_change], old[~can_change])
        inside = (np.abs(x - 48) < 15) & (np.abs(y - 57) < 12)
        assert (plane[inside] != old[inside]).mean() > 0.8, "the mouth is laid on"


def test_the_mask_covers_the_mouth_and_ends_under_the_nose():
    mask = face_mask(JAW)
    columns, rows = 2.5 + np.arange(92), 14.5 + np.arange(92)

    def at(x, y):
        return mask[int(np.abs(rows - y).argmin()), int(np.abs(columns - x).argmin())]

    assert mask.min() == 0 and mask.max() == pytest.approx(1)
    assert at(48, 57) == at(40, 60) == at(56, 60) == 1
    assert at(48, 30) == at(48, 85) == at(16, 57) == at(80, 57) == 0
    assert np.allclose(mask, mask[:, ::-1]), "symmetrical"
    assert np.abs(np.diff(mask, axis=0)).max() < 0.25, "no visible edge"
    wide = face_mask(jaw_points(90))
    assert wide.sum() > mask.sum() and wide[int(88 - 14.5), 46] > 0 == mask[int(88 - 14.5), 46]


@pytest.mark.parametrize("is_across", [True, False])
def test_what_changes_lies_around_the_middle_of_the_mask(is_across):
    """Stripes are laid onto grey: how much of them is seen tells the weight at each place."""
    to_frame = similarity_matrix(3.0, 0, 10, -20)
    grey = np.full((HEIGHT, WIDTH), 128.0)
    number = np.arange(HEIGHT)[:, None] if is_across else np.arange(WIDTH)[None]
    stripes = grey + 50 * np.sin(number * np.pi / 3)
    planes = to_planes(grey, grey, grey)
    mouth = mouth_of(to_planes(stripes, grey, grey), to_frame, side=276)
    seen = np.abs(composed(planes, to_frame, mouth)[0].astype(float) - 128)
    x, y = units_of(seen.shape, to_frame, False)
    if is_across:
        assert (seen * x).sum() / seen.sum() == pytest.approx(48, abs=0.1)
    else:
        middle = (MASK_TOP + 80 + CHIN_MARGIN) / 2
        # A little above the middle: beside the chin, the face ends within the mask.
        assert middle - 1 < (seen * y).sum() / seen.sum() < middle


# ---------------------------------------------------------------------------- jaw


def test_the_jaw_line_is_that_of_its_points():
    line = jaw_line(JAW)
    x = 2.5 + np.arange(92)
    near = np.abs(x - 48) < 30
    ellipse = 40 + 40 * np.sqrt(1 - ((x[near] - 48) / 38) ** 2)
    assert np.abs(line[near] - ellipse).max() < 1.2


@pytest.mark.parametrize("difference", [5.0, -4.0])
def test_the_base_follows_the_jaw(difference):
    shift = jaw_shift(JAW, jaw_points(80 + difference))
    columns, rows = 2.5 + np.arange(92), 14.5 + np.arange(92)
    at_chin = int(np.abs(rows - (80 + difference)).argmin()), int(np.abs(columns - 48).argmin())
    assert shift[at_chin] == pytest.approx(difference, abs=0.15)
    assert np.abs(shift).max() <= abs(difference) + 0.1
    assert not shift[:, 0].any() and not shift[:, -1].any(), "nothing at the sides"
    ends = jaw_points(80 + difference)[2, 1]  # where the contour begins to run upwards
    assert not shift[rows < ends - JAW_REACH_UP].any()
    assert not shift[-1].any(), "nothing at the lower edge"
    assert (shift * np.sign(difference)).min() >= 0, "in one direction"


def test_jaws_that_agree_need_no_shift():
    assert jaw_shift(JAW, JAW) is None
    assert jaw_shift(JAW, jaw_points(80.1)) is None
    assert np.abs(jaw_shift(JAW, jaw_points(140))).max() < 10, "damaged landmarks move little"


@pytest.mark.parametrize("difference", [4.0, -4.0])
def test_the_chin_meets_that_of_the_mouth(difference):
    """The base is a ramp over the face: its values tell from where a pixel was taken."""
    to_frame = similarity_matrix(2.4, 0.2, 80, 10)
    x, y = units_of((HEIGHT, WIDTH), to_frame, False)
    flat = np.full_like(x, 128)
    planes = to_planes(np.clip(2 * y + 20, 0, 255), flat, flat)
    jaw = jaw_points(80 + difference)
    result = composed(planes, to_frame, mouth_of(planes, to_frame, jaw=jaw))[0]
    source_y = (result - 20.0) / 2
    below = (np.abs(x - 48) < 3) & (np.abs(y - (80 + difference + CHIN_MARGIN + 1)) < 0.8)
    assert below.sum() > 10
    moved = np.mean((y - source_y)[below])
    # 4 units under the jaw line, a fifth of the way on which the shift fades smoothly.
    assert moved == pytest.approx(difference * (1 - 3 * 0.2**2 + 2 * 0.2**3), abs=0.25)
    far = (np.abs(x - 48) < 3) & (y > 80 + difference + JAW_REACH_DOWN + 1)
    assert np.array_equal(result[far], planes[0][far])


# ---------------------------------------------------------------------------- colour


def test_an_offset_of_the_colours_is_removed():
    to_frame = PLACES["turned"]
    planes = make_planes(HEIGHT, WIDTH, 3, 6)
    planes[0] = np.clip(planes[0], 50, 200)
    mouth = mouth_of(planes, to_frame)
    side = mouth.crop.shape[1]
    mouth.crop[:side] += 25
    mouth.crop[side:] += 7
    for plane, old in zip(composed(planes, to_frame, mouth), planes, strict=True):
        assert np.abs(plane.astype(int) - old).max() <= 6
        assert np.abs(plane.astype(float) - old).mean() < 0.3


def test_light_from_the_side_is_matched_along_the_seam():
    to_frame = similarity_matrix(2.2, 0, 60, 20)
    x, _ = units_of((HEIGHT, WIDTH), to_frame, False)
    flat = np.full_like(x, 128.0)
    planes = to_planes(flat, flat, flat)
    lit = to_planes(flat + np.clip(0.6 * (x - 48), -40, 40), flat, flat)
    result = composed(planes, to_frame, mouth_of(lit, to_frame))[0].astype(float)
    _, y = units_of(result.shape, to_frame, False)
    mask = cv2.warpAffine(
        face_mask(JAW),
        (np.array([[1, 0, -2.5], [0, 1, -14.5], [0, 0, 1]]) @ np.linalg.inv(to_frame))[:2],
        result.shape[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )  # fmt: skip
    seam = (mask > 0.1) & (mask < 0.9) & (y > 45) & (y < 70)
    unmatched = np.abs(mask * 0.6 * (x - 48))[seam].mean()
    assert np.abs(result - 128)[seam].mean() < 0.3 * unmatched


def test_the_inside_of_the_mouth_keeps_its_colour():
    """Only what lies along the seam is matched: an open mouth is dark, and darkens nothing."""
    to_frame = similarity_matrix(2.2, 0, 60, 20)
    x, y = units_of((HEIGHT, WIDTH), to_frame, False)
    flat = np.full_like(x, 128.0)
    distance = np.hypot(x - 48, y - 57)
    mouth = mouth_of(to_planes(np.where(distance < 8, 30.0, 150.0), flat, flat), to_frame)
    result = composed(to_planes(flat, flat, flat), to_frame, mouth)[0].astype(int)
    assert np.abs(result[(distance > 10) & (y > 25) & (y < 90)] - 128).max() <= 3
    assert np.abs(result[distance < 6] - 8).max() <= 3, "as much darker as it was filmed"


# ---------------------------------------------------------------------------- edges


def test_a_face_that_leaves_the_frame():
    planes, others = make_planes(HEIGHT, WIDTH, 1), make_planes(HEIGHT, WIDTH, 50)
    centred = PLACES["turned"]
    mouth = mouth_of(others, centred, jaw=jaw_points(84))
    for x, y in ((-60, 40), (WIDTH - 90, 40), (60, HEIGHT - 110), (60, -90)):
        result = composed(planes, similarity_matrix(1.9, 0, x, y), mouth)
        assert any(not np.array_equal(*pair) for pair in zip(result, planes, strict=True))
        assert [plane.shape for plane in result] == [plane.shape for plane in planes]
    for x, y in ((-400, 40), (WIDTH + 50, 40), (60, HEIGHT + 10), (60, -500)):
        result = composed(planes, similarity_matrix(1.9, 0, x, y), mouth)
        assert all(np.array_equal(*pair) for pair in zip(result, planes, strict=True))


def test_the_size_of_the_crop_does_not_matter():
    to_frame = PLACES["large"]
    planes, others = make_planes(HEIGHT, WIDTH, 1), make_planes(HEIGHT, WIDTH, 60, 5)
    fine, coarse = (
        composed(planes, to_frame, mouth_of(others, to_frame, side))[0] for side in (320, 160)
    )
    assert psnr(fine, coarse) > 38


def test_beside_the_face_nothing_is_laid_on():
    """A head turned to the left: its left contour comes near the mouth, the right one is far."""
    jaw = jaw_points()
    turned = jaw.copy()
    turned[:, 0] = 48 + np.where(jaw[:, 0] < 48, 0.6, 1.2) * (jaw[:, 0] - 48)
    mask = side_mask(turned)
    row = int(60 - WINDOW_TOP)
    left = turned[turned[:, 0] < 48]
    edge = np.interp(60, left[:, 1], left[:, 0])
    x = WINDOW_LEFT + np.arange(GRID) + 0.5
    assert (mask[row][x < min(edge, 48 - MIN_SIDE) - 0.5] == 0).all()
    assert (mask[row][(x > 48 - MIN_SIDE + SIDE_FADE) & (x < 70)] == 1).all()
    # From the front, the middle of the mask is not touched.
    front = side_mask(jaw)
    assert (front[: int(75 - WINDOW_TOP), np.abs(x - 48) < MIN_SIDE - SIDE_FADE] == 1).all()

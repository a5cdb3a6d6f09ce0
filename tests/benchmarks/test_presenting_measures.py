"""Measures of mouths, on signals and frames whose figures are known."""

import numpy as np
import pytest

from benchmarks import presenting_measures
from benchmarks.presenting_measures import (
    MouthFigures,
    chin_edges,
    closures_reached,
    compare_mouths,
    correlation,
    edge_gradient,
    excess_share,
    long_silences,
    lower_face,
    measure_mouths,
    mouth_of,
    open_share,
    relative_mean,
    structural_similarity,
)
from src.faces.mesh import LOWER_LIP, MESH_POINTS, UPPER_LIP
from src.presenter.compose import GRID
from src.presenter.crops import WINDOW_TOP
from tests.support.made_presenters import base_video, frame_of, make_planes, similarity_matrix

TO_FRAME = similarity_matrix(1.5, 0.0, 20, 60)
TIMES = np.arange(50) / 25


def lit(planes: list[np.ndarray], levels: int) -> list[np.ndarray]:
    """The planes with the luma raised by so many grey levels."""
    return [planes[0] + np.uint8(levels), *planes[1:]]


# ---------------------------------------------------------------------------- frames


def measure(planes: list[list[np.ndarray]], numbers=None, **changes) -> MouthFigures:
    base = base_video(np.arange(10) / 25, to_frame=TO_FRAME, **changes)
    numbers = np.arange(len(planes)) if numbers is None else np.array(numbers)
    return measure_mouths(map(frame_of, planes), base, numbers)


def test_a_constant_video_does_not_flicker():
    planes = make_planes(240, 200, seed=1)
    figures = measure([planes] * 5)
    assert np.isnan(figures.change[0]), "nothing comes before the first frame"
    assert not figures.change[1:].any()
    assert np.ptp(figures.sharpness) == 0 and figures.sharpness[0] > 0


def test_flicker_is_counted_in_grey_levels():
    planes = make_planes(240, 200, seed=1)
    change = measure([planes, lit(planes, 6), planes, planes]).change
    np.testing.assert_allclose(change[1:], [6, 6, 0], atol=1e-4)


def test_flicker_counts_between_neighbours_with_a_face_only():
    planes = make_planes(240, 200, seed=1)
    has_face = np.ones(10, bool)
    has_face[7] = False
    figures = measure([lit(planes, n) for n in range(6)], [1, 2, 5, 6, 7, 8], has_face=has_face)
    np.testing.assert_allclose(figures.change, [np.nan, 1, np.nan, 1, np.nan, np.nan], atol=1e-4)
    assert np.isnan(figures.sharpness[4]) and np.isnan(figures.opening[4])


def test_a_blurred_mouth_is_less_sharp():
    fine = make_planes(240, 200, seed=1, detail=1.0)
    coarse = make_planes(240, 200, seed=1, detail=4.0)
    figures = measure([fine, coarse])
    assert figures.sharpness[1] < 0.1 * figures.sharpness[0]


@pytest.mark.parametrize("pixels_per_unit", [0.8, 3.0])
def test_opening_is_in_template_units(monkeypatch, pixels_per_unit):
    """Face Mesh sees 180 template units (1.5 × 120) in its 192 pixels, whatever their size."""

    def landmarks(images):
        points = np.zeros((len(images), MESH_POINTS, 3), np.float32)
        points[:, list(UPPER_LIP), 1], points[:, list(LOWER_LIP), 1] = 100, 116
        return points, np.array([0.9, 0.2], np.float32)

    monkeypatch.setattr(presenting_measures, "find_landmarks", landmarks)
    to_frame = similarity_matrix(pixels_per_unit, 0.2, 20, 60)
    base = base_video(np.arange(2) / 25, to_frame=to_frame)
    frames = [frame_of(make_planes(240, 200, seed=1))] * 2
    opening = measure_mouths(frames, base, np.arange(2)).opening
    np.testing.assert_allclose(opening, [16 * 180 / 192, np.nan], rtol=1e-6)


def test_the_mouth_is_cut_where_the_template_says():
    """33 … 66 units down and 30 … 66 to the right, here of 2 pixels each."""
    columns = np.tile(np.arange(240, dtype=np.uint8), (240, 1))
    frame = frame_of([columns, *[np.full((120, 120), 128, np.uint8)] * 2])
    mouth = mouth_of(lower_face(frame, similarity_matrix(2.0, 0.0, 10, 10)))
    assert mouth.shape == (2 * 33, 2 * 36)
    assert abs(int(mouth[0, 0]) - (2 * 30 + 10)) <= 1


def test_gradient_counts_across_the_edge_only():
    ramp = np.tile(np.arange(40.0) * 3, (40, 1))
    mask = np.clip((np.arange(40.0) - 10) / 20, 0, 1)
    assert edge_gradient(ramp, np.tile(mask, (40, 1))) == pytest.approx(3)
    assert edge_gradient(ramp, np.tile(mask[:, None], (1, 40))) == pytest.approx(0)


def test_figures_are_put_where_they_belong():
    figures = MouthFigures.empty(4)
    figures.put(np.array([1, 3]), MouthFigures(*(np.array([5.0, 7.0]) + n for n in range(5))))
    np.testing.assert_array_equal(figures.edge, [np.nan, 8, np.nan, 10])
    np.testing.assert_array_equal(figures.at(np.array([3, 0])).opening, [7, np.nan])


# ---------------------------------------------------------------------------- over time


def test_correlation_leaves_out_what_is_not_known():
    first = np.sin(np.arange(100.0))
    second = -2 * first + 5
    second[::7] = np.nan
    assert correlation(first, second) == pytest.approx(-1)
    assert abs(correlation(first, np.cos(np.arange(100.0)))) < 0.05
    assert correlation(first, np.full(100, 3.0)) is None, "does not vary"
    assert correlation(first, np.full(100, np.nan)) is None


def test_relative_mean_is_over_frames_known_in_both():
    made, real = np.array([2.0, 4.0, np.nan, 100.0]), np.array([1.0, 3.0, 50.0, np.nan])
    assert relative_mean(made, real) == pytest.approx(1.5)
    assert relative_mean(made, np.full(4, np.nan)) is None


def test_silences_are_long_from_300_ms_on():
    has_speech = np.ones(60, bool)
    has_speech[10:17] = False  # 280 ms
    has_speech[30:38] = False  # 320 ms
    assert np.flatnonzero(long_silences(has_speech)).tolist() == list(range(30, 38))
    assert long_silences(np.zeros(20, bool)).all()


def test_open_mouths_in_silence_are_counted():
    """At 50 fps two frames lie in each of the 25 fps grid."""
    silent = np.zeros(50, bool)
    silent[10:20] = True
    times = np.arange(100) / 50
    opening = np.full(100, 9.0)
    opening[20:35] = 1.0
    opening[38:40] = np.nan
    assert open_share(opening, times, silent, 2.0) == pytest.approx(3 / 18)
    assert open_share(opening, times, np.zeros(50, bool), 2.0) is None


def test_closures_are_counted():
    opening = np.full(50, 5.0)
    opening[10] = 0.5  # 0.4 s
    opening[40:45] = np.nan
    spans = np.array([[0.3, 0.37], [0.43, 0.5], [1.0, 1.1], [1.66, 1.7]])
    reached = closures_reached(opening, TIMES, spans, 1.0)
    assert reached.tolist() == [True, True, False], "the last one shows no face"


# ---------------------------------------------------------------------------- against real frames


def test_a_constant_difference_has_known_figures():
    real = [np.full((30, 30), level, np.uint8) for level in (100, 150)]
    figures = compare_mouths([image + np.uint8(10) for image in real], real)
    assert figures["mouth_l1"] == pytest.approx(10)
    assert figures["psnr"] == pytest.approx(20 * np.log10(25.5))
    c1 = 2.55**2
    expected = [(2 * x * (x + 10) + c1) / (x**2 + (x + 10) ** 2 + c1) for x in (100, 150)]
    assert figures["ssim"] == pytest.approx(np.mean(expected))


def test_structure_counts_for_ssim():
    image = make_planes(40, 40, seed=3)[0]
    assert structural_similarity(image, image) == pytest.approx(1)
    assert structural_similarity(image, 250 - image) < 0
    assert compare_mouths([], []) == {"mouth_l1": None, "psnr": None, "ssim": None}


def test_a_second_chin_is_an_edge_below_the_chin():
    """The chin itself, two units above, does not count; a line of 40 grey levels below it does."""
    luma = np.full((GRID, GRID), 120, np.float32)
    chin_row = 60
    luma[: chin_row + 1] = 180  # the chin's own edge
    chin_y = WINDOW_TOP + chin_row
    assert chin_edges(luma, chin_y) < 1
    luma[chin_row + 8 :] = 80
    seen = chin_edges(luma, chin_y)
    assert 10 < seen <= 40
    luma[chin_row + 8 :] = 100
    assert chin_edges(luma, chin_y) == pytest.approx(seen / 2, rel=0.01)
    assert np.isnan(chin_edges(luma, np.nan)) and np.isnan(chin_edges(luma, 104.0))


def test_frames_with_more_than_the_real_figure_are_counted():
    real = np.array([2.0, 2.0, 2.0, 2.0, np.nan, 0.1])
    made = np.array([2.0, 2.9, 3.1, 9.0, 9.0, 2.0])  # a real frame with next to none counts as 2
    assert excess_share(made, real, 1.5) == pytest.approx(2 / 5)
    assert excess_share(made[4:5], real[4:5], 1.5) is None

"""The visible mark: where it is, what it looks like, and that nothing else changes."""

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, VideoReformatter

from src.media.frame import ColourTags
from src.plotting.fonts import can_draw_language, render_text
from src.presenter import label
from src.presenter.label import draw_label

pytest_plugins = ("tests.support.training_fixtures",)
SIZES = [(1080, 1920), (1920, 1080), (540, 720), (2160, 3840)]
LIMITED, FULL = ColourTags(), ColourTags(is_full_range=True)


@pytest.fixture(autouse=True)
def english(speaks):
    speaks("en")


def made_planes(height: int, width: int) -> list[np.ndarray]:
    """Noise without the values of a mark."""
    shapes = [(height, width), (height // 2, width // 2), (height // 2, width // 2)]
    rng = np.random.default_rng(0)
    return [rng.integers(60, 100, shape).astype(np.uint8) for shape in shapes]


def drawn(height: int, width: int, tags: ColourTags = LIMITED) -> tuple[list, list[slice]]:
    """A frame with its mark; the rectangle (rows, columns) that changed in the luma."""
    before, planes = made_planes(height, width), made_planes(height, width)
    draw_label(planes, tags)
    rows, columns = (
        slice(int(where.min()), int(where.max()) + 1)
        for where in np.nonzero(planes[0] != before[0])
    )
    for plane, old, size in zip(planes, before, (1, 2, 2), strict=True):
        inside = np.zeros(plane.shape, bool)
        inside[
            rows.start // size : rows.stop // size, columns.start // size : columns.stop // size
        ] = True
        np.testing.assert_array_equal(plane[~inside], old[~inside])
    return planes, [rows, columns]


@pytest.mark.parametrize(
    ("height", "width"), [(1080, 1920), (1920, 1080), (540, 720), (2160, 3840)]
)
def test_mark_is_small_and_in_the_bottom_left_corner(height, width):
    planes, (rows, columns) = drawn(height, width)
    shorter = min(height, width)
    assert rows.stop - rows.start == pytest.approx(shorter / 28, abs=2)
    assert 0 <= height - rows.stop == columns.start <= shorter / 28
    assert shorter / 8 < columns.stop - columns.start < shorter / 2
    assert not any(side % 2 for side in (rows.start, rows.stop, columns.start, columns.stop))
    for plane in planes[1:]:
        mark = plane[rows.start // 2 : rows.stop // 2, columns.start // 2 : columns.stop // 2]
        assert (mark == 128).all()


@pytest.mark.parametrize("space", [1, 5, 9])
@pytest.mark.parametrize("is_full_range", [False, True])
def test_players_display_the_text_as_it_was_drawn(space, is_full_range):
    """swscale converts the frame back, in the range and the matrix of its tags."""
    planes, (rows, columns) = drawn(1080, 1920, ColourTags(space, 1, 1, is_full_range))
    image = np.concatenate([plane.ravel() for plane in planes]).reshape(1620, 1920)
    shown = VideoReformatter().reformat(
        av.VideoFrame.from_ndarray(image, format="yuv420p"), format="bgr24",
        src_colorspace=space,
        src_color_range=ColorRange.JPEG if is_full_range else ColorRange.MPEG,
    ).to_ndarray()[rows, columns]  # fmt: skip
    text = render_text(" AI-generated lip movement ", 28, label.INK, label.BACKGROUND)
    inner = np.s_[2 : text.shape[0] - 2, 2 : text.shape[1] - 2]  # not where chroma is interpolated
    difference = np.abs(shown[inner].astype(int) - text[inner])
    assert difference.max() <= 3


def test_range_decides_on_the_numbers():
    (limited, *_), place = drawn(720, 1280, LIMITED)
    (full, *_), _ = drawn(720, 1280, FULL)
    limited, full = (luma[tuple(place)] for luma in (limited, full))
    assert (limited.min(), limited.max()) == (
        16 + round(28 * 219 / 255),
        16 + round(238 * 219 / 255),
    )
    assert (full.min(), full.max()) == (28, 238)


def test_mark_is_in_the_language_of_the_user(speaks):
    english, _ = drawn(1080, 1920)
    speaks("zh")
    if not can_draw_language():
        pytest.skip("no Chinese font")
    chinese, (_, columns) = drawn(1080, 1920)
    assert not np.array_equal(chinese[0], english[0])
    text = render_text(" 口型由 AI 生成 ", 28, label.INK, label.BACKGROUND)
    assert columns.stop - columns.start == pytest.approx(text.shape[1], abs=1)


def test_mark_is_rendered_once(monkeypatch):
    drawn(480, 640)
    monkeypatch.setattr(label, "render_text", None)
    for _ in range(3):
        drawn(480, 640)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (40, 400), (16, 20), (2, 2)])
def test_frame_too_small_for_the_mark(height, width):
    planes, (rows, columns) = drawn(height, width)
    assert [plane.shape for plane in planes] == [
        plane.shape for plane in made_planes(height, width)
    ]
    assert rows.stop <= height and columns.stop <= width

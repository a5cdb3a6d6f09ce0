"""A bound of how much the brightness of two frames differs, without computing it."""

import av
import numpy as np
import pytest

from src.faces.shot_boundary import CUT_THRESHOLD
from src.media import frame as frame_module
from src.media.frame import VideoFrame

BT709, BT2020 = 1, 9  # ITU-T H.273
STEPS = [
    (0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1), (3, 0, 0), (100, 0, 0), (0, 60, 0),
    (0, 0, 60), (-90, 40, 40), (20, -50, 30),
]  # fmt: skip


def planar_frame(
    size: tuple[int, int], levels: tuple[int, int, int], noise: int = 0, full: bool = False,
    pixel_format: str = "yuv420p", matrix: int = 2,
) -> VideoFrame:  # fmt: skip
    """Flat luma and chroma planes of 8-bit levels, with noise of up to so many; turned, as by
    phones."""
    rng = np.random.default_rng(sum(levels))
    frame = av.VideoFrame(*size, pixel_format)
    frame.colorspace = matrix
    if full:
        frame.color_range = frame_module.FULL_RANGE
    shift, dtype = (2, "<u2") if pixel_format.endswith("10le") else (0, "u1")
    for plane, level in zip(frame.planes, levels, strict=True):
        n_values = plane.buffer_size // np.dtype(dtype).itemsize
        values = np.clip(level + rng.integers(-noise, noise + 1, n_values), 0, 255)
        plane.update((values << shift).astype(dtype).tobytes())
    return VideoFrame(frame, None, turn=90)


def check_steps(size: tuple[int, int], noise: int, **options) -> None:
    """Changes of all planes and of one alone, by little, where it is a matter of rounding, and by
    much."""
    for luma in (60, 101, 118):
        start = (luma, 120, 131)
        before = planar_frame(size, start, noise, **options)
        for step in STEPS:
            levels = tuple(level + change for level, change in zip(start, step, strict=True))
            frame = planar_frame(size, levels, noise, **options)
            change = np.abs(frame.brightness.astype(int) - before.brightness).mean()
            assert change <= frame.max_brightness_change(before), (luma, step)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("size", [(640, 480), (321, 243), (1920, 1080), (150, 20)])
@pytest.mark.parametrize("noise", [0, 2, 128])
def test_no_change_of_brightness_is_larger_than_its_bound(size, full, noise):
    check_steps(size, noise, full=full)


@pytest.mark.parametrize("matrix", [BT709, BT2020])
@pytest.mark.parametrize("noise", [0, 128])
@pytest.mark.parametrize(
    "pixel_format",
    ["yuv422p", "yuvj422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le", "yuvj420p"],
)
def test_the_bound_holds_for_webcams_and_10_bits(pixel_format, noise, matrix):
    check_steps((323, 242), noise, pixel_format=pixel_format, matrix=matrix)


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize("size", [(320, 240), (1280, 720), (3840, 2160), (7680, 4320)])
def test_frames_that_hardly_change_are_no_cut_by_their_bound_alone(size, pixel_format):
    before, frame = (
        planar_frame(size, (luma, 128, 128), noise=1, pixel_format=pixel_format)
        for luma in (120, 121)
    )
    assert frame.max_brightness_change(before) < CUT_THRESHOLD


@pytest.mark.parametrize(
    "layout", [(320, 242, "yuv420p"), (320, 240, "yuv444p"), (320, 240, "rgb24")]
)
def test_frames_of_another_size_or_format_have_no_bound(layout):
    frame = VideoFrame(av.VideoFrame(320, 240), None)
    other = VideoFrame(av.VideoFrame(*layout), None)
    assert frame.max_brightness_change(frame) is not None
    assert frame.max_brightness_change(other) is None
    assert other.max_brightness_change(frame) is None
    for tag, value in (("colorspace", BT709), ("color_range", frame_module.FULL_RANGE)):
        tagged = av.VideoFrame(320, 240)
        setattr(tagged, tag, value)
        assert VideoFrame(tagged, None).max_brightness_change(frame) is None, tag
    assert VideoFrame(av.VideoFrame(96, 96), None).max_brightness_change(frame) is None

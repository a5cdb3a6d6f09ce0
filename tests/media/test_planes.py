"""Planes of 4:2:0 of any video, and what their numbers mean: the colours stay those of the file."""

import av
import cv2
import numpy as np
import pytest

from src.media.frame import ColourTags, VideoFrame, split_planes
from src.media.reader import source_frames
from tests.support.made_presenters import frame_of, make_planes
from tests.support.media_files import ffmpeg

HEIGHT, WIDTH = 120, 160
MATRICES = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114)}  # ITU-T H.273: Kr, Kb
UNSPECIFIED = 2
FULL = ["-vf", "scale=out_range=pc", "-color_range", "pc"]
HD = ["-vf", "scale=out_color_matrix=bt709", "-colorspace", "bt709"]
CODED = {
    "h264": ("mp4", ["-pix_fmt", "yuv420p"], False),
    "h264 BT.709": ("mp4", [*HD, "-pix_fmt", "yuv420p"], False),
    "h264 full range": ("mp4", [*FULL, "-pix_fmt", "yuvj420p"], True),
    "h264 4:4:4 full range": ("mp4", [*FULL, "-pix_fmt", "yuvj444p"], True),
    "h264 10 bits": ("mp4", [*HD, "-pix_fmt", "yuv420p10le"], False),
    "h264 10 bits full range": ("mp4", [*FULL, "-pix_fmt", "yuv420p10le"], True),
    "h264 4:2:2": ("mkv", [*HD, "-pix_fmt", "yuv422p"], False),
    "h264 rgb": ("mkv", ["-c:v", "libx264rgb", "-crf", "5"], True),
    "mjpeg": ("avi", ["-c:v", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj422p"], True),
    "rgb": ("mov", ["-c:v", "qtrle", "-pix_fmt", "rgb24"], False),
    "prores": ("mov", ["-c:v", "prores_ks"], False),
    "odd size": ("mkv", ["-vf", "crop=131:97:0:0", "-pix_fmt", "yuv420p", "-c:v", "ffv1"], False),
}


def make_scene() -> np.ndarray:
    """uint8 RGB, a ramp in each channel."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    ramps = [x / (WIDTH - 1), y / (HEIGHT - 1), (x + y) / (WIDTH + HEIGHT - 2)]
    return (255 * np.stack(ramps, -1)).astype(np.uint8)


def to_rgb(planes: list[np.ndarray], tags: ColourTags) -> np.ndarray:
    """float [height, width, 3], 0…255, as ITU-T H.273 defines it."""
    luma, blue, red = (cv2.resize(plane.astype(float), planes[0].shape[::-1]) for plane in planes)
    if tags.is_full_range:
        luma, blue, red = luma / 255, (blue - 128) / 255, (red - 128) / 255
    else:
        luma, blue, red = (luma - 16) / 219, (blue - 128) / 224, (red - 128) / 224
    space = 6 if tags.space == UNSPECIFIED else tags.space
    kr, kb = MATRICES[space]
    r, b = luma + 2 * (1 - kr) * red, luma + 2 * (1 - kb) * blue
    g = (luma - kr * r - kb * b) / (1 - kr - kb)
    return np.clip(255 * np.stack([r, g, b], -1), 0, 255)


@pytest.mark.parametrize("name", CODED)
def test_planes_and_tags_together_are_the_colours_of_the_file(tmp_path, name):
    suffix, options, is_full_range = CODED[name]
    cv2.imwrite(str(tmp_path / "scene.png"), make_scene()[..., ::-1])
    path = tmp_path / f"video.{suffix}"
    ffmpeg("-loop", 1, "-t", 0.1, "-i", tmp_path / "scene.png", *options, path)
    _, frame, _ = next(source_frames(path))
    planes = frame.planes_420()
    height, width = planes[0].shape
    assert (height % 2, width % 2) == (0, 0)
    assert height - frame.height == frame.height % 2 and width - frame.width == frame.width % 2
    assert [plane.shape for plane in planes[1:]] == [(height // 2, width // 2)] * 2
    assert all(plane.dtype == np.uint8 for plane in planes)
    assert frame.colour_tags.is_full_range == is_full_range
    shown = to_rgb(planes, frame.colour_tags)[: frame.height, : frame.width]
    error = np.abs(shown - make_scene()[: frame.height, : frame.width])
    assert error.mean() < 2


def test_planes_of_a_decoder_are_not_copied():
    planes = make_planes(HEIGHT, WIDTH, 1)
    frame = frame_of(planes)
    for own, plane in zip(frame.planes_420(), planes, strict=True):
        assert np.array_equal(own, plane)
        assert not own.flags.owndata


@pytest.mark.parametrize("size", [(97, 131), (96, 131), (97, 132)])
def test_an_odd_side_is_made_even_by_repetition(size):
    height, width = size
    planes = make_planes(98, 132, 2)
    half = -(-height // 2), -(-width // 2)
    odd = [planes[0][:height, :width], *(p[: half[0], : half[1]] for p in planes[1:])]
    luma, blue, red = frame_of(odd).planes_420()
    assert luma.shape == (2 * half[0], 2 * half[1])
    assert np.array_equal(luma[:height, :width], odd[0])
    assert np.array_equal(luma[height:], luma[height - 1 : height].repeat(len(luma) - height, 0))
    assert np.array_equal(blue, odd[1]) and np.array_equal(red, odd[2])


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_planes_are_turned_like_the_image(tmp_path, turn):
    planes = make_planes(HEIGHT, WIDTH, 3)
    stored, path = tmp_path / "stored.mkv", tmp_path / "turned.mkv"
    raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{WIDTH}x{HEIGHT}", "-i", "pipe:"]
    data = b"".join(plane.tobytes() for plane in planes)
    ffmpeg(*raw, "-c:v", "libx264", "-qp", 0, stored, stdin=data)
    ffmpeg("-display_rotation", turn, "-i", stored, "-c", "copy", path)
    _, frame, _ = next(source_frames(path))
    for own, plane in zip(frame.planes_420(), planes, strict=True):
        assert np.array_equal(own, np.rot90(plane, turn // 90))


@pytest.mark.parametrize(("name", "color_range", "is_full_range"), [
    ("yuv420p", 1, False), ("yuv420p", 2, True), ("gray", 1, False), ("gray", 2, True),
    ("rgb24", 0, False), ("yuv444p10le", 2, True), ("nv12", 2, True), ("nv12", 0, False),
])  # fmt: skip
def test_black_and_white_are_where_the_tags_say(name, color_range, is_full_range):
    """In all formats: those that are converted, too."""
    ramp = np.tile(np.linspace(0, 255, WIDTH), (HEIGHT, 1))
    if name != "rgb24" and name != "gray" and color_range != 2:
        ramp = 16 + ramp * 219 / 255
    grey = np.rint(ramp).astype(np.uint8)
    if name == "rgb24":
        frame = av.VideoFrame.from_ndarray(np.repeat(grey[..., None], 3, 2), format=name)
    elif name == "gray":
        frame = av.VideoFrame.from_ndarray(grey, format=name)
    else:
        deep = "10le" in name
        values = grey.astype("<u2") * 4 if deep else grey
        frame = av.VideoFrame(WIDTH, HEIGHT, name)
        for number, plane in enumerate(frame.planes):
            rows = np.zeros((plane.height, plane.line_size // (2 if deep else 1)), values.dtype)
            rows[:, :WIDTH] = values if not number else 512 if deep else 128
            plane.update(rows.tobytes())
    frame.color_range = color_range
    video_frame = VideoFrame(frame, None)
    luma, blue, red = video_frame.planes_420()
    assert video_frame.colour_tags.is_full_range == is_full_range
    black, white = (0, 255) if is_full_range else (16, 235)
    assert luma.min() == pytest.approx(black, abs=1) and luma.max() == pytest.approx(white, abs=1)
    assert np.abs(blue.astype(int) - 128).max() <= 1 and np.abs(red.astype(int) - 128).max() <= 1


def test_split_planes_are_views_of_the_layout_of_pyav():
    planes = make_planes(HEIGHT, WIDTH, 4)
    image = frame_of(planes)._frame.to_ndarray()  # by PyAV
    views = split_planes(image)
    for view, plane in zip(views, planes, strict=True):
        assert np.array_equal(view, plane) and np.shares_memory(view, image)

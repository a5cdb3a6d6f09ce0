"""Decoded frames: grey levels, colours, sizes, rotation, fields; and reports of damage."""

import subprocess
from fractions import Fraction
from pathlib import Path

import av
import cv2
import imageio_ffmpeg
import numpy as np
import pytest

from src.correction import remux
from src.media import frame as frame_module
from src.media import reader, writer
from src.media.frame import Scaler, VideoFrame
from tests.support.media_files import (
    COLUMNS,
    MPEG2,
    PCM,
    ROWS,
    corner_image,
    count_frames,
    ffmpeg,
    field_number,
    make_video,
    read_code,
)

# ---------------------------------------------------------------------------- levels


def convert(
    data: bytes, size: tuple[int, int], pixel_format: str, target_format: str, full=False
) -> bytes:
    """Raw pixels of one format as those of another, by ffmpeg's swscale."""
    levels = ["-color_range", "pc"] if full else []
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-f", "rawvideo", "-s",
        f"{size[0]}x{size[1]}", "-pix_fmt", pixel_format, *levels, "-i", "pipe:", "-f", "rawvideo",
        "-pix_fmt", target_format, "pipe:",
    ]  # fmt: skip
    return subprocess.run(command, input=data, check=True, capture_output=True).stdout


def make_scene(width: int, height: int) -> np.ndarray:
    """uint8 RGB: ramps from black to white in every channel, some noise, black and white spots."""
    y, x = np.mgrid[:height, :width]
    ramps = [x / (width - 1), y / (height - 1), (x + y) / (width + height - 2)]
    pixels = 255 * np.stack(ramps, 2) + np.random.default_rng(3).normal(0, 6, (height, width, 3))
    pixels[:9, :9], pixels[-9:, -9:] = 0, 255
    return np.clip(pixels, 0, 255).astype(np.uint8)


def raw_frame(data: bytes, size: tuple[int, int], pixel_format: str, full: bool) -> av.VideoFrame:
    """A frame as a decoder outputs it: rows are padded."""
    frame = av.VideoFrame(*size, pixel_format)
    if full:
        frame.color_range = frame_module.FULL_RANGE
    offset = 0
    for number, plane in enumerate(frame.planes):
        bits = frame.format.components[min(number, len(frame.format.components) - 1)].bits
        length = plane.width * (2 if bits > 8 or (pixel_format == "nv12" and number) else 1)
        length *= 3 if pixel_format == "rgb24" else 1
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        pixels = np.frombuffer(data, np.uint8, plane.height * length, offset)
        rows[:, :length] = pixels.reshape(plane.height, length)
        rows[:, length:] = 77  # the padding must not be used
        plane.update(rows.tobytes())
        offset += plane.height * length
    assert offset == len(data)
    return frame


PIXEL_FORMATS = [
    ("yuv420p", False), ("yuv420p", True), ("yuvj420p", True), ("yuv422p", False),
    ("yuv444p", False), ("nv12", False), ("gray", True), ("rgb24", True), ("yuv420p10le", False),
    ("yuv420p10le", True),
]  # fmt: skip


@pytest.mark.parametrize("size", [(128, 96), (131, 97)], ids=["even", "odd"])
@pytest.mark.parametrize(("pixel_format", "full"), PIXEL_FORMATS)
def test_gray_equals_the_conversion_by_swscale(pixel_format, full, size):
    data = convert(make_scene(*size).tobytes(), size, "rgb24", pixel_format)
    reference = np.frombuffer(convert(data, size, pixel_format, "gray", full), np.uint8)
    reference = reference.reshape(size[::-1]).astype(int)
    assert np.ptp(reference) > 200
    frame = VideoFrame(raw_frame(data, size, pixel_format, full), None)
    assert (frame.width, frame.height) == size
    assert frame.gray.dtype == np.uint8
    is_dithered = pixel_format == "yuv420p10le"  # by swscale, not here
    assert np.abs(frame.gray - reference).max() <= 1 + is_dithered
    if is_dithered:
        exact = np.frombuffer(data, "<u2", size[0] * size[1]).reshape(size[::-1]) / 4
        exact = np.clip(exact * 1020 / 1023 if full else (exact - 16) * 255 / 219, 0, 255)
        assert np.abs(frame.gray - exact).max() <= 1.1
    for part in (np.s_[:, :], np.s_[10:40, 7:63], np.s_[-1:, ::3]):
        assert np.array_equal(frame.to_full_range(frame.luma[part]), frame.gray[part])


def decode_first(path: Path, target_format: str, shape: tuple[int, ...]) -> np.ndarray:
    """The first frame of a file as ffmpeg decodes and converts it."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", path, "-frames:v", "1",
               "-f", "rawvideo", "-pix_fmt", target_format, "pipe:"]  # fmt: skip
    data = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(data, np.uint8).reshape(shape).astype(int)


FULL = ["-vf", "scale=out_range=pc", "-color_range", "pc"]
CODED = {
    "h264": ("mp4", ["-pix_fmt", "yuv420p"]),
    "h264 full range": ("mp4", [*FULL, "-pix_fmt", "yuvj420p"]),
    "h264 10 bits": ("mp4", ["-pix_fmt", "yuv420p10le"]),
    "h264 10 bits full range": ("mp4", [*FULL, "-pix_fmt", "yuv420p10le"]),
    "h264 4:2:2 10 bits": ("mkv", ["-pix_fmt", "yuv422p10le"]),
    "vp9 full range": ("webm", ["-c:v", "libvpx-vp9", *FULL, "-pix_fmt", "yuv420p"]),
    "mjpeg": ("avi", ["-c:v", "mjpeg", "-q:v", "2"]),
    "gray": ("mkv", ["-c:v", "ffv1", "-pix_fmt", "gray"]),
    "gray 10 bits": ("mkv", ["-c:v", "ffv1", "-pix_fmt", "gray10le"]),
    "rgb": ("avi", ["-c:v", "rawvideo", "-pix_fmt", "bgr24"]),
    "rgb in mov": ("mov", ["-c:v", "qtrle", "-pix_fmt", "rgb24"]),
    "transparent": ("webm", ["-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p"]),
    "4:1:1": ("mkv", ["-c:v", "ffv1", "-pix_fmt", "yuv411p"]),
    "prores": ("mov", ["-c:v", "prores_ks"]),
}


@pytest.mark.parametrize("name", CODED)
def test_levels_of_decoded_videos_are_those_of_ffmpeg(tmp_path, name):
    suffix, options = CODED[name]
    cv2.imwrite(str(tmp_path / "scene.png"), make_scene(162, 122)[..., ::-1])
    path = tmp_path / f"video.{suffix}"
    ffmpeg("-loop", 1, "-t", 0.1, "-i", tmp_path / "scene.png", *options, path)
    first = next(reader.read_frames(path))
    shape = (first.height, first.width)
    is_dithered = "yuv" in options[-1] and options[-1].endswith("10le")  # by ffmpeg
    assert np.abs(first.gray - decode_first(path, "gray", shape)).max() <= 1 + is_dithered
    assert np.abs(first.bgr - decode_first(path, "bgr24", (*shape, 3))).mean() <= 1
    assert first.gray.max() >= 250 and first.gray.min() <= 5


# ---------------------------------------------------------------------------- sizes and rotation


def corners(gray: np.ndarray) -> list[bool]:
    """Which corners are white: top left, top right, bottom left, bottom right."""
    height, width = gray.shape
    positions = [
        (y, x) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)
    ]
    return [bool(gray[position] > 128) for position in positions]


TURNS = [(0, (1, 0, 0, 0)), (90, (0, 0, 1, 0)), (180, (0, 0, 0, 1)), (270, (0, 1, 0, 0))]


@pytest.mark.parametrize(("turn", "expected"), TURNS)
@pytest.mark.parametrize("aspect", [1, 2])
def test_rotated_videos_are_upright(tmp_path, turn, expected, aspect):
    """ffmpeg's -display_rotation rotates the displayed image counterclockwise."""
    plain, turned = tmp_path / "plain.mp4", tmp_path / "turned.mp4"
    writer.write_clip(tmp_path / "square.mp4", [corner_image(90, 160 // aspect)] * 5, 25, None)
    ffmpeg("-i", tmp_path / "square.mp4", "-vf", f"setsar={aspect}", plain)
    ffmpeg("-display_rotation", turn, "-i", plain, "-c", "copy", turned)
    upright = tmp_path / "upright.png"
    ffmpeg("-i", turned, "-frames:v", 1, upright)  # rotated by ffmpeg itself: the reference
    frame = next(reader.read_frames(turned))
    assert (frame.width, frame.height) == ((160, 90) if turn % 180 == 0 else (90, 160))
    assert frame.gray.shape == frame.luma.shape == (frame.height, frame.width)
    assert frame.bgr.shape == (frame.height, frame.width, 3)
    assert corners(frame.gray) == [bool(corner) for corner in expected]
    assert corners(frame.bgr[..., 1]) == corners(frame.small_bgr(80)[..., 1])
    assert corners(frame.gray) == corners(frame.bgr[..., 1])
    assert frame.small_bgr(80).shape == ((45, 80, 3) if turn % 180 == 0 else (80, 45, 3))
    assert corners(cv2.imread(str(upright), cv2.IMREAD_GRAYSCALE)) == corners(frame.gray)


@pytest.mark.parametrize("mark", [0, 90])
@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_frames_are_turned_clockwise_as_asked(tmp_path, turn, mark):
    """On top of rotation metadata; boxes are given back in the frame as displayed."""
    image, plain, path = corner_image(), tmp_path / "plain.mp4", tmp_path / "marked.mp4"
    image[20:30, 100:140] = 235
    writer.write_clip(plain, [image] * 3, 25, None)
    ffmpeg("-display_rotation", mark, "-i", plain, "-c", "copy", path)
    displayed = next(reader.read_frames(path))
    frame = next(reader.read_frames(path, turn=turn))
    assert np.array_equal(frame.bgr, np.rot90(displayed.bgr, -turn // 90))
    assert np.array_equal(frame.luma, np.rot90(displayed.luma, -turn // 90))
    assert (frame.height, frame.width) == frame.luma.shape

    def bar(gray: np.ndarray) -> np.ndarray:
        """Box of the bright bar, which is outside of the bright corner."""
        labels = cv2.connectedComponentsWithStats((gray > 128).astype(np.uint8))[2][1:]
        x, y, width, height, _ = min(labels, key=lambda label: label[cv2.CC_STAT_AREA])
        return np.float32([x, y, x + width - 1, y + height - 1])

    box = frame.box_before_turn(bar(frame.gray))
    assert box.dtype == np.float32 and np.array_equal(box, bar(displayed.gray))


@pytest.mark.parametrize("aspect", [Fraction(4, 3), Fraction(1, 2)])
def test_non_square_pixels_are_scaled(tmp_path, aspect):
    path = tmp_path / "wide.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=120x90:d=0.2",
           "-vf", f"setsar={aspect.numerator}/{aspect.denominator}", path)  # fmt: skip
    frame = next(reader.read_frames(path))
    size = (round(120 * aspect), 90)
    assert (frame.width, frame.height) == size
    stored = decode_first(path, "gray", (90, 120)).astype(np.uint8)
    expected = cv2.resize(stored, size, interpolation=cv2.INTER_AREA).astype(int)
    assert frame.gray.shape == (90, size[0])
    assert np.abs(frame.gray - expected).mean() < 3


def test_odd_sizes(tmp_path):
    path = tmp_path / "odd.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=101x67:d=0.4:r=25", "-f", "lavfi", "-i",
           "sine=d=0.4", "-pix_fmt", "yuv444p", path)  # fmt: skip
    frames = list(reader.read_frames(path))
    assert len(frames) == 10
    assert frames[0].gray.shape == (67, 101)
    assert np.abs(frames[0].gray - decode_first(path, "gray", (67, 101))).max() <= 1
    assert frames[0].small_bgr(50).shape == (33, 50, 3)
    remux.shift_audio(path, None, tmp_path / "odd.webm", 0)
    assert count_frames(tmp_path / "odd.webm") == 10


def to_frame(rgb: np.ndarray, pixel_format: str = "yuv420p") -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=pixel_format)


def test_downscaling_averages_pixels():
    """A checkerboard of single pixels becomes grey; nearest neighbour gives black and white."""
    checks = np.indices((192, 256)).sum(0) % 2 * 255
    frame = to_frame(np.repeat(checks[..., None], 3, 2).astype(np.uint8), "yuv444p")
    for longest, ripple in ((128, 2), (100, 35), (64, 2), (30, 12)):
        small = VideoFrame(frame, None).small_bgr(longest).astype(int)
        assert small.shape == (round(192 * longest / 256), longest, 3)
        assert np.abs(small - 127.5).max() <= ripple


def test_downscaled_frames_match_opencv():
    pixels = cv2.GaussianBlur(make_scene(256, 192), (0, 0), 1.5)
    small = VideoFrame(to_frame(pixels), None).small_bgr(64).astype(int)
    expected = cv2.resize(pixels, (64, 48), interpolation=cv2.INTER_AREA)[..., ::-1]
    assert np.abs(small - expected).mean() < 2
    whole = VideoFrame(to_frame(pixels), None)
    assert whole.small_bgr(256) is whole.bgr and whole.small_bgr(1000).shape == (192, 256, 3)


@pytest.mark.parametrize("size", [(256, 192), (255, 193)], ids=["even", "odd"])
@pytest.mark.parametrize(("pixel_format", "full"), PIXEL_FORMATS)
def test_halved_frames_are_averages_of_the_colours(pixel_format, full, size):
    """Against swscale's colours, averaged by numpy; chroma lies differently at odd edges."""
    data = convert(make_scene(*size).tobytes(), size, "rgb24", pixel_format)
    frame = VideoFrame(raw_frame(data, size, pixel_format, full), None)
    whole = np.frombuffer(convert(data, size, pixel_format, "bgr24", full), np.uint8)
    whole = whole.reshape(size[1], size[0], 3)[:192, :248]
    for longest, block in ((128, 2), (100, 4), (50, 8)):
        small = frame.halved_bgr(longest).astype(int)
        assert small.shape == (size[1] // block, size[0] // block, 3)
        rows, columns = 192 // block, 248 // block
        expected = whole.reshape(rows, block, columns, block, 3).mean((1, 3))
        assert np.abs(small[:rows, :columns] - expected).mean() < 2


@pytest.mark.parametrize("size", [(256, 192), (255, 193)], ids=["even", "odd"])
@pytest.mark.parametrize(("pixel_format", "full"), PIXEL_FORMATS)
def test_halved_luma_is_the_luma_averaged(pixel_format, full, size):
    data = convert(make_scene(*size).tobytes(), size, "rgb24", pixel_format)
    frame = VideoFrame(raw_frame(data, size, pixel_format, full), None)
    for halvings, block in ((0, 1), (1, 2), (3, 8)):
        rows, columns = size[1] // block, size[0] // block
        whole = frame.luma[: rows * block, : columns * block].astype(float)
        expected = whole.reshape(rows, block, columns, block).mean((1, 3))
        halved = frame.halved_luma(halvings)
        assert halved.shape == (rows, columns)
        assert np.abs(halved - expected).max() <= 1.5, "rounded at each halving"


def test_small_frames_are_not_halved():
    frame = VideoFrame(to_frame(make_scene(120, 90)), None)
    assert frame.halved_bgr(120) is frame.bgr
    line = VideoFrame(to_frame(make_scene(640, 4)), None)
    assert line.halved_bgr(120).shape == (2, 320, 3), "two rows stay"


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuvj420p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize("halvings", [0, 1, 2])
def test_square_crops_are_at_their_position(tmp_path, pixel_format, turn, halvings):
    """Against OpenCV's warp of the whole colour frame, at a position between pixels."""
    plain, turned = tmp_path / "plain.mp4", tmp_path / "turned.mp4"
    cv2.imwrite(str(tmp_path / "scene.png"), cv2.GaussianBlur(make_scene(256, 192), (0, 0), 3))
    levels = FULL if pixel_format == "yuvj420p" else []
    ffmpeg("-loop", 1, "-t", 0.1, "-i", tmp_path / "scene.png", *levels,
           "-pix_fmt", pixel_format, plain)  # fmt: skip
    ffmpeg("-display_rotation", turn, "-i", plain, "-c", "copy", turned)
    frame = next(reader.read_frames(turned))
    step = 1.3 * 2**halvings
    matrix = np.array([[step, 0, 20.4], [0, step, -6.7]])
    part = frame.crop_square(matrix, 32, halvings)
    blurred = cv2.blur(frame.bgr, (1 << halvings,) * 2, anchor=(0, 0))
    shift = matrix.copy()
    shift[:, 2] -= ((1 << halvings) - 1) / 2  # a blur of even width is centred between pixels
    expected = cv2.warpAffine(blurred, shift, (32, 32), borderMode=cv2.BORDER_REPLICATE,
                              flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)  # fmt: skip
    assert part.shape == (32, 32, 3) and np.ptp(part) > 40
    inside = np.s_[10:, :]  # where the edge is repeated, only one of the two averages
    assert np.abs(part[inside].astype(int) - expected[inside]).mean() < 2.5


@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
def test_arrays_become_frames_with_their_levels(size):
    smooth = cv2.resize(np.random.default_rng(4).integers(0, 256, (4, 5, 3), np.uint8), size[::-1])
    frame = frame_module.to_video_frame(smooth)
    assert 0 <= frame.height - size[0] <= 1 and 0 <= frame.width - size[1] <= 1
    part = np.s_[: size[0], : size[1]]
    expected = cv2.cvtColor(smooth, cv2.COLOR_BGR2GRAY).astype(int)
    assert np.abs(frame.gray[part] - expected).max() <= 2
    # Chroma has half the resolution.
    assert np.abs(frame.bgr[part].astype(int) - smooth).mean() < 8
    before = frame.gray.copy()
    smooth[:] = 0
    assert np.array_equal(frame_module.to_video_frame(np.zeros_like(smooth)).gray, 0 * before)
    assert np.array_equal(frame.gray, before)


def test_one_scaling_context_per_size(monkeypatch):
    """Contexts are slow to create: the frames of a file share them."""
    used = []

    class CountingReformatter:
        def __init__(self, make=frame_module.VideoReformatter):
            self.real = make()

        def reformat(self, *arguments, **options):
            if self not in used:
                used.append(self)
            return self.real.reformat(*arguments, **options)

    monkeypatch.setattr(frame_module, "VideoReformatter", CountingReformatter)
    scaler, pixels = Scaler(), make_scene(128, 96)
    for _ in range(5):
        frame = VideoFrame(to_frame(pixels), None, scaler)
        frame.small_bgr(64), frame.small_bgr(32), frame.bgr, frame.gray
    assert len(used) == 3  # grey is a plane of the frame
    VideoFrame(to_frame(pixels, "yuv422p"), None, scaler).small_bgr(64)
    VideoFrame(to_frame(make_scene(64, 96)), None, scaler).small_bgr(64)
    assert len(used) == 5


# ---------------------------------------------------------------------------- fields


def spread(gray: np.ndarray) -> float:
    """The largest deviation of the pixels of a block: combing makes it large."""
    height, width = gray.shape[0] // ROWS, gray.shape[1] // COLUMNS
    blocks = gray[: height * ROWS, : width * COLUMNS].reshape(ROWS, height, COLUMNS, width)
    return float(blocks[:, 4:-4, :, 4:-4].std((1, 3)).max())


@pytest.mark.parametrize("fields", ["top", "bottom"])
@pytest.mark.parametrize(
    ("suffix", "options"),
    [("ts", MPEG2), ("mpg", MPEG2), ("avi", ["-c:v", "mpeg4", "-q:v", "2", *PCM])],
)
def test_interlaced_frames_show_their_first_field(tmp_path, suffix, options, fields):
    path = make_video(tmp_path / f"video.{suffix}", fields=fields, options=options)
    due = [field_number(2 * k) for k in range(90)]
    grays = [frame.gray for frame in reader.read_frames(path)]
    assert [read_code(gray) for gray in grays] == due
    assert max(spread(gray) for gray in grays) < 20
    with av.open(str(path)) as container:
        combed = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    assert len(combed) == 90 and min(spread(gray) for gray in combed) > 80
    assert sum(read_code(gray) == number for gray, number in zip(combed, due, strict=True)) < 60


@pytest.mark.parametrize("options", [["-crf", "30"], ["-c:v", "mpeg2video", "-q:v", "9"]])
def test_progressive_frames_are_unchanged(tmp_path, options):
    path = make_video(tmp_path / "video.ts", options=options)
    with av.open(str(path)) as container:
        stored = [frame.to_ndarray() for frame in container.decode(video=0)]
    frames = list(reader.read_frames(path))
    assert len(frames) == len(stored) == 90
    for frame, planes in zip(frames, stored, strict=True):
        assert np.array_equal(frame.luma, planes[: frame.height])


def test_levels_and_rotation_survive_deinterlacing(tmp_path):
    stored = make_video(tmp_path / "stored.mkv", fields="top", options=[
        "-vf", "transpose=1,tinterlace=interleave_top,setfield=tff,scale=out_range=pc:interl=1",
        "-color_range", "pc", "-pix_fmt", "yuvj420p", "-x264opts", "tff=1"])  # fmt: skip
    path = tmp_path / "turned.mkv"
    ffmpeg("-display_rotation", 90, "-i", stored, "-c", "copy", path)
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).interlaced_frame
    grays = [frame.gray for frame in reader.read_frames(path)]
    assert [read_code(gray) for gray in grays] == [field_number(2 * k) for k in range(90)]
    levels = np.unique(grays[20], return_counts=True)
    assert {16, 235} <= set(levels[0][np.argsort(levels[1])[-4:]])  # as drawn, not rescaled


# ---------------------------------------------------------------------------- reports of damage


@pytest.mark.parametrize("suffix", ["mp4", "ts", "avi"])
def test_an_intact_video_is_reported_as_intact(tmp_path, suffix):
    options = ["-c:v", "mpeg4", *PCM] if suffix == "avi" else []
    path = make_video(tmp_path / f"video.{suffix}", fps=30, options=options)
    frames = reader.read_frames(path)
    assert len(list(frames)) == 90
    assert (frames.report.frames, frames.report.n_damaged) == (108, 0)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4", "mpeg2video", "mjpeg"])
def test_damaged_packets_are_counted(tmp_path, codec):
    whole, path = tmp_path / "whole.mkv", tmp_path / "damaged.mkv"
    make_video(whole, options=["-c:v", codec, "-g", "15", "-c:a", "flac"])
    rng, n_damaged = np.random.default_rng(7), 0
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(video=0)):
            if packet.size == 0:
                continue
            if number % 20 == 10:
                data = bytearray(bytes(packet))
                for position in rng.integers(6, len(data), max(3, len(data) // 8)):
                    data[position] ^= 0xFF
                damaged, n_damaged = av.Packet(bytes(data)), n_damaged + 1
                damaged.pts, damaged.dts = packet.pts, packet.dts
                damaged.time_base = packet.time_base
                packet = damaged
            packet.stream = stream
            target.mux(packet)
    frames = reader.read_frames(path)
    n_frames, report = len(list(frames)), frames.report
    assert n_damaged == 4
    assert n_frames == pytest.approx(90, abs=2)
    assert 0 < report.n_damaged <= 90
    assert report.frames + report.n_damaged >= 90

"""Decoded video frames: deinterlaced, and converted only as far as required."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from threading import Lock

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

PLANAR_420_FORMATS = {"yuv420p", "yuvj420p"}  # luma, and two chroma planes of half the size
# Formats of one plane each for luma, blue and red chroma: bits of a value, and pixels per chroma.
PLANAR_YUV_FORMATS = {
    f"{name}{suffix}": (bits, pixels)
    for pixels, chroma in ((4, "420p"), (2, "422p"), (1, "444p"))
    for name, suffix, bits in (
        (f"yuv{chroma}", "", 8), (f"yuvj{chroma}", "", 8), (f"yuv{chroma}", "10le", 10),
    )
}  # fmt: skip
# Formats whose first plane is luma, which is used as it is, or rounded to 8 bits.
LUMA_PLANE_FORMATS = {"gray", "nv12", "nv21", *PLANAR_YUV_FORMATS}
BRIGHTNESS_SIZE = 128  # px
MAX_PIXEL_ASPECT = 8  # beyond, or below its inverse, the header is damaged
FULL_RANGE = 2  # AVCOL_RANGE_JPEG
# By quarter turns counterclockwise.
ROTATIONS = {
    1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE,
}  # fmt: skip
HDR_TRANSFERS = {16: "PQ", 18: "HLG"}  # AVCOL_TRC_SMPTE2084, AVCOL_TRC_ARIB_STD_B67
BT2020 = 9  # AVCOL_SPC_BT2020_NCL, and the primaries of the same name
BT601 = 6  # AVCOL_SPC_SMPTE170M: the matrix with which swscale makes YUV of RGB
# Limited-range luma, 16…235, to 0…255; clipped at both ends.
FULL_RANGE_GAIN = 255 / 219
_TO_FULL_RANGE = np.clip(np.rint((np.arange(256) - 16) * FULL_RANGE_GAIN), 0, 255).astype(np.uint8)
# At most, of blue chroma in blue and of red chroma in red, relative to luma (BT.2020).
CHROMA_WEIGHTS = (1.85, 1.55)


def to_video_frame(bgr: np.ndarray) -> "VideoFrame":
    """uint8 BGR [height, width, 3], copied, as if decoded from a file.

    Planar YUV is cropped and scaled faster; OpenCV converts to it ten times as fast as swscale.
    """
    height, width = bgr.shape[:2]
    if height % 2 or width % 2:  # chroma has half the size
        bgr = cv2.copyMakeBorder(bgr, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    planes = cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420)
    return VideoFrame(av.VideoFrame.from_ndarray(planes, format="yuv420p"), None)


@dataclass(frozen=True)
class ColourTags:
    """What the numbers of a video mean, as ffmpeg counts it (ITU-T H.273).

    Attributes:
        space: of the matrix from RGB to YUV; 1: BT.709, 2: not specified.
        primaries, transfer: of the colours.
        is_full_range: 0…255 instead of 16…235.
    """

    space: int = 1
    primaries: int = 1
    transfer: int = 1
    is_full_range: bool = False


def split_planes(image: np.ndarray) -> list[np.ndarray]:
    """uint8 [3/2 height, width], planar 4:2:0 as PyAV lays it out, even sides -> views of luma
    [height, width] and both chroma planes [height/2, width/2]."""
    width = image.shape[1]
    height = image.shape[0] * 2 // 3
    chroma = image[height:].reshape(2, height // 2, width // 2)
    return [image[:height], chroma[0], chroma[1]]


class Scaler:
    """Scales and converts with swscale; caches a context for each size and format. One thread at a
    time: two crash in one context, and a frame's tags are changed while it is converted."""

    def __init__(self):
        self._contexts: dict[tuple, VideoReformatter] = {}
        self._is_free = Lock()

    def convert(
        self, frame: av.VideoFrame, width: int, height: int, pixel_format: str
    ) -> np.ndarray:
        """uint8 [height, width] or [height, width, 3], area-averaged where it gets smaller."""
        key = (frame.width, frame.height, frame.format.name, width, height, pixel_format)
        context = self._contexts.setdefault(key, VideoReformatter())
        is_smaller = width < frame.width or height < frame.height
        method = "AREA" if is_smaller else "BILINEAR"
        with self._is_free:
            scaled = context.reformat(frame, width, height, pixel_format, interpolation=method)
        return scaled.to_ndarray()


class VideoFrame:
    """One decoded frame.

    Rotation metadata and non-square pixels are applied: ``width`` and ``height`` are those of the
    displayed image.

    Args:
        frame: of the decoder.
        aspect: pixel aspect ratio, width over height; None: square.
        scaler: shared by the frames of a file.
        turn: degrees by which the displayed image is turned clockwise: 0, 90, 180 or 270.
    """

    def __init__(
        self,
        frame: av.VideoFrame,
        aspect: Fraction | None,
        scaler: Scaler | None = None,
        turn: int = 0,
    ):
        self._frame, self._scaler = frame, scaler or Scaler()
        self._turn = turn
        self._quarter_turns = (round((frame.rotation or 0) / 90) - turn // 90) % 4
        ratio = float(aspect or 1)  # fractions are slow to compare
        is_plausible = 1 / MAX_PIXEL_ASPECT <= ratio <= MAX_PIXEL_ASPECT
        width = max(2, round(frame.width * (ratio if is_plausible else 1.0)))
        self._size = (width, frame.height)
        self._stored: dict[int, np.ndarray] = {}
        self._planes: dict[int, np.ndarray] = {}
        self._pyramid: dict[int, list[tuple[np.ndarray, int]]] = {}
        self._luma_levels: list[np.ndarray] = []
        self._small: dict[int, np.ndarray] = {}
        self.width, self.height = self._size[::-1] if self._quarter_turns % 2 else self._size

    def _convert(self, size: tuple[int, int], pixel_format: str) -> np.ndarray:
        return self._rotate(self._scaler.convert(self._frame, *size, pixel_format))

    def _rotate(self, pixels: np.ndarray) -> np.ndarray:
        if not self._quarter_turns:
            return pixels
        return cv2.rotate(pixels, ROTATIONS[self._quarter_turns])  # NumPy takes ten times as long

    def box_before_turn(self, box: np.ndarray) -> np.ndarray:
        """A box in this image, float32 [4], x0 y0 x1 y1, as one in the displayed image."""
        if not self._turn:
            return box
        x0, y0, x1, y1 = box
        right, bottom = self.width - 1, self.height - 1
        turned_back = {
            90: (y0, right - x1, y1, right - x0),
            180: (right - x1, bottom - y1, right - x0, bottom - y0),
            270: (bottom - y1, x0, bottom - y0, x1),
        }[self._turn]
        return np.array(turned_back, box.dtype)

    @cached_property
    def luma(self) -> np.ndarray:
        """uint8 [height, width] as stored; ``to_full_range`` scales parts of it to 0…255."""
        return self._plane(0) if self._has_luma_plane else self._convert(self._size, "gray")

    def _plane(self, number: int) -> np.ndarray:
        """uint8 [height, width], a view of the frame's memory unless rotated or of more bits."""
        if number not in self._planes:
            stored = self._stored_plane(number)
            if stored.dtype != np.uint8:
                bits, _ = PLANAR_YUV_FORMATS[self._frame.format.name]
                factor = 255 / ((1 << bits) - 1) if self._is_full_range else 2.0 ** (8 - bits)
                stored = cv2.convertScaleAbs(stored, alpha=factor)
            self._planes[number] = self._rotate(stored)
        return self._planes[number]

    def _stored_plane(self, number: int) -> np.ndarray:
        """uint8 [height, width], or uint16 of formats of more bits, a view of the frame's memory,
        before rotation."""
        if number not in self._stored:
            plane = self._frame.planes[number]
            bits, _ = PLANAR_YUV_FORMATS.get(self._frame.format.name, (8, 1))
            rows = np.frombuffer(plane, np.uint8 if bits == 8 else "<u2").reshape(plane.height, -1)
            self._stored[number] = rows[:, : plane.width]
        return self._stored[number]

    @cached_property
    def _has_luma_plane(self) -> bool:
        """Whether a plane of the frame is the luma, in display size."""
        frame = self._frame
        return frame.format.name in LUMA_PLANE_FORMATS and self._size == (frame.width, frame.height)

    @cached_property
    def _is_full_range(self) -> bool:
        name = self._frame.format.name
        return name == "gray" or "j" in name or self._frame.color_range == FULL_RANGE

    def to_full_range(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels taken from ``luma``, scaled so that 0 is black and 255 white."""
        if self._has_luma_plane and not self._is_full_range:
            return cv2.LUT(pixels, _TO_FULL_RANGE)
        return pixels

    @property
    def hdr(self) -> str:
        """``HLG`` or ``PQ``, the transfer of high dynamic range, or ""."""
        return HDR_TRANSFERS.get(int(self._frame.color_trc), "")

    @property
    def colour_tags(self) -> ColourTags:
        """What the numbers of ``planes_420`` mean."""
        frame = self._frame
        space = BT601 if frame.format.is_rgb else int(frame.colorspace)
        is_full_range = frame.color_range == FULL_RANGE  # which a conversion preserves
        if self._is_planar_420:
            is_full_range = self._is_full_range
        return ColourTags(space, int(frame.color_primaries), int(frame.color_trc), is_full_range)

    @property
    def _is_planar_420(self) -> bool:
        """Whether the planes of the frame are luma and chroma of half its size, in display size."""
        return self._has_luma_plane and self._frame.format.name in PLANAR_420_FORMATS

    def halved_luma(self, halvings: int) -> np.ndarray:
        """uint8 [h, w], ``luma`` halved so many times; half-sizes that exist already, as those of
        ``crop_square``, are used again."""
        if self._is_planar_420:
            return self._halve_planes(halvings)[0][0]
        if not self._luma_levels:
            self._luma_levels.append(self.luma)
        while len(self._luma_levels) <= halvings:
            self._luma_levels.append(_halve(self._luma_levels[-1]))
        return self._luma_levels[halvings]

    def planes_420(self) -> list[np.ndarray]:
        """Luma and both chroma planes of half its size, uint8, as decoded; of a displayed image
        with an odd side, the last row or column is repeated."""
        if self._is_planar_420:
            planes = [self._plane(number) for number in range(3)]
        else:
            width, height = (side + side % 2 for side in self._size)
            image = self._scaler.convert(self._frame, width, height, "yuv420p")
            planes = [self._rotate(plane) for plane in split_planes(image)]
        luma, blue, red = planes
        missing = [2 * side - own for side, own in zip(blue.shape, luma.shape, strict=True)]
        if any(missing):
            luma = cv2.copyMakeBorder(luma, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE)
        return [luma, blue, red]

    @property
    def gray(self) -> np.ndarray:
        """uint8 [height, width], the luma, 0 black and 255 white."""
        return self.to_full_range(np.ascontiguousarray(self.luma))

    @cached_property
    def bgr(self) -> np.ndarray:
        """uint8 [height, width, 3]."""
        return self._convert(self._size, "bgr24")

    def small_bgr(self, max_side: int) -> np.ndarray:
        """uint8 [h, w, 3], scaled down so that the longer side has at most ``max_side`` pixels; the
        same array for the same size."""
        if max_side >= max(self._size):
            return self.bgr
        if max_side not in self._small:
            scale = max_side / max(self._size)
            size = tuple(max(2, round(side * scale)) for side in self._size)
            self._small[max_side] = self._convert(size, "bgr24")
        return self._small[max_side]

    def halved_bgr(self, max_side: int) -> np.ndarray:
        """uint8 [h, w, 3], halved until the longer side has at most ``max_side`` pixels: much
        faster than scaling to a given size."""
        halvings = self._halvings_to(max_side)
        if not halvings:
            return self.bgr
        planes = [plane for plane, _ in self._halve_planes(halvings)]
        height, width = np.min([plane.shape[:2] for plane in planes], axis=0)
        return self._to_bgr([plane[:height, :width] for plane in planes])

    def _halvings_to(self, max_side: int) -> int:
        """How often the frame is halved until its longer side has at most ``max_side`` pixels."""
        halvings = 0
        while max(self._size) >> halvings > max_side and min(self._size) >> halvings >= 4:
            halvings += 1
        return halvings

    def max_brightness_change(self, previous: "VideoFrame") -> float | None:
        """At least the mean absolute difference of the ``brightness`` of two frames, at a fraction
        of the time; None where their planes cannot be compared.

        Averaging pixels never adds to a mean difference. In all matrices that are converted red is
        luma + red chroma, blue is luma + blue chroma, with weights up to ``CHROMA_WEIGHTS``, and
        green changes less with chroma.
        """
        halvings = self._halvings_to(BRIGHTNESS_SIZE)
        frames = (self, previous)
        layouts = {(frame._layout, frame._quarter_turns) for frame in frames}
        if len(layouts) > 1 or self._layout is None or not halvings:
            return None
        bits, pixels_per_chroma = PLANAR_YUV_FORMATS[self._frame.format.name]
        width, height = (side >> halvings << halvings for side in self._size)
        change = 0.0
        for number, weight in enumerate((1, *CHROMA_WEIGHTS)):
            planes = [frame._stored_plane(number) for frame in frames]
            n_compared = width * height / (pixels_per_chroma if number else 1)
            change += weight * cv2.norm(*planes, cv2.NORM_L1) / n_compared / (1 << (bits - 8))
        # Each halving, the conversion and the table below it round both frames by up to 1/2.
        rounding = halvings + max(CHROMA_WEIGHTS) * (halvings - 1) + 1
        return FULL_RANGE_GAIN * (change + rounding) + 1

    @property
    def _layout(self) -> tuple | None:
        """Format, size and colours of a frame whose three planes are luma and chroma in display
        size."""
        frame = self._frame
        is_planar = frame.format.name in PLANAR_YUV_FORMATS
        is_square = self._size == (frame.width, frame.height)
        if not (is_planar and is_square):
            return None
        return frame.format.name, self._size, self._is_full_range, int(frame.colorspace)

    @cached_property
    def brightness(self) -> np.ndarray:
        """uint8 [h, w], the largest of the three colours, with the longer side at most
        ``BRIGHTNESS_SIZE`` pixels, down to half of it."""
        blue, green, red = cv2.split(self.halved_bgr(BRIGHTNESS_SIZE))
        return cv2.max(cv2.max(blue, green), red)

    def crop_square(self, matrix: np.ndarray, side: int, halvings: int) -> np.ndarray:
        """A square crop, uint8 BGR [side, side, 3]; the edge pixels are repeated outside.

        Args:
            matrix: float [2, 3], affine, from pixels of the crop to those of the frame.
            side: of the square, in pixels.
            halvings: how often the frame is halved before, to prevent aliasing.
        """
        crops = []
        for plane, times in self._halve_planes(halvings):
            plane_matrix = matrix / (1 << times)
            plane_matrix[:, 2] += 0.5 / (1 << times) - 0.5  # coordinates are of pixel centres
            crops.append(cv2.warpAffine(
                plane, plane_matrix, (side, side),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
            ))  # fmt: skip
        return self._to_bgr(crops)

    def _halve_planes(self, halvings: int) -> list[tuple[np.ndarray, int]]:
        """Planes, each with how often it is halved relative to the frame: luma and chroma of
        planar 4:2:0, else BGR. Chroma has half the size to begin with."""
        if halvings in self._pyramid:
            return self._pyramid[halvings]
        if not halvings and self._is_planar_420:
            level = [(self._plane(number), times) for number, times in enumerate((0, 1, 1))]
        elif not halvings:
            level = [(self.bgr, 0)]
        else:
            level = [
                (_halve(plane), halvings)
                if times < halvings and min(plane.shape[:2]) > 1
                else (plane, times)
                for plane, times in self._halve_planes(halvings - 1)
            ]
        self._pyramid[halvings] = level
        return level

    def _to_bgr(self, planes: list[np.ndarray]) -> np.ndarray:
        """Planes of ``_halve_planes``, equally cropped, as one BGR image."""
        if len(planes) == 1:
            return planes[0]
        luma, blue, red = planes
        pixels = cv2.cvtColor(cv2.merge([luma, red, blue]), cv2.COLOR_YCrCb2BGR)
        # Limited-range chroma is scaled by 2 % too much here, which is not visible.
        return pixels if self._is_full_range else cv2.LUT(pixels, _TO_FULL_RANGE)


def _halve(pixels: np.ndarray) -> np.ndarray:
    """Means of 2 × 2 pixels; an odd row or column is dropped."""
    height, width = (side // 2 for side in pixels.shape[:2])
    even = pixels[: 2 * height, : 2 * width]
    return cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA)


def deinterlace(frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    """Interlaced frames -> progressive frames of their first field (bwdif); others unchanged."""
    graph, graph_format = None, None
    for frame in frames:
        if graph is None and not frame.interlaced_frame:
            yield frame
            continue
        frame_format = (frame.width, frame.height, frame.format.name, frame.time_base)
        if frame_format != graph_format:
            yield from _filter_frame(graph, None)
            graph, graph_format = _create_deinterlacer(frame), frame_format
        yield from _filter_frame(graph, frame)
    yield from _filter_frame(graph, None)


def _create_deinterlacer(frame: av.VideoFrame) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
    )
    source.link_to(bwdif := graph.add("bwdif", "mode=send_frame:deint=interlaced"))
    bwdif.link_to(graph.add("buffersink"))
    graph.configure()
    return graph


def _filter_frame(
    graph: av.filter.Graph | None, frame: av.VideoFrame | None
) -> Iterator[av.VideoFrame]:
    """The output of the graph for a frame; for None: what it has buffered."""
    if graph is None:
        return
    graph.push(frame)
    while True:
        try:
            yield graph.pull()
        except (BlockingIOError, EOFError):
            return

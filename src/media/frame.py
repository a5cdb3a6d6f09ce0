"""Decoded pictures: made whole of their fields, converted only as far as they are asked for."""

from collections.abc import Iterator
from fractions import Fraction
from functools import cached_property

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

# Formats whose first plane is the luma, one byte a pixel: it is used as it lies in memory.
LUMA_FIRST = {
    "gray", "yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuvj422p", "yuvj444p", "nv12", "nv21",
}  # fmt: skip
PLANES_420 = {"yuv420p", "yuvj420p"}  # luma and two planes of colour, half as wide and as high
WIDEST = 8  # pixels this much wider than high, or higher than wide, are a damaged header
FULL_RANGE = 2  # AVCOL_RANGE_JPEG
# Video luma lies in 16…235; the ends of this table are clipped.
_STRETCH = np.clip(np.rint((np.arange(256) - 16) * (255 / 219)), 0, 255).astype(np.uint8)


def to_video_frame(bgr: np.ndarray) -> "VideoFrame":
    """uint8 [height, width, 3], copied, as if it came out of a file.

    Luma and colours lie apart there, and are cut out and scaled faster so; OpenCV takes them apart
    ten times as fast as swscale.
    """
    height, width = bgr.shape[:2]
    if height % 2 or width % 2:  # colours are half as wide and as high
        bgr = cv2.copyMakeBorder(bgr, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    planes = cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420)
    return VideoFrame(av.VideoFrame.from_ndarray(planes, format="yuv420p"), None)


class Scaler:
    """Scales and converts with swscale; keeps a prepared context for each size and format."""

    def __init__(self):
        self._ready: dict[tuple, VideoReformatter] = {}

    def convert(self, frame: av.VideoFrame, width: int, height: int, kind: str) -> np.ndarray:
        """uint8 [height, width] or [height, width, 3], averaged down where it gets smaller."""
        key = (frame.width, frame.height, frame.format.name, width, height, kind)
        context = self._ready.setdefault(key, VideoReformatter())
        smaller = width < frame.width or height < frame.height
        way = "AREA" if smaller else "BILINEAR"
        return context.reformat(frame, width, height, kind, interpolation=way).to_ndarray()


class VideoFrame:
    """One decoded picture.

    Rotation metadata and non-square pixels are applied: ``width`` and ``height`` are those a
    viewer sees.

    Args:
        frame: as the decoder gave it.
        aspect: width of a pixel over its height; None: square.
        scaler: shared by the pictures of a file.
    """

    def __init__(self, frame: av.VideoFrame, aspect: Fraction | None, scaler: Scaler | None = None):
        self._frame, self._scaler = frame, scaler or Scaler()
        self._turns = round((frame.rotation or 0) / 90) % 4
        ratio = float(aspect) if aspect and aspect <= WIDEST and aspect >= 1 / WIDEST else 1.0
        width = max(2, round(frame.width * ratio))
        self._size = (width, frame.height)
        self._levels: dict[int, list[tuple[np.ndarray, int]]] = {}
        self.width, self.height = self._size[::-1] if self._turns % 2 else self._size

    def _convert(self, size: tuple[int, int], kind: str) -> np.ndarray:
        return self._turned(self._scaler.convert(self._frame, *size, kind))

    def _turned(self, pixels: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.rot90(pixels, self._turns)) if self._turns else pixels

    @cached_property
    def luma(self) -> np.ndarray:
        """uint8 [height, width] as it is stored; ``levelled`` brings parts of it to 0…255."""
        return self._plane(0) if self._direct else self._convert(self._size, "gray")

    def _plane(self, number: int) -> np.ndarray:
        """uint8 [height, width] of the frame's own memory, turned."""
        plane = self._frame.planes[number]
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        return self._turned(rows[:, : plane.width])

    @cached_property
    def _direct(self) -> bool:
        frame = self._frame
        return frame.format.name in LUMA_FIRST and self._size == (frame.width, frame.height)

    @cached_property
    def _full_range(self) -> bool:
        kind = self._frame.format.name
        return kind == "gray" or "j" in kind or self._frame.color_range == FULL_RANGE

    def levelled(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels cut out of ``luma``, 0 black and 255 white."""
        return cv2.LUT(pixels, _STRETCH) if self._direct and not self._full_range else pixels

    @property
    def gray(self) -> np.ndarray:
        """uint8 [height, width], the luma, 0 black and 255 white."""
        return self.levelled(np.ascontiguousarray(self.luma))

    @cached_property
    def bgr(self) -> np.ndarray:
        """uint8 [height, width, 3]."""
        return self._convert(self._size, "bgr24")

    def small_bgr(self, longest: int) -> np.ndarray:
        """uint8 [h, w, 3], scaled down so that the longer side has at most ``longest`` pixels."""
        if longest >= max(self._size):
            return self.bgr
        factor = longest / max(self._size)
        return self._convert(tuple(max(2, round(side * factor)) for side in self._size), "bgr24")

    def halved_bgr(self, longest: int) -> np.ndarray:
        """uint8 [h, w, 3], averaged down by 2 until the longer side has at most ``longest``
        pixels: much quicker than any size."""
        times = 0
        while max(self._size) >> times > longest and min(self._size) >> times >= 4:
            times += 1
        if not times:
            return self.bgr
        planes = [plane for plane, _ in self._halved(times)]
        height, width = np.min([plane.shape[:2] for plane in planes], axis=0)
        return self._coloured([plane[:height, :width] for plane in planes])

    def cut_out(self, matrix: np.ndarray, side: int, halvings: int) -> np.ndarray:
        """A square part of the picture, uint8 [side, side, 3]; what lies outside repeats the edge.

        Args:
            matrix: float [2, 3], from pixels of the square to those of the picture.
            side: of the square, in pixels.
            halvings: how often the picture is averaged down by 2 before, so that nothing aliases.
        """
        parts = []
        for plane, times in self._halved(halvings):
            small = matrix / (1 << times)
            small[:, 2] += 0.5 / (1 << times) - 0.5  # pixels are known by their middles
            parts.append(cv2.warpAffine(
                plane, small, (side, side),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
            ))  # fmt: skip
        return self._coloured(parts)

    def _halved(self, times: int) -> list[tuple[np.ndarray, int]]:
        """Planes averaged down, each with how often in all: luma and colours where the frame has
        them so, else BGR."""
        if times in self._levels:
            return self._levels[times]
        if not times and self._direct and self._frame.format.name in PLANES_420:
            level = [(self._plane(number), done) for number, done in enumerate((0, 1, 1))]
        elif not times:
            level = [(self.bgr, 0)]
        else:
            level = [
                (_half(plane), times)
                if done < times and min(plane.shape[:2]) > 1
                else (plane, done)
                for plane, done in self._halved(times - 1)
            ]
        self._levels[times] = level
        return level

    def _coloured(self, planes: list[np.ndarray]) -> np.ndarray:
        """Parts cut out of ``_halved`` alike, as one BGR picture."""
        if len(planes) == 1:
            return planes[0]
        luma, blue, red = planes
        pixels = cv2.cvtColor(cv2.merge([luma, red, blue]), cv2.COLOR_YCrCb2BGR)
        # The colours of video range are stretched by 2 % too much so, which nobody sees.
        return pixels if self._full_range else cv2.LUT(pixels, _STRETCH)


def _half(pixels: np.ndarray) -> np.ndarray:
    """Means of 2 × 2 pixels; an odd row or column is left out."""
    height, width = (side // 2 for side in pixels.shape[:2])
    even = pixels[: 2 * height, : 2 * width]
    return cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA)


def deinterlaced(frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    """Pictures made of two fields 20 ms apart become whole ones of the first field (bwdif)."""
    graph, shape = None, None
    for frame in frames:
        if graph is None and not frame.interlaced_frame:
            yield frame
            continue
        found = (frame.width, frame.height, frame.format.name, frame.time_base)
        if found != shape:
            yield from _filtered(graph, None)
            graph, shape = _weaver(frame), found
        yield from _filtered(graph, frame)
    yield from _filtered(graph, None)


def _weaver(frame: av.VideoFrame) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
    )
    source.link_to(weave := graph.add("bwdif", "mode=send_frame:deint=interlaced"))
    weave.link_to(graph.add("buffersink"))
    graph.configure()
    return graph


def _filtered(graph: av.filter.Graph | None, frame: av.VideoFrame | None) -> Iterator:
    """What the graph gives for a frame; for None: what it still holds."""
    if graph is None:
        return
    graph.push(frame)
    while True:
        try:
            yield graph.pull()
        except (BlockingIOError, EOFError):
            return

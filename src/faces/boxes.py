"""The boxes of a face track as few key boxes, and back by linear interpolation."""

from itertools import pairwise

import numpy as np

from ..core.constants import FPS

MAX_INTERVAL_S = 1  # between two key boxes
MAX_DEVIATION = 0.05  # of an interpolated box from the tracked one, in widths of the face


def key_boxes(boxes: np.ndarray, first_frame: int) -> list[list[float]]:
    """Choose the boxes from which all others are interpolated to within 5 % of the face's width.

    A still head needs one a second, a moving one some more: one hour of video stays small, and a
    box drawn at any frame is where the face is (Ramer 1972, Douglas & Peucker 1973, within each
    second).

    Args:
        boxes: float [T, 4], one a frame, pixels x0 y0 x1 y1.
        first_frame: index of the first one in the clip.

    Returns:
        rows of time in s and x0, y0, x1, y1, times rising, including the first and last box.
    """
    boxes = np.asarray(boxes, float)
    last = len(boxes) - 1
    key_frames = {0, last, *range(0, len(boxes), MAX_INTERVAL_S * FPS)}
    spans = list(pairwise(sorted(key_frames)))
    while spans:
        first, stop = spans.pop()
        between = np.arange(first + 1, stop)
        if not len(between):
            continue
        weight = ((between - first) / (stop - first))[:, None]
        interpolated = (1 - weight) * boxes[first] + weight * boxes[stop]
        tracked = boxes[between]
        widths = np.maximum(tracked[:, 2] - tracked[:, 0], 1)
        deviation = np.abs(tracked - interpolated).max(1) / widths
        worst = int(deviation.argmax())
        if deviation[worst] > MAX_DEVIATION:
            middle = int(between[worst])
            key_frames.add(middle)
            spans += [(first, middle), (middle, stop)]
    return [
        [round((first_frame + frame) / FPS, 3), *boxes[frame].round(1).tolist()]
        for frame in sorted(key_frames)
    ]


class BoxPath:
    """The box of a face at any time, interpolated between its key boxes.

    Args:
        rows: time in s and x0, y0, x1, y1, times rising (``details["tracks"][n]["boxes"]``).
    """

    def __init__(self, rows: list[list[float]]):
        self._times, self._corners = np.array(rows, float)[:, 0], np.array(rows, float)[:, 1:]

    def box_at(self, time_s: float) -> np.ndarray:
        """float [4], pixels x0 y0 x1 y1; before the first and after the last key box, that one."""
        return np.array([np.interp(time_s, self._times, side) for side in self._corners.T])


def box_iou(first_box: np.ndarray, second_box: np.ndarray) -> float:
    """Intersection over union of two boxes (float [4], x0 y0 x1 y1), 0…1."""
    top_left = np.maximum(first_box[:2], second_box[:2])
    bottom_right = np.minimum(first_box[2:], second_box[2:])
    intersection = np.prod(np.clip(bottom_right - top_left, 0, None))
    areas = np.prod(first_box[2:] - first_box[:2]) + np.prod(second_box[2:] - second_box[:2])
    return float(intersection / max(areas - intersection, 1e-9))

"""A followed face's boxes in few numbers, and back: as many as a line between them needs."""

from itertools import pairwise

import numpy as np

from ..core.constants import FPS

EVERY_S = 1  # a box at least so often
NEAR = 0.05  # of the face's width: as far as a line between boxes may be from what was seen


def key_boxes(boxes: np.ndarray, first_frame: int) -> list[list[float]]:
    """The boxes between which all others lie on lines, within 5 % of the face's width.

    A still head needs one a second, a lively one some more: an hour stays small, and a box that is
    drawn at any frame is where the face is (Ramer 1972, Douglas & Peucker 1973, second by second).

    Args:
        boxes: float [T, 4], of each frame, pixels x0 y0 x1 y1.
        first_frame: of the clip.

    Returns:
        rows of time in s and x0, y0, x1, y1, times rising; the first and the last box are there.
    """
    boxes = np.asarray(boxes, float)
    last = len(boxes) - 1
    kept = {0, last, *range(0, len(boxes), EVERY_S * FPS)}
    edges = sorted(kept)
    spans = list(pairwise(edges))
    while spans:
        first, stop = spans.pop()
        inside = np.arange(first + 1, stop)
        if not len(inside):
            continue
        part = ((inside - first) / (stop - first))[:, None]
        line = (1 - part) * boxes[first] + part * boxes[stop]
        seen = boxes[inside]
        off = np.abs(seen - line).max(1) / np.maximum(seen[:, 2] - seen[:, 0], 1)
        worst = int(off.argmax())
        if off[worst] > NEAR:
            middle = int(inside[worst])
            kept.add(middle)
            spans += [(first, middle), (middle, stop)]
    return [
        [round((first_frame + frame) / FPS, 3), *boxes[frame].round(1).tolist()]
        for frame in sorted(kept)
    ]


class BoxPath:
    """Where a face is at any time, by its key boxes.

    Args:
        rows: time in s and x0, y0, x1, y1, times rising (``details["tracks"][n]["boxes"]``).
    """

    def __init__(self, rows: list[list[float]]):
        self._times, self._corners = np.array(rows, float)[:, 0], np.array(rows, float)[:, 1:]

    def at(self, second: float) -> np.ndarray:
        """float [4], pixels x0 y0 x1 y1; before the first and after the last box, theirs."""
        return np.array([np.interp(second, self._times, side) for side in self._corners.T])

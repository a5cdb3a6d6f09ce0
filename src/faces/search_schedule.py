"""When the full frame is searched for faces."""

import cv2
import numpy as np

from ..media.frame import VideoFrame

SEARCH_INTERVAL = 12  # frames between two searches …
CALM_INTERVAL = 24  # … in a calm shot …
LONGEST_INTERVAL = 96  # … and in one where nothing has moved but the person
N_CALM_SEARCHES = 3  # with one face and no other, one after the other, make a shot calm
MAX_CHANGE = 16  # of the brightness (0…255) of surroundings that are the same as before
# The person is all below the face, where the arms are, and so many widths of it beside and above;
# fewer where that leaves too little around it.
PERSON_WIDTHS = ((1.5, 1.0), (0.75, 0.75))
MIN_SURROUNDINGS = 0.2  # share of the frame: in less, nobody can be seen to come


class SearchSchedule:
    """The searches of one shot.

    Args:
        first_frame: index of its first frame.

    Attributes:
        next_search: index of the frame from which on the next search is due.
    """

    def __init__(self, first_frame: int):
        self.next_search = first_frame
        self._latest_search = first_frame
        self._n_calm = 0
        self._surroundings: _Surroundings | None = None  # in the latest search

    @property
    def is_calm(self) -> bool:
        """Whether one face, the same all the time, is all that the last searches have seen."""
        return self._n_calm >= N_CALM_SEARCHES

    def is_due(self, index: int, frame: VideoFrame) -> bool:
        """Whether the full frame is to be searched in frame ``index``.

        In a calm shot whose surroundings are as in the latest search, nobody has come: then the
        search is put off, to at most ``LONGEST_INTERVAL`` frames after that one.
        """
        if index < self.next_search:
            return False
        is_recent = index + CALM_INTERVAL <= self._latest_search + LONGEST_INTERVAL
        if self.is_calm and is_recent and self._surroundings.are_unchanged(frame):
            self.next_search = index + CALM_INTERVAL
            return False
        return True

    def add(self, index: int, frame: VideoFrame, boxes: list[np.ndarray]) -> None:
        """A search of frame ``index`` has detected these faces. One that was not due means that a
        face was lost.

        Args:
            boxes: float [4] each, x0 y0 x1 y1, as shares of the frame's width and height.
        """
        is_calm = len(boxes) == 1 and index >= self.next_search
        self._n_calm = self._n_calm + 1 if is_calm else 0
        self._latest_search = index
        self._surroundings = _Surroundings(frame, boxes[0]) if self.is_calm else None
        self.next_search = index + (CALM_INTERVAL if self.is_calm else SEARCH_INTERVAL)


class _Surroundings:
    """What a frame shows around one person.

    Args:
        box: of the face, as of ``SearchSchedule.add``.
    """

    def __init__(self, frame: VideoFrame, box: np.ndarray):
        self._brightness = frame.brightness
        masks = [_around_person(self._brightness.shape, box, *widths) for widths in PERSON_WIDTHS]
        is_enough = [np.count_nonzero(mask) >= MIN_SURROUNDINGS * mask.size for mask in masks]
        self._mask = masks[is_enough.index(True)] if any(is_enough) else None

    def are_unchanged(self, frame: VideoFrame) -> bool:
        """Whether another frame shows the same; False where the person fills the frame."""
        if self._mask is None or frame.brightness.shape != self._brightness.shape:
            return False
        change = cv2.absdiff(frame.brightness, self._brightness)
        return cv2.minMaxLoc(change, self._mask)[1] <= MAX_CHANGE


def _around_person(
    shape: tuple[int, int], box: np.ndarray, beside: float, above: float
) -> np.ndarray:
    """uint8 [h, w], 255 around a person: more than so many widths of the face away."""
    height, width = shape
    x0, y0, x1, _ = box * (width, height, width, height)
    margin, top = beside * (x1 - x0), y0 - above * (x1 - x0)
    left, right = np.clip((x0 - margin, x1 + margin), 0, width).astype(int)
    mask = np.full(shape, 255, np.uint8)
    mask[max(0, int(top)) :, left:right] = 0
    return mask

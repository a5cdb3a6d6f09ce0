"""Where a shot begins and ends among the frames of a file.

Faces are tracked on a grid of 25 fps, which places a cut to within a frame of a file at most. A
frame on the wrong side of it would get the mouth where the face of the other shot is.
"""

import cv2
import numpy as np

from ..core.constants import FPS
from ..media.frame import VideoFrame

THUMBNAIL = (16, 16)  # of a frame, pixels
REACH = 1.5  # frames of the grid that a border of a track can be off
AROUND = 6  # frames on either side that a cut is compared with
MIN_CHANGE, MIN_RATIO = 6.0, 3.0  # a cut: grey levels, and times the changes around it


def thumbnail(frame: VideoFrame) -> np.ndarray:
    """A small copy of the luma: uint8 [16, 16]."""
    return cv2.resize(frame.luma, THUMBNAIL, interpolation=cv2.INTER_AREA)


def changes(thumbnails: np.ndarray) -> np.ndarray:
    """How much each frame differs from the one before: float32 [N], grey levels; 0 for the first.

    Args:
        thumbnails: uint8 [N, 16, 16].
    """
    differences = np.abs(np.diff(thumbnails.astype(np.float32), axis=0)).mean((1, 2))
    return np.concatenate([[0.0], differences]).astype(np.float32)


def nearest_cut(change: np.ndarray, border: int, reach: int = 2) -> int | None:
    """The first frame of a new shot next to a border of a track; None: there is no cut.

    Args:
        change: ``changes``.
        border: first frame with the track, or the first one without it.
        reach: so many frames before and after it.
    """
    first, stop = max(1, border - reach), min(len(change), border + reach + 1)
    if stop <= first:
        return None
    cut = first + int(np.argmax(change[first:stop]))
    around = np.concatenate(
        [change[max(1, cut - AROUND) : cut], change[cut + 1 : cut + 1 + AROUND]]
    )
    usual = float(np.median(around)) if len(around) else 0.0
    return cut if change[cut] >= max(MIN_CHANGE, MIN_RATIO * usual) else None


def settle_borders(in_track: np.ndarray, change: np.ndarray, fps: float = FPS) -> tuple[int, int]:
    """First and last + 1 frame of a track, moved to the cuts next to them.

    Args:
        in_track: bool [N], frames in which the track is displayed, to within ``REACH``.
        change: ``changes``.
        fps: of the file.
    """
    reach = max(2, int(np.ceil(REACH * fps / FPS)))
    numbers = np.flatnonzero(in_track)
    first, stop = int(numbers[0]), int(numbers[-1]) + 1
    begin, end = nearest_cut(change, first, reach), nearest_cut(change, stop, reach)
    return first if begin is None else begin, stop if end is None else end

"""The lower face as the composition uses it: a square in template units, planar 4:2:0.

Pixels stay in the colours of the video, luma and chroma apart: where nothing is changed, nothing
is converted.
"""

import cv2
import numpy as np

from ..media.frame import VideoFrame, split_planes

# The square, in template units: from the eyes' lower lids to under the chin.
WINDOW_LEFT, WINDOW_TOP, WINDOW_SIDE = 2.0, 14.0, 92.0
MAX_PIXELS_PER_UNIT = 3.5  # finer footage is stored at this resolution (faces of some 330 pixels)
_LEVELS = np.arange(256)
_TO_LIMITED_LUMA = np.clip(np.rint(_LEVELS * (219 / 255) + 16), 16, 235).astype(np.uint8)
_TO_LIMITED_CHROMA = np.clip(
    np.rint((_LEVELS - 128) * (224 / 255) + 128), 16, 240
).astype(np.uint8)  # fmt: skip

_TO_FULL_LUMA = np.clip(np.rint((_LEVELS - 16) * (255 / 219)), 0, 255).astype(np.uint8)
_TO_FULL_CHROMA = np.clip(np.rint((_LEVELS - 128) * (255 / 224) + 128), 0, 255).astype(np.uint8)


def crop_side(pixels_per_unit: np.ndarray) -> int:
    """Side in pixels, a multiple of 4, at which footage keeps its detail.

    Args:
        pixels_per_unit: float [K], pixels of the video in a template unit.
    """
    kept = min(float(np.median(pixels_per_unit)), MAX_PIXELS_PER_UNIT)
    return max(4, round(WINDOW_SIDE * kept / 4) * 4)


def window_matrix(side: int) -> np.ndarray:
    """float64 [3, 3], from pixels of the crop to template units."""
    unit = WINDOW_SIDE / side
    return np.array([[unit, 0, WINDOW_LEFT], [0, unit, WINDOW_TOP], [0, 0, 1]])


def to_chroma(matrix: np.ndarray) -> np.ndarray:
    """An affine map [3, 3] to pixels of the luma -> to those of the chroma planes, half the size.
    Coordinates are of pixel centres."""
    return np.array([[0.5, 0, -0.25], [0, 0.5, -0.25], [0, 0, 1]]) @ matrix


def cut_crop(frame: VideoFrame, to_frame: np.ndarray, side: int) -> np.ndarray:
    """Cut the lower face out of a frame.

    Args:
        to_frame: float [3, 3], from template units to pixels of the frame.
        side: of the crop, pixels, even.

    Returns:
        uint8 [3/2 side, side], planar 4:2:0, limited range.
    """
    to_crop = np.linalg.inv(window_matrix(side))
    crop = np.empty((side * 3 // 2, side), np.uint8)
    targets = split_planes(crop)
    for number, (plane, target) in enumerate(zip(frame.planes_420(), targets, strict=True)):
        from_units = [to_chroma(m) if number else m for m in (to_frame, to_crop)]
        matrix = from_units[0] @ np.linalg.inv(from_units[1])
        target[:] = warp(plane, matrix[:2], target.shape[0])
        if frame.colour_tags.is_full_range:
            target[:] = cv2.LUT(target, _TO_LIMITED_CHROMA if number else _TO_LIMITED_LUMA)
    return crop


def to_full_range(crop: np.ndarray) -> np.ndarray:
    """A crop, limited range -> full range, as some cameras write it."""
    side = crop.shape[1]
    return np.concatenate(
        [cv2.LUT(crop[:side], _TO_FULL_LUMA), cv2.LUT(crop[side:], _TO_FULL_CHROMA)]
    )


def warp(plane: np.ndarray, matrix: np.ndarray, side: int) -> np.ndarray:
    """A square [side, side] of a plane; ``matrix`` leads from its pixels to the plane's."""
    shrink = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if shrink > 1.5:  # averaged first, so that nothing aliases
        plane = cv2.GaussianBlur(plane, (0, 0), 0.4 * shrink)
    return cv2.warpAffine(
        plane, matrix, (side, side), flags=cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip

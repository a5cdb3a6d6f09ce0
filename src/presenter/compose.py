"""One frame of the output: the mouth of a footage frame laid onto a frame of the base.

All of it happens in template units around the base's face; outside the mask, and the seam around
it that follows the jaw, no pixel changes.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from ..faces.mesh import CHIN, JAW
from ..media.frame import split_planes
from .crops import WINDOW_LEFT, WINDOW_SIDE, WINDOW_TOP, to_chroma, window_matrix
from .geometry import CENTRE_X

GRID = int(WINDOW_SIDE)  # the mask and the fields are computed on a grid of one unit, …
_X = WINDOW_LEFT + np.arange(GRID)[None, :] + 0.5  # … whose points are at these template units
_Y = WINDOW_TOP + np.arange(GRID)[:, None] + 0.5
MASK_TOP = 31.0  # under the nose
MASK_HALF_WIDTH = 31.0
MASK_EXPONENT = 2.6  # of the superellipse
FEATHER = 0.32  # share of the mask's radius over which it fades
# Beside the face the mask fades over so much inside the contour; near the chin it keeps a width.
SIDE_FADE, MIN_SIDE = 7.0, 20.0
CHIN_MARGIN = 3.0  # the mask reaches so far below the chin
JAW_REACH_UP, JAW_REACH_DOWN = 22.0, 20.0  # over so much the base follows the jaw of the footage
MIN_JAW_SHIFT = 0.15  # less is not visible
MAX_JAW_SHIFT = 9.0
COLOUR_SIGMA = 9.0  # of the low-frequency colour field


@dataclass(frozen=True)
class Mouth:
    """What is laid onto the base.

    Attributes:
        crop: uint8 [3/2 S, S], planar 4:2:0, limited range (``crops.cut_crop``).
        jaw: float32 [17, 2], contour of its jaw, template units.
        lips: float32 [2, 11, 2], inner edges of the upper and the lower lip from corner to corner,
            template units.
    """

    crop: np.ndarray
    jaw: np.ndarray
    lips: np.ndarray


def jaw_line(jaw: np.ndarray) -> np.ndarray:
    """Height of the jaw over the columns of the grid: float32 [GRID]."""
    x, y = jaw[2:-2].T  # the ears' ends run nearly upwards
    return np.interp(_X[0], np.maximum.accumulate(x), y).astype(np.float32)


def face_mask(jaw: np.ndarray) -> np.ndarray:
    """The weight of the footage over the grid: float32 [GRID, GRID], 0…1. It reaches from under the
    nose to just below the chin."""
    chin = float(jaw[JAW.index(CHIN), 1]) + CHIN_MARGIN
    centre, half_height = (MASK_TOP + chin) / 2, (chin - MASK_TOP) / 2
    radius = (
        np.abs((_X - CENTRE_X) / MASK_HALF_WIDTH) ** MASK_EXPONENT
        + np.abs((_Y - centre) / half_height) ** MASK_EXPONENT
    ) ** (1 / MASK_EXPONENT)
    ramp = np.clip((1 - radius) / FEATHER, 0, 1)
    return (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)


def side_mask(jaw: np.ndarray) -> np.ndarray:
    """0 … 1 over the grid, float32 [GRID, GRID]: 0 beside the face. Where a head is turned, what is
    behind its cheek would come with the mouth, or cover what is behind that of the base."""
    x, y = jaw.T
    lowest = int(np.argmax(y))
    mask = np.ones((GRID, GRID), np.float32)
    for points, outwards in ((slice(lowest, None, -1), -1), (slice(lowest, None), 1)):
        rising = np.maximum.accumulate(-y[points])  # from the chin up to the ear
        reach = outwards * (x[points] - CENTRE_X)
        edge = np.interp(-_Y[:, 0], rising, np.maximum.accumulate(reach))
        edge = np.maximum(edge, MIN_SIDE)[:, None]
        ramp = np.clip((edge - outwards * (_X - CENTRE_X)) / SIDE_FADE, 0, 1)
        mask *= ramp * ramp * (3 - 2 * ramp)
    return mask


def jaw_shift(base_jaw: np.ndarray, jaw: np.ndarray) -> np.ndarray | None:
    """How far the base is moved down (template units) so that its jaw meets that of the footage.

    Returns:
        float32 [GRID, GRID]: all of the difference at the jaw, nothing at the edges; None where
        the jaws agree.
    """
    line, base_line = jaw_line(jaw), jaw_line(base_jaw)
    side = np.clip(1 - np.abs((_X[0] - CENTRE_X) / (GRID / 2 - 4)) ** 4, 0, 1)
    difference = np.clip(line - base_line, -MAX_JAW_SHIFT, MAX_JAW_SHIFT) * side
    if np.abs(difference).max() < MIN_JAW_SHIFT:
        return None
    below = _Y - line[None]
    up = np.clip(1 + below / JAW_REACH_UP, 0, 1)
    reach_down = np.clip(WINDOW_TOP + WINDOW_SIDE - line[None], 1, JAW_REACH_DOWN)
    down = np.clip(1 - below / reach_down, 0, 1)
    weight = np.where(below < 0, up, down)
    return (difference * (weight * weight * (3 - 2 * weight))).astype(np.float32)


def compose(
    planes: list[np.ndarray], to_frame: np.ndarray, base_jaw: np.ndarray, mouth: Mouth
) -> None:
    """Lay a mouth onto a frame, in place.

    Args:
        planes: luma and chroma of the base's frame, uint8; changed. Limited range, as the crop.
        to_frame: float [3, 3], from template units to its pixels.
        base_jaw: float32 [17, 2], the jaw in it, template units.
        mouth: of a footage frame.
    """
    mask, shift = face_mask(mouth.jaw), jaw_shift(base_jaw, mouth.jaw)
    mask *= side_mask(mouth.jaw) * side_mask(base_jaw)
    to_crop = np.linalg.inv(window_matrix(mouth.crop.shape[1]))
    for number, (plane, crop) in enumerate(zip(planes, split_planes(mouth.crop), strict=True)):
        to_plane, to_crop_plane = (to_chroma(m) if number else m for m in (to_frame, to_crop))
        _compose_plane(plane, to_plane, crop, to_crop_plane, mask, shift)


def _compose_plane(
    plane: np.ndarray, to_plane: np.ndarray, crop: np.ndarray, to_crop: np.ndarray,
    mask: np.ndarray, shift: np.ndarray | None,
) -> None:  # fmt: skip
    """Lay a crop onto a plane, in place; both matrices lead from template units to pixels."""
    region = _region(plane.shape, to_plane)
    if region is None:
        return
    (y0, y1), (x0, x1) = region
    old = plane[y0:y1, x0:x1]
    to_region = np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1]]) @ to_plane
    from_region = np.linalg.inv(to_region)
    base = old if shift is None else _shift_base(old, to_region, _on_region(shift, to_region, old))
    base = base.astype(np.float32)
    size = old.shape[::-1]
    laid = cv2.warpAffine(
        crop, (to_crop @ from_region)[:2], size, flags=cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    ).astype(np.float32)  # fmt: skip
    weight = _on_region(mask, to_region, old)
    laid += _on_region(_colour_field(base, laid, to_region, mask), to_region, old)
    mixed = base + weight * (laid - base)
    plane[y0:y1, x0:x1] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def _region(shape: tuple[int, int], to_plane: np.ndarray) -> tuple | None:
    """Rows and columns of a plane that the window covers, as far as it lies inside."""
    sides = np.array([[x, y, 1] for x in (0, GRID) for y in (0, GRID)], float)
    sides += [WINDOW_LEFT, WINDOW_TOP, 0]
    columns, rows, _ = to_plane @ sides.T
    spans = []
    for values, length in ((rows, shape[0]), (columns, shape[1])):
        first, stop = max(0, int(np.floor(values.min()))), min(length, int(np.ceil(values.max())))
        if stop - first < 2:
            return None
        spans.append((first, stop))
    return tuple(spans)


_TO_GRID = np.array([[1, 0, -WINDOW_LEFT - 0.5], [0, 1, -WINDOW_TOP - 0.5], [0, 0, 1]])


def _on_region(field: np.ndarray, to_region: np.ndarray, region: np.ndarray) -> np.ndarray:
    """A field on the grid, sampled at the pixels of a region; 0 outside."""
    return cv2.warpAffine(
        field, (_TO_GRID @ np.linalg.inv(to_region))[:2], region.shape[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )  # fmt: skip


def _shift_base(old: np.ndarray, to_region: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """The base, moved down the face by a shift in template units at each pixel. Where that is 0,
    pixels stay as they are."""
    rows, columns = np.indices(old.shape, np.float32)
    return cv2.remap(
        old,
        columns - np.float32(to_region[0, 1]) * shift,
        rows - np.float32(to_region[1, 1]) * shift,
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _colour_field(
    base: np.ndarray, laid: np.ndarray, to_region: np.ndarray, mask: np.ndarray
) -> np.ndarray:
    """What is added to the crop so that its colours meet the base's along the seam: float32
    [GRID, GRID], the smoothed difference there."""
    difference = base - laid
    units = float(np.hypot(to_region[0, 1], to_region[1, 1]))
    if units > 1.5:
        difference = cv2.blur(difference, (round(units), round(units)))
    on_grid = cv2.warpAffine(
        difference, (to_region @ np.linalg.inv(_TO_GRID))[:2], (GRID, GRID),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    seam = 4 * mask * (1 - mask)
    total = cv2.GaussianBlur(seam, (0, 0), COLOUR_SIGMA)
    return cv2.GaussianBlur(seam * on_grid, (0, 0), COLOUR_SIGMA) / np.maximum(total, 1e-4)

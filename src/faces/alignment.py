"""A face in a picture -> the aligned crop the network sees.

Each picture is warped so that the five points of the face fall on fixed places. Training and
inference take the same path, so a clip gives the same crops in both.
"""

import math

import cv2
import numpy as np

# Where the points go in a crop of 96×96: left and right eye, nose, left and right mouth corner
# (as seen). The crop holds the lower face, from the eyes to under the chin.
TEMPLATE_SIZE = 96
TEMPLATE = np.array([[27.5, 1.0], [68.5, 1.0], [48, 24], [31, 50], [65, 50]], np.float32)
_AS_COMPLEX = TEMPLATE[:, 0] + 1j * TEMPLATE[:, 1].astype(float)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two boxes, 0…1."""
    corner0, corner1 = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    common = np.prod(np.clip(corner1 - corner0, 0, None))
    areas = np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2])
    return float(common / max(areas - common, 1e-9))


def align(gray: np.ndarray, points: np.ndarray, size: int) -> np.ndarray:
    """Warp a picture so that its five points fall on the template, by a similarity transform.

    The transform is the least-squares one (Umeyama 1991). Faces much larger than the crop are
    averaged down first, so that nothing aliases.

    Args:
        gray: uint8 [height, width].
        points: float32 [5, 2], pixels.
        size: side of the crop.

    Returns:
        uint8 [size, size].
    """
    # Complex least squares: goal ≈ factor · place + shift, a turn and a scale in one number.
    goal = _AS_COMPLEX * (size / TEMPLATE_SIZE)
    place = points[:, 0].astype(float) + 1j * points[:, 1]
    goal_middle, middle = complex(goal.sum() / 5), complex(place.sum() / 5)
    place -= middle
    factor = complex(np.vdot(place, goal)) / max(np.vdot(place, place).real, 1e-9)
    if abs(factor) < 1e-3:  # points in one place: no face, but no reason to fall either
        factor = 1e-3 + 0j
    shift = goal_middle - factor * middle

    halvings = max(0, math.floor(math.log2(1 / abs(factor))))
    if halvings:
        seen = (np.array([0, size, 1j * size, size + 1j * size]) - shift) / factor
        step = 2**halvings
        x0, y0 = (max(0, math.floor(side.min()) - step) for side in (seen.real, seen.imag))
        x1, y1 = (max(0, math.ceil(side.max()) + step) for side in (seen.real, seen.imag))
        cut = gray[y0:y1, x0:x1]
        height, width = (side - side % step for side in cut.shape)
        if height and width:
            gray = cv2.resize(
                cut[:height, :width], (width // step, height // step), interpolation=cv2.INTER_AREA
            )
            # Pixel centres: the middle of the first averaged block lies at (step − 1) / 2.
            shift += factor * (x0 + 1j * y0 + (1 + 1j) * (step - 1) / 2)
            factor *= step
    matrix = np.array([
        [factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]
    ])  # fmt: skip
    return cv2.warpAffine(
        gray, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )

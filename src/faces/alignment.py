"""A face in a frame -> the aligned crop the network sees.

Each frame is warped so that the five landmarks of the face fall on fixed positions. Training and
inference take the same path, so a clip gives the same crops in both.
"""

import math
from functools import cache

import cv2
import numpy as np

# Where the landmarks go in a crop of 96×96: left and right eye, nose, left and right mouth corner
# (as seen in the image). The crop holds the lower face, from the eyes to under the chin.
TEMPLATE_SIZE = 96
TEMPLATE = np.array([[27.5, 1.0], [68.5, 1.0], [48, 24], [31, 50], [65, 50]], np.float32)
MIN_SCALE = 1e-3  # of the transform: coinciding points are no face, but must not raise


def align(gray: np.ndarray, points: np.ndarray, size: int) -> np.ndarray:
    """Warp a frame so that its five landmarks fall on the template, by a similarity transform.

    The transform is the least-squares one (Umeyama 1991). Faces much larger than the crop are
    averaged down first, so that nothing aliases.

    Args:
        gray: uint8 [height, width].
        points: float32 [5, 2], pixels.
        size: side of the crop, pixels.

    Returns:
        uint8 [size, size].
    """
    factor, shift = _similarity(points, size)
    halvings = _halvings(factor)
    if halvings:
        corners = (np.array([0, size, 1j * size, size + 1j * size]) - shift) / factor
        block = 2**halvings
        x0, y0 = (max(0, math.floor(c.min()) - block) for c in (corners.real, corners.imag))
        x1, y1 = (max(0, math.ceil(c.max()) + block) for c in (corners.real, corners.imag))
        region = gray[y0:y1, x0:x1]
        height, width = (length - length % block for length in region.shape)
        if height and width:
            gray = cv2.resize(
                region[:height, :width], (width // block, height // block),
                interpolation=cv2.INTER_AREA,
            )  # fmt: skip
            # Pixel centres: the middle of the first averaged block lies at (block − 1) / 2.
            shift += factor * (x0 + 1j * y0 + (1 + 1j) * (block - 1) / 2)
            factor *= block
    matrix = np.array([
        [factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]
    ])  # fmt: skip
    return cv2.warpAffine(
        gray, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def halvings_for(points: np.ndarray, size: int) -> int:
    """How often ``align`` halves a frame before it warps it."""
    return _halvings(_similarity(points, size)[0])


def _halvings(factor: complex) -> int:
    return max(0, math.floor(math.log2(1 / abs(factor))))


@cache
def _scaled_template(size: int) -> tuple[np.ndarray, complex]:
    """The template of a crop of so many pixels as complex numbers, and their mean."""
    template = TEMPLATE.astype(float).view(complex)[:, 0] * (size / TEMPLATE_SIZE)
    return template, complex(template.sum() / 5)


def _similarity(points: np.ndarray, size: int) -> tuple[complex, complex]:
    """Factor and shift of the transform: by complex least squares, target ≈ factor · source +
    shift, where the factor is a rotation and a scale."""
    target, target_mean = _scaled_template(size)
    source = np.ascontiguousarray(points, float).view(complex)[:, 0]
    source_mean = complex(source.sum() / 5)
    source = source - source_mean  # not in place: it may be the caller's
    factor = complex(np.vdot(source, target)) / max(np.vdot(source, source).real, 1e-9)
    if abs(factor) < MIN_SCALE:
        factor = MIN_SCALE + 0j
    return factor, target_mean - factor * source_mean

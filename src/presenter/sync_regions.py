"""Crops of the footage -> the part of the face that the sync model looks at."""

import cv2
import numpy as np

from ..models.spec import ModelSpec
from .crops import window_matrix

TEMPLATE_SIDE = 96.0  # template units across a crop of the sync model


def region_matrix(spec: ModelSpec) -> np.ndarray:
    """float64 [3, 3], from pixels of the sync model's region to template units."""
    unit = TEMPLATE_SIDE / spec.input_size
    left = (spec.input_size - spec.region_shape[1]) // 2
    return np.array([[unit, 0, unit * left], [0, unit, unit * spec.region_top], [0, 0, 1]])


def sync_region(crop: np.ndarray, spec: ModelSpec) -> np.ndarray:
    """The luma that the sync model would see of a crop.

    Args:
        crop: uint8 [3/2 S, S], planar 4:2:0 (``crops.cut_crop``).

    Returns:
        uint8 [height, width], of ``spec.region_shape``.
    """
    side = crop.shape[1]
    luma = np.asarray(crop[:side])
    matrix = np.linalg.inv(window_matrix(side)) @ region_matrix(spec)
    shrink = float(matrix[0, 0])
    if shrink > 1.5:  # averaged first, so that nothing aliases
        luma = cv2.blur(luma, (round(shrink), round(shrink)))
    height, width = spec.region_shape
    return cv2.warpAffine(
        luma, matrix[:2], (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip

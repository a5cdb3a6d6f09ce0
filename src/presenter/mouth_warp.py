"""Warping a crop along a field of displacements."""

import cv2
import numpy as np

from ..media.frame import split_planes


def warp_crop(crop: np.ndarray, field: np.ndarray) -> np.ndarray:
    """A crop whose pixels come from elsewhere in it.

    Args:
        crop: uint8 [3/2 S, S], planar 4:2:0.
        field: float32 [S, S, 2], x and y from each pixel of the luma to the one that is shown
            there, pixels.
    """
    side = crop.shape[1]
    warped = np.empty_like(crop)
    for plane, target in zip(split_planes(crop), split_planes(warped), strict=True):
        moved = field
        if len(plane) != side:
            moved = cv2.resize(field, plane.shape[::-1], interpolation=cv2.INTER_AREA) / 2
        rows, columns = np.indices(plane.shape, np.float32)
        target[:] = cv2.remap(
            plane, columns + moved[..., 0], rows + moved[..., 1], cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
    return warped

"""Joins between two pieces of footage: for a few frames one mouth is morphed into the other."""

from dataclasses import replace

import cv2
import numpy as np

from ..media.frame import split_planes
from .compose import Mouth

FLOW_SIDE = 128  # px: the flow is computed on crops of this size
MAX_RESIDUAL = 14.0  # grey values: crops that differ more after warping would show as two


def morph(first: Mouth, second: Mouth, weight: float) -> Mouth:
    """A mouth between two.

    Both are warped along the optical flow between them (DIS, Kroeger et al. 2016) and mixed; where
    the flow finds no match, the nearer one is shown alone.

    Args:
        weight: 0 … 1, of the second.
    """
    if second.crop.shape != first.crop.shape:  # of another footage file
        second = replace(second, crop=_resize(second.crop, first.crop.shape[1]))
    lumas = [split_planes(mouth.crop)[0] for mouth in (first, second)]
    small = [
        cv2.resize(luma, (FLOW_SIDE, FLOW_SIDE), interpolation=cv2.INTER_AREA) for luma in lumas
    ]
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flows = [dis.calc(small[0], small[1], None), dis.calc(small[1], small[0], None)]
    factors = weight, 1 - weight
    warped = [
        _warp(image, flow, factor, FLOW_SIDE)
        for image, flow, factor in zip(small, flows, factors, strict=True)
    ]
    residual = cv2.GaussianBlur(cv2.absdiff(*warped).astype(np.float32), (0, 0), 3)
    # Where they do not match, one of them: mixing would show both.
    mix = np.full(residual.shape, weight, np.float32)
    clash = np.clip(residual / MAX_RESIDUAL - 1, 0, 1)
    mix += clash * (float(weight > 0.5) - mix)
    crop = np.empty_like(first.crop)
    for number, target in enumerate(split_planes(crop)):
        size = target.shape[0]
        parts = [
            _warp(split_planes(mouth.crop)[number], flow, factor, size).astype(np.float32)
            for mouth, flow, factor in zip((first, second), flows, factors, strict=True)
        ]
        share = cv2.resize(mix, (size, size))
        target[:] = np.clip(np.rint(parts[0] + share * (parts[1] - parts[0])), 0, 255)
    jaw, lips = (
        ((1 - weight) * a + weight * b).astype(np.float32)
        for a, b in ((first.jaw, second.jaw), (first.lips, second.lips))
    )
    return Mouth(crop, jaw, lips)


def _resize(crop: np.ndarray, side: int) -> np.ndarray:
    """A crop of another side."""
    resized = np.empty((side * 3 // 2, side), np.uint8)
    for plane, target in zip(split_planes(crop), split_planes(resized), strict=True):
        target[:] = cv2.resize(plane, target.shape, interpolation=cv2.INTER_CUBIC)
    return resized


def _warp(image: np.ndarray, flow: np.ndarray, factor: float, side: int) -> np.ndarray:
    """An image moved along ``factor`` of its flow (pixels of ``FLOW_SIDE``)."""
    scale = side / FLOW_SIDE
    field = cv2.resize(flow, (side, side)) * np.float32(scale * factor)
    rows, columns = np.indices((side, side), np.float32)
    # Backward warping with the forward flow: exact where the flow is smooth.
    return cv2.remap(
        image, columns - field[..., 0], rows - field[..., 1], cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip

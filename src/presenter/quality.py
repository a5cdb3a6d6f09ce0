"""Which frames of the footage may be shown: sharp, from the front, nothing before the mouth."""

from dataclasses import dataclass

import cv2
import numpy as np

from .geometry import CENTRE_X

MAX_TURN = 9.0  # template units that the tip of the nose may be off the middle: some 25° of yaw
MIN_SHARPNESS = 0.35  # of the median of the footage
MAX_RESIDUAL = 3.5  # times the median: what the mouth's principal components cannot explain
N_COMPONENTS, N_PARTS = 24, 8
# What the mask shows, as a share of the crop: a new background hides nothing.
SHOWN_ROWS, SHOWN_COLUMNS = (0.18, 0.75), (0.16, 0.84)


@dataclass(frozen=True)
class Quality:
    """What is wrong with each of ``K`` frames, bool [K] each.

    Attributes:
        profile: the head is turned away.
        blurred: by motion or focus.
        hidden: something is in front of the mouth.
    """

    profile: np.ndarray
    blurred: np.ndarray
    hidden: np.ndarray

    @property
    def usable(self) -> np.ndarray:
        """bool [K]: nothing is."""
        return ~(self.profile | self.blurred | self.hidden)


def measure_quality(lumas: np.ndarray, pose: np.ndarray) -> Quality:
    """Look at the lower face of each frame.

    Args:
        lumas: uint8 [K, side, side], small copies of the crops.
        pose: float32 [K, P], the first value is the x of the tip of the nose.
    """
    sharpness = np.array([cv2.Laplacian(luma, cv2.CV_32F).var() for luma in lumas])
    return Quality(
        profile=np.abs(pose[:, 0] - CENTRE_X) > MAX_TURN,
        blurred=sharpness < MIN_SHARPNESS * np.median(sharpness),
        hidden=_is_hidden(lumas),
    )


def _is_hidden(lumas: np.ndarray) -> np.ndarray:
    """bool [K]: frames whose look the principal components of the others cannot explain. They are
    those of other parts of the footage: a hand would explain itself."""
    rows, columns = (
        slice(*(round(share * lumas.shape[1]) for share in span))
        for span in (SHOWN_ROWS, SHOWN_COLUMNS)
    )
    shown = (np.ascontiguousarray(luma[rows, columns]) for luma in lumas)
    small = [cv2.resize(image, (16, 16), interpolation=cv2.INTER_AREA) for image in shown]
    flat = np.stack(small).reshape(len(small), -1).astype(np.float64)
    flat = flat - flat.mean(1, keepdims=True)
    centred = flat - np.median(flat, 0)
    gram = centred.T @ centred
    residuals = []
    for part in np.array_split(centred, N_PARTS):
        _, axes = np.linalg.eigh(gram - part.T @ part)  # rising
        axes = axes[:, -min(N_COMPONENTS, (len(centred) - len(part)) // 4 + 1) :]
        residuals.append(np.linalg.norm(part - part @ axes @ axes.T, axis=1))
    residual = np.concatenate(residuals)
    return residual > MAX_RESIDUAL * max(float(np.median(residual)), 1.0)


def closed_threshold(opening: np.ndarray) -> float:
    """The gap between the lips, in template units, below which a mouth counts as shut.

    People differ in how their lips rest, so it lies between the smallest and the largest gaps of
    the person's own footage.

    Args:
        opening: float [N], of the footage.
    """
    smallest, largest = np.percentile(opening, [2, 95])
    return float(smallest + 0.2 * (largest - smallest))

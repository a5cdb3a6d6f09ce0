"""Landmarks of a face -> where it is, how the head is turned, and the shape of the mouth.

Positions are given in the units of the crop template (``faces.alignment``): 96 units wide, the
eyes at the top, the chin at about 80; a unit is a pixel of the crops that the sync model sees. The
transform into it follows the eyes and the bridge of the nose alone: mouth corners and chin move
with speech, and a transform that followed them would carry it.
"""

from dataclasses import dataclass

import numpy as np

from ..faces.mesh import (
    CHIN,
    INNER_LIPS,
    JAW,
    LEFT_EYE,
    LOWER_LIP,
    MOUTH_CORNERS,
    NOSE_TIP,
    RIGHT_EYE,
    UPPER_LIP,
)

# Face Mesh landmarks that speech hardly moves (eye corners, brows, bridge and base of the nose),
# and where they are in the template: means over eight people, symmetrical.
ANCHORS = (33, 133, 263, 362, 168, 6, 197, 98, 327, 55, 285, 8)
ANCHOR_SHAPE = np.array([
    [16.6, 2.3], [35.9, 3.0], [79.4, 2.3], [60.1, 3.0], [48, -1.8], [48, 3.4], [48, 8.0],
    [36.0, 30.2], [60.0, 30.2], [39.2, -8.0], [56.8, -8.0], [48, -7.1],
])  # fmt: skip
# Their place in the template tells how the head is turned: tip of the nose (the first), temples,
# ears.
POSE_POINTS = (NOSE_TIP, 5, 127, 356, 234, 454)
SMOOTHING_S = 0.04  # standard deviation in time: the landmarks jitter by a quarter of a unit
CENTRE_X = 48.0  # of the template
# The head nods with the speech: a pose at that rate would tell of the mouth, which must not count.
POSE_SMOOTHING_S = 0.3
_COMPLEX_SHAPE = ANCHOR_SHAPE[:, 0] + 1j * ANCHOR_SHAPE[:, 1]


@dataclass(frozen=True)
class FacePlacement:
    """Where a face is in consecutive frames: ``template = factor · pixel + shift``.

    Both are complex numbers (x + i y): ``factor`` rotates and scales.

    Attributes:
        factor, shift: complex128 [N].
    """

    factor: np.ndarray
    shift: np.ndarray

    def to_template(self, points: np.ndarray) -> np.ndarray:
        """float [N, P, 2], pixels -> template units."""
        placed = self.factor[:, None] * (points[..., 0] + 1j * points[..., 1]) + self.shift[:, None]
        return np.stack([placed.real, placed.imag], -1)

    def pixels_per_unit(self) -> np.ndarray:
        """float [N], how many pixels of the frame a template unit is."""
        return 1 / np.abs(self.factor)

    def to_frame(self, index: int) -> np.ndarray:
        """float64 [3, 3], affine, from template units to pixels of frame ``index``."""
        factor = 1 / self.factor[index]
        shift = -self.shift[index] * factor
        return np.array([
            [factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag],
            [0, 0, 1],
        ])  # fmt: skip


def place_faces(landmarks: np.ndarray, fps: float) -> FacePlacement:
    """The similarity transforms that bring faces into the template (least squares, Umeyama 1991).

    Args:
        landmarks: float [N, 468, 2], pixels, of consecutive frames.
        fps: their rate; they are smoothed over time, symmetrically, so without lag.
    """
    from scipy.ndimage import gaussian_filter1d

    anchors = landmarks[:, ANCHORS].astype(np.float64)
    anchors = gaussian_filter1d(anchors, max(SMOOTHING_S * fps, 1e-3), axis=0, mode="nearest")
    source = anchors[..., 0] + 1j * anchors[..., 1]
    source_mean = source.mean(1, keepdims=True)
    source = source - source_mean
    target_mean = _COMPLEX_SHAPE.mean()
    energy = np.maximum((np.abs(source) ** 2).sum(1), 1e-9)
    factor = (np.conj(source) * (_COMPLEX_SHAPE - target_mean)).sum(1) / energy
    factor = np.where(np.abs(factor) < 1e-4, 1e-4, factor)
    return FacePlacement(factor, target_mean - factor * source_mean[:, 0])


@dataclass(frozen=True)
class FaceShape:
    """What the landmarks of ``N`` frames say of the head and the mouth, in template units.

    Attributes:
        pose: float32 [N, 12], places of ``POSE_POINTS``.
        opening: float32 [N], gap between the inner lips.
        width: float32 [N], distance of the mouth corners.
        eyes: float32 [N], gap of the eyelids, mean of both eyes.
        jaw: float32 [N, 17, 2], the contour of the jaw from ear to ear.
        lips: float32 [N, 2, 11, 2], inner edges of the upper and the lower lip.
    """

    pose: np.ndarray
    opening: np.ndarray
    width: np.ndarray
    eyes: np.ndarray
    jaw: np.ndarray
    lips: np.ndarray

    @property
    def chin(self) -> np.ndarray:
        """float32 [N], height of the chin."""
        return self.jaw[:, JAW.index(CHIN), 1]


def measure_shapes(landmarks: np.ndarray, placement: FacePlacement, fps: float) -> FaceShape:
    """Head and mouth of consecutive frames.

    Args:
        landmarks: float [N, 468, 2], pixels.
        placement: of the same frames.
        fps: their rate; what moves slowly is smoothed over time.
    """
    from scipy.ndimage import gaussian_filter1d

    placed = placement.to_template(landmarks).astype(np.float32)
    sigma = max(SMOOTHING_S * fps, 1e-3)
    pose = placed[:, POSE_POINTS].reshape(len(placed), -1)
    upper, lower = (placed[:, points].mean(1) for points in (UPPER_LIP, LOWER_LIP))
    lids = [placed[:, eye[3]] - placed[:, eye[2]] for eye in (LEFT_EYE, RIGHT_EYE)]
    corners = placed[:, MOUTH_CORNERS[1]] - placed[:, MOUTH_CORNERS[0]]
    return FaceShape(
        pose=gaussian_filter1d(pose, POSE_SMOOTHING_S * fps, axis=0, mode="nearest"),
        opening=np.linalg.norm(lower - upper, axis=-1),
        width=np.linalg.norm(corners, axis=-1),
        eyes=np.mean([np.linalg.norm(gap, axis=-1) for gap in lids], axis=0),
        jaw=gaussian_filter1d(placed[:, JAW], sigma / 2, axis=0, mode="nearest"),
        lips=placed[:, INNER_LIPS],
    )

"""Real mouths, warped into the shapes that the speech asks for.

The optical flow leads from the chosen frame, as the person's principal components show it, to what
``mouth_shapes`` draws: both are equally soft, so that it follows the lips and not the grain. The
frame itself is then warped at its full resolution: the pixels, skin and teeth stay real.
"""

import cv2
import numpy as np

from ..models.spec import ModelSpec
from .choice import Choice
from .compose import Mouth
from .crops import window_matrix
from .footage import Footage
from .geometry import CENTRE_X
from .mouth_shapes import MouthShapes
from .mouth_warp import warp_crop
from .speech import Speech
from .store import Presenter
from .sync_regions import region_matrix, sync_region

UPSAMPLING = 2  # of the regions between which the flow is computed
FLOW_SIGMA = 1.5  # region pixels: the flow is smoothed by as much
MAX_FLOW = 6.0  # region pixels
POSE_FRAMES = 5  # over which the pose is averaged: those of a morph
# Where lips, cheeks and chin move, in template units: nothing above the first value, all of the
# flow below the second; and likewise down to under the chin, and out to the sides.
TOP, FULL_TOP, FULL_BOTTOM, BOTTOM = 30.0, 37.0, 81.0, 88.0
FULL_SIDE, SIDE = 27.0, 38.0  # from the middle


def make_reshaper(
    shapes: MouthShapes, presenter: Presenter, footage: Footage, speech: Speech,
    choice: Choice, spec: ModelSpec,
) -> "Reshaper":  # fmt: skip
    """What warps the chosen frames for a speech.

    Args:
        shapes: of this presenter (``check_shapes``).
        choice: of the frames.
        spec: of the sync model.
    """
    from scipy.ndimage import binary_erosion, uniform_filter1d

    chosen = choice.frames
    code_by_key = {key: code for code, key in enumerate(shapes.header.clips)}
    codes = np.array([code_by_key[clip.key] for clip in presenter.clips])
    clip = codes[footage.clip[chosen]]
    # The heads of two pieces differ a little; over the join they are morphed, and so is the pose.
    pose = uniform_filter1d(footage.frames.pose[chosen], POSE_FRAMES, axis=0, mode="nearest")
    components = shapes.shape(speech.embedding, pose, clip)
    # What is chosen for a pause or a sound that shuts the lips stays as it is (``close_lips``).
    spoken = binary_erosion(~choice.silent, border_value=True) & ~choice.closure
    strength = uniform_filter1d(spoken.astype(np.float32), 3, mode="nearest")
    strength[choice.closure] = 0
    return Reshaper(shapes, spec, components, clip, strength)


class Reshaper:
    """Warps mouths into shapes.

    Args:
        shapes: of the person.
        spec: of the sync model.
        components: float32 [T, K], the shape at each output frame on the 25 fps grid.
        clip: int [T], the clip whose frame is displayed, as ``shapes`` numbers them.
        strength: float32 [T], 0 (the frame as it is) … 1.
    """

    def __init__(
        self, shapes: MouthShapes, spec: ModelSpec, components: np.ndarray, clip: np.ndarray,
        strength: np.ndarray,
    ):  # fmt: skip
        self._shapes, self._spec = shapes, spec
        self._components, self._clip, self._strength = components, clip, strength
        self._to_units = region_matrix(spec)
        self._weight = _flow_weight(self._to_units, spec.region_shape)
        self._dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def reshape(self, mouth: Mouth, frame: float) -> Mouth:
        """A mouth in the shape for an output frame; ``frame`` may lie between two."""
        first = int(frame)
        second = min(first + 1, len(self._components) - 1)
        share = np.float32(frame - first)
        strength = (1 - share) * self._strength[first] + share * self._strength[second]
        if strength < 0.02:
            return mouth
        wanted = (1 - share) * self._components[first] + share * self._components[second]
        flow = strength * self._flow(mouth, wanted, int(self._clip[round(frame)]))
        return warp_mouth(mouth, flow, self._to_units)

    def _flow(self, mouth: Mouth, wanted: np.ndarray, clip: int) -> np.ndarray:
        """float32 [height, width, 2], region pixels: where each pixel of the wanted region is in
        the mouth."""
        space, shape = self._shapes.space, self._spec.region_shape
        own = space.project_region(sync_region(mouth.crop, self._spec), clip)
        size = (UPSAMPLING * shape[1], UPSAMPLING * shape[0])
        target, source = (
            cv2.resize(space.draw_region(components, clip, shape), size,
                       interpolation=cv2.INTER_CUBIC)
            for components in (wanted, own)
        )  # fmt: skip
        flow = self._dis.calc(target, source, None)
        flow = cv2.GaussianBlur(flow, (0, 0), FLOW_SIGMA * UPSAMPLING) / UPSAMPLING
        flow = cv2.resize(flow, shape[::-1], interpolation=cv2.INTER_AREA)
        length = np.linalg.norm(flow, axis=2, keepdims=True)
        return flow * self._weight * np.minimum(1, MAX_FLOW / np.maximum(length, 1e-6))


def warp_mouth(mouth: Mouth, flow: np.ndarray, to_units: np.ndarray) -> Mouth:
    """A mouth, warped.

    Args:
        flow: float32 [height, width, 2], region pixels, where each pixel comes from.
        to_units: float [3, 3], from region pixels to template units.
    """
    side = mouth.crop.shape[1]
    to_crop = np.linalg.inv(window_matrix(side)) @ to_units
    field = cv2.warpAffine(flow, to_crop[:2], (side, side), flags=cv2.INTER_LINEAR)
    field *= np.float32(to_crop[0, 0])
    jaw, lips = (_move(points, flow, to_units) for points in (mouth.jaw, mouth.lips))
    return Mouth(warp_crop(mouth.crop, field), jaw, lips)


def _move(points: np.ndarray, flow: np.ndarray, to_units: np.ndarray) -> np.ndarray:
    """Points [..., 2] in template units, moved with the pixels of ``warp_mouth``."""
    flat = points.reshape(-1, 2)
    at = (np.linalg.inv(to_units) @ np.c_[flat, np.ones(len(flat))].T)[:2]
    shift = cv2.remap(
        flow, at[0].astype(np.float32), at[1].astype(np.float32), cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
    )[:, 0]  # fmt: skip
    return (flat - shift * to_units[0, 0]).astype(np.float32).reshape(points.shape)


def _flow_weight(to_units: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """float32 [height, width, 1]: how much of the flow counts at each region pixel."""
    x = np.abs(to_units[0, 0] * np.arange(shape[1]) + to_units[0, 2] - CENTRE_X)
    y = to_units[1, 1] * np.arange(shape[0]) + to_units[1, 2]
    across = _ramp((SIDE - x) / (SIDE - FULL_SIDE))
    down = _ramp((y - TOP) / (FULL_TOP - TOP)) * _ramp((BOTTOM - y) / (BOTTOM - FULL_BOTTOM))
    return (down[:, None] * across[None])[..., None].astype(np.float32)


def _ramp(position: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, smooth between."""
    position = np.clip(position, 0, 1)
    return position * position * (3 - 2 * position)

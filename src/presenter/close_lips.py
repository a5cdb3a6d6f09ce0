"""Lips that stay a little apart in the chosen frame are brought together where they must be shut.

Nobody's footage holds every shut mouth in every pose, and some people hardly ever shut theirs. What
is between the lips is squeezed out; the upper lip comes down by a third of the gap and the lower
one up by the rest, and the skin around them follows less and less. Pixels stay those of the person.
"""

from dataclasses import replace

import numpy as np

from .choice import Choice
from .compose import Mouth
from .crops import window_matrix
from .mouth_warp import warp_crop

UPPER_SHARE = 1 / 3  # of the gap that the upper lip closes
REACH_UP, REACH_DOWN = 11.0, 16.0  # template units: nose and chin stay where they are
MAX_GAP = 9.0  # template units: a mouth open wider would look squeezed
SHUT_SHARE = 0.1  # of the gap that counts as shut in this footage, which is left
# So far from the frame of a sound that shuts them, the lips are as they were: with more, the mouth
# falls out of sync.
SOUND_FRAMES = 1.2
MIN_MOVE = 0.1  # template units: less is not visible


class LipCloser:
    """Shuts the lips where a speech asks for it.

    Args:
        choice: where that is: in pauses, and at sounds that shut the lips.
        closed_below: gap that counts as shut, template units.
    """

    def __init__(self, choice: Choice, closed_below: float):
        self._target = SHUT_SHARE * closed_below
        self._frames = np.arange(len(choice.silent))
        from scipy.ndimage import uniform_filter1d

        self._pause = uniform_filter1d(choice.silent.astype(np.float32), 3, mode="nearest")
        self._sounds = np.flatnonzero(choice.closure)

    def close(self, mouth: Mouth, frame: float) -> Mouth:
        """The mouth for an output frame, which may lie between two of the 25 fps grid."""
        strength = float(np.interp(frame, self._frames, self._pause))
        if len(self._sounds):
            distance = float(np.abs(self._sounds - frame).min())
            strength = max(strength, min(SOUND_FRAMES - distance, 1.0))
        return close_lips(mouth, strength, self._target) if strength > 0 else mouth


def close_lips(mouth: Mouth, strength: float, target: float) -> Mouth:
    """A mouth whose lips are nearer to each other.

    Args:
        strength: 0 (as it is) … 1 (shut).
        target: gap of shut lips, template units.
    """
    x, upper, lower = _lip_edges(mouth.lips)
    gap = lower - upper
    widest = float(gap.max())
    excess = strength * min(max(widest - target, 0), MAX_GAP)
    if excess < MIN_MOVE:
        return mouth
    closing = excess / widest * gap  # the corners of the mouth stay
    side = mouth.crop.shape[1]
    to_units = window_matrix(side)
    columns = to_units[0, 0] * np.arange(side) + to_units[0, 2]
    rows = to_units[1, 1] * np.arange(side)[:, None] + to_units[1, 2]
    down, up = (
        np.interp(columns, x, share * closing, left=0, right=0)
        for share in (UPPER_SHARE, 1 - UPPER_SHARE)
    )
    edges = [np.interp(columns, x, edge) for edge in (upper, lower)]
    shift = _source_shift(rows, *edges, down, up)
    field = np.zeros((side, side, 2), np.float32)
    field[..., 1] = shift / to_units[1, 1]
    lips = mouth.lips.copy()
    for row, moved in ((0, UPPER_SHARE * closing), (1, (UPPER_SHARE - 1) * closing)):
        lips[row, :, 1] += np.interp(lips[row, :, 0], x, moved)
    return replace(mouth, crop=warp_crop(mouth.crop, field), lips=lips)


def _lip_edges(lips: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inner edges of the lips over common columns: x, heights of the upper and of the lower one,
    float [n] each."""
    curves = [(np.maximum.accumulate(edge[:, 0]), edge[:, 1]) for edge in lips]
    first, last = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    x = np.linspace(first, max(last, first + 1e-3), 2 * lips.shape[1] - 1)
    upper, lower = (np.interp(x, *curve) for curve in curves)
    middle = (upper + lower) / 2  # edges that cross touch
    return x, np.minimum(upper, middle), np.maximum(lower, middle)


def _source_shift(
    rows: np.ndarray, upper: np.ndarray, lower: np.ndarray, down: np.ndarray, up: np.ndarray
) -> np.ndarray:
    """Where each pixel comes from, above or below itself: [S, S], template units.

    Args:
        rows: [S, 1], heights of the pixels.
        upper, lower: [S], edges of the lips in each column.
        down, up: [S], how far they move towards each other.
    """
    new_upper, new_lower = upper + down, lower - up
    left_gap = np.maximum(new_lower - new_upper, 1e-3)
    inside = upper + (rows - new_upper) / left_gap * (lower - upper) - rows
    above = -down * _fall((new_upper - rows) / REACH_UP)
    below = up * _fall((rows - new_lower) / REACH_DOWN)
    return np.where(rows < new_upper, above, np.where(rows > new_lower, below, inside))


def _fall(distance: np.ndarray) -> np.ndarray:
    """1 at 0, 0 from 1 on, smooth between."""
    left = 1 - np.clip(distance, 0, 1)
    return left * left * (3 - 2 * left)

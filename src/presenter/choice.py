"""New speech, footage and base -> the footage frame for each output frame."""

from dataclasses import dataclass

import numpy as np

from ..core.constants import FPS
from .base import BasePlan, BaseVideo
from .footage import Footage
from .selection import SelectionWeights, SpeechFrames, choose_frames
from .speech import Speech

# The base's own mouth of the moment, and so long before and after it, is not chosen: it would move
# with the old speech.
OWN_S = 0.8
# Where in a sound that shuts the lips they are shut, as a share of it: before the burst.
CLOSURE_AT = 0.25


@dataclass(frozen=True)
class Choice:
    """What was chosen for ``T`` output frames on the 25 fps grid.

    Attributes:
        frames: int64 [T], numbers of footage frames.
        similarity: float32 [T], cosine of the audio with the chosen frame's mouth; NaN in silence.
        silent: bool [T], frames in which the lips must be shut.
        closure: bool [T], where a sound (b, p, m) shuts the lips, as far as they are known.
    """

    frames: np.ndarray
    similarity: np.ndarray
    silent: np.ndarray
    closure: np.ndarray


def choose_mouths(
    footage: Footage,
    speech: Speech,
    base: BaseVideo,
    plan: BasePlan,
    closures_s: np.ndarray | None = None,
    own_clip: int | None = None,
    weights: SelectionWeights | None = None,
) -> Choice:
    """Choose the footage frames for a speech over a base.

    Args:
        closures_s: float [n, 2], beginning and end of sounds that shut the lips, seconds; None:
            not known.
        own_clip: number of the footage's clip that is the base; None: none is.
    """
    silent = speech.silent
    embedding = np.where(silent[:, None], 0, speech.embedding).astype(np.float32)
    pose = _base_pose(base, plan, len(embedding))
    closure = _closure_frames(closures_s, len(embedding))
    own = None
    if own_clip is not None:
        own = _own_frames(footage, own_clip, base.times[_shown_frames(plan, len(embedding))])
    look = base.look[_shown_frames(plan, len(embedding))]
    asked = SpeechFrames(embedding, pose, silent, closure, own, look)
    frames = choose_frames(footage.frames, asked, weights)
    similarity = (embedding * footage.frames.embedding[frames]).sum(1)
    similarity[silent] = np.nan
    return Choice(frames, similarity, silent, closure)


def _base_pose(base: BaseVideo, plan: BasePlan, n_frames: int) -> np.ndarray:
    """How the base's head is turned at each frame of the 25 fps grid: float32 [T, P]."""
    return base.pose[_shown_frames(plan, n_frames)]


def _shown_frames(plan: BasePlan, n_frames: int) -> np.ndarray:
    """The number of the base's frame at each frame of the 25 fps grid: int64 [T]."""
    times = np.arange(n_frames) / FPS
    return plan.numbers[np.searchsorted((plan.times[1:] + plan.times[:-1]) / 2, times)]


def _own_frames(footage: Footage, own_clip: int, base_times: np.ndarray) -> np.ndarray:
    """First and last + 1 footage frame within ``OWN_S`` of each moment of the base: int64 [T, 2].

    Args:
        base_times: float64 [T], seconds after the first frame of the clip.
    """
    first, stop = np.searchsorted(footage.clip, [own_clip, own_clip + 1])
    times = footage.time[first:stop]
    edges = [np.searchsorted(times, base_times + shift) for shift in (-OWN_S, OWN_S)]
    return first + np.stack(edges, 1)


def _closure_frames(closures_s: np.ndarray | None, n_frames: int) -> np.ndarray:
    """bool [T]: the frame in which each sound has shut the lips."""
    frames = np.zeros(n_frames, bool)
    if closures_s is not None and len(closures_s):
        begin, end = np.transpose(closures_s)
        shut = np.rint((begin + CLOSURE_AT * (end - begin)) * FPS).astype(int)
        frames[shut[(shut >= 0) & (shut < n_frames)]] = True
    return frames

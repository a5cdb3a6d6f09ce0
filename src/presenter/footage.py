"""The footage of a presenter as one list of frames to choose from."""

from dataclasses import dataclass

import numpy as np

from ..core.constants import FPS
from .quality import closed_threshold
from .selection import MIN_PIECE, FootageFrames
from .store import Presenter

N_COMPONENTS = 20  # principal components of the mouth's look


@dataclass(frozen=True)
class Footage:
    """The usable frames of all clips, ``N`` on the 25 fps grid.

    Attributes:
        clip: int32 [N], number of the clip.
        run: int32 [N], of the clip.
        time: float64 [N], seconds after the first frame of the clip.
        has_speech: bool [N].
        frames: what they are chosen by.
        closed_below: gap of the lips that counts as shut, template units.
    """

    clip: np.ndarray
    run: np.ndarray
    time: np.ndarray
    has_speech: np.ndarray
    frames: FootageFrames
    closed_below: float


def gather_footage(presenter: Presenter) -> Footage:
    """All usable frames of a presenter."""
    grids = [clip.grid for clip in presenter.clips]
    grid = np.concatenate(grids)
    clip = np.repeat(np.arange(len(grids), dtype=np.int32), [len(part) for part in grids])
    closed_below = closed_threshold(grid["opening"][grid["usable"]])
    keep = grid["usable"]
    grid, clip = grid[keep], clip[keep]
    follows = np.zeros(len(grid), bool)
    follows[1:] = (
        (clip[1:] == clip[:-1])
        & (grid["run"][1:] == grid["run"][:-1])
        & (grid["number"][1:] == grid["number"][:-1] + 1)
    )
    embedding = grid["embedding"].astype(np.float32)
    embedding /= np.maximum(np.linalg.norm(embedding, axis=1, keepdims=True), 1e-6)
    frames = FootageFrames(
        embedding=embedding,
        follows=follows,
        pose=grid["pose"],
        look=grid["look"],
        opening=grid["opening"],
        mouth=_mouth_components(grid["mouth"]),
        closed=grid["opening"] < closed_below,
    )
    return Footage(clip, grid["run"], grid["time"], grid["speech"], frames, closed_below)


def _mouth_components(mouths: np.ndarray) -> np.ndarray:
    """uint8 [N, side, side] -> float32 [N, ``N_COMPONENTS``]; a distance of 1 is a root mean square
    difference of one grey value, whatever the brightness."""
    flat = mouths.reshape(len(mouths), -1).astype(np.float32)
    flat -= flat.mean(1, keepdims=True)
    flat -= flat.mean(0)
    sample = flat[:: max(1, len(flat) // 1500)]
    _, _, axes = np.linalg.svd(sample, full_matrices=False)
    return flat @ axes[:N_COMPONENTS].T / np.float32(mouths.shape[1])


def has_piece(footage: Footage) -> bool:
    """Whether there are frames enough in a row to choose from."""
    follows = footage.frames.follows
    return bool(len(follows) >= MIN_PIECE and (follows[1:-1] & follows[2:]).any())


def speech_seconds(presenter: Presenter) -> float:
    """Seconds of speech with a usable face."""
    return sum(float((c.grid["usable"] & c.grid["speech"]).sum()) for c in presenter.clips) / FPS


class FrameRows:
    """Finds the frame of the file that a clip displays at a time.

    Args:
        presenter: whose clips.
    """

    def __init__(self, presenter: Presenter):
        self._rows = {}
        for number, clip in enumerate(presenter.clips):
            run = clip.frames["run"]
            for value in np.unique(run):
                rows = np.flatnonzero(run == value)
                self._rows[number, int(value)] = rows, clip.frames["time"][rows]

    def nearest(self, clip: int, run: int, time_s: float) -> int:
        """The row of ``FootageClip.frames`` nearest to a time; beyond the ends of the run, its
        first or last one.

        Args:
            clip: its number.
            run: of the clip.
            time_s: after the first frame of the clip.
        """
        rows, times = self._rows[clip, run]
        return int(rows[np.searchsorted((times[1:] + times[:-1]) / 2, time_s)])

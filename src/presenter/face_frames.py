"""A face in every frame of a video: its landmarks, at the frame rate of the file."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from ..core.constants import FPS
from ..core.errors import PresenterError
from ..core.progress import Progress, no_progress
from ..faces.mesh import (
    MESH_POINTS,
    MESH_SIZE,
    MOUTH_CORNERS,
    find_landmarks,
    mesh_window,
)
from ..i18n.messages import tr
from ..media.frame import VideoFrame
from ..media.reader import source_frames
from ..preprocessing.clip_features import ClipFeatures
from .geometry import ANCHORS
from .shot_borders import changes, settle_borders, thumbnail

BATCH = 16  # frames whose landmarks are found at a time
MARGIN = 1.5  # frames of the grid around a track in which its face is looked for, too
MAX_STEP, MAX_GROWTH = 0.45, 0.12  # of a face from frame to frame: shares of its anchors' size
LIP_OUTLINE = (0, 17, *MOUTH_CORNERS)  # Face Mesh: above the upper lip, below the lower one
MIN_MESH_SCORE = 0.5  # probability of a face below which landmarks do not count


@dataclass(frozen=True)
class FaceTrackBoxes:
    """The boxes of one face track on the 25 fps grid.

    Attributes:
        first_frame: index of its first frame.
        boxes: float32 [T, 4], x0 y0 x1 y1, pixels.
    """

    first_frame: int
    boxes: np.ndarray

    def box_at(self, time_s: float, margin: float = 0.0) -> np.ndarray | None:
        """The box at a time after the first frame of the video, or None outside the track.

        Args:
            margin: frames of the grid before and after the track in which its outermost box is
                given.
        """
        position = time_s * FPS - self.first_frame
        last = len(self.boxes) - 1
        if not -0.5 - margin <= position < last + 0.5 + margin:
            return None
        position = min(max(position, 0.0), last)
        index = int(position)
        weight = position - index
        return (1 - weight) * self.boxes[index] + weight * self.boxes[min(index + 1, last)]


@dataclass(frozen=True)
class FaceFrames:
    """The face in each of ``N`` frames of a video.

    Attributes:
        times: float64 [N], seconds after the first frame.
        track: int32 [N], the number of the track that the frame belongs to; −1: no face.
        landmarks: float32 [N, 468, 2], pixels; NaN without a face.
        look: float32 [N, 3], mean Cr, Cb and luma of the lips and the skin around them, 0…255; NaN
            without a face.
    """

    times: np.ndarray
    track: np.ndarray
    landmarks: np.ndarray
    look: np.ndarray

    @classmethod
    def empty(cls, times: np.ndarray) -> "FaceFrames":
        """Without any face."""
        n_frames = len(times)
        return cls(
            times, np.full(n_frames, -1, np.int32),
            np.full((n_frames, MESH_POINTS, 2), np.nan, np.float32),
            np.full((n_frames, 3), np.nan, np.float32),
        )  # fmt: skip

    def runs(self) -> Iterator[tuple[int, int]]:
        """First and last + 1 frame of each stretch with a face of one track that does not jump.

        Tracks are made on the 25 fps grid: a frame of the file next to a cut can be in the track
        of the other shot, and smoothing over the cut would place the face between the two.
        """
        borders = np.flatnonzero((np.diff(self.track) != 0) | self._jumps()) + 1
        for first, stop in zip([0, *borders], [*borders, len(self.track)], strict=True):
            if stop > first and self.track[first] >= 0:
                yield int(first), int(stop)

    def _jumps(self) -> np.ndarray:
        """bool [N − 1]: whether the face is elsewhere, or of another size, in the next frame."""
        anchors = self.landmarks[:, ANCHORS]
        centre = anchors.mean(1)
        size = np.linalg.norm(anchors - centre[:, None], axis=2).mean(1)
        with np.errstate(invalid="ignore"):
            moved = np.linalg.norm(np.diff(centre, axis=0), axis=1) > MAX_STEP * size[1:]
            grown = np.abs(np.diff(np.log(np.maximum(size, 1e-6)))) > MAX_GROWTH
        return moved | grown


def check_upright(path: str | Path, clip: ClipFeatures) -> None:
    """A mouth can be re-made only where the face is upright.

    Raises:
        PresenterError: the video lies on its side or is upside down.
    """
    if clip.is_turned:
        raise PresenterError(
            tr("{path} lies on its side or is upside down: turn it upright in a video editor first",
               path=path)
        )  # fmt: skip


def locate_face(
    path: str | Path,
    tracks: list[FaceTrackBoxes],
    progress: Progress = no_progress,
    n_expected: float = 0,
) -> FaceFrames:
    """Find the landmarks of the tracked face in every frame of a video.

    Args:
        tracks: of one person; no two share a frame.
        progress: reports the frames.
        n_expected: frames there will be, for ``progress``; 0: unknown.

    Raises:
        MediaError: the video cannot be read.
    """
    times, small = [], []
    faces: dict[tuple[int, int], _Face] = {}  # by track and frame
    frames = iter(progress(source_frames(path), tr("locating the face"), n_expected))
    while batch := list(islice(frames, BATCH)):
        faces |= _locate_batch([(t, frame) for t, frame, _ in batch], tracks, len(times))
        times += [time_s for time_s, _, _ in batch]
        small += [thumbnail(frame) for _, frame, _ in batch]
    located = FaceFrames.empty(np.array(times))
    change = changes(np.stack(small))
    fps = (len(times) - 1) / max(times[-1] - times[0], 1e-6) if len(times) > 1 else FPS
    for number, track in enumerate(tracks):
        in_track = np.array([track.box_at(time_s) is not None for time_s in times])
        if not in_track.any():
            continue
        for frame in range(*settle_borders(in_track, change, fps)):
            face = faces.get((number, frame))
            if face is not None:
                located.track[frame] = number
                located.landmarks[frame], located.look[frame] = face.landmarks, face.look
    return located


@dataclass(frozen=True)
class _Face:
    """Landmarks, float32 [468, 2], and look, float32 [3], of a face in one frame."""

    landmarks: np.ndarray
    look: np.ndarray


def _locate_batch(
    frames: list[tuple[float, VideoFrame]], tracks: list[FaceTrackBoxes], first: int
) -> dict[tuple[int, int], _Face]:
    """The faces of some frames by track and frame, in those around the tracks, too.

    Args:
        first: number of the first frame.
    """
    keys, windows, images = [], [], []
    for number, (time_s, frame) in enumerate(frames, first):
        for track_number, track in enumerate(tracks):
            box = track.box_at(time_s, MARGIN)
            if box is not None:
                window = mesh_window(box)
                halvings = max(0, int(np.log2(max(window[0, 0], 1))))
                keys.append((track_number, number))
                windows.append(window)
                images.append(frame.crop_square(window, MESH_SIZE, halvings))
    if not keys:
        return {}
    found, scores = find_landmarks(np.stack(images))
    window = np.stack(windows)
    placed = found[..., :2] * window[:, [0, 1], [0, 1]][:, None] + window[:, None, :, 2]
    return {
        key: _Face(points, _mouth_look(image, in_image))
        for key, points, image, in_image, score in zip(
            keys, placed, images, found, scores, strict=True
        )
        if score >= MIN_MESH_SCORE
    }


def _mouth_look(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Mean Cr, Cb and luma in the box around the lips: float32 [3].

    Args:
        image: uint8 BGR [MESH_SIZE, MESH_SIZE, 3].
        landmarks: float [468, 3], in its pixels.
    """
    lips = landmarks[list(LIP_OUTLINE), :2]
    first = np.clip(np.floor(lips.min(0)), 0, MESH_SIZE - 2).astype(int)
    last = np.clip(np.ceil(lips.max(0)), first + 1, MESH_SIZE - 1).astype(int)
    box = np.ascontiguousarray(image[first[1] : last[1] + 1, first[0] : last[0] + 1])
    luma, red, blue = cv2.cvtColor(box, cv2.COLOR_BGR2YCrCb).reshape(-1, 3).mean(0)
    return np.float32([red, blue, luma])

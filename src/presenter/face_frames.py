"""A face in every frame of a video: its landmarks, at the frame rate of the file."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from ..core.constants import FPS
from ..core.progress import Progress, no_progress
from ..faces.mesh import MESH_POINTS, MESH_SIZE, find_landmarks, mesh_window
from ..i18n.messages import tr
from ..media.frame import VideoFrame
from ..media.reader import source_frames

BATCH = 16  # frames whose landmarks are found at a time
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

    def box_at(self, time_s: float) -> np.ndarray | None:
        """The box at a time after the first frame of the video, or None outside the track."""
        position = time_s * FPS - self.first_frame
        last = len(self.boxes) - 1
        if not -0.5 <= position < last + 0.5:
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
    """

    times: np.ndarray
    track: np.ndarray
    landmarks: np.ndarray

    def runs(self) -> Iterator[tuple[int, int]]:
        """First and last + 1 frame of each stretch with a face of one track."""
        borders = np.flatnonzero(np.diff(self.track)) + 1
        for first, stop in zip([0, *borders], [*borders, len(self.track)], strict=True):
            if stop > first and self.track[first] >= 0:
                yield int(first), int(stop)


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
    times, numbers, landmarks = [], [], []
    frames = iter(progress(source_frames(path), tr("locating the face"), n_expected))
    while batch := list(islice(frames, BATCH)):
        times += [time_s for time_s, _, _ in batch]
        tracked, points = _locate_batch([(t, frame) for t, frame, _ in batch], tracks)
        numbers.append(tracked)
        landmarks.append(points)
    return FaceFrames(np.array(times), np.concatenate(numbers), np.concatenate(landmarks))


def _locate_batch(
    frames: list[tuple[float, VideoFrame]], tracks: list[FaceTrackBoxes]
) -> tuple[np.ndarray, np.ndarray]:
    """Track number, int32 [n], and landmarks, float32 [n, 468, 2], of some frames."""
    numbers = np.full(len(frames), -1, np.int32)
    points = np.full((len(frames), MESH_POINTS, 2), np.nan, np.float32)
    rows, windows, images = [], [], []
    for row, (time_s, frame) in enumerate(frames):
        for number, track in enumerate(tracks):
            box = track.box_at(time_s)
            if box is not None:
                window = mesh_window(box)
                halvings = max(0, int(np.log2(max(window[0, 0], 1))))
                rows.append(row)
                windows.append(window)
                images.append(frame.crop_square(window, MESH_SIZE, halvings))
                numbers[row] = number
                break
    if rows:
        found, scores = find_landmarks(np.stack(images))
        window = np.stack(windows)
        placed = found[..., :2] * window[:, [0, 1], [0, 1]][:, None] + window[:, None, :, 2]
        points[rows] = placed
        is_lost = np.array(rows)[scores < MIN_MESH_SCORE]
        numbers[is_lost], points[is_lost] = -1, np.nan
    return numbers, points

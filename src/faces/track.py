"""One face tracked through a shot: its landmarks are smoothed, its crops are passed on."""

import math
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from ..core.config import DataConfig
from ..media.frame import VideoFrame
from .alignment import align, halvings_for
from .detection import FaceDetection

SMOOTHING = np.array([1, 2, 3, 2, 1], np.float32) / 9  # over ±2 frames: symmetric, so no lag
SMOOTHING_RADIUS = len(SMOOTHING) // 2  # frames
APPEARANCE_SIZE = 24  # px: size at which crops are compared
MIN_HALVED = 8  # px: a frame is not halved to less
APPEARANCE_UPDATE = 0.25  # weight of the newest crop in the remembered appearance
MIN_TRACKED_SIZE = 0.8  # of min_face_size: a tracked face may get this much smaller
# Widths of the face by which a detection may be off the line between its neighbours in time, in the
# mean of the points, for the face to be steady; and twice that, half as often detected.
STEADY_ERROR = 0.01


@dataclass(frozen=True)
class TrackedDetection(FaceDetection):
    """A detection in pixels of the full frame, with its appearance (``compute_appearance``)."""

    appearance: np.ndarray


class CropSink(Protocol):
    """Receives the crops of one track in order."""

    def append(self, crop: np.ndarray, box: np.ndarray) -> None:
        """One frame: uint8 [size, size] and float32 [4], x0 y0 x1 y1 in pixels of the displayed
        frame."""

    def close(self) -> None:
        """The track is complete."""

    def discard(self) -> None:
        """The track is not used: delete its crops."""


@dataclass
class FaceTrack:
    """One face tracked through consecutive frames of one shot.

    Attributes:
        sink: where its crops and boxes went.
        first_frame: index of its first frame in the clip (25 fps grid).
        n_frames: its length.
        area: sum of the areas of its boxes, pixels².
        shot: number of the shot it is in, from 0.
        shot_begin: index of that shot's first frame.
    """

    sink: CropSink
    first_frame: int
    n_frames: int = 0
    area: float = 0.0
    shot: int = 0
    shot_begin: int = 0

    @property
    def stop(self) -> int:
        """Index after its last frame."""
        return self.first_frame + self.n_frames


def choose_tracks(
    tracks: list[FaceTrack], criterion: str, preferred_frames: int = 0
) -> list[FaceTrack]:
    """Of tracks that share frames only the best one, in order of time.

    Args:
        tracks: of one shot.
        criterion: ``largest`` (area times duration) or ``longest``.
        preferred_frames: tracks of so many frames and more come before shorter ones, so that a
            caller that also takes the shorter ones (inference does) gets the same long ones as
            a caller that does not.
    """
    best_first = sorted(
        tracks,
        key=lambda track: (
            track.n_frames >= preferred_frames,
            track.area if criterion == "largest" else track.n_frames,
        ),
        reverse=True,
    )
    chosen: list[FaceTrack] = []
    for track in best_first:
        if all(track.stop <= o.first_frame or o.stop <= track.first_frame for o in chosen):
            chosen.append(track)
    return sorted(chosen, key=lambda track: track.first_frame)


def compute_appearance(frame: VideoFrame, points: np.ndarray) -> np.ndarray:
    """What faces are compared by: their crop, float32 [APPEARANCE_SIZE²], mean 0 and norm 1."""
    most_halvings = int(np.log2(min(frame.width, frame.height) / MIN_HALVED))
    halvings = min(halvings_for(points, 2 * APPEARANCE_SIZE), max(0, most_halvings))
    points = (points + 0.5) / (1 << halvings) - 0.5  # coordinates are of pixel centres
    crop = align(frame.halved_luma(halvings), points, 2 * APPEARANCE_SIZE)
    size = (APPEARANCE_SIZE, APPEARANCE_SIZE)
    small = cv2.resize(crop, size, interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    small -= small.mean()
    return small / max(float(np.sqrt(small @ small)), 1e-6)


class OpenTrack:
    """A track that is still growing: landmarks are interpolated between detections, smoothed, and
    frames cropped as soon as the landmarks around them are known.

    Attributes:
        n_missed: frames since the last detection in which the face was searched for in vain.
        is_steady: the face keeps still or moves evenly, so that detections twice as far apart may
            do.
    """

    def __init__(self, first_frame: int, settings: DataConfig, sink: CropSink):
        self.n_missed = 0
        self.is_steady = False
        self._settings = settings
        self._track = FaceTrack(sink, first_frame)
        self._pending: list[VideoFrame] = []  # frames since the last detection
        self._located: list[tuple[VideoFrame, np.ndarray]] = []  # with their boxes, to be cropped
        self._points: list[np.ndarray] = []  # float32 [5, 2] a frame, the latest
        self._n_dropped_points = 0  # frames of the track before those of ``_points``
        self._last: TrackedDetection | None = None
        self._last_index = first_frame
        self._before_last: tuple[int, TrackedDetection] | None = None  # index and detection
        self._velocity = np.zeros(2, np.float32)  # pixels a frame
        self._appearance = np.zeros(APPEARANCE_SIZE**2, np.float32)  # running mean

    @property
    def area(self) -> float:
        """Of the face when it was last detected, pixels²."""
        return self._last.area

    def predict_box(self, index: int) -> np.ndarray:
        """The box expected in frame ``index``, at constant velocity: float32 [4], pixels."""
        shift = self._velocity * (index - self._last_index)
        return (self._last.box.reshape(2, 2) + shift).ravel()

    def measure_motion(self, face: TrackedDetection, index: int) -> tuple[float, float]:
        """Distance from the predicted box in widths, and change of size as a logarithm (infinite
        for a face that became too small)."""
        last, elapsed = self._last, index - self._last_index
        x, y = face.centre - last.centre - self._velocity * elapsed
        distance = math.hypot(x, y) / max(last.width, 1)
        growth = abs(math.log(max(face.width, 1) / max(last.width, 1)))
        if face.width < MIN_TRACKED_SIZE * self._settings.min_face_size:
            growth = math.inf
        return distance, growth

    def moves_evenly(self, index: int, face: TrackedDetection) -> bool:
        """Whether the last detection could have been interpolated between the one before it and
        ``face`` in frame ``index``. That error grows with the square of the time between them, so
        it may be larger where they are further apart."""
        if self._before_last is None:
            return False
        first_index, first = self._before_last
        weight = (self._last_index - first_index) / (index - first_index)
        interpolated = (1 - weight) * first.points + weight * face.points
        error = np.linalg.norm(interpolated - self._last.points, axis=1).mean()
        return bool(error < STEADY_ERROR * (1 + self.is_steady) * max(face.width, 1))

    def appearance_similarity(self, face: TrackedDetection) -> float:
        """Correlation with the remembered appearance, −1…1."""
        norm = max(float(np.linalg.norm(self._appearance)), 1e-6)
        return float(self._appearance @ face.appearance / norm)

    def add_skipped(self, frame: VideoFrame) -> None:
        """Add a frame in which the face was not searched for."""
        self._pending.append(frame)

    def add_missed(self, frame: VideoFrame) -> None:
        """Add a frame in which the face was searched for and not detected."""
        self._pending.append(frame)
        self.n_missed += 1

    def add_detection(self, index: int, frame: VideoFrame, face: TrackedDetection) -> None:
        """Add a frame with the face; the frames since the last detection are interpolated."""
        frames = [*self._pending, frame]
        previous = self._last or face
        for number, pending in enumerate(frames, 1):
            weight = number / len(frames)
            self._points.append((1 - weight) * previous.points + weight * face.points)
            self._located.append((pending, (1 - weight) * previous.box + weight * face.box))
        if index > self._last_index:
            self.is_steady = self.moves_evenly(index, face)
            self._before_last = self._last_index, self._last
            velocity = (face.centre - previous.centre) / (index - self._last_index)
            self._velocity = (self._velocity + velocity) / 2
        # Of detections only: in the frames between, another person may have hidden the face.
        update = APPEARANCE_UPDATE if self._last else 1
        self._appearance += update * (face.appearance - self._appearance)
        self._pending, self._last, self.n_missed, self._last_index = [], face, 0, index
        self.crop_frames(self._n_dropped_points + len(self._points) - SMOOTHING_RADIUS)

    def finish(self) -> FaceTrack:
        """End the track. Frames after the last detection are part of it only if the face was not
        searched for in any of them."""
        if not self.n_missed:
            for frame in self._pending:
                self._located.append((frame, self._last.box))
                self._points.append(self._last.points)
        self.crop_frames(self._n_dropped_points + len(self._points))
        self._track.sink.close()
        return self._track

    def crop_frames(self, stop: int) -> None:
        """Crop the frames of the track before number ``stop``; the landmarks around them are
        known."""
        track = self._track
        last = len(self._points) - 1
        for number in range(track.n_frames, stop):
            middle = number - self._n_dropped_points
            neighbours = range(middle - SMOOTHING_RADIUS, middle + SMOOTHING_RADIUS + 1)
            points = np.array([self._points[min(max(index, 0), last)] for index in neighbours])
            frame, box = self._located.pop(0)
            smoothed = (SMOOTHING @ points.reshape(len(SMOOTHING), -1)).reshape(-1, 2)
            crop = frame.to_full_range(align(frame.luma, smoothed, self._settings.input_size))
            track.sink.append(crop, frame.box_before_turn(box.astype(np.float32)))
            track.n_frames += 1
            track.area += float((box[2] - box[0]) * (box[3] - box[1]))
        n_unneeded = max(0, track.n_frames - SMOOTHING_RADIUS - self._n_dropped_points)
        del self._points[:n_unneeded]
        self._n_dropped_points += n_unneeded

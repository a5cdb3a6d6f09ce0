"""One face followed through a shot: its places settle, its crops are handed on."""

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from ..core.config import DataConfig
from ..media.frame import VideoFrame
from .alignment import align
from .detection import FaceDetection

SMOOTHING = np.array([1, 2, 3, 2, 1], np.float32) / 9  # over ±2 frames: symmetric, so no lag
REACH = len(SMOOTHING) // 2
LOOK = 24  # px: size at which crops are compared
NEW_LOOK = 0.25  # weight of the newest of them in how a face is remembered
SHRUNK = 0.8  # of min_face_size: a followed face may get this much smaller


@dataclass(frozen=True)
class TrackedDetection(FaceDetection):
    """A face in a picture, in that picture's pixels, with its look."""

    look: np.ndarray


class CropSink(Protocol):
    """Takes the frames of one track as they settle."""

    def append(self, crop: np.ndarray, box: np.ndarray) -> None:
        """One frame: uint8 [size, size] and float32 [4], x0 y0 x1 y1 in pixels."""

    def close(self) -> None:
        """The track is complete."""

    def discard(self) -> None:
        """The track is of no use: drop what was kept of it."""


@dataclass
class FaceTrack:
    """One face followed through consecutive frames of one shot.

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


def choose_tracks(tracks: list[FaceTrack], how: str, solid: int = 0) -> list[FaceTrack]:
    """Of tracks that share frames only the best one: ``largest`` (area times duration) or
    ``longest``. In order of time.

    Those of ``solid`` frames and more come before shorter ones, so that who also takes the
    shorter ones (inference does) has the same long ones as who does not.
    """
    best_first = sorted(
        tracks,
        key=lambda track: (
            track.n_frames >= solid,
            track.area if how == "largest" else track.n_frames,
        ),
        reverse=True,
    )
    chosen: list[FaceTrack] = []
    for track in best_first:
        if all(track.stop <= o.first_frame or o.stop <= track.first_frame for o in chosen):
            chosen.append(track)
    return sorted(chosen, key=lambda track: track.first_frame)


def appearance_of(picture: VideoFrame, points: np.ndarray) -> np.ndarray:
    """What faces are compared by: their crop, float32 [LOOK²], mean 0 and length 1."""
    crop = align(picture.luma, points, 2 * LOOK)
    small = cv2.resize(crop, (LOOK, LOOK), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    small -= small.mean()
    return small / max(float(np.linalg.norm(small)), 1e-6)


class OpenTrack:
    """A track that still grows: places are interpolated, smoothed and cropped as they settle."""

    def __init__(self, first_frame: int, settings: DataConfig, sink: CropSink):
        self.lost = 0  # pictures since the face was last looked for in vain, counted on
        self._settings = settings
        self._track = FaceTrack(sink, first_frame)
        self._waiting: list[VideoFrame] = []  # pictures since the last sight
        self._placed: list[tuple[VideoFrame, np.ndarray]] = []  # with their boxes, not yet cropped
        self._points: list[np.ndarray] = []  # float32 [5, 2] a frame, the latest
        self._forgotten = 0  # places before these
        self._face: TrackedDetection | None = None
        self._seen_at = first_frame
        self._speed = np.zeros(2, np.float32)  # pixels a frame
        self._look = np.zeros(LOOK**2, np.float32)  # of late

    @property
    def area(self) -> float:
        """Of the face when it was last seen, pixels²."""
        return self._face.area

    def expected(self, index: int) -> np.ndarray:
        """The box where the face should be by now, at its last speed."""
        return self._face.box + np.tile(self._speed * (index - self._seen_at), 2)

    def distance(self, face: TrackedDetection, index: int) -> tuple[float, float]:
        """How far from there, in widths, and the change of size, as a logarithm."""
        box = self.expected(index)
        step = np.linalg.norm(face.middle - (box[:2] + box[2:]) / 2) / max(self._face.width, 1)
        growth = abs(np.log(max(face.width, 1) / max(self._face.width, 1)))
        if face.width < SHRUNK * self._settings.min_face_size:
            growth = np.inf
        return float(step), float(growth)

    def likeness(self, face: TrackedDetection) -> float:
        """Correlation with how the face looked of late, −1…1."""
        return float(self._look @ face.look / max(float(np.linalg.norm(self._look)), 1e-6))

    def wait(self, picture: VideoFrame) -> None:
        """A picture in which the face was not looked for."""
        self._waiting.append(picture)

    def lose(self, picture: VideoFrame) -> None:
        """A picture in which the face was looked for and not found."""
        self._waiting.append(picture)
        self.lost += 1

    def add(self, index: int, picture: VideoFrame, face: TrackedDetection) -> None:
        """The face in this picture; the pictures that waited are bridged."""
        pictures = [*self._waiting, picture]
        old = self._face or face
        for step, waiting in enumerate(pictures, 1):
            part = step / len(pictures)
            self._points.append((1 - part) * old.points + part * face.points)
            self._placed.append((waiting, (1 - part) * old.box + part * face.box))
        if index > self._seen_at:
            speed = (face.middle - old.middle) / (index - self._seen_at)
            self._speed = (self._speed + speed) / 2
        # Of sights only: in the pictures between, somebody else may have hidden the face.
        self._look += (NEW_LOOK if self._face else 1) * (face.look - self._look)
        self._waiting, self._face, self.lost, self._seen_at = [], face, 0, index
        self._crop(self._forgotten + len(self._points) - REACH)

    def finish(self) -> FaceTrack:
        """End the track. Pictures after the last sight of the face are not part of it, but for
        those in which nobody looked."""
        if not self.lost:
            for picture in self._waiting:
                self._placed.append((picture, self._face.box))
                self._points.append(self._face.points)
        self._crop(self._forgotten + len(self._points))
        self._track.sink.close()
        return self._track

    def _crop(self, until: int) -> None:
        """Crop the frames before ``until``: the places around them are settled."""
        track = self._track
        last = len(self._points) - 1
        for frame in range(track.n_frames, until):
            middle = frame - self._forgotten
            around = range(middle - REACH, middle + REACH + 1)
            places = [self._points[min(max(place, 0), last)] for place in around]
            points = np.tensordot(SMOOTHING, np.stack(places), 1)
            picture, box = self._placed.pop(0)
            crop = picture.levelled(align(picture.luma, points, self._settings.input_size))
            track.sink.append(crop, box.astype(np.float32))
            track.n_frames += 1
            track.area += float(np.prod(box[2:] - box[:2]))
        unneeded = max(0, track.n_frames - REACH - self._forgotten)
        del self._points[:unneeded]
        self._forgotten += unneeded

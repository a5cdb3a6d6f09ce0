"""Composite videos of two people who meet, made of videos of one each; and whom a track follows."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import av
import cv2
import numpy as np

from src.core.config import DataConfig
from src.faces.track import FaceTrack
from src.faces.tracker import FaceTracker
from src.media.frame import VideoFrame

HEIGHT, WIDTH = 360, 640


def to_video_frame(bgr: np.ndarray) -> VideoFrame:
    """A frame of uint8 [height, width, 3], BGR, as if decoded from a file."""
    return VideoFrame(av.VideoFrame.from_ndarray(bgr, format="bgr24"), None)


class RecordingSink:
    """A sink that keeps crops and boxes in memory."""

    def __init__(self):
        self.crops, self.boxes = [], []
        self.closed = self.discarded = False

    def append(self, crop: np.ndarray, box: np.ndarray) -> None:
        assert not self.closed
        self.crops.append(crop)
        self.boxes.append(box)

    def close(self) -> None:
        self.closed = True

    def discard(self) -> None:
        self.discarded = True

    @property
    def centres(self) -> np.ndarray:
        """Of the boxes: float [T, 2]."""
        boxes = np.array(self.boxes)
        return (boxes[:, :2] + boxes[:, 2:]) / 2


def track_everyone(
    frames: Iterable[VideoFrame], detector, settings: DataConfig, min_frames: int = 5
) -> list[FaceTrack]:
    """Every track that is long enough, also those that ``data.track`` does not choose."""
    tracker = FaceTracker(detector, settings, RecordingSink, min_frames, all_faces=True)
    return list(tracker.track(frames))


@dataclass
class Person:
    """One person alone: n frames, uint8 [height, width, 3], and float [n, 4], boxes of the face."""

    name: str
    frames: list[np.ndarray]
    boxes: np.ndarray

    @classmethod
    def detect(cls, name: str, frames: list[np.ndarray], detector) -> "Person | None":
        """None if there is not exactly one face in each frame."""
        faces_by_frame = [detector.detect(frame[None])[0] for frame in frames]
        if not all(len(faces) == 1 for faces in faces_by_frame):
            return None
        return cls(name, frames, np.stack([faces[0].box for faces in faces_by_frame]))


@dataclass
class Meeting:
    """How two people meet. They start apart and meet, or would, in the middle of the video.

    Attributes:
        speed: at which they approach each other, in widths of their faces a frame.
        kind: cross: both walk on; pass: the second one stands; turn: both turn back when one is
            in front of the other.
        widths: of the faces in pixels.
        raised: height of the second face above the first, in widths.
        front: 0 or 1, who is nearer to the camera.
    """

    speed: float
    kind: str = "cross"
    widths: tuple[float, float] = (80.0, 80.0)
    raised: float = 0.0
    front: int = 0

    @property
    def n_frames(self) -> int:
        """Until they are apart again."""
        return int(np.clip(3 / self.speed, 40, 80))

    def positions(self) -> np.ndarray:
        """Centres of the faces, without the sway of the heads: float [2, n, 2]."""
        n, width = self.n_frames, float(np.mean(self.widths))
        distance = self.speed * width * (np.arange(n) - n / 2)
        limit = WIDTH / 2 - 0.7 * max(self.widths)
        first = np.clip(distance / 2, -limit, limit)
        if self.kind == "turn":
            first = -abs(first)
        second = -first
        if self.kind == "pass":
            first, second = np.clip(distance, -limit, limit), 0 * first
        lift = self.raised * width / 2
        centre = np.array([WIDTH / 2, HEIGHT / 2])
        return np.stack(
            [np.stack([x, np.full(n, y)], 1) + centre for x, y in ((first, lift), (second, -lift))]
        )


def _cut_out_head(person: Person, width: float) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """The head, scaled so that the face is ``width`` pixels wide: images, their opacity, and boxes
    relative to the centre."""
    box = person.boxes.mean(0)
    scale = width / (box[2] - box[0])
    height, side = (box[3] - box[1]) * scale, int(2.6 * width)
    centre = (box[:2] + box[2:]) / 2
    matrix = np.array([[scale, 0, side / 2 - scale * centre[0]],
                       [0, scale, side / 2 - scale * centre[1]]])  # fmt: skip
    heads = [
        cv2.warpAffine(frame, matrix, (side, side), flags=cv2.INTER_AREA,
                       borderMode=cv2.BORDER_REPLICATE)
        for frame in person.frames
    ]  # fmt: skip
    y, x = np.mgrid[:side, :side] - side / 2
    edge = np.hypot(x / (0.68 * width), (y + 0.1 * height) / (0.75 * height))
    opacity = np.clip(8 * (1 - edge) + 0.5, 0, 1).astype(np.float32)
    boxes = (person.boxes.reshape(-1, 2, 2) - centre) * scale
    return heads, opacity, boxes.reshape(-1, 4)


def composite_video(
    first: Person, second: Person, meeting: Meeting
) -> tuple[list[VideoFrame], np.ndarray]:
    """Frames, and the boxes of both faces in them: float [2, n, 4]."""
    people = [
        _cut_out_head(person, width)
        for person, width in zip((first, second), meeting.widths, strict=True)
    ]
    positions, n_frames = meeting.positions(), meeting.n_frames
    true_boxes = np.zeros((2, n_frames, 4))
    frames = []
    for index in range(n_frames):
        canvas = np.full((HEIGHT, WIDTH, 3), 128, np.float32)
        for who in (1 - meeting.front, meeting.front):
            heads, opacity, boxes = people[who]
            source = _ping_pong(index, len(heads))
            position = positions[who, index]
            matrix = np.array([[1, 0, position[0] - opacity.shape[1] / 2],
                               [0, 1, position[1] - opacity.shape[0] / 2]])  # fmt: skip
            head = cv2.warpAffine(heads[source], matrix, (WIDTH, HEIGHT)).astype(np.float32)
            weight = cv2.warpAffine(opacity, matrix, (WIDTH, HEIGHT))[..., None]
            canvas += weight * (head - canvas)
            true_boxes[who, index] = boxes[source] + np.tile(position, 2)
        frames.append(to_video_frame(np.rint(canvas).astype(np.uint8)))
    return frames, true_boxes


def _ping_pong(index: int, n: int) -> int:
    """Index into n frames that are played forwards and backwards in turn."""
    phase = index % (2 * n - 2)
    return phase if phase < n else 2 * n - 2 - phase


@dataclass
class TrackingQuality:
    """How well two people were tracked.

    Attributes:
        swaps: tracks that were of both people.
        covered: share of the frames with both apart in which each has a track.
    """

    swaps: int
    covered: float


def evaluate_tracks(tracks: list[FaceTrack], true_boxes: np.ndarray) -> TrackingQuality:
    """Of whom the tracks were while the faces were apart.

    Args:
        tracks: their sinks are ``RecordingSink``.
        true_boxes: float [2, n, 4].
    """
    centres = (true_boxes[..., :2] + true_boxes[..., 2:]) / 2
    width = (true_boxes[..., 2] - true_boxes[..., 0]).mean()
    apart = np.linalg.norm(centres[0] - centres[1], axis=1) > 0.7 * width
    covered = np.zeros(true_boxes.shape[:2], bool)
    swaps = 0
    for track in tracks:
        frames = np.arange(track.first_frame, track.stop)
        distance = np.linalg.norm(centres[:, frames] - track.sink.centres, axis=2)
        who, is_near = distance.argmin(0), distance.min(0) < 0.5 * width
        covered[who[is_near], frames[is_near]] = True
        swaps += len(set(who[is_near & apart[frames]])) > 1
    return TrackingQuality(swaps, float(covered[:, apart].mean()))


def meetings(rng: np.random.Generator) -> Iterator[Meeting]:
    """One of each kind at each speed, with random sizes and heights.

    Except people who turn back at 0.4 widths a frame, 1.6 m/s: each seems to continue as the other.
    """
    for kind in ("cross", "pass", "turn"):
        for speed in (0.05, 0.1, 0.2, 0.4):
            if (kind, speed) == ("turn", 0.4):
                continue
            width = rng.uniform(50, 110)
            yield Meeting(
                speed, kind, (width, width * rng.uniform(0.75, 1.33)), rng.uniform(-0.3, 0.3),
                int(rng.integers(2)),
            )  # fmt: skip

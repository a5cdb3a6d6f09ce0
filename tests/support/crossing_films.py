"""Films of two people who meet, cut out of films of one each; and who a track followed."""

from collections.abc import Iterator
from dataclasses import dataclass

import av
import cv2
import numpy as np

from src.core.config import DataConfig
from src.faces.track import FaceTrack
from src.faces.tracker import TrackingStats, track_faces
from src.media.frame import VideoFrame

HEIGHT, WIDTH = 360, 640


def to_video_frame(bgr: np.ndarray) -> VideoFrame:
    """uint8 [height, width, 3] as if it came out of a file."""
    return VideoFrame(av.VideoFrame.from_ndarray(bgr, format="bgr24"), None)


class KeptCrops:
    """A sink that keeps what it is given."""

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
    def middles(self) -> np.ndarray:
        """[T, 2]: of the boxes."""
        boxes = np.array(self.boxes)
        return (boxes[:, :2] + boxes[:, 2:]) / 2


def follow_all(pictures, detector, settings: DataConfig, shortest: int = 5) -> list[FaceTrack]:
    """Every track that is long enough, also those that ``data.track`` does not choose."""
    from unittest import mock

    with mock.patch("src.faces.tracker.choose_tracks", lambda tracks, *how: list(tracks)):
        return list(track_faces(pictures, detector, settings, shortest, KeptCrops, TrackingStats()))


@dataclass
class Person:
    """Somebody alone: uint8 [n] pictures and float [n, 4] boxes of the face in them."""

    name: str
    frames: list[np.ndarray]
    boxes: np.ndarray

    @classmethod
    def seen_by(cls, name: str, frames: list[np.ndarray], detector) -> "Person | None":
        """None if there is not one face in each picture."""
        found = [detector.detect(frame[None])[0] for frame in frames]
        if not all(len(faces) == 1 for faces in found):
            return None
        return cls(name, frames, np.stack([faces[0].box for faces in found]))


@dataclass
class Meeting:
    """How two people meet. They start apart and meet, or would, in the middle of the film.

    Attributes:
        speed: at which they come nearer to each other, in widths of their faces a frame.
        way: cross: both walk on; pass: the second one stands; turn: both turn back when the one
            is before the other.
        widths: of the faces in pixels.
        raised: the second face over the first, in widths.
        front: 0 or 1, who is nearer to the camera.
    """

    speed: float
    way: str = "cross"
    widths: tuple[float, float] = (80.0, 80.0)
    raised: float = 0.0
    front: int = 0

    @property
    def n_frames(self) -> int:
        """Until they are apart again."""
        return int(np.clip(3 / self.speed, 40, 80))

    def places(self) -> np.ndarray:
        """[2, n, 2]: where the middles of the faces are, the sway of the heads apart."""
        n, width = self.n_frames, float(np.mean(self.widths))
        apart = self.speed * width * (np.arange(n) - n / 2)
        limit = WIDTH / 2 - 0.7 * max(self.widths)
        first = np.clip(apart / 2, -limit, limit)
        if self.way == "turn":
            first = -abs(first)
        second = -first
        if self.way == "pass":
            first, second = np.clip(apart, -limit, limit), 0 * first
        lift = self.raised * width / 2
        middle = np.array([WIDTH / 2, HEIGHT / 2])
        return np.stack(
            [np.stack([x, np.full(n, y)], 1) + middle for x, y in ((first, lift), (second, -lift))]
        )


def _cut_out(person: Person, width: float) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """The head with the face so wide: pictures, their opacity, and boxes around the middle."""
    box = person.boxes.mean(0)
    scale = width / (box[2] - box[0])
    height, side = (box[3] - box[1]) * scale, int(2.6 * width)
    middle = (box[:2] + box[2:]) / 2
    matrix = np.array([[scale, 0, side / 2 - scale * middle[0]],
                       [0, scale, side / 2 - scale * middle[1]]])  # fmt: skip
    heads = [
        cv2.warpAffine(frame, matrix, (side, side), flags=cv2.INTER_AREA,
                       borderMode=cv2.BORDER_REPLICATE)
        for frame in person.frames
    ]  # fmt: skip
    y, x = np.mgrid[:side, :side] - side / 2
    edge = np.hypot(x / (0.68 * width), (y + 0.1 * height) / (0.75 * height))
    opacity = np.clip(8 * (1 - edge) + 0.5, 0, 1).astype(np.float32)
    boxes = (person.boxes.reshape(-1, 2, 2) - middle) * scale
    return heads, opacity, boxes.reshape(-1, 4)


def film(one: Person, other: Person, meeting: Meeting) -> tuple[list[VideoFrame], np.ndarray]:
    """Pictures, and the boxes of both faces in them: float [2, n, 4]."""
    people = [
        _cut_out(person, width) for person, width in zip((one, other), meeting.widths, strict=True)
    ]
    places, n = meeting.places(), meeting.n_frames
    truth = np.zeros((2, n, 4))
    pictures = []
    for frame in range(n):
        picture = np.full((HEIGHT, WIDTH, 3), 128, np.float32)
        for who in (1 - meeting.front, meeting.front):
            heads, opacity, boxes = people[who]
            shown = _there_and_back(frame, len(heads))
            place = places[who, frame]
            matrix = np.array([[1, 0, place[0] - opacity.shape[1] / 2],
                               [0, 1, place[1] - opacity.shape[0] / 2]])  # fmt: skip
            head = cv2.warpAffine(heads[shown], matrix, (WIDTH, HEIGHT)).astype(np.float32)
            share = cv2.warpAffine(opacity, matrix, (WIDTH, HEIGHT))[..., None]
            picture += share * (head - picture)
            truth[who, frame] = boxes[shown] + np.tile(place, 2)
        pictures.append(to_video_frame(np.rint(picture).astype(np.uint8)))
    return pictures, truth


def _there_and_back(frame: int, n: int) -> int:
    at = frame % (2 * n - 2)
    return at if at < n else 2 * n - 2 - at


@dataclass
class Verdict:
    """How well two people were followed.

    Attributes:
        swaps: tracks that were with both people.
        covered: share of the frames with both apart in which each has a track.
    """

    swaps: int
    covered: float


def judge(tracks: list[FaceTrack], truth: np.ndarray) -> Verdict:
    """Who the tracks were with while the faces were apart.

    Args:
        tracks: their sinks are ``KeptCrops``.
        truth: [2, n, 4], boxes.
    """
    middles = (truth[..., :2] + truth[..., 2:]) / 2
    width = (truth[..., 2] - truth[..., 0]).mean()
    apart = np.linalg.norm(middles[0] - middles[1], axis=1) > 0.7 * width
    covered = np.zeros(truth.shape[:2], bool)
    swaps = 0
    for track in tracks:
        frames = np.arange(track.first_frame, track.stop)
        away = np.linalg.norm(middles[:, frames] - track.sink.middles, axis=2)
        who, near = away.argmin(0), away.min(0) < 0.5 * width
        covered[who[near], frames[near]] = True
        swaps += len(set(who[near & apart[frames]])) > 1
    return Verdict(swaps, float(covered[:, apart].mean()))


def meetings(rng: np.random.Generator) -> Iterator[Meeting]:
    """One of each way at each speed, sizes and heights drawn.

    But none who turns back at once at 0.4 widths a frame, 1.6 m/s: each goes on as the other then.
    """
    for way in ("cross", "pass", "turn"):
        for speed in (0.05, 0.1, 0.2, 0.4):
            if (way, speed) == ("turn", 0.4):
                continue
            width = rng.uniform(50, 110)
            yield Meeting(
                speed, way, (width, width * rng.uniform(0.75, 1.33)), rng.uniform(-0.3, 0.3),
                int(rng.integers(2)),
            )  # fmt: skip

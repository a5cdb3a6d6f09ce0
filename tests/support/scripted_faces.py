"""Scripted faces: a video of squares, each with a colour and a pattern of its own.

The detector finds squares by their colour, in any image, so zoomed crops, scaled frames and hidden
faces behave as real ones; tracking distinguishes the patterns, by their brightness.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from scipy.optimize import minimize_scalar

from src.core.config import DataConfig
from src.faces.alignment import TEMPLATE
from src.faces.detection import FaceDetection
from src.faces.tracker import ZOOM_SIZE, FaceTracker
from tests.support.crossing_people import RecordingSink, to_video_frame, track_everyone

SETTINGS = DataConfig()
HEIGHT, WIDTH = 240, 320
STRENGTH = 60  # of the colours
# Four colours without brightness, orthogonal: BGR of length 1.
COLOURS = np.array([[1, -1, 0], [1, 1, -2], [-1, 1, 0], [-1, -1, 2]], float)
COLOURS /= np.linalg.norm(COLOURS, axis=1, keepdims=True)


@dataclass
class Actor:
    """A scripted face.

    Attributes:
        x: its centre, a number or a function of the frame; None: not in the frame.
        y: likewise.
        size: side of the square, likewise.
        who: 0…3, its colour and its pattern.
        error: how far right of its pattern its colour is, where it is detected.
        transparent: its colour does not hide that of another.
    """

    x: float | Callable[[int], float | None]
    y: float | Callable[[int], float] = 120
    size: float | Callable[[int], float] = 60
    who: int = 0
    error: float | Callable[[int], float] = 0
    transparent: bool = False

    def value(self, name: str, frame: int) -> float | None:
        value = getattr(self, name)
        return value(frame) if callable(value) else value


@cache
def pattern(who: int) -> np.ndarray:
    """float32 [64, 64], brightness."""
    rough = np.random.default_rng([who, 8]).normal(0, 1, (9, 9)).astype(np.float32)
    return np.clip(125 + 35 * cv2.resize(rough, (64, 64), interpolation=cv2.INTER_CUBIC), 65, 190)


def draw_frame(
    actors: Iterable[Actor], frame: int, grey: float, size: tuple[int, int]
) -> np.ndarray:
    """uint8 BGR; actors later in the list are nearer to the camera."""
    luma, colour = np.full(size, grey, np.float32), np.zeros((*size, 3), np.float32)
    for actor in actors:
        x = actor.value("x", frame)
        if x is None or not -9 < x < size[1] + 9:
            continue
        y, side = actor.value("y", frame), actor.value("size", frame)
        region, coverage, across, down = covered_region(x, y, side, size)
        scale = 64 / side
        source = np.meshgrid(across * scale + 31.5, down * scale + 31.5)
        texture = cv2.remap(pattern(actor.who), *np.float32(source), cv2.INTER_LINEAR,
                            borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
        luma[region] += coverage * (texture - luma[region])
        region, coverage, *_ = covered_region(x + actor.value("error", frame), y, side, size)
        hidden = 0 if actor.transparent else colour[region]
        colour[region] += coverage[..., None] * (STRENGTH * COLOURS[actor.who] - hidden)
    return np.clip(np.rint(luma[..., None] + colour), 0, 255).astype(np.uint8)


def covered_region(x: float, y: float, side: float, size: tuple[int, int]):
    """The region of a frame that a square covers: indices, coverage of each pixel, and columns
    and rows relative to its centre."""
    indices = []
    for centre, length in ((y, size[0]), (x, size[1])):
        first = max(0, int(centre - side / 2 - 1))
        indices.append(np.arange(first, max(first, min(length, int(centre + side / 2 + 2)))))
    down, across = indices[0] - y, indices[1] - x
    shares = [np.clip((side + 1) / 2 - np.abs(offsets), 0, 1) for offsets in (down, across)]
    return np.ix_(*indices), np.outer(*shares), across, down


def draw_video(actors, n: int, grey=lambda frame: 40, size=(HEIGHT, WIDTH)):
    return (to_video_frame(draw_frame(actors, frame, grey(frame), size)) for frame in range(n))


def face_at(x: float, y: float, side: float) -> FaceDetection:
    box = np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2], np.float32)
    points = (TEMPLATE - 47.5) * side / 96 + (x, y)  # so that the crop shows the square
    return FaceDetection(box, points.astype(np.float32), 0.99)


class ColourDetector:
    """Detects scripted faces that are at least half visible; records the shapes of its inputs."""

    def __init__(self):
        self.shapes: list[tuple[int, ...]] = []

    def detect(self, images: np.ndarray, zoomed: bool = False) -> list[list[FaceDetection]]:
        self.shapes.append(images.shape)
        return [self._detect_faces(image.astype(float)) for image in images]

    def _detect_faces(self, image: np.ndarray) -> list[FaceDetection]:
        colour = image - image.mean(2, keepdims=True)
        faces = []
        for direction in COLOURS:
            share = np.clip(colour @ direction / STRENGTH, 0, 1)
            share[share < 0.05] = 0  # rounding
            across, down = share.max(0), share.max(1)
            width, height = across.sum(), down.sum()
            if min(width, height) > max(6, 0.55 * max(width, height)):
                x, y = across @ np.arange(len(across)) / width, down @ np.arange(len(down)) / height
                faces.append(face_at(x, y, max(width, height)))
        return faces

    @property
    def n_full_frames(self) -> int:
        """How many full frames it was given."""
        return sum(shape[1:3] != (ZOOM_SIZE, ZOOM_SIZE) for shape in self.shapes)


def track_actors(actors, n: int = 60, min_frames: int = 5, **settings):
    """The chosen tracks, the statistics and the detector."""
    drawing = {name: settings.pop(name) for name in ("grey", "size") if name in settings}
    detector = ColourDetector()
    settings = SETTINGS.model_copy(update=settings)
    tracker = FaceTracker(detector, settings, RecordingSink, min_frames)
    tracks = list(tracker.track(draw_video(actors, n, **drawing)))
    for track in tracks:
        assert len(track.sink.crops) == len(track.sink.boxes) == track.n_frames
        assert track.sink.closed and not track.sink.discarded
    return tracks, tracker.stats, detector


def track_all_actors(actors, n: int = 60, **settings):
    """All tracks, also those that would not be chosen."""
    detector = settings.pop("detector", None) or ColourDetector()
    settings = SETTINGS.model_copy(update=settings)
    return track_everyone(draw_video(actors, n), detector, settings)


def spans(tracks) -> list[tuple[int, int]]:
    """First frame and length of each track."""
    return [(track.first_frame, track.n_frames) for track in tracks]


def shift_of(crop: np.ndarray, reference: np.ndarray) -> float:
    """The shift to the right in pixels with the smallest squared difference of the inner parts."""

    def difference(shift: float) -> float:
        shifted = cv2.warpAffine(reference, np.array([[1, 0, shift], [0, 1, 0]]), (96, 96))
        return float(((shifted.astype(float) - crop)[16:80, 16:80] ** 2).mean())

    rough = min(np.arange(-8, 8.5, 0.5), key=difference)
    return minimize_scalar(difference, bounds=(rough - 0.5, rough + 0.5), method="bounded").x

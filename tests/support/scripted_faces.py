"""Scripted faces: a film of squares, each with a colour and a pattern of its own.

The detector finds squares by their colour, in whatever picture it is shown, so close-ups, reduced
pictures and hidden faces are what they are; tracking tells the patterns apart, by their
brightness.
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
from src.faces.tracker import CLOSE_UP, TrackingStats, track_faces
from tests.support.crossing_films import (
    KeptCrops,
    follow_all,
    to_video_frame,
)

SETTINGS = DataConfig()
HEIGHT, WIDTH = 240, 320
STRENGTH = 60  # of the colours
# Four colours that have no brightness, at right angles: BGR of length 1.
COLOURS = np.array([[1, -1, 0], [1, 1, -2], [-1, 1, 0], [-1, -1, 2]], float)
COLOURS /= np.linalg.norm(COLOURS, axis=1, keepdims=True)


@dataclass
class Actor:
    """A scripted face.

    Attributes:
        x: its middle, a number or a function of the frame; None: it is not there.
        y: likewise, if it is there.
        size: side of the square, likewise.
        who: 0…3, its colour and its pattern.
        away: how far right of its pattern its colour is, so is it found.
        glass: its colour does not hide that of another.
    """

    x: float | Callable[[int], float | None]
    y: float | Callable[[int], float] = 120
    size: float | Callable[[int], float] = 60
    who: int = 0
    away: float | Callable[[int], float] = 0
    glass: bool = False

    def at(self, name: str, frame: int) -> float | None:
        value = getattr(self, name)
        return value(frame) if callable(value) else value


@cache
def pattern(who: int) -> np.ndarray:
    """float32 [64, 64], brightness."""
    rough = np.random.default_rng([who, 8]).normal(0, 1, (9, 9)).astype(np.float32)
    return np.clip(125 + 35 * cv2.resize(rough, (64, 64), interpolation=cv2.INTER_CUBIC), 65, 190)


def picture(actors: Iterable[Actor], frame: int, grey: float, size: tuple[int, int]) -> np.ndarray:
    """uint8 BGR; who comes later in the list is nearer to the camera."""
    luma, colour = np.full(size, grey, np.float32), np.zeros((*size, 3), np.float32)
    for actor in actors:
        x = actor.at("x", frame)
        if x is None or not -9 < x < size[1] + 9:
            continue
        y, side = actor.at("y", frame), actor.at("size", frame)
        part, cover, across, down = covered(x, y, side, size)
        step = 64 / side
        places = np.meshgrid(across * step + 31.5, down * step + 31.5)
        shown = cv2.remap(pattern(actor.who), *np.float32(places), cv2.INTER_LINEAR,
                          borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
        luma[part] += cover * (shown - luma[part])
        part, cover, *_ = covered(x + actor.at("away", frame), y, side, size)
        hidden = 0 if actor.glass else colour[part]
        colour[part] += cover[..., None] * (STRENGTH * COLOURS[actor.who] - hidden)
    return np.clip(np.rint(luma[..., None] + colour), 0, 255).astype(np.uint8)


def covered(x: float, y: float, side: float, size: tuple[int, int]):
    """The part of a picture that a square lies on: slices, share of each pixel, and columns and
    rows from its middle."""
    spans = []
    for middle, length in ((y, size[0]), (x, size[1])):
        first = max(0, int(middle - side / 2 - 1))
        spans.append(np.arange(first, max(first, min(length, int(middle + side / 2 + 2)))))
    down, across = spans[0] - y, spans[1] - x
    shares = [np.clip((side + 1) / 2 - np.abs(away), 0, 1) for away in (down, across)]
    part = np.ix_(*spans)
    return part, np.outer(*shares), across, down


def pictures(actors, n: int, grey=lambda frame: 40, size=(HEIGHT, WIDTH)):
    return (to_video_frame(picture(actors, frame, grey(frame), size)) for frame in range(n))


def face_at(x: float, y: float, side: float) -> FaceDetection:
    box = np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2], np.float32)
    points = (TEMPLATE - 47.5) * side / 96 + (x, y)  # so the crop shows the square
    return FaceDetection(box, points.astype(np.float32), 0.99)


class ColourDetector:
    """Finds the scripted faces half of which can be seen; remembers the sizes it was shown."""

    def __init__(self):
        self.batches: list[tuple[int, ...]] = []

    def detect(self, pictures: np.ndarray, close: bool = False) -> list[list[FaceDetection]]:
        self.batches.append(pictures.shape)
        return [self._faces(picture.astype(float)) for picture in pictures]

    def _faces(self, picture: np.ndarray) -> list[FaceDetection]:
        colour = picture - picture.mean(2, keepdims=True)
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
    def looks(self) -> int:
        """How often it was shown a whole picture."""
        return sum(shape[1:3] != (CLOSE_UP, CLOSE_UP) for shape in self.batches)


def follow(actors, n: int = 60, shortest: int = 5, **settings):
    """The chosen tracks, the count and the detector."""
    film = {name: settings.pop(name) for name in ("grey", "size") if name in settings}
    detector, count = ColourDetector(), TrackingStats()
    settings = SETTINGS.model_copy(update=settings)
    shown = pictures(actors, n, **film)
    tracks = list(track_faces(shown, detector, settings, shortest, KeptCrops, count))
    for track in tracks:
        assert len(track.sink.crops) == len(track.sink.boxes) == track.n_frames
        assert track.sink.closed and not track.sink.discarded
    return tracks, count, detector


def every_track(actors, n: int = 60, **settings):
    """Also those that were not chosen."""
    detector = settings.pop("detector", None) or ColourDetector()
    settings = SETTINGS.model_copy(update=settings)
    return follow_all(pictures(actors, n), detector, settings)


def spans(tracks) -> list[tuple[int, int]]:
    return [(track.first_frame, track.n_frames) for track in tracks]


def shift_of(crop: np.ndarray, reference: np.ndarray) -> float:
    """By how many pixels to the right, for the least squared difference of the inner parts."""

    def difference(shift: float) -> float:
        moved = cv2.warpAffine(reference, np.array([[1, 0, shift], [0, 1, 0]]), (96, 96))
        return float(((moved.astype(float) - crop)[16:80, 16:80] ** 2).mean())

    rough = min(np.arange(-8, 8.5, 0.5), key=difference)
    return minimize_scalar(difference, bounds=(rough - 0.5, rough + 0.5), method="bounded").x

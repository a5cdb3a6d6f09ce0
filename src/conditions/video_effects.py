"""What cameras, hands and apps do to video, frame by frame.

Each effect takes and gives frames in order, one at a time, so that memory does not grow with the
length of a clip; what it does is drawn from ``rng`` once for a clip. The offset does not change.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from ..core.constants import FPS

MAX_FACE_WIDTH = 120  # pixels: wider faces are scaled down first, crops have a side of 96
N_NOISE = 6  # images of noise, used in turn at random places: drawing each frame's takes long


class TimedFrame(NamedTuple):
    """A frame and when it is displayed.

    Attributes:
        time_s: seconds after the first frame.
        bgr: uint8 [height, width, 3].
    """

    time_s: float
    bgr: np.ndarray


@dataclass(frozen=True)
class FaceBox:
    """Where the face is, as shares of the frame.

    Attributes:
        x, y: its centre, 0…1.
        width: its width, 0…1 of the frame's width.
    """

    x: float
    y: float
    width: float


Effect = Callable[[Iterable[TimedFrame], np.random.Generator, FaceBox], Iterator[TimedFrame]]


def cap_face_width(
    frames: Iterable[TimedFrame], rng: np.random.Generator, face: FaceBox
) -> Iterator[TimedFrame]:
    """Frames in which the face is at most ``MAX_FACE_WIDTH`` pixels wide."""
    for time_s, bgr in frames:
        yield TimedFrame(time_s, _scaled(bgr, MAX_FACE_WIDTH / (face.width * bgr.shape[1])))


def small(
    frames: Iterable[TimedFrame], rng: np.random.Generator, face: FaceBox
) -> Iterator[TimedFrame]:
    """The face 30 to 70 pixels wide; every other clip is scaled up again."""
    width, is_scaled_back = rng.uniform(30, 70), rng.random() < 0.5
    for time_s, bgr in frames:
        reduced = _scaled(bgr, width / (face.width * bgr.shape[1]))
        if is_scaled_back:
            reduced = cv2.resize(reduced, bgr.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        yield TimedFrame(time_s, reduced)


def frame_rate(
    frames: Iterable[TimedFrame], rng: np.random.Generator, face: FaceBox
) -> Iterator[TimedFrame]:
    """15 to 24 frames per second at their true times, of which some are lost, and others replaced
    by the one before."""
    interval_s, lost, doubled = 1 / rng.uniform(15, 24), rng.uniform(0, 0.08), rng.uniform(0, 0.08)
    due_s, previous = 0.0, None
    for time_s, bgr in frames:
        if time_s + 0.5 / FPS < due_s:
            continue
        due_s += interval_s
        draw = rng.random()
        if previous is not None and draw < lost:
            continue
        previous = previous if previous is not None and draw > 1 - doubled else bgr
        yield TimedFrame(time_s, previous)


def beauty(
    frames: Iterable[TimedFrame], rng: np.random.Generator, face: FaceBox
) -> Iterator[TimedFrame]:
    """A beauty filter: skin is smoothed (an edge-preserving filter) and brightened."""
    diameter_share, colours = rng.uniform(0.05, 0.1), rng.uniform(25, 60)
    amount, gamma = rng.uniform(0.6, 1), rng.uniform(0.75, 0.95)
    brighter = _gamma_table(gamma)
    for time_s, bgr in frames:
        diameter = max(3, round(diameter_share * face.width * bgr.shape[1]))
        smooth = cv2.bilateralFilter(bgr, min(diameter, 5), colours, diameter / 2)
        yield TimedFrame(
            time_s, cv2.LUT(cv2.addWeighted(smooth, amount, bgr, 1 - amount, 0), brighter)
        )


def noise_reduction(
    frames: Iterable[TimedFrame], rng: np.random.Generator, face: FaceBox
) -> Iterator[TimedFrame]:
    """A small sensor in low light: noise, then the camera's noise reduction (a motion-adaptive
    mean over time and a median) and its sharpening."""
    noise, keep, threshold = rng.uniform(4, 18), rng.uniform(0.3, 0.65), rng.uniform(8, 24)
    darkness, sharpening = rng.uniform(0.45, 0.9), rng.uniform(0, 1.2)
    mean, grain = None, _Grain(rng)
    for time_s, bgr in frames:
        noisy = bgr * np.float32(darkness) + grain.of(bgr.shape) * np.float32(noise)
        if mean is None or mean.shape != noisy.shape:
            mean = noisy
        change = cv2.blur(cv2.cvtColor(cv2.absdiff(noisy, mean), cv2.COLOR_BGR2GRAY), (5, 5))
        weight = (keep * np.exp(-np.square(change / np.float32(threshold))))[..., None]
        mean = noisy + weight.astype(np.float32) * (mean - noisy)
        quiet = cv2.medianBlur(cv2.convertScaleAbs(np.maximum(mean, 0), None, darkness**-0.5), 3)
        blurred = cv2.GaussianBlur(quiet, (0, 0), 1.5)
        yield TimedFrame(time_s, cv2.addWeighted(quiet, 1 + sharpening, blurred, -sharpening, 0))


def hunting_exposure(
    frames: Iterable[TimedFrame], rng: np.random.Generator, face: FaceBox
) -> Iterator[TimedFrame]:
    """Exposure and white balance that go up and down, and clip."""
    rate_hz, phase = rng.uniform(0.2, 1.5), rng.uniform(0, 2 * np.pi)
    depth, base = rng.uniform(0.15, 0.5), rng.uniform(0.8, 1.35)
    tint = rng.uniform(-0.15, 0.15, 3)
    for time_s, bgr in frames:
        wave = np.sin(2 * np.pi * rate_hz * time_s + phase)
        gains = base * (1 + depth * wave) * (1 + tint * wave)
        levels = np.arange(256)[:, None] * gains
        yield TimedFrame(time_s, cv2.LUT(bgr, np.clip(levels, 0, 255).astype(np.uint8)[None]))


def backlight(
    frames: Iterable[TimedFrame], rng: np.random.Generator, face: FaceBox
) -> Iterator[TimedFrame]:
    """A window behind the person: a dark face, a bright surrounding, veiling glare, and noise of
    the dark parts."""
    darkness, brightness = rng.uniform(0.2, 0.5), rng.uniform(1.3, 2.2)
    glare, noise = rng.uniform(10, 60), rng.uniform(1, 6)
    light, grain = None, _Grain(rng)
    for time_s, bgr in frames:
        height, width = bgr.shape[:2]
        if light is None or light.shape[:2] != (height, width):
            y, x = np.mgrid[:height, :width].astype(np.float32)
            side = max(1.0, face.width * width)
            away = np.hypot((x - face.x * width) / side, (y - face.y * height) / side * 0.8)
            outside = 1 / (1 + np.exp(-(away - 0.9) * 6))
            light = (darkness + (brightness - darkness) * outside)[..., None].astype(np.float32)
        pixels = bgr * light + grain.of(bgr.shape) * np.float32(noise)
        pixels = cv2.convertScaleAbs(np.maximum(pixels, 0), None, 1 - glare / 255, glare)
        yield TimedFrame(time_s, pixels)


def handheld(
    frames: Iterable[TimedFrame], rng: np.random.Generator, face: FaceBox
) -> Iterator[TimedFrame]:
    """A phone in a hand: it moves, tilts and zooms; frames are blurred along the motion (the mean
    over the shutter time) and sheared by the rolling shutter."""
    speed, sharpness = rng.uniform(0.05, 0.5), 0.9  # face widths per second; memory per frame
    tilt_deg, zoom = rng.uniform(-12, 12), rng.uniform(1.0, 1.2)
    shutter, roll = rng.uniform(0.2, 1.0), rng.uniform(0, 0.03)
    tilt_hz, zoom_hz = rng.uniform(0.05, 0.4, 2)
    position, velocity = np.zeros(2), np.zeros(2)
    for time_s, bgr in frames:
        height, width = bgr.shape[:2]
        side = face.width * width
        velocity = sharpness * velocity + rng.normal(0, speed / FPS, 2) * 0.6
        position = 0.97 * position + velocity
        angle = tilt_deg * (0.5 + 0.5 * np.sin(2 * np.pi * tilt_hz * time_s))
        scale = 1 + (zoom - 1) * (0.5 - 0.5 * np.cos(2 * np.pi * zoom_hz * time_s))
        exposures = []
        for step in np.linspace(-0.5, 0.5, 3) * shutter:
            matrix = cv2.getRotationMatrix2D((face.x * width, face.y * height), angle, scale)
            matrix[:, 2] += (position + step * velocity) * side
            matrix[0, 1] += roll * velocity[0] * FPS
            exposures.append(
                cv2.warpAffine(bgr, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
            )
        ends = cv2.addWeighted(exposures[0], 0.5, exposures[2], 0.5, 0)
        yield TimedFrame(time_s, cv2.addWeighted(ends, 2 / 3, exposures[1], 1 / 3, 0))


class _Grain:
    """Normal noise for frame after frame."""

    def __init__(self, rng: np.random.Generator):
        self._rng, self._images = rng, None

    def of(self, shape: tuple[int, int, int]) -> np.ndarray:
        """float32 of this shape, with a deviation of 1."""
        if self._images is None or self._images.shape[1:] != shape:
            self._images = self._rng.standard_normal((N_NOISE, *shape), np.float32)
        image = self._images[self._rng.integers(N_NOISE)]
        return np.roll(image, self._rng.integers(shape[0]), 0)


def _scaled(bgr: np.ndarray, factor: float) -> np.ndarray:
    """Scaled down by a factor, to even sides; as it is where the factor is 1 or more."""
    height, width = bgr.shape[:2]
    if factor < 1:
        height, width = height * factor, width * factor
    size = max(16, round(width / 2) * 2), max(16, round(height / 2) * 2)
    return bgr if size == bgr.shape[1::-1] else cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)


def _gamma_table(gamma: float) -> np.ndarray:
    return np.rint(255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)

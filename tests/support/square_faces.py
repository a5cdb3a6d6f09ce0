"""Clips of bright squares, which a detector takes for faces, and what is extracted from them."""

from pathlib import Path

import cv2
import numpy as np

from src.core.config import DataConfig
from src.core.constants import FPS, SAMPLE_RATE
from src.core.notes import note_text
from src.faces.detection import FaceDetection
from src.media.writer import write_clip
from src.preprocessing.clip_features import ClipFeatures

SETTINGS = DataConfig()
# Faces are detected in every frame, and a loss of more than two ends a track.
STRICT = SETTINGS.model_copy(update={"detect_every": 1, "max_lost_frames": 2})
# Eyes, nose and corners of the mouth, in sides of the face.
POINTS = np.array([[0.3, 0.35], [0.7, 0.35], [0.5, 0.55], [0.35, 0.75], [0.65, 0.75]], np.float32)
FACE = (130, 80, 60)  # x, y and side of a face in a frame of 320×240


class SquareDetector:
    """Takes each bright square for a face, in full frames and in zoomed crops."""

    def detect(self, images: np.ndarray, zoomed: bool = False) -> list[list[FaceDetection]]:
        assert images.ndim == 4 and images.dtype == np.uint8 and images.shape[3] == 3
        return [self._detect_faces(image) for image in images]

    def _detect_faces(self, image: np.ndarray) -> list[FaceDetection]:
        bright = (image[..., 1] > 120).astype(np.uint8)
        components = cv2.connectedComponentsWithStats(bright)[2][1:]
        edge = np.array(image.shape[1::-1]) - 1
        faces = []
        for x, y, width, height, _ in components:
            is_complete = x > 0 and y > 0 and x + width <= edge[0] and y + height <= edge[1]
            if is_complete and min(width, height) >= 8:
                side = np.array([width, height], np.float32)
                box = np.array([x, y, x + width, y + height], np.float32)
                faces.append(FaceDetection(box, (x, y) + POINTS * side, 0.9))
        return faces


def draw_frame(faces: list[tuple[int, int, int]], number: int) -> np.ndarray:
    """uint8 [240, 320, 3]: bright squares with a chequered middle on a dark ground."""
    frame = np.full((240, 320, 3), 40 + number % 3, np.uint8)
    for x, y, side in faces:
        frame[y : y + side, x : x + side] = 200
        margin, inner = side // 4, side // 2
        chequers = np.indices((inner, inner)).sum(0) * 8 // side % 2
        frame[y + margin : y + margin + inner, x + margin : x + margin + inner] = (
            150 + 80 * chequers[..., None]
        )
    return frame


def make_clip(path: Path, frames=30, seconds=None, level=0.1, faces=lambda number: [FACE]) -> Path:
    """Bright squares and noise; at ``level`` 0 it is silence; ``faces(i)`` are those of frame i."""
    samples = np.random.default_rng(0).normal(
        0, level, int(SAMPLE_RATE * (seconds or frames / FPS))
    )
    images = (draw_frame(faces(number), number) for number in range(frames))
    write_clip(path, images, FPS, samples.astype(np.float32))
    return path


def note_texts(features: ClipFeatures) -> list[str]:
    return [note_text(note) for note in features.notes]


def spans(features: ClipFeatures) -> list[tuple[int, int]]:
    return [(track.first_frame, track.n_frames) for track in features.tracks]

"""Frames searched for faces before the tracker asks, beside the zoomed crops of those before."""

from collections import deque

import numpy as np

from ..core.config import DataConfig
from ..media.frame import VideoFrame
from .detection import Detector, FaceDetection
from .search_schedule import SearchSchedule
from .shot_boundary import CutDetector
from .tracker import relative_boxes, scaled_frame

KEPT = 4  # results that may wait: a tracker that lost a face searches other frames


class SearchAhead:
    """A detector that has the faces of full frames ready, where its ``prepare`` has seen them.

    It foresees the searches of a tracker that loses no face; after any other, all those of the shot
    are done when they are asked for. So the faces are those of the detector itself, in whatever
    order threads run.

    Args:
        detector: detects faces; may be used by two threads at once.
        settings: the ``data`` section.
    """

    def __init__(self, detector: Detector, settings: DataConfig):
        self._detector, self._settings = detector, settings
        self.restart()

    def restart(self) -> None:
        """Begin with a video."""
        # Images and their faces. Appended by one thread, read by the other.
        self._ready: deque[tuple[np.ndarray, list[FaceDetection]]] = deque(maxlen=KEPT)
        self._cuts, self._previous = CutDetector(), None
        self._begin_shot()

    def _begin_shot(self) -> None:
        self._index, self._searches = 0, SearchSchedule(0)
        self._was_wrong = False  # about a search of the shot

    def prepare(self, frame: VideoFrame) -> None:
        """Take the next frame of the video; detect the faces in it if it will be searched."""
        is_repeated, self._previous = frame is self._previous, frame
        self._index += 1
        if is_repeated:
            return
        if self._cuts.is_cut(frame):
            self._begin_shot()
        # A tracker searches in frames of detection only.
        is_detected = self._index % self._settings.detect_every == 0
        if self._was_wrong or not is_detected or not self._searches.is_due(self._index, frame):
            return
        image, _ = scaled_frame(frame, self._settings.detection_size)
        (faces,) = self._detector.detect(image[None])
        self._searches.add(self._index, frame, relative_boxes(image, faces))
        self._ready.append((image, faces))

    def detect(self, images: np.ndarray, zoomed: bool = False) -> list[list[FaceDetection]]:
        """As ``Detector.detect``."""
        if not zoomed and len(images) == 1:
            for image, faces in tuple(self._ready):
                if np.may_share_memory(image, images):
                    return [faces]
            self._was_wrong = True
        return self._detector.detect(images, zoomed)

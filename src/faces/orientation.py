"""Which way up a video is: whether its faces lie on their side or are upside down.

The detector finds many faces that are turned, but places their landmarks badly: such a video is
tracked, but measured wrongly. Turned until the faces are upright, it is like any other.
"""

import math
from collections import Counter

import numpy as np

from .detection import Detector, FaceDetection

MIN_SAMPLES = 16  # frames that are kept to be turned, up to twice as many
MAX_ROLL = 45  # degrees up to which a face is upright
# In 167 frames of 62 clips the best upright face had 0.99 and more in 96 %, 0.9 in 99 %. In the
# same frames turned, one was found by mistake with 0.99 in 1 %, 0.9 in 6 %, but never with as much
# as in the right one of the four turns.
CERTAIN_SCORE, MIN_SCORE = 0.99, 0.9
MIN_VOTES = 3  # frames in which faces are upright only when turned …
MAX_OTHER_VOTES = 0.2  # … and the share of this that may say otherwise


class OrientationWatch:
    """A detector that remembers in which of the full frames a face is upright.

    It keeps some of these, spread over the video. Only where most have no upright face they are
    turned, in the end; other videos cost nothing.

    Args:
        detector: detects the faces.
    """

    def __init__(self, detector: Detector):
        self._detector = detector
        self._samples: list[tuple[np.ndarray, float]] = []  # image, score of its best upright face
        self._n_seen, self._every = 0, 1

    def detect(self, images: np.ndarray, zoomed: bool = False) -> list[list[FaceDetection]]:
        """The faces of ``detector``."""
        faces_by_image = self._detector.detect(images, zoomed)
        if not zoomed:
            for image, faces in zip(images, faces_by_image, strict=True):
                self._add(image, upright_score(faces))
        return faces_by_image

    def _add(self, image: np.ndarray, score: float) -> None:
        if self._n_seen % self._every == 0:
            self._samples.append((image, score))
            if len(self._samples) == 2 * MIN_SAMPLES:
                self._samples = self._samples[::2]
                self._every *= 2
        self._n_seen += 1

    def find_turn(self) -> int:
        """By how many degrees the video has to be turned clockwise so that its faces are upright:
        0 (also where that is not clear), 90, 180 or 270."""
        n_certain = sum(score >= CERTAIN_SCORE for _, score in self._samples)
        if 2 * n_certain >= len(self._samples):
            return 0
        votes = Counter()
        for image, score in self._samples:
            scores = {0: score}
            for turn in (90, 180, 270):
                turned = np.ascontiguousarray(np.rot90(image, -turn // 90))
                (faces,) = self._detector.detect(turned[None])
                scores[turn] = upright_score(faces)
            best = max(scores, key=scores.get)
            if scores[best] >= MIN_SCORE:
                votes[best] += 1
        turn, n_votes = max(votes.items(), key=lambda vote: vote[1], default=(0, 0))
        is_clear = n_votes >= MIN_VOTES and votes.total() - n_votes <= MAX_OTHER_VOTES * n_votes
        return turn if is_clear else 0


def upright_score(faces: list[FaceDetection]) -> float:
    """The score of the best upright face, 0…1; 0: there is none."""
    return max((face.score for face in faces if abs(roll(face.points)) <= MAX_ROLL), default=0.0)


def roll(points: np.ndarray) -> float:
    """How far a face is turned clockwise, −180…180 degrees: by the line from the middle of the
    eyes to the middle of the mouth.

    Args:
        points: float32 [5, 2], as of ``FaceDetection``.
    """
    x, y = points[3:].mean(0) - points[:2].mean(0)
    return math.degrees(math.atan2(-x, y))

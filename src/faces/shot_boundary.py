"""Shot boundary detection: where one shot ends and the next begins."""

import cv2

from ..media.frame import VideoFrame

CUT_THRESHOLD = 27.0  # mean absolute change of brightness (0…255) that makes a cut


class CutDetector:
    """Detects the first frame of each shot, fed frame by frame: PySceneDetect's content detector.

    On brightness only: the hue of a grey, white or black background is noise and varies at random.
    """

    def __init__(self):
        self._previous = None  # brightness of the previous frame, uint8 [h, w]

    def is_cut(self, frame: VideoFrame) -> bool:
        """Whether a shot begins with this frame; always true of the first one."""
        previous, self._previous = self._previous, frame.brightness
        if previous is None or previous.shape != self._previous.shape:
            return True  # the first frame; a stream may also change its size midway
        return cv2.norm(self._previous, previous, cv2.NORM_L1) >= CUT_THRESHOLD * previous.size

"""Shot boundary detection: where one shot ends and the next begins."""

import cv2

from ..media.frame import VideoFrame

CUT_THRESHOLD = 27.0  # mean absolute change of brightness (0…255) that makes a cut


class CutDetector:
    """Detects the first frame of each shot, fed frame by frame: PySceneDetect's content detector.

    On brightness only: the hue of a grey, white or black background is noise and varies at random.
    """

    def __init__(self):
        self._previous: VideoFrame | None = None

    def is_cut(self, frame: VideoFrame) -> bool:
        """Whether a shot begins with this frame; always true of the first one."""
        previous, self._previous = self._previous, frame
        if previous is None:
            return True
        most = frame.max_brightness_change(previous)
        if most is not None and most < CUT_THRESHOLD:  # as of nearly all frames
            return False
        before, now = previous.brightness, frame.brightness
        if before.shape != now.shape:
            return True  # a stream may change its size midway
        return cv2.norm(now, before, cv2.NORM_L1) >= CUT_THRESHOLD * now.size

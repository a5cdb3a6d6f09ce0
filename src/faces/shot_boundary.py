"""Where one shot ends and the next begins."""

import cv2

from ..media.frame import VideoFrame

CUT_PICTURE = 128  # px: cuts are looked for at this size or down to half of it
CUT = 27.0  # brightness, 0…255, by which the picture changes in a cut, on average of its pixels


class CutDetector:
    """Tells where a shot begins, fed picture by picture: PySceneDetect's content detector.

    On brightness only: the hue of a grey, white or black background is noise, and jumps with it.
    """

    def __init__(self):
        self._before = None  # brightness of the picture before, uint8 [h, w]

    def is_cut(self, picture: VideoFrame) -> bool:
        hsv = cv2.cvtColor(picture.halved_bgr(CUT_PICTURE), cv2.COLOR_BGR2HSV)
        before, self._before = self._before, cv2.extractChannel(hsv, 2)
        if before is None or before.shape != self._before.shape:
            return True  # the first picture; a stream may change its size on the way
        return cv2.norm(self._before, before, cv2.NORM_L1) >= CUT * before.size

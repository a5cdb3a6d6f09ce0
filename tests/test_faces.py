"""Where points land in the crop, whom a track follows, and the detectors themselves."""

import gc
import weakref
from urllib.error import URLError

import cv2
import numpy as np
import pytest

from src.config import DataConfig
from src.errors import DetectorError
from src.faces import (
    TEMPLATE,
    Face,
    FaceCount,
    align,
    follow_largest,
    make_detector,
    overlap,
)
from src.media import read_pictures

SETTINGS = DataConfig()


# ---------------------------------------------------------------------------- the crop


def turned(points: np.ndarray, scale: float, degrees: float, middle) -> np.ndarray:
    angle = np.deg2rad(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return ((points - points.mean(0)) @ turn.T + middle).astype(np.float32)


def dotted(points: np.ndarray, size: tuple[int, int], sigma: float) -> np.ndarray:
    """Soft bright dots on black, exact to a fraction of a pixel."""
    y, x = np.mgrid[: size[0], : size[1]]
    picture = np.zeros(size)
    for point in points:
        picture += np.exp(-0.5 * ((x - point[0]) ** 2 + (y - point[1]) ** 2) / sigma**2)
    return np.clip(picture * 250, 0, 255).astype(np.uint8)


def centre_near(crop: np.ndarray, point: np.ndarray, reach: int) -> np.ndarray:
    """Centre of brightness around a point of the crop."""
    y, x = np.mgrid[: crop.shape[0], : crop.shape[1]]
    near = crop * (np.hypot(x - point[0], y - point[1]) <= reach)
    return np.array([(x * near).sum(), (y * near).sum()]) / near.sum()


@pytest.mark.parametrize("degrees", [0, 25, -70, 180])
@pytest.mark.parametrize("scale", [0.5, 1.0, 1.9, 2.1, 3.7, 4.2, 9.0])
def test_points_land_on_the_template(scale, degrees):
    """At a scale of 2 and more the picture is averaged down before it is warped."""
    side = int(260 * max(1, scale))
    points = turned(TEMPLATE, scale, degrees, (side / 2 + 0.3, side / 2 - 0.4))
    for size in (96, 48):
        crop = align(dotted(points, (side, side), 2.2 * scale), points, size)
        assert crop.shape == (size, size) and crop.dtype == np.uint8
        goal = TEMPLATE * size / 96
        for target in goal[2:]:  # the eyes are at the edge: half of a dot would be missing
            found = centre_near(crop, target, 8 * size // 96)
            assert np.abs(found - target).max() < 0.35, (scale, degrees, size)


def test_uneven_faces_are_fitted_in_the_least_squares_sense():
    from scipy.optimize import least_squares

    rng = np.random.default_rng(2)
    points = turned(TEMPLATE, 1.3, 10, (150, 150)) + rng.normal(0, 4, (5, 2)).astype(np.float32)

    def residual(p):
        turn = np.array([[p[0], -p[1]], [p[1], p[0]]])
        return (points @ turn.T + p[2:] - TEMPLATE).ravel()

    a, b, *shift = least_squares(residual, [1, 0, 0, 0]).x
    expected = (points[2] @ np.array([[a, -b], [b, a]]).T) + shift
    dot = dotted(points[2:3], (300, 300), 3)
    assert np.abs(centre_near(align(dot, points, 96), expected, 10) - expected).max() < 0.35


def test_large_faces_do_not_alias():
    """Fine stripes become their mean, not a pattern."""
    picture = np.zeros((800, 800), np.uint8)
    picture[:, ::2] = 200
    crop = align(picture, turned(TEMPLATE, 6, 0, (400, 400)), 96)
    assert crop.std() < 4 and abs(crop.mean() - 100) < 4


@pytest.mark.parametrize("middle", [(0, 0), (-900, -900), (320, -700), (5000, 100), (320, 479)])
@pytest.mark.parametrize("scale", [0.7, 5.0])
def test_faces_beyond_the_edge(middle, scale):
    picture = np.full((480, 640), 77, np.uint8)
    crop = align(picture, turned(TEMPLATE, scale, 0, middle), 96)
    assert crop.shape == (96, 96) and np.all(crop == 77)


def test_points_in_one_place_give_a_crop():
    assert align(np.zeros((50, 50), np.uint8), np.full((5, 2), 9, np.float32), 96).shape == (96, 96)


# ---------------------------------------------------------------------------- following


class FakePicture:
    """A picture of one grey: dark in one shot, white in another."""

    def __init__(self, index: int, shot: int = 0, size: int = 240):
        self.index, self.width, self.height = index, size, size
        self.gray = np.full((size, size), 255 if shot else 40, np.uint8)
        self.bgr = np.repeat(self.gray[..., None], 3, axis=2)

    def small_bgr(self, longest: int) -> np.ndarray:
        return cv2.resize(self.bgr, (longest, longest))


def face_at(x: float, y: float = 120, size: float = 60) -> Face:
    box = np.array([x - size / 2, y - size / 2, x + size / 2, y + size / 2], np.float32)
    return Face(box, turned(TEMPLATE, size / 96, 0, (x, y)), 0.99)


class Script:
    """A detector that says what it is told, and remembers what it was asked."""

    def __init__(self, faces_of):
        self.faces_of, self.asked = faces_of, []

    def detect(self, picture):
        self.asked.append(picture.index)
        return self.faces_of(picture.index)


def follow(faces_of, n: int = 60, shots=lambda index: 0, **settings):
    detector, count = Script(faces_of), FaceCount()
    pictures = (FakePicture(index, shots(index)) for index in range(n))
    settings = SETTINGS.model_copy(update=settings)
    return list(follow_largest(pictures, detector, settings, count)), detector, count


def middles(track) -> np.ndarray:
    return np.array([(box[0] + box[2]) / 2 for box in track.boxes])


def test_a_steady_face_is_one_track():
    (track,), detector, count = follow(lambda i: [face_at(100)])
    assert (track.first_frame, len(track.crops), len(track.boxes)) == (0, 60, 60)
    assert detector.asked == list(range(0, 60, 2))
    assert (count.frames, count.looked, count.found) == (60, 30, 30)
    assert all(crop.shape == (96, 96) and crop.dtype == np.uint8 for crop in track.crops)


@pytest.mark.parametrize("every", [1, 2, 5])
def test_places_between_are_interpolated(every):
    (track,), _, _ = follow(lambda i: [face_at(60 + 2 * i)], n=51, detect_every=every)
    assert np.allclose(middles(track), 60 + 2 * np.arange(51), atol=1e-3)


def test_a_short_loss_is_bridged():
    def faces_of(i):
        return [] if 20 <= i < 28 else [face_at(60 + 2 * i)]

    (track,), detector, count = follow(faces_of, n=50)
    assert len(track.crops) == 50
    assert np.allclose(middles(track), 60 + 2 * np.minimum(np.arange(50), 48), atol=2.01)
    assert np.allclose(middles(track)[:48], 60 + 2 * np.arange(48), atol=1e-3)
    assert set(range(20, 29)) <= set(detector.asked), "while lost, it is looked for in each"
    assert count.looked - count.found == 8


@pytest.mark.parametrize(("lost", "tracks"), [(10, 1), (11, 2)])
def test_a_long_loss_ends_the_track(lost, tracks):
    found, _, _ = follow(
        lambda i: [] if 20 <= i < 20 + lost else [face_at(100)], n=60, max_lost_frames=10
    )
    assert len(found) == tracks
    if tracks == 2:
        assert (found[0].first_frame, len(found[0].crops)) == (0, 19)  # last seen in frame 18
        assert (found[1].first_frame, len(found[1].crops)) == (31, 29)


def test_a_loss_at_the_end_is_not_part_of_the_track():
    (track,), _, _ = follow(lambda i: [face_at(100)] if i <= 40 else [], n=48)
    assert len(track.crops) == 41
    (track,), _, _ = follow(lambda i: [face_at(100)], n=50)
    assert len(track.crops) == 50, "the last picture, which was not looked at, belongs to it"


def test_a_cut_ends_the_track():
    found, _, _ = follow(lambda i: [face_at(100)], n=60, shots=lambda i: int(i >= 31))
    assert [(track.first_frame, len(track.crops)) for track in found] == [(0, 31), (31, 29)]
    assert all(np.all(crop == 40) for crop in found[0].crops)
    assert all(np.all(crop == 255) for crop in found[1].crops)


def test_the_largest_face_is_followed_and_kept():
    def faces_of(i):
        others = [face_at(200, 60, 30)]
        if i >= 20:
            others.append(face_at(190, 180, 90))  # larger, but somebody else
        return [*others, face_at(80)]

    (track,), _, _ = follow(faces_of)
    assert np.allclose(middles(track), 80)


def test_somebody_else_is_not_the_same_face():
    found, _, _ = follow(lambda i: [face_at(60)] if i < 20 else [face_at(180)], max_lost_frames=5)
    assert [round(float(middles(track)[0])) for track in found] == [60, 180]
    assert found[1].first_frame == 25


def test_nobody():
    tracks, detector, count = follow(lambda i: [], n=30)
    assert tracks == [] and len(detector.asked) == count.looked == 30 and count.found == 0
    assert follow(lambda i: [], n=0)[0] == []


def test_jitter_is_smoothed_without_lag():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 3, 60)

    class Dotted(FakePicture):
        def __init__(self, index):
            super().__init__(index)
            x = 80 + index
            self.gray = dotted(turned(TEMPLATE, 60 / 96, 0, (x, 120)), (240, 240), 1.5)

    detector = Script(lambda i: [face_at(80 + i + noise[i])])
    settings = SETTINGS.model_copy(update={"detect_every": 1})
    (track,) = follow_largest((Dotted(i) for i in range(60)), detector, settings, FaceCount())
    found = np.array([centre_near(crop, TEMPLATE[2], 14)[0] for crop in track.crops])
    errors = found - TEMPLATE[2, 0]
    raw = -noise * 96 / 60
    assert errors[2:-2].std() < 0.75 * raw.std()
    weights = np.array([1, 2, 3, 2, 1]) / 9
    assert np.allclose(errors[2:-2], np.convolve(raw, weights, "valid"), atol=0.5)


def test_few_pictures_are_held():
    alive = weakref.WeakSet()
    most = 0

    def pictures():
        nonlocal most
        for index in range(400):
            picture = FakePicture(index, size=64)
            alive.add(picture)
            gc.collect(0)
            most = max(most, len(alive))
            yield picture

    detector = Script(lambda i: [] if 100 <= i % 200 < 108 else [face_at(30, 30, 20)])
    (track,) = follow_largest(pictures(), detector, SETTINGS, FaceCount())
    assert len(track.crops) == 400
    assert most <= SETTINGS.max_lost_frames + SETTINGS.detect_every + 6


@pytest.mark.parametrize("size", [48, 96, 160])
def test_input_size_changes_the_crop(size):
    (track,), _, _ = follow(lambda i: [face_at(100)], n=10, input_size=size)
    assert {crop.shape for crop in track.crops} == {(size, size)}


def test_overlap():
    one = np.array([0, 0, 10, 10], np.float32)
    assert overlap(one, one) == pytest.approx(1)
    assert overlap(one, one + 10) == 0
    assert overlap(one, np.array([5, 0, 15, 10], np.float32)) == pytest.approx(50 / 150)


# ---------------------------------------------------------------------------- detectors


def test_retinaface_finds_the_drawn_face(talking_clip, retinaface):
    pictures = list(read_pictures(talking_clip))[::10]
    for picture in pictures:
        (face,) = retinaface.detect(picture)
        left, right, nose, mouth_left, mouth_right = face.points
        assert face.score > 0.9
        x0, y0, x1, y1 = face.box
        assert all(x0 < x < x1 and y0 < y < y1 for x, y in face.points)
        assert left[0] < nose[0] < right[0] and mouth_left[0] < nose[0] < mouth_right[0]
        assert left[1] < nose[1] < mouth_left[1]
        assert np.any(face.points % 1), "not rounded to whole pixels"


def test_retinaface_knows_where(talking_clip, retinaface):
    """A face moved, and made larger, is found moved and larger."""
    first = next(read_pictures(talking_clip))
    (plain,) = retinaface.detect(first)

    class Canvas:
        width, height = 960, 720
        bgr = np.full((720, 960, 3), 90, np.uint8)

        def small_bgr(self, longest):
            return cv2.resize(self.bgr, None, fx=longest / 960, fy=longest / 960,
                              interpolation=cv2.INTER_AREA)  # fmt: skip

    Canvas.bgr[60:700, 240:880] = cv2.resize(first.bgr, (640, 640))
    moved = max(retinaface.detect(Canvas()), key=lambda face: face.area)
    expected = plain.points * 2 + (240.5, 60.5)
    assert np.abs(moved.points - expected).max() < 0.05 * np.ptp(expected[:, 0]) + 6


def test_retinaface_finds_nobody_in_noise(retinaface):
    class Noise(FakePicture):
        def small_bgr(self, longest):
            return np.random.default_rng(1).integers(0, 255, (240, longest, 3)).astype(np.uint8)

    assert retinaface.detect(Noise(0)) == []


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


def test_face_alignment_speaks_the_same_language(monkeypatch):
    """68 landmarks and boxes of the package become five points in pixels of the full picture."""
    from src.faces import FaceAlignmentDetector

    marks = np.zeros((68, 2), np.float32)
    marks[36:42], marks[42:48], marks[30], marks[48], marks[54] = (
        (30, 40), (50, 40), (40, 50), (32, 60), (48, 60))  # fmt: skip

    class Model:
        answer = ([marks, marks], None, [[20, 20, 60, 70, 0.99], [0, 0, 9, 9, 0.1]])

        def get_landmarks_from_image(self, picture, return_bboxes):
            assert picture.shape == (120, 120, 3) and return_bboxes
            return self.answer

    detector = FaceAlignmentDetector.__new__(FaceAlignmentDetector)
    detector._model, detector._size, detector._min_score = Model(), 120, 0.8
    (face,) = detector.detect(FakePicture(0))
    assert face.points.tolist() == [[60, 80], [100, 80], [80, 100], [64, 120], [96, 120]]
    assert face.box.tolist() == [40, 40, 120, 140]
    Model.answer = (None, None, None)
    assert detector.detect(FakePicture(0)) == []

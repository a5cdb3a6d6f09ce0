"""Drawn people followed with the real detector."""

import cv2
import numpy as np
import pytest

from src.core.config import DataConfig
from src.faces.alignment import align
from src.faces.tracker import TrackingStats, close_up, sight, track_faces
from tests.faces.test_detection import drawn_points
from tests.support.crossing_films import (
    KeptCrops,
    Meeting,
    Person,
    film,
    follow_all,
    judge,
    to_video_frame,
)
from tests.support.scripted_faces import SETTINGS, shift_of, spans
from tools.drawn_face import Look, Pose, draw_face
from tools.synthetic_talker import make_frames, make_speaker


@pytest.fixture(scope="module")
def people(retinaface) -> list[Person]:
    """Four drawn people, 30 frames of each, who talk and move."""
    found = []
    for seed in (0, 2, 5, 7):
        rng = np.random.default_rng(seed)
        mouth = np.clip(rng.normal(0.4, 0.3, (30, 5)), 0, 1)
        frames = list(make_frames(make_speaker(seed)[0], mouth, rng))
        found.append(Person.seen_by(str(seed), frames, retinaface))
    return found


MEETINGS = [
    Meeting(speed, way, (width, 1.1 * width), raised, front)
    for speed, width, raised, front in ((0.05, 90, 0.1, 0), (0.1, 60, -0.2, 1), (0.2, 80, 0.0, 1),
                                        (0.4, 100, 0.2, 0))
    for way in ("cross", "pass", "turn")
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("pair", [(0, 1), (2, 3), (3, 0)])
@pytest.mark.parametrize("meeting", MEETINGS, ids=lambda m: f"{m.way}-{m.speed}")
def test_drawn_people_who_meet_keep_their_tracks(people, retinaface, pair, meeting):
    shown, truth = film(*(people[who] for who in pair), meeting)
    found = follow_all(shown, retinaface, SETTINGS)
    verdict = judge(found, truth)
    assert verdict.swaps == 0
    assert verdict.covered > 0.75
    assert (0, meeting.n_frames) in spans(found), "the one in front"


def on_canvas(head: np.ndarray, height: int, width: int, x: int, y: int) -> np.ndarray:
    canvas = np.full((height, width, 3), 120, np.uint8)
    canvas[y : y + len(head), x : x + len(head)] = head
    return canvas


# The side of the drawing, how much larger the head is in it, height and width of the picture, and
# where the drawing is put; by the width of the face.
FACES = {
    600: (1080, 1.284, (1080, 1920), (420, 0)),
    105: (242, 1.0, (1080, 1920), (90, 700)),
    27: (62, 1.0, (360, 640), (401, 203)),
}


def large_or_small(width: int, opening: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """A picture with a face so wide; and where its eyes and mouth corners are, [4, 2]."""
    side, scale, canvas, place = FACES[width]
    mouth = np.array([opening, 0.5, 0, 0.5, 0.2])
    head = cv2.GaussianBlur(draw_face(Look(), mouth, Pose(scale=scale), side), (0, 0), 0.6)
    return on_canvas(head, *canvas, *place), drawn_points(side, scale=scale) + place


@pytest.mark.parametrize("width", FACES)
def test_faces_of_all_sizes_are_found_in_their_place(retinaface, width):
    """As in the whole picture, when that is scaled so that the face is 100 px wide."""
    shown = [large_or_small(width, opening)[0] for opening in (0.1, 0.4, 0.7)]
    settings = DataConfig(detect_every=1, detection_size=320 if width == 600 else 640)
    followed = map(to_video_frame, shown)
    (track,) = track_faces(followed, retinaface, settings, 1, KeptCrops, TrackingStats())
    assert spans([track]) == [(0, 3)]
    for one, box, crop in zip(shown, track.sink.boxes, track.sink.crops, strict=True):
        way = cv2.INTER_AREA if width > 100 else cv2.INTER_CUBIC
        scaled = cv2.resize(one, None, fx=100 / width, fy=100 / width, interpolation=way)
        ratio = np.array(one.shape[1::-1]) / scaled.shape[1::-1]
        ((whole,),) = retinaface.detect(scaled[None])
        expected = (whole.box.reshape(2, 2) + 0.5) * ratio - 0.5
        assert np.ptp(expected[:, 0]) == pytest.approx(width, rel=0.1)
        assert np.abs(box.reshape(2, 2) - expected).max() < 0.06 * width
        points = ((whole.points + 0.5) * ratio - 0.5).astype(np.float32)
        reference = align(cv2.cvtColor(one, cv2.COLOR_BGR2GRAY), points, 96)
        assert abs(shift_of(crop, reference)) < 3, "0.03 of the width"


@pytest.mark.parametrize("width", FACES)
def test_points_of_a_close_up_are_those_of_the_drawing(retinaface, width):
    shown, truth = large_or_small(width)
    middle = truth.mean(0)
    film = to_video_frame(shown)
    box = np.concatenate([middle - width / 2, middle + width / 2]).astype(np.float32)
    view, step, corner = close_up(film, box)
    ((face,),) = retinaface.detect(view[None])
    error = sight(film, face, step, corner).points[[0, 1, 3, 4]] - truth
    assert np.abs(error).max() < 0.08 * width
    assert np.abs(error.mean(0)).max() < 0.04 * width


def test_a_film_from_a_file_is_followed_by_the_real_detector(retinaface, talking_clip):
    """The head moves by some pixels; in the crops little moves but the mouth."""
    from src.media.reader import read_frames

    count = TrackingStats()
    (track,) = track_faces(read_frames(talking_clip), retinaface, SETTINGS, 5, KeptCrops, count)
    assert (track.first_frame, track.n_frames, count.frames) == (0, 50, 50)
    assert (count.faces, count.looked, count.found) == (1, 25, 25)
    crops = np.stack(track.sink.crops)
    change = crops.astype(float).std(0)
    mouth, nose = change[44:66, 34:62].mean(), change[18:28, 42:54].mean()
    assert np.ptp(track.sink.middles, axis=0).max() > 5
    assert mouth > 4 * nose

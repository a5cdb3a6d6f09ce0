"""Synthetic people tracked with the real detector."""

import cv2
import numpy as np
import pytest

from src.core.config import DataConfig
from src.faces.alignment import align
from src.faces.tracker import FaceTracker, map_to_frame, zoomed_crop
from tests.faces.test_detection import true_points
from tests.support.crossing_people import (
    Meeting,
    Person,
    RecordingSink,
    composite_video,
    evaluate_tracks,
    to_video_frame,
    track_everyone,
)
from tests.support.scripted_faces import SETTINGS, shift_of, spans
from tools.drawn_face import Look, Pose, draw_face
from tools.synthetic_talker import make_frames, make_speaker


@pytest.fixture(scope="module")
def people(retinaface) -> list[Person]:
    """Four synthetic people, 30 frames of each, who talk and move."""
    people = []
    for seed in (0, 2, 5, 7):
        rng = np.random.default_rng(seed)
        mouth = np.clip(rng.normal(0.4, 0.3, (30, 5)), 0, 1)
        frames = list(make_frames(make_speaker(seed)[0], mouth, rng))
        people.append(Person.detect(str(seed), frames, retinaface))
    return people


MEETINGS = [
    Meeting(speed, kind, (width, 1.1 * width), raised, front)
    for speed, width, raised, front in ((0.05, 90, 0.1, 0), (0.1, 60, -0.2, 1), (0.2, 80, 0.0, 1),
                                        (0.4, 100, 0.2, 0))
    for kind in ("cross", "pass", "turn")
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("pair", [(0, 1), (2, 3), (3, 0)])
@pytest.mark.parametrize("meeting", MEETINGS, ids=lambda m: f"{m.kind}-{m.speed}")
def test_synthetic_people_who_meet_keep_their_tracks(people, retinaface, pair, meeting):
    frames, true_boxes = composite_video(*(people[who] for who in pair), meeting)
    tracks = track_everyone(frames, retinaface, SETTINGS)
    quality = evaluate_tracks(tracks, true_boxes)
    assert quality.swaps == 0
    assert quality.covered > 0.75
    assert (0, meeting.n_frames) in spans(tracks), "the one in front"


def on_canvas(head: np.ndarray, height: int, width: int, x: int, y: int) -> np.ndarray:
    canvas = np.full((height, width, 3), 120, np.uint8)
    canvas[y : y + len(head), x : x + len(head)] = head
    return canvas


# Side of the synthetic face image, scale of the head in it, height and width of the frame, and the
# position of the image in it; by the width of the face.
FACES = {
    600: (1080, 1.284, (1080, 1920), (420, 0)),
    105: (242, 1.0, (1080, 1920), (90, 700)),
    27: (62, 1.0, (360, 640), (401, 203)),
}


def draw_face_of_width(width: int, opening: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """A frame with a face so wide; and the positions of its eyes and mouth corners, [4, 2]."""
    side, scale, canvas, corner = FACES[width]
    mouth = np.array([opening, 0.5, 0, 0.5, 0.2])
    head = cv2.GaussianBlur(draw_face(Look(), mouth, Pose(scale=scale), side), (0, 0), 0.6)
    return on_canvas(head, *canvas, *corner), true_points(side, scale=scale) + corner


@pytest.mark.parametrize("width", FACES)
def test_faces_of_all_sizes_are_located(retinaface, width):
    """As in the full frame scaled so that the face is 100 px wide."""
    images = [draw_face_of_width(width, opening)[0] for opening in (0.1, 0.4, 0.7)]
    settings = DataConfig(detect_every=1, detection_size=320 if width == 600 else 640)
    tracker = FaceTracker(retinaface, settings, RecordingSink, min_frames=1)
    (track,) = tracker.track(map(to_video_frame, images))
    assert spans([track]) == [(0, 3)]
    for image, box, crop in zip(images, track.sink.boxes, track.sink.crops, strict=True):
        interpolation = cv2.INTER_AREA if width > 100 else cv2.INTER_CUBIC
        factor = 100 / width
        scaled = cv2.resize(image, None, fx=factor, fy=factor, interpolation=interpolation)
        ratio = np.array(image.shape[1::-1]) / scaled.shape[1::-1]
        ((reference_face,),) = retinaface.detect(scaled[None])
        expected = (reference_face.box.reshape(2, 2) + 0.5) * ratio - 0.5
        assert np.ptp(expected[:, 0]) == pytest.approx(width, rel=0.1)
        assert np.abs(box.reshape(2, 2) - expected).max() < 0.06 * width
        points = ((reference_face.points + 0.5) * ratio - 0.5).astype(np.float32)
        reference = align(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), points, 96)
        assert abs(shift_of(crop, reference)) < 3, "0.03 of the width"


@pytest.mark.parametrize("width", FACES)
def test_landmarks_in_a_zoomed_crop_are_those_of_the_drawing(retinaface, width):
    image, expected = draw_face_of_width(width)
    centre = expected.mean(0)
    frame = to_video_frame(image)
    box = np.concatenate([centre - width / 2, centre + width / 2]).astype(np.float32)
    crop, scale, corner = zoomed_crop(frame, box)
    ((face,),) = retinaface.detect(crop[None])
    error = map_to_frame(frame, face, scale, corner).points[[0, 1, 3, 4]] - expected
    assert np.abs(error).max() < 0.08 * width
    assert np.abs(error.mean(0)).max() < 0.04 * width


def test_a_video_file_is_tracked_with_the_real_detector(retinaface, talking_clip):
    """The head moves by some pixels; in the crops little but the mouth moves."""
    from src.media.reader import read_frames

    tracker = FaceTracker(retinaface, SETTINGS, RecordingSink)
    (track,) = tracker.track(read_frames(talking_clip))
    stats = tracker.stats
    assert (track.first_frame, track.n_frames, stats.n_frames) == (0, 50, 50)
    assert (stats.n_tracks, stats.n_searches, stats.n_successes) == (1, 19, 19)
    crops = np.stack(track.sink.crops)
    change = crops.astype(float).std(0)
    mouth, nose = change[44:66, 34:62].mean(), change[18:28, 42:54].mean()
    assert np.ptp(track.sink.centres, axis=0).max() > 5
    assert mouth > 4 * nose

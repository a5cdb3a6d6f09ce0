"""A growing track, and the choice among tracks that share frames."""

import cv2
import numpy as np
import pytest

from src.core.config import DataConfig
from src.faces.alignment import TEMPLATE, align
from src.faces.track import (
    FaceTrack,
    OpenTrack,
    TrackedDetection,
    choose_tracks,
    compute_appearance,
)
from tests.support.crossing_people import RecordingSink, to_video_frame

SETTINGS = DataConfig()


# ---------------------------------------------------------------------------- choosing


def make_track(first_frame: int, n_frames: int, area: float = 1.0) -> FaceTrack:
    return FaceTrack(RecordingSink(), first_frame, n_frames, area * n_frames)


def spans(tracks: list[FaceTrack]) -> list[tuple[int, int]]:
    return [(track.first_frame, track.stop) for track in tracks]


def share_frames(first: FaceTrack, second: FaceTrack) -> bool:
    return bool({*range(first.first_frame, first.stop)} & {*range(second.first_frame, second.stop)})


@pytest.mark.parametrize("criterion", ["largest", "longest"])
@pytest.mark.parametrize("seed", range(20))
def test_the_better_of_tracks_that_share_frames_is_chosen(seed, criterion):
    rng = np.random.default_rng(seed)
    tracks = [
        make_track(int(rng.integers(0, 80)), int(rng.integers(1, 40)), float(rng.uniform(1, 9)))
        for _ in range(rng.integers(0, 12))
    ]
    value = {"largest": lambda t: t.area, "longest": lambda t: t.n_frames}[criterion]
    chosen = choose_tracks(tracks, criterion)
    assert [track.first_frame for track in chosen] == sorted(t.first_frame for t in chosen)
    assert all(any(track is other for other in tracks) for track in chosen)
    for index, track in enumerate(chosen):
        assert not any(share_frames(track, other) for other in chosen[index + 1 :])
    for track in tracks:
        if not any(track is other for other in chosen):
            better = [other for other in chosen if share_frames(track, other)]
            assert better and max(map(value, better)) >= value(track)


@pytest.mark.parametrize("criterion", ["largest", "longest"])
def test_short_tracks_do_not_change_which_long_ones_are_chosen(criterion):
    rng = np.random.default_rng(3)
    for _ in range(50):
        tracks = [
            make_track(int(rng.integers(0, 80)), int(rng.integers(1, 40)), float(rng.uniform(1, 9)))
            for _ in range(12)
        ]
        long_tracks = [track for track in tracks if track.n_frames >= 15]
        chosen = choose_tracks(tracks, criterion, 15)
        long_chosen = [track for track in chosen if track.n_frames >= 15]
        assert long_chosen == choose_tracks(long_tracks, criterion)


def test_the_order_of_the_tracks_does_not_matter():
    rng = np.random.default_rng(1)
    tracks = [make_track(int(rng.integers(0, 80)), int(rng.integers(5, 40)), rng.uniform(1, 9))
              for _ in range(12)]  # fmt: skip
    for _ in range(20):
        shuffled = [tracks[index] for index in rng.permutation(12)]
        assert spans(choose_tracks(shuffled, "largest")) == spans(choose_tracks(tracks, "largest"))


def test_largest_is_area_times_duration():
    large, long = make_track(0, 30, 81.0), make_track(0, 60, 25.0)
    assert choose_tracks([long, large], "largest") == [large]
    assert choose_tracks([long, large], "longest") == [long]
    assert choose_tracks([], "largest") == []


def test_consecutive_tracks_are_both_chosen():
    assert spans(choose_tracks([make_track(20, 5), make_track(0, 20, 9)], "largest")) == [
        (0, 20),
        (20, 25),
    ]


# ---------------------------------------------------------------------------- growing


def points_at(x: float, y: float = 60, side: float = 48) -> np.ndarray:
    return ((TEMPLATE - TEMPLATE.mean(0)) * side / 96 + (x, y)).astype(np.float32)


def draw(x: float, who: int, side: float = 48, gain: float = 1.0, offset: float = 0.0):
    """A frame of 120×200 px with a pattern at ``x``, as sharp as its size allows."""
    rough = np.random.default_rng(who).normal(0, 1, (10, 10)).astype(np.float32)
    face = 120 + 40 * cv2.resize(rough, (97, 97), interpolation=cv2.INTER_CUBIC)
    scale = side / 96
    matrix = np.array([[scale, 0, x - 48 * scale], [0, scale, 60 - 48 * scale]])
    image = cv2.warpAffine(face, matrix, (200, 120), borderMode=cv2.BORDER_CONSTANT,
                           borderValue=120)  # fmt: skip
    gray = np.clip(gain * image + offset, 0, 255).astype(np.uint8)
    return to_video_frame(np.repeat(gray[..., None], 3, axis=2))


@pytest.mark.parametrize("scale", [1, 2.5, 5, 9])
def test_appearance_is_that_of_the_crop_whatever_the_size(scale):
    """Large faces are compared in a frame that was halved before."""
    image = np.random.default_rng(3).integers(0, 255, (30, 50), np.uint8)
    size = round(200 * scale), round(120 * scale)
    image = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
    frame = to_video_frame(np.repeat(image[..., None], 3, axis=2))
    points = (points_at(80) * scale).astype(np.float32)
    crop = align(frame.luma, points, 48)
    expected = cv2.resize(crop, (24, 24), interpolation=cv2.INTER_AREA).astype(float).ravel()
    expected -= expected.mean()
    appearance = compute_appearance(frame, points)
    assert appearance @ expected / np.linalg.norm(expected) > 0.995


def test_points_far_apart_still_give_an_appearance():
    frame = to_video_frame(np.full((40, 60, 3), 90, np.uint8))
    assert not compute_appearance(frame, points_at(30) * np.float32(1000)).any(), "no contrast"


def detection(frame, x: float, side: float = 48) -> TrackedDetection:
    box = np.array([x - side / 2, 60 - side / 2, x + side / 2, 60 + side / 2], np.float32)
    points = points_at(x, side=side)
    return TrackedDetection(box, points, 0.99, compute_appearance(frame, points))


def start_track(x: float = 80, who: int = 1, **settings) -> OpenTrack:
    track = OpenTrack(0, SETTINGS.model_copy(update=settings), RecordingSink())
    frame = draw(x, who)
    track.add_detection(0, frame, detection(frame, x))
    return track


def test_appearance_depends_on_the_face_not_on_light_or_position():
    appearance = compute_appearance(draw(80, 1), points_at(80))
    assert appearance.mean() == pytest.approx(0, abs=1e-6)
    assert appearance @ appearance == pytest.approx(1)
    darker = compute_appearance(draw(110, 1, 40, gain=0.5, offset=60), points_at(110, side=40))
    assert appearance @ darker > 0.98
    assert abs(appearance @ compute_appearance(draw(80, 2), points_at(80))) < 0.5
    plain = compute_appearance(draw(80, 1, gain=0, offset=90), points_at(80))
    assert not plain.any(), "no contrast"


def test_an_occluding_person_does_not_change_the_appearance():
    """After eight hidden frames the face is still recognised, and the occluding one is not."""
    track = start_track()
    for index in range(2, 12, 2):
        frame = draw(80, 1)
        track.add_detection(index, frame, detection(frame, 80))
    for _ in range(8):
        track.add_missed(draw(80, 2))
    same, other = draw(80, 1), draw(80, 2)
    assert track.n_missed == 8
    track.add_detection(19, same, detection(same, 80))
    assert track.n_missed == 0
    assert track.appearance_similarity(detection(same, 80)) > 0.98
    assert track.appearance_similarity(detection(other, 80)) < 0.5


def test_appearance_is_known_from_the_first_detection_and_adapts_slowly():
    track = start_track(who=1)
    same, other = draw(80, 1), draw(80, 2)
    assert track.appearance_similarity(detection(same, 80)) == pytest.approx(1, abs=1e-4)
    assert track.appearance_similarity(detection(other, 80)) < 0.5
    similarities = []
    for index in range(2, 20, 2):
        track.add_detection(index, other, detection(other, 80))
        similarities.append(track.appearance_similarity(detection(other, 80)))
    assert similarities == sorted(similarities)
    assert 0.2 < similarities[0] < 0.7 < 0.95 < similarities[-1]


def test_the_box_is_predicted_at_constant_velocity():
    track = start_track(x=60)
    for index in range(1, 12):
        frame = draw(60 + 3 * index, 1)
        track.add_detection(index, frame, detection(frame, 60 + 3 * index))
    for ahead in (1, 2, 10):
        x = 60 + 3 * (11 + ahead)
        box = track.predict_box(11 + ahead)
        assert np.allclose(box, [x - 24, 36, x + 24, 84], atol=0.1)
    frame = draw(60, 1)
    distance, growth = track.measure_motion(detection(frame, 60 + 3 * 13 + 12), 13)
    assert distance == pytest.approx(12 / 48, abs=0.01) and growth == pytest.approx(0, abs=1e-5)
    _, growth = track.measure_motion(detection(frame, 99, 24), 13)
    assert growth == pytest.approx(np.log(2), abs=1e-4)


def test_a_face_that_became_too_small_is_not_assigned():
    track = start_track(min_face_size=50)
    frame = draw(80, 1)
    assert track.measure_motion(detection(frame, 80, 41), 1)[1] < 1
    assert track.measure_motion(detection(frame, 80, 39), 1)[1] == np.inf


def test_crops_come_two_frames_late_and_all_of_them_at_the_end():
    track = start_track()
    counts = [len(track._track.sink.crops)]
    for index in range(1, 6):
        frame = draw(80, 1)
        track.add_detection(index, frame, detection(frame, 80))
        counts.append(len(track._track.sink.crops))
    assert counts == [0, 0, 1, 2, 3, 4]
    finished = track.finish()
    assert finished.n_frames == len(finished.sink.crops) == 6 and finished.sink.closed
    assert (finished.first_frame, finished.stop) == (0, 6)
    assert finished.area == pytest.approx(6 * 48**2)


def test_skipped_frames_at_the_end_belong_to_the_track_missed_ones_do_not():
    for is_missed, n_frames in ((False, 4), (True, 1)):
        track = start_track()
        for _ in range(2):
            track.add_skipped(draw(80, 1))
        (track.add_missed if is_missed else track.add_skipped)(draw(80, 1))
        assert track.finish().n_frames == n_frames


def test_all_crops_of_a_still_face_are_equal_also_at_the_ends():
    track = start_track()
    for index in range(2, 10, 2):
        track.add_skipped(draw(80, 1))
        frame = draw(80, 1)
        track.add_detection(index, frame, detection(frame, 80))
    crops = np.stack(track.finish().sink.crops)
    assert len(crops) == 9 and np.ptp(crops.astype(int), axis=0).max() <= 1

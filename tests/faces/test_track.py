"""One track as it grows, and the choice among tracks that share frames."""

import cv2
import numpy as np
import pytest

from src.core.config import DataConfig
from src.faces.alignment import TEMPLATE
from src.faces.track import FaceTrack, OpenTrack, TrackedDetection, appearance_of, choose_tracks
from tests.support.crossing_films import KeptCrops, to_video_frame

SETTINGS = DataConfig()


# ---------------------------------------------------------------------------- choosing


def track(first_frame: int, n_frames: int, area: float = 1.0) -> FaceTrack:
    return FaceTrack(KeptCrops(), first_frame, n_frames, area * n_frames)


def spans(tracks: list[FaceTrack]) -> list[tuple[int, int]]:
    return [(one.first_frame, one.stop) for one in tracks]


def shares_frames(one: FaceTrack, other: FaceTrack) -> bool:
    frames = [set(range(each.first_frame, each.stop)) for each in (one, other)]
    return bool(frames[0] & frames[1])


@pytest.mark.parametrize("how", ["largest", "longest"])
@pytest.mark.parametrize("seed", range(20))
def test_of_tracks_that_share_frames_the_better_one_is_chosen(seed, how):
    rng = np.random.default_rng(seed)
    tracks = [
        track(int(rng.integers(0, 80)), int(rng.integers(1, 40)), float(rng.uniform(1, 9)))
        for _ in range(rng.integers(0, 12))
    ]
    worth = {"largest": lambda one: one.area, "longest": lambda one: one.n_frames}[how]
    chosen = choose_tracks(tracks, how)
    assert [one.first_frame for one in chosen] == sorted(one.first_frame for one in chosen)
    assert all(any(one is other for other in tracks) for one in chosen)
    for place, one in enumerate(chosen):
        assert not any(shares_frames(one, other) for other in chosen[place + 1 :])
    for one in tracks:
        if not any(one is other for other in chosen):
            better = [other for other in chosen if shares_frames(one, other)]
            assert better and max(map(worth, better)) >= worth(one)


@pytest.mark.parametrize("how", ["largest", "longest"])
def test_short_tracks_do_not_change_which_long_ones_are_chosen(how):
    rng = np.random.default_rng(3)
    for _ in range(50):
        tracks = [
            track(int(rng.integers(0, 80)), int(rng.integers(1, 40)), float(rng.uniform(1, 9)))
            for _ in range(12)
        ]
        solid = [one for one in tracks if one.n_frames >= 15]
        chosen = choose_tracks(tracks, how, 15)
        assert [one for one in chosen if one.n_frames >= 15] == choose_tracks(solid, how)


def test_the_order_of_the_tracks_does_not_matter():
    rng = np.random.default_rng(1)
    tracks = [track(int(rng.integers(0, 80)), int(rng.integers(5, 40)), rng.uniform(1, 9))
              for _ in range(12)]  # fmt: skip
    for _ in range(20):
        shuffled = [tracks[place] for place in rng.permutation(12)]
        assert spans(choose_tracks(shuffled, "largest")) == spans(choose_tracks(tracks, "largest"))


def test_largest_is_area_times_duration():
    near, far = track(0, 30, 81.0), track(0, 60, 25.0)
    assert choose_tracks([far, near], "largest") == [near]
    assert choose_tracks([far, near], "longest") == [far]
    assert choose_tracks([], "largest") == []


def test_tracks_that_only_touch_are_both_chosen():
    assert spans(choose_tracks([track(20, 5), track(0, 20, 9)], "largest")) == [(0, 20), (20, 25)]


# ---------------------------------------------------------------------------- growing


def points_at(x: float, y: float = 60, side: float = 48) -> np.ndarray:
    return ((TEMPLATE - TEMPLATE.mean(0)) * side / 96 + (x, y)).astype(np.float32)


def shown(x: float, who: int, side: float = 48, gain: float = 1.0, offset: float = 0.0):
    """A picture of 120×200 px with a pattern at ``x``, as sharp as its size allows."""
    rough = np.random.default_rng(who).normal(0, 1, (10, 10)).astype(np.float32)
    face = 120 + 40 * cv2.resize(rough, (97, 97), interpolation=cv2.INTER_CUBIC)
    step = side / 96
    matrix = np.array([[step, 0, x - 48 * step], [0, step, 60 - 48 * step]])
    whole = cv2.warpAffine(face, matrix, (200, 120), borderMode=cv2.BORDER_CONSTANT,
                           borderValue=120)  # fmt: skip
    gray = np.clip(gain * whole + offset, 0, 255).astype(np.uint8)
    return to_video_frame(np.repeat(gray[..., None], 3, axis=2))


def sight(picture, x: float, side: float = 48) -> TrackedDetection:
    box = np.array([x - side / 2, 60 - side / 2, x + side / 2, 60 + side / 2], np.float32)
    points = points_at(x, side=side)
    return TrackedDetection(box, points, 0.99, appearance_of(picture, points))


def begun(x: float = 80, who: int = 1, **settings) -> OpenTrack:
    grown = OpenTrack(0, SETTINGS.model_copy(update=settings), KeptCrops())
    picture = shown(x, who)
    grown.add(0, picture, sight(picture, x))
    return grown


def test_a_look_is_of_the_face_not_of_the_light_or_the_place():
    look = appearance_of(shown(80, 1), points_at(80))
    assert look.mean() == pytest.approx(0, abs=1e-6) and look @ look == pytest.approx(1)
    darker = appearance_of(shown(110, 1, 40, gain=0.5, offset=60), points_at(110, side=40))
    assert look @ darker > 0.98
    assert abs(look @ appearance_of(shown(80, 2), points_at(80))) < 0.5
    assert not appearance_of(shown(80, 1, gain=0, offset=90), points_at(80)).any(), (
        "nothing to be seen"
    )


def test_somebody_in_front_is_not_remembered():
    """Hidden for eight pictures, a face is still known for what it is, and he who hid it is not."""
    grown = begun()
    for index in range(2, 12, 2):
        picture = shown(80, 1)
        grown.add(index, picture, sight(picture, 80))
    for _ in range(8):
        grown.lose(shown(80, 2))
    back, stranger = shown(80, 1), shown(80, 2)
    assert grown.lost == 8
    grown.add(19, back, sight(back, 80))
    assert grown.lost == 0
    assert grown.likeness(sight(back, 80)) > 0.98
    assert grown.likeness(sight(stranger, 80)) < 0.5


def test_likeness_is_known_from_the_first_sight_and_follows_slow_changes():
    grown = begun(who=1)
    same, other = shown(80, 1), shown(80, 2)
    assert grown.likeness(sight(same, 80)) == pytest.approx(1, abs=1e-4)
    assert grown.likeness(sight(other, 80)) < 0.5
    likeness = []
    for index in range(2, 20, 2):
        grown.add(index, other, sight(other, 80))
        likeness.append(grown.likeness(sight(other, 80)))
    assert likeness == sorted(likeness) and 0.2 < likeness[0] < 0.7 < 0.95 < likeness[-1]


def test_a_face_is_expected_further_on_its_way():
    grown = begun(x=60)
    for index in range(1, 12):
        picture = shown(60 + 3 * index, 1)
        grown.add(index, picture, sight(picture, 60 + 3 * index))
    for ahead in (1, 2, 10):
        middle = 60 + 3 * (11 + ahead)
        box = grown.expected(11 + ahead)
        assert np.allclose(box, [middle - 24, 36, middle + 24, 84], atol=0.1)
    there = shown(60, 1)
    step, growth = grown.distance(sight(there, 60 + 3 * 13 + 12), 13)
    assert step == pytest.approx(12 / 48, abs=0.01) and growth == pytest.approx(0, abs=1e-5)
    _, growth = grown.distance(sight(there, 99, 24), 13)
    assert growth == pytest.approx(np.log(2), abs=1e-4)


def test_a_face_that_became_too_small_is_out_of_the_question():
    grown = begun(min_face_size=50)
    there = shown(80, 1)
    assert grown.distance(sight(there, 80, 41), 1)[1] < 1
    assert grown.distance(sight(there, 80, 39), 1)[1] == np.inf


def test_crops_are_handed_on_two_frames_late_and_all_of_them_at_the_end():
    grown = begun()
    handed = [len(grown._track.sink.crops)]
    for index in range(1, 6):
        picture = shown(80, 1)
        grown.add(index, picture, sight(picture, 80))
        handed.append(len(grown._track.sink.crops))
    assert handed == [0, 0, 1, 2, 3, 4]
    ended = grown.finish()
    assert ended.n_frames == len(ended.sink.crops) == 6 and ended.sink.closed
    assert (ended.first_frame, ended.stop) == (0, 6)
    assert ended.area == pytest.approx(6 * 48**2)


def test_pictures_at_which_nobody_looked_belong_to_the_end_lost_ones_do_not():
    for lose, frames in ((False, 4), (True, 1)):
        grown = begun()
        for _ in range(2):
            grown.wait(shown(80, 1))
        (grown.lose if lose else grown.wait)(shown(80, 1))
        assert grown.finish().n_frames == frames


def test_all_crops_of_a_steady_face_are_alike_also_at_the_ends():
    grown = begun()
    for index in range(2, 10, 2):
        grown.wait(shown(80, 1))
        picture = shown(80, 1)
        grown.add(index, picture, sight(picture, 80))
    crops = np.stack(grown.finish().sink.crops)
    assert len(crops) == 9 and np.ptp(crops.astype(int), axis=0).max() <= 1

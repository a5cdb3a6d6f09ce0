"""Who is followed through a film, and where: on scripted faces, then on drawn ones.

A scripted face is a square with a colour and a pattern of its own. The detector of these tests
finds squares by their colour, in whatever picture it is shown, so close-ups, reduced pictures and
hidden faces are what they are; tracking tells the patterns apart, by their brightness.
"""

import gc
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from src.config import DataConfig
from src.face_detectors import Face
from src.faces import TEMPLATE, align
from src.tracking import CLOSE_UP, SEARCH_EVERY, FaceCount, Views, assign, follow_faces
from src.tracks import LOOK, OpenTrack, Sight
from tests.crossing_films import (
    KeptCrops,
    Meeting,
    Person,
    film,
    follow_all,
    judge,
    picture_of,
)
from tests.test_face_detectors import drawn_points
from tools.drawn_face import Look, Pose, draw_face
from tools.synthetic_talker import make_frames, make_speaker

SETTINGS = DataConfig()
HEIGHT, WIDTH = 240, 320
STRENGTH = 60  # of the colours
# Four colours that have no brightness, at right angles: BGR of length 1.
COLOURS = np.array([[1, -1, 0], [1, 1, -2], [-1, 1, 0], [-1, -1, 2]], float)
COLOURS /= np.linalg.norm(COLOURS, axis=1, keepdims=True)


# ---------------------------------------------------------------------------- scripted faces


@dataclass
class Actor:
    """A scripted face.

    Attributes:
        x: its middle, a number or a function of the frame; None: it is not there.
        y: likewise, if it is there.
        size: side of the square, likewise.
        who: 0…3, its colour and its pattern.
        away: how far right of its pattern its colour is, so is it found.
        glass: its colour does not hide that of another.
    """

    x: float | Callable[[int], float | None]
    y: float | Callable[[int], float] = 120
    size: float | Callable[[int], float] = 60
    who: int = 0
    away: float | Callable[[int], float] = 0
    glass: bool = False

    def at(self, name: str, frame: int) -> float | None:
        value = getattr(self, name)
        return value(frame) if callable(value) else value


@cache
def pattern(who: int) -> np.ndarray:
    """float32 [64, 64], brightness."""
    rough = np.random.default_rng([who, 8]).normal(0, 1, (9, 9)).astype(np.float32)
    return np.clip(125 + 35 * cv2.resize(rough, (64, 64), interpolation=cv2.INTER_CUBIC), 65, 190)


def picture(actors: Iterable[Actor], frame: int, grey: float, size: tuple[int, int]) -> np.ndarray:
    """uint8 BGR; who comes later in the list is nearer to the camera."""
    luma, colour = np.full(size, grey, np.float32), np.zeros((*size, 3), np.float32)
    for actor in actors:
        x = actor.at("x", frame)
        if x is None or not -9 < x < size[1] + 9:
            continue
        y, side = actor.at("y", frame), actor.at("size", frame)
        part, cover, across, down = covered(x, y, side, size)
        step = 64 / side
        places = np.meshgrid(across * step + 31.5, down * step + 31.5)
        shown = cv2.remap(pattern(actor.who), *np.float32(places), cv2.INTER_LINEAR,
                          borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
        luma[part] += cover * (shown - luma[part])
        part, cover, *_ = covered(x + actor.at("away", frame), y, side, size)
        hidden = 0 if actor.glass else colour[part]
        colour[part] += cover[..., None] * (STRENGTH * COLOURS[actor.who] - hidden)
    return np.clip(np.rint(luma[..., None] + colour), 0, 255).astype(np.uint8)


def covered(x: float, y: float, side: float, size: tuple[int, int]):
    """The part of a picture that a square lies on: slices, share of each pixel, and columns and
    rows from its middle."""
    spans = []
    for middle, length in ((y, size[0]), (x, size[1])):
        first = max(0, int(middle - side / 2 - 1))
        spans.append(np.arange(first, max(first, min(length, int(middle + side / 2 + 2)))))
    down, across = spans[0] - y, spans[1] - x
    shares = [np.clip((side + 1) / 2 - np.abs(away), 0, 1) for away in (down, across)]
    part = np.ix_(*spans)
    return part, np.outer(*shares), across, down


def pictures(actors, n: int, grey=lambda frame: 40, size=(HEIGHT, WIDTH)):
    return (picture_of(picture(actors, frame, grey(frame), size)) for frame in range(n))


def face_at(x: float, y: float, side: float) -> Face:
    box = np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2], np.float32)
    points = (TEMPLATE - 47.5) * side / 96 + (x, y)  # so the crop shows the square
    return Face(box, points.astype(np.float32), 0.99)


class ColourDetector:
    """Finds the scripted faces half of which can be seen; remembers the sizes it was shown."""

    def __init__(self):
        self.batches: list[tuple[int, ...]] = []

    def detect(self, pictures: np.ndarray) -> list[list[Face]]:
        self.batches.append(pictures.shape)
        return [self._faces(picture.astype(float)) for picture in pictures]

    def _faces(self, picture: np.ndarray) -> list[Face]:
        colour = picture - picture.mean(2, keepdims=True)
        faces = []
        for direction in COLOURS:
            share = np.clip(colour @ direction / STRENGTH, 0, 1)
            share[share < 0.05] = 0  # rounding
            across, down = share.max(0), share.max(1)
            width, height = across.sum(), down.sum()
            if min(width, height) > max(6, 0.55 * max(width, height)):
                x, y = across @ np.arange(len(across)) / width, down @ np.arange(len(down)) / height
                faces.append(face_at(x, y, max(width, height)))
        return faces

    @property
    def looks(self) -> int:
        """How often it was shown a whole picture."""
        return sum(shape[1:3] != (CLOSE_UP, CLOSE_UP) for shape in self.batches)


def follow(actors, n: int = 60, shortest: int = 5, **settings):
    """The chosen tracks, the count and the detector."""
    film = {name: settings.pop(name) for name in ("grey", "size") if name in settings}
    detector, count = ColourDetector(), FaceCount()
    settings = SETTINGS.model_copy(update=settings)
    shown = pictures(actors, n, **film)
    tracks = list(follow_faces(shown, detector, settings, shortest, KeptCrops, count))
    for track in tracks:
        assert len(track.sink.crops) == len(track.sink.boxes) == track.n_frames
        assert track.sink.closed and not track.sink.discarded
    return tracks, count, detector


def every_track(actors, n: int = 60, **settings):
    """Also those that were not chosen."""
    detector = settings.pop("detector", None) or ColourDetector()
    settings = SETTINGS.model_copy(update=settings)
    return follow_all(pictures(actors, n), detector, settings)


def spans(tracks) -> list[tuple[int, int]]:
    return [(track.first_frame, track.n_frames) for track in tracks]


def test_the_scripted_faces_are_where_they_should_be():
    """In the picture, in a part of it and enlarged: the ruler of these tests."""
    shown = picture([Actor(100.3, 80.6, 41, 2)], 0, 40, (HEIGHT, WIDTH))
    ((face,),) = ColourDetector().detect(shown[None])
    assert np.allclose(face.middle, (100.3, 80.6), atol=0.05)
    assert face.width == pytest.approx(41, abs=0.6)
    view, step, corner = Views(picture_of(shown)).close_up(face.box)
    ((near,),) = ColourDetector().detect(view[None])
    assert np.allclose(near.middle * step + corner, (100.3, 80.6), atol=0.05)


# ---------------------------------------------------------------------------- one face


def test_a_steady_face_is_one_track():
    (track,), count, _ = follow([Actor(100)])
    assert spans([track]) == [(0, 60)]
    assert (count.frames, count.looked, count.found) == (60, 30, 30)
    assert (count.faces, count.longest, count.standing, count.widest_small) == (1, 60, 0, 0)
    assert np.allclose(track.sink.boxes, [70, 90, 130, 150], atol=0.6)
    assert track.area == pytest.approx(60 * 60**2, rel=0.03)
    assert all(crop.shape == (96, 96) and crop.dtype == np.uint8 for crop in track.sink.crops)


def test_between_searches_only_close_ups_are_looked_at():
    _, _, detector = follow([Actor(100), Actor(240, who=1)], n=60)
    assert detector.looks == 60 // SEARCH_EVERY
    both = sum(shape == (2, CLOSE_UP, CLOSE_UP, 3) for shape in detector.batches)
    assert both == 30, "the first two after the first search, later where the faces are expected"


@pytest.mark.parametrize("every", [1, 2, 5])
def test_places_between_are_interpolated(every):
    (track,), count, _ = follow([Actor(lambda t: 60 + 2 * t)], n=51, detect_every=every)
    assert count.looked == 1 + 50 // every
    assert np.allclose(track.sink.middles[:, 0], 60 + 2 * np.arange(51), atol=0.1)
    assert np.allclose(track.sink.middles[:, 1], 120, atol=0.1)


def test_a_short_loss_is_bridged():
    (track,), count, _ = follow([Actor(lambda t: None if 20 <= t < 28 else 60 + 2 * t)], n=49)
    assert spans([track]) == [(0, 49)]
    assert np.allclose(track.sink.middles[:, 0], 60 + 2 * np.arange(49), atol=0.1)
    # While it is lost, it is looked for in each frame.
    assert count.looked - count.found == 8


@pytest.mark.parametrize(("lost", "expected"), [(10, [(0, 60)]), (11, [(0, 19), (34, 26)])])
def test_a_long_loss_ends_the_track(lost, expected):
    """Last seen in frame 18, looked for in vain from frame 20 on; then in every fourth."""
    found, count, _ = follow(
        [Actor(lambda t: None if 20 <= t < 20 + lost else 100)], max_lost_frames=10
    )
    assert spans(found) == expected
    assert count.faces == len(expected)


def test_without_patience_the_first_loss_ends_the_track():
    found, _, _ = follow([Actor(lambda t: None if t == 20 else 100)], max_lost_frames=0)
    assert spans(found) == [(0, 19), (24, 36)], "an empty picture is looked at half as often"


def test_a_loss_at_the_end_is_not_part_of_the_track():
    (track,), _, _ = follow([Actor(lambda t: 100 if t <= 40 else None)], n=48)
    assert spans([track]) == [(0, 41)]
    (track,), _, _ = follow([Actor(100)], n=50)
    assert spans([track]) == [(0, 50)], "the last picture, at which nobody looked, belongs to it"


@pytest.mark.parametrize("at", [1, 30, 31])
def test_a_cut_ends_the_track(at):
    """The same place, but another shot. A title of a single frame is a shot, too."""
    shots = [Actor(lambda t: 100 if t < at else None), Actor(lambda t: None if t < at else 100)]
    found, _, _ = follow(shots, grey=lambda t: 40 if t < at else 220, shortest=1)
    assert spans(found) == [(0, at), (at, 60 - at)]


def test_a_jump_within_a_shot_is_somebody_else():
    """Half a picture away, though alike: each is followed for itself, none is bridged."""
    found, _, _ = follow([Actor(lambda t: 60 if t < 20 else 200)], max_lost_frames=5)
    assert spans(found) == [(0, 19), (20, 40)]
    assert np.allclose(found[0].sink.middles[:, 0], 60, atol=0.1)
    assert np.allclose(found[1].sink.middles[:, 0], 200, atol=0.1)


def test_nobody():
    tracks, count, _ = follow([], n=30)
    assert tracks == [] and count.frames == 30
    assert (count.looked, count.found) == (8, 0), "every fourth picture"
    assert follow([], n=0)[0] == []


class FarSighted(ColourDetector):
    """Finds nothing in close-ups."""

    def detect(self, pictures: np.ndarray) -> list[list[Face]]:
        faces = super().detect(pictures)
        return faces if pictures.shape[1] != CLOSE_UP else [[] for _ in faces]


def test_a_face_that_is_found_in_the_whole_picture_only_is_followed_there():
    """The whole picture at half its size: a face is where it is to a tenth of a pixel."""
    (track,) = every_track([Actor(100.5, 80.5, 70)], 20, detector=FarSighted(), detection_size=160)
    assert spans([track]) == [(0, 20)]
    assert np.allclose(track.sink.middles, [100.5, 80.5], atol=0.15)


@pytest.mark.parametrize("size", [48, 96, 160])
def test_input_size_changes_the_crop(size):
    (track,), _, _ = follow([Actor(100)], n=10, input_size=size)
    assert {crop.shape for crop in track.sink.crops} == {(size, size)}


# ---------------------------------------------------------------------------- smoothing


def shift_of(crop: np.ndarray, reference: np.ndarray) -> float:
    """By how many pixels to the right, for the least squared difference of the inner parts."""

    def difference(shift: float) -> float:
        moved = cv2.warpAffine(reference, np.array([[1, 0, shift], [0, 1, 0]]), (96, 96))
        return float(((moved.astype(float) - crop)[16:80, 16:80] ** 2).mean())

    rough = min(np.arange(-8, 8.5, 0.5), key=difference)
    return minimize_scalar(difference, bounds=(rough - 0.5, rough + 0.5), method="bounded").x


def test_a_face_that_moves_is_cropped_without_lag():
    """At 3 px a frame, a lag of one frame were 4.8 px of the crop."""
    (steady,), _, _ = follow([Actor(100)], n=9)
    (track,), _, _ = follow([Actor(lambda t: 50 + 3 * t)], n=61)
    reference = steady.sink.crops[4]
    shifts = [shift_of(crop, reference) for crop in track.sink.crops[2:-2]]
    assert np.abs(np.mean(shifts)) < 0.1 and np.abs(shifts).max() < 0.4


def test_jitter_is_smoothed_symmetrically():
    """Places err by noise; crops by the mean of it over ±2 frames with the weights 1 2 3 2 1."""
    noise = np.random.default_rng(0).normal(0, 2.5, 60)
    (steady,), _, _ = follow([Actor(100)], n=9)
    (track,), _, _ = follow([Actor(100, away=lambda t: noise[t])], detect_every=1)
    reference = steady.sink.crops[4]
    shifts = np.array([shift_of(crop, reference) for crop in track.sink.crops])[2:-2]
    # The pattern lies to the left of where it is thought to be.
    expected = -96 / 60 * np.convolve(noise, np.array([1, 2, 3, 2, 1]) / 9, "valid")
    assert np.abs(shifts - expected).max() < 0.35
    assert shifts.std() < 0.7 * (noise * 96 / 60).std()


# ---------------------------------------------------------------------------- memory


@pytest.mark.slow
def test_few_pictures_are_held():
    alive = weakref.WeakSet()
    most = 0

    def shown():
        nonlocal most
        actors = [Actor(lambda t: None if 100 <= t % 200 < 108 else 30, 30, 20),
                  Actor(90, 30, 24, 1)]  # fmt: skip
        for frame in range(400):
            shot = picture_of(picture(actors, frame, 40, (64, 128)))
            alive.add(shot)
            gc.collect(0)
            most = max(most, len(alive))
            yield shot

    class Nothing(KeptCrops):
        def append(self, crop, box):
            pass

    settings = DataConfig(detection_size=160)
    tracks = list(follow_faces(shown(), ColourDetector(), settings, 5, Nothing, FaceCount()))
    assert spans(tracks) == [(0, 400)]
    assert most <= settings.max_lost_frames + settings.detect_every + 6


# ---------------------------------------------------------------------------- standing pictures


def repeated(actors, counts: Iterable[int]):
    """Each picture so many times, the same object."""
    for frame, count in enumerate(counts):
        shot = picture_of(picture(actors, frame, 40, (HEIGHT, WIDTH)))
        for _ in range(count):
            yield shot


def follow_repeated(counts, **settings):
    count = FaceCount()
    settings = SETTINGS.model_copy(update=settings)
    shown = repeated([Actor(lambda t: 100 + t / 4)], counts)
    tracks = list(follow_faces(shown, ColourDetector(), settings, 5, KeptCrops, count))
    return spans(tracks), count


def test_a_picture_that_stands_for_long_ends_the_track():
    """Pictures 0…19 are shown once, picture 20 stands for 31 frames, then it goes on."""
    found, count = follow_repeated([1] * 20 + [31] + [1] * 20, max_lost_frames=10)
    assert found == [(0, 31), (51, 20)]
    assert count.standing == 20 and count.frames == 71


def test_a_picture_that_stands_for_a_short_time_is_part_of_the_track():
    found, count = follow_repeated([1] * 20 + [11] + [1] * 20, max_lost_frames=10)
    assert found == [(0, 51)] and count.standing == 0


@pytest.mark.parametrize("times", [2, 3, 5])
def test_sources_of_few_pictures_a_second_do_not_stand(times):
    """12.5, 8.3 and 5 a second, whatever patience was asked for."""
    found, count = follow_repeated([times] * 20, max_lost_frames=0)
    assert found == [(0, 20 * times)] and count.standing == 0


def test_a_standing_picture_is_looked_at_once():
    _, count = follow_repeated([1] * 4 + [9] + [1] * 4)
    assert count.looked == len({0, 2, 4, 14, 16})


# ---------------------------------------------------------------------------- several faces


THREE = [Actor(60, 70, 70), Actor(160, 120, 50, 1), Actor(250, 170, 36, 2)]


def test_each_face_is_a_track_of_its_own():
    found = every_track(THREE)
    assert spans(found) == [(0, 60)] * 3
    middles = sorted(track.sink.middles.mean(0).tolist() for track in found)
    assert np.allclose(middles, [[60, 70], [160, 120], [250, 170]], atol=0.1)
    assert all(np.ptp(track.sink.middles, axis=0).max() < 0.2 for track in found)


def test_the_largest_face_is_chosen_and_the_sinks_of_others_are_discarded():
    made = []

    def new_sink():
        made.append(KeptCrops())
        return made[-1]

    shown, count = pictures(THREE, 40), FaceCount()
    (track,) = follow_faces(shown, ColourDetector(), SETTINGS, 5, new_sink, count)
    assert np.allclose(track.sink.middles.mean(0), [60, 70], atol=0.1)
    assert count.faces == 3
    assert all(sink.closed for sink in made)
    assert [sink for sink in made if not sink.discarded] == [track.sink]


def test_at_most_so_many_are_followed_the_largest_first():
    found = every_track(THREE, max_faces=2)
    assert sorted(round(track.sink.middles[0, 0]) for track in found) == [60, 160]


def test_a_larger_face_takes_the_place_of_the_smallest():
    """Somebody walks in front of two in the background: he is followed, not left out for ever."""
    actors = [Actor(60, 60, 40), Actor(150, 60, 36, 1), Actor(lambda t: 240 if t > 20 else None,
                                                              150, 100, 2)]  # fmt: skip
    found = every_track(actors, max_faces=2)
    by_place = {round(track.sink.middles[0, 0]): track for track in found}
    assert sorted(by_place) == [60, 150, 240]
    assert by_place[60].n_frames == 60
    assert by_place[240].stop == 60 and by_place[240].first_frame <= 21 + SEARCH_EVERY
    assert by_place[150].stop <= by_place[240].first_frame + 1


def test_faces_of_about_one_size_do_not_take_each_others_place():
    actors = [Actor(60, 60, lambda t: 51 + 6 * np.sin(t)), Actor(160, 60, 50, 1)]
    assert spans(every_track(actors, max_faces=1)) == [(0, 60)]


def test_a_newcomer_is_found_at_the_next_search():
    actors = [Actor(60), Actor(lambda t: 220 if t >= 20 else None, who=1)]
    first = {round(track.sink.middles[0, 0]): track.first_frame for track in every_track(actors)}
    assert first == {60: 0, 220: 2 * SEARCH_EVERY}


def test_faces_too_small_are_counted_not_followed():
    found, count, _ = follow([Actor(60, size=24)], min_face_size=40)
    assert found == [] and count.longest == 0
    assert count.widest_small == pytest.approx(24, abs=1)
    found, count, _ = follow([Actor(60, size=24), Actor(200, size=60, who=1)], min_face_size=40)
    assert spans(found) == [(0, 60)] and count.faces == 1


def test_a_followed_face_may_get_a_little_smaller():
    """To 0.8 of the least size: people move back and forth."""
    (track,), _, _ = follow([Actor(100, size=lambda t: 48 - t / 6)], min_face_size=44)
    assert spans([track]) == [(0, 60)], "from 48 to 38"
    (track,), _, _ = follow([Actor(100, size=lambda t: 48 - t / 3)], min_face_size=44)
    assert 35 <= track.n_frames <= 41, "from 48 to 35.2 in frame 38"


@pytest.mark.parametrize(("how", "place", "span"), [("largest", 80, (20, 30)),
                                                    ("longest", 200, (0, 60))])  # fmt: skip
def test_the_track_that_is_asked_for_is_chosen(how, place, span):
    """30 frames of a face of 90 px have more area than 60 of one of 50 px."""
    there = Actor(lambda t: 80 if 20 <= t < 50 else None, size=90, who=1)
    found, _, _ = follow([Actor(200, size=50), there], track=how, detect_every=1)
    assert round(found[0].sink.middles[0, 0]) == place
    start, n = spans(found)[0]
    assert abs(start - span[0]) <= SEARCH_EVERY and start + n == sum(span)


def test_short_tracks_do_not_count():
    there = Actor(lambda t: 80 if t < 10 else None, size=90, who=1)
    found, count, _ = follow([Actor(200, size=50), there], shortest=15)
    assert [round(track.sink.middles[0, 0]) for track in found] == [200]
    assert (count.faces, count.longest) == (1, 60)
    found, count, _ = follow([there], shortest=15)
    assert found == [] and (count.faces, count.longest) == (0, 9)


@pytest.mark.parametrize("seed", range(4))
def test_chosen_tracks_never_share_a_frame(seed):
    rng = np.random.default_rng(seed)
    there = rng.random((4, 6)) < 0.7  # by tens of frames
    sizes = rng.uniform(30, 60, 4)
    actors = [
        Actor(lambda t, who=who: 40 + 80 * who if there[who, t // 10] else None,
              size=sizes[who], who=who)
        for who in range(4)
    ]  # fmt: skip
    found, count, _ = follow(actors, track=("largest", "longest")[seed % 2], max_lost_frames=2)
    seen = np.zeros(60, int)
    for track in found:
        seen[track.first_frame : track.stop] += 1
    assert seen.max() <= 1 and count.faces >= len(found)
    assert [track.first_frame for track in found] == sorted(track.first_frame for track in found)


# ---------------------------------------------------------------------------- crossing


@pytest.mark.parametrize("speed", [2, 4, 8, 16])
@pytest.mark.parametrize("lifted", [0, 15])
def test_people_who_cross_keep_their_tracks(speed, lifted):
    """Faces of 60 px, at ``speed`` px a frame each; the nearer one hides the other.

    At 4 px and more he is hidden for less than 10 frames and stays himself; at 2 px he is
    somebody new afterwards.
    """
    half = 110 // speed
    n = 2 * half + 1
    behind = Actor(lambda t: 160 + speed * (t - half), 120 + lifted, 63)
    before = Actor(lambda t: 160 - speed * (t - half), 120, 60, 1)
    found = every_track([behind, before], n)
    for track in found:
        frames = np.arange(track.first_frame, track.stop)
        away = [np.abs(track.sink.middles[:, 0] - who.x(frames)) for who in (behind, before)]
        # He who is partly hidden is found where he can be seen.
        assert min(error.max() for error in away) < 20, "one of the two, from start to end"
    if speed >= 4:
        assert spans(found) == [(0, n)] * 2
    else:
        assert (0, n) in spans(found), "the one in front"


def test_a_neighbour_is_seen_in_his_own_close_up():
    """In that of the other he is cut off."""
    actors = [Actor(130, 120, 60), Actor(195, 120, 60, 1)]
    found = every_track(actors, 30)
    middles = sorted(track.sink.middles[:, 0].tolist() for track in found)
    assert np.allclose(middles, [[130] * 30, [195] * 30], atol=0.2)
    turned = every_track(actors[::-1], 30)
    assert np.allclose(sorted(t.sink.middles[:, 0].tolist() for t in turned), middles, atol=0.2)


def seen(x: float, look: int, y: float = 120) -> Sight:
    face = face_at(x, y, 60)
    rough = np.random.default_rng(look).normal(0, 1, LOOK**2).astype(np.float32)
    return Sight(face.box, face.points, face.score, rough / np.linalg.norm(rough))


def begun(x: float, look: int) -> OpenTrack:
    track = OpenTrack(0, SETTINGS, KeptCrops())
    track.add(0, picture_of(np.full((HEIGHT, WIDTH, 3), 90, np.uint8)), seen(x, look))
    return track


def test_a_face_alone_may_change_its_look():
    """A head that turns is no longer like itself. With somebody else near, or when the face was
    lost, that counts."""
    track, same = begun(100, 1), seen(100, 1)
    turned = replace(same, look=-same.look)
    assert assign([track], [turned], 2) == [turned]
    assert assign([track], [turned, seen(250, 2)], 2) == [turned], "too far away to matter"
    assert assign([track], [turned, seen(135, 2)], 2) == [None]
    assert assign([track], [same, seen(135, 2)], 2) == [same]
    assert assign([track, begun(135, 2)], [turned], 2) == [None, None]
    track.lose(picture_of(np.full((HEIGHT, WIDTH, 3), 90, np.uint8)))
    assert assign([track], [turned], 4) == [None]
    assert assign([track], [same], 4) == [same]


def test_no_two_wrong_continuations_for_the_sake_of_one_more():
    """Of two people one is hidden; somebody new stands beside the other, who is still there.

    To give the newcomer to the second track and its face to the first would continue both.
    """
    tracks = [begun(100, 1), begun(124, 2)]
    still_there, newcomer = seen(124, 2), seen(160, 3)
    assert assign(tracks, [newcomer, still_there], 2) == [None, still_there]
    assert assign(tracks, [], 2) == [None, None]
    assert assign([], [newcomer], 2) == []


# ---------------------------------------------------------------------------- drawn faces


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
    followed = map(picture_of, shown)
    (track,) = follow_faces(followed, retinaface, settings, 1, KeptCrops, FaceCount())
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
    views = Views(picture_of(shown))
    box = np.concatenate([middle - width / 2, middle + width / 2]).astype(np.float32)
    view, step, corner = views.close_up(box)
    ((face,),) = retinaface.detect(view[None])
    error = views.sight(face, step, corner).points[[0, 1, 3, 4]] - truth
    assert np.abs(error).max() < 0.08 * width
    assert np.abs(error.mean(0)).max() < 0.04 * width


def test_a_film_from_a_file_is_followed_by_the_real_detector(retinaface, talking_clip):
    """The head moves by some pixels; in the crops little moves but the mouth."""
    from src.media import read_pictures

    count = FaceCount()
    (track,) = follow_faces(read_pictures(talking_clip), retinaface, SETTINGS, 5, KeptCrops, count)
    assert (track.first_frame, track.n_frames, count.frames) == (0, 50, 50)
    assert (count.faces, count.looked, count.found) == (1, 25, 25)
    crops = np.stack(track.sink.crops)
    change = crops.astype(float).std(0)
    mouth, nose = change[44:66, 34:62].mean(), change[18:28, 42:54].mean()
    assert np.ptp(track.sink.middles, axis=0).max() > 5
    assert mouth > 4 * nose

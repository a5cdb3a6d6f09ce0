"""One face followed through a film: where, how smoothly, and until when."""

import gc
import weakref
from collections.abc import Iterable

import av
import numpy as np
import pytest
from scenedetect.common import FrameTimecode
from scenedetect.detectors import ContentDetector

from src.core.config import DataConfig
from src.faces.detection import FaceDetection
from src.faces.shot_boundary import CUT_PICTURE, CutDetector
from src.faces.tracker import CLOSE_UP, SEARCH_EVERY, TrackingStats, close_up, track_faces
from src.media.frame import VideoFrame
from tests.support.crossing_films import (
    KeptCrops,
    to_video_frame,
)
from tests.support.scripted_faces import (
    HEIGHT,
    SETTINGS,
    WIDTH,
    Actor,
    ColourDetector,
    every_track,
    follow,
    picture,
    shift_of,
    spans,
)


def test_the_scripted_faces_are_where_they_should_be():
    """In the picture, in a part of it and enlarged: the ruler of these tests."""
    shown = picture([Actor(100.3, 80.6, 41, 2)], 0, 40, (HEIGHT, WIDTH))
    ((face,),) = ColourDetector().detect(shown[None])
    assert np.allclose(face.middle, (100.3, 80.6), atol=0.05)
    assert face.width == pytest.approx(41, abs=0.6)
    view, step, corner = close_up(to_video_frame(shown), face.box)
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


@pytest.mark.parametrize("luma", [16, 20, 126, 235])
def test_the_hue_of_a_plain_background_is_no_cut(luma):
    """A grey wall turns from bluish to reddish by one step with every key picture of the coder."""
    cuts = CutDetector()
    found = []
    for tint in [0, 0, 1, 1, -1, -1, 0]:
        planes = np.full((240 * 3 // 2, 320), luma, np.uint8)
        planes[240:300], planes[300:] = 128 + tint, 128 - tint
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        found.append(cuts.is_cut(VideoFrame(frame, None)))
    assert found == [True] + 6 * [False]


def test_cuts_are_scenedetects():
    """Noise that changes by 20 to 34 of 255 from picture to picture, in squares of 8 px."""
    reference = ContentDetector(min_scene_len=0, luma_only=True)
    random, cuts, found = np.random.default_rng(0), CutDetector(), []
    noise = random.integers(0, 255, (30, 40, 3)).astype(float)
    for index in range(60):
        noise = np.abs(noise + random.choice([-1, 1], noise.shape) * random.uniform(20, 34)) % 255
        shown = np.kron(noise, np.ones((8, 8, 1))).astype(np.uint8)
        film = to_video_frame(shown)
        time = FrameTimecode(index, 25.0)
        expected = bool(reference.process_frame(time, film.halved_bgr(CUT_PICTURE)))
        found.append((cuts.is_cut(film), expected or index == 0))
    assert all(ours == expected for ours, expected in found)
    assert 10 < sum(expected for _, expected in found) < 50


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

    def detect(self, pictures: np.ndarray, close: bool = False) -> list[list[FaceDetection]]:
        faces = super().detect(pictures)
        return [[] for _ in faces] if close else faces


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
            shot = to_video_frame(picture(actors, frame, 40, (64, 128)))
            alive.add(shot)
            gc.collect(0)
            most = max(most, len(alive))
            yield shot

    class Nothing(KeptCrops):
        def append(self, crop, box):
            pass

    settings = DataConfig(detection_size=160)
    tracks = list(track_faces(shown(), ColourDetector(), settings, 5, Nothing, TrackingStats()))
    assert spans(tracks) == [(0, 400)]
    assert most <= settings.max_lost_frames + settings.detect_every + 6


# ---------------------------------------------------------------------------- standing pictures


def repeated(actors, counts: Iterable[int]):
    """Each picture so many times, the same object."""
    for frame, count in enumerate(counts):
        shot = to_video_frame(picture(actors, frame, 40, (HEIGHT, WIDTH)))
        for _ in range(count):
            yield shot


def follow_repeated(counts, **settings):
    count = TrackingStats()
    settings = SETTINGS.model_copy(update=settings)
    shown = repeated([Actor(lambda t: 100 + t / 4)], counts)
    tracks = list(track_faces(shown, ColourDetector(), settings, 5, KeptCrops, count))
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

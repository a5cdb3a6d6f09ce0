"""One face tracked through a video: where, how smoothly, and until when."""

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
from src.faces.search_schedule import SEARCH_INTERVAL
from src.faces.shot_boundary import CutDetector
from src.faces.tracker import ZOOM_SIZE, FaceTracker, zoomed_crop
from src.media.frame import BRIGHTNESS_SIZE, VideoFrame
from tests.support.crossing_people import RecordingSink, to_video_frame
from tests.support.scripted_faces import (
    HEIGHT,
    SETTINGS,
    WIDTH,
    Actor,
    ColourDetector,
    draw_frame,
    draw_video,
    shift_of,
    spans,
    track_actors,
    track_all_actors,
)


def test_the_detector_of_these_tests_is_accurate():
    """In a full frame and in a zoomed crop."""
    image = draw_frame([Actor(100.3, 80.6, 41, 2)], 0, 40, (HEIGHT, WIDTH))
    ((face,),) = ColourDetector().detect(image[None])
    assert np.allclose(face.centre, (100.3, 80.6), atol=0.05)
    assert face.width == pytest.approx(41, abs=0.6)
    crop, scale, corner = zoomed_crop(to_video_frame(image), face.box)
    ((zoomed,),) = ColourDetector().detect(crop[None])
    assert np.allclose(zoomed.centre * scale + corner, (100.3, 80.6), atol=0.05)


# ---------------------------------------------------------------------------- one face


def test_a_still_face_is_one_track():
    (track,), stats, _ = track_actors([Actor(100)])
    assert spans([track]) == [(0, 60)]
    # In every second frame up to 24, when the shot is calm, then in every fourth; and in 58, that
    # no more than one is taken on trust.
    assert (stats.n_frames, stats.n_searches, stats.n_successes) == (60, 22, 22)
    assert (stats.n_tracks, stats.longest_track, stats.n_frozen) == (1, 60, 0)
    assert stats.max_rejected_width == 0
    assert np.allclose(track.sink.boxes, [70, 90, 130, 150], atol=0.6)
    assert track.area == pytest.approx(60 * 60**2, rel=0.03)
    assert all(crop.shape == (96, 96) and crop.dtype == np.uint8 for crop in track.sink.crops)


def test_between_searches_only_zoomed_crops_are_given_to_the_detector():
    _, _, detector = track_actors([Actor(100), Actor(240, who=1)], n=60)
    assert detector.n_full_frames == 60 // SEARCH_INTERVAL
    n_pairs = sum(shape == (2, ZOOM_SIZE, ZOOM_SIZE, 3) for shape in detector.shapes)
    assert n_pairs == 30, "after the first search, and later around the predicted boxes"


@pytest.mark.parametrize(("every", "n_searches"), [(1, 51), (2, 13 + 6 + 1), (5, 7 + 2)])
def test_boxes_are_interpolated_between_detections(every, n_searches):
    """Half as often where the shot is calm, after three searches of the full frame."""
    (track,), stats, _ = track_actors([Actor(lambda t: 60 + 2 * t)], n=51, detect_every=every)
    assert stats.n_searches == n_searches
    assert np.allclose(track.sink.centres[:, 0], 60 + 2 * np.arange(51), atol=0.1)
    assert np.allclose(track.sink.centres[:, 1], 120, atol=0.1)


def detected_frames(actors, n: int) -> list[int]:
    """Numbers of the frames in which faces are searched for, each as often as it is."""
    tracker = FaceTracker(ColourDetector(), SETTINGS, RecordingSink)
    searched = []
    for number, frame in enumerate(draw_video(actors, n)):
        taken, crop = [], frame.crop_square
        frame.crop_square = lambda *args, crop=crop, taken=taken: taken.append(1) or crop(*args)
        searched.append((number, taken))
        tracker.add_frame(frame)
    tracker.finish()
    return [number for number, taken in searched for _ in taken]


def test_a_face_that_begins_to_move_is_detected_in_the_frames_skipped_before():
    """Steady up to frame 41; its detection in 44 shows that 42 cannot be interpolated."""
    position = lambda t: 100 + 25 * np.sin(max(0, t - 41) / 2.5)  # noqa: E731
    frames = detected_frames([Actor(position)], 60)
    assert frames[frames.index(24) :][:8] == [24, 28, 32, 36, 40, 42, 44, 44]
    assert frames[-7:] == [46, 48, 50, 52, 54, 56, 58], "as often as before"
    (track,), _, _ = track_actors([Actor(position)])
    (every_second,), _, _ = track_actors([Actor(position), Actor(290, 20, 24, 1)], max_faces=2)
    assert np.allclose(track.sink.centres[40:], every_second.sink.centres[40:], atol=0.1)


def test_a_jittering_face_is_not_steady():
    noise = np.random.default_rng(0).normal(0, 3, 60)
    frames = detected_frames([Actor(100, error=lambda t: noise[t])], 60)
    assert len(frames) > 27


def test_two_people_are_detected_as_often_as_ever():
    actors = [Actor(80), Actor(220, who=1)]
    assert set(detected_frames(actors, 60)) == set(range(0, 60, 2))


def test_a_face_that_comes_near_is_tracked_from_the_frame_before_on():
    """Into the zoomed crop of a steady one, in frame 41; frame 44 shows it, so 42 is searched."""
    actors = [Actor(100, size=50), Actor(lambda t: 135 if t >= 41 else None, 120, 30, 1)]
    assert sorted(spans(track_all_actors(actors))) == [(0, 60), (42, 18)]


def test_a_short_loss_is_interpolated():
    (track,), stats, _ = track_actors([Actor(lambda t: None if 20 <= t < 28 else 60 + 2 * t)], n=49)
    assert spans([track]) == [(0, 49)]
    assert np.allclose(track.sink.centres[:, 0], 60 + 2 * np.arange(49), atol=0.1)
    # While it is lost, it is searched for in each frame.
    assert stats.n_searches - stats.n_successes == 8


@pytest.mark.parametrize(("lost", "expected"), [(10, [(0, 60)]), (11, [(0, 19), (34, 26)])])
def test_a_long_loss_ends_the_track(lost, expected):
    """Last detected in frame 18, searched for in vain from frame 20 on; then in every fourth."""
    tracks, stats, _ = track_actors(
        [Actor(lambda t: None if 20 <= t < 20 + lost else 100)], max_lost_frames=10
    )
    assert spans(tracks) == expected
    assert stats.n_tracks == len(expected)


def test_without_tolerance_the_first_loss_ends_the_track():
    tracks, _, _ = track_actors([Actor(lambda t: None if t == 20 else 100)], max_lost_frames=0)
    assert spans(tracks) == [(0, 19), (24, 36)], "an empty frame is searched half as often"


def test_a_loss_at_the_end_is_not_part_of_the_track():
    (track,), _, _ = track_actors([Actor(lambda t: 100 if t <= 40 else None)], n=48)
    assert spans([track]) == [(0, 41)]
    (track,), _, _ = track_actors([Actor(100)], n=50)
    assert spans([track]) == [(0, 50)], "the last frame, which was skipped, belongs to it"


@pytest.mark.parametrize("cut", [1, 30, 31])
def test_a_cut_ends_the_track(cut):
    """The same position, but another shot. A title of a single frame is a shot, too."""
    shots = [Actor(lambda t: 100 if t < cut else None), Actor(lambda t: None if t < cut else 100)]
    tracks, _, _ = track_actors(shots, grey=lambda t: 40 if t < cut else 220, min_frames=1)
    assert spans(tracks) == [(0, cut), (cut, 60 - cut)]


@pytest.mark.parametrize("luma", [16, 20, 126, 235])
def test_the_hue_of_a_plain_background_is_no_cut(luma):
    """A grey wall turns from bluish to reddish by one level with every key frame of the encoder."""
    cuts = CutDetector()
    detected = []
    for tint in [0, 0, 1, 1, -1, -1, 0]:
        planes = np.full((240 * 3 // 2, 320), luma, np.uint8)
        planes[240:300], planes[300:] = 128 + tint, 128 - tint
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        detected.append(cuts.is_cut(VideoFrame(frame, None)))
    assert detected == [True] + 6 * [False]


def test_cuts_are_those_of_pyscenedetect():
    """Noise that changes by 20 to 34 of 255 from frame to frame, in squares of 8 px."""
    reference = ContentDetector(min_scene_len=0, luma_only=True)
    rng, cuts, results = np.random.default_rng(0), CutDetector(), []
    noise = rng.integers(0, 255, (30, 40, 3)).astype(float)
    for index in range(60):
        noise = np.abs(noise + rng.choice([-1, 1], noise.shape) * rng.uniform(20, 34)) % 255
        frame = to_video_frame(np.kron(noise, np.ones((8, 8, 1))).astype(np.uint8))
        time = FrameTimecode(index, 25.0)
        expected = bool(reference.process_frame(time, frame.halved_bgr(BRIGHTNESS_SIZE)))
        results.append((cuts.is_cut(frame), expected or index == 0))
    assert all(is_cut == expected for is_cut, expected in results)
    assert 10 < sum(expected for _, expected in results) < 50


def test_a_jump_within_a_shot_starts_another_track():
    """Half a frame away, though similar: two tracks, and no interpolation between them."""
    tracks, _, _ = track_actors([Actor(lambda t: 60 if t < 20 else 200)], max_lost_frames=5)
    assert spans(tracks) == [(0, 19), (20, 40)]
    assert np.allclose(tracks[0].sink.centres[:, 0], 60, atol=0.1)
    assert np.allclose(tracks[1].sink.centres[:, 0], 200, atol=0.1)


def test_a_video_without_faces_gives_no_tracks():
    tracks, stats, _ = track_actors([], n=30)
    assert tracks == [] and stats.n_frames == 30
    assert (stats.n_searches, stats.n_successes) == (8, 0), "every fourth frame"
    assert track_actors([], n=0)[0] == []


class FullFrameDetector(ColourDetector):
    """Detects nothing in zoomed crops."""

    def detect(self, images: np.ndarray, zoomed: bool = False) -> list[list[FaceDetection]]:
        faces_by_image = super().detect(images)
        return [[] for _ in images] if zoomed else faces_by_image


def test_a_face_detected_in_the_full_frame_only_is_tracked_there():
    """The full frame at half its size: positions are accurate to a tenth of a pixel."""
    (track,) = track_all_actors(
        [Actor(100.5, 80.5, 70)], 20, detector=FullFrameDetector(), detection_size=160
    )
    assert spans([track]) == [(0, 20)]
    assert np.allclose(track.sink.centres, [100.5, 80.5], atol=0.15)


@pytest.mark.parametrize("size", [48, 96, 160])
def test_input_size_is_the_size_of_the_crop(size):
    (track,), _, _ = track_actors([Actor(100)], n=10, input_size=size)
    assert {crop.shape for crop in track.sink.crops} == {(size, size)}


# ---------------------------------------------------------------------------- smoothing


def test_a_moving_face_is_cropped_without_lag():
    """At 3 px a frame, a lag of one frame would be 4.8 px of the crop."""
    (still,), _, _ = track_actors([Actor(100)], n=9)
    (track,), _, _ = track_actors([Actor(lambda t: 50 + 3 * t)], n=61)
    reference = still.sink.crops[4]
    shifts = [shift_of(crop, reference) for crop in track.sink.crops[2:-2]]
    assert np.abs(np.mean(shifts)) < 0.1 and np.abs(shifts).max() < 0.4


def test_jitter_is_smoothed_symmetrically():
    """Detections err by noise; crops by its mean over ±2 frames with the weights 1 2 3 2 1."""
    noise = np.random.default_rng(0).normal(0, 2.5, 60)
    (still,), _, _ = track_actors([Actor(100)], n=9)
    (track,), _, _ = track_actors([Actor(100, error=lambda t: noise[t])], detect_every=1)
    reference = still.sink.crops[4]
    shifts = np.array([shift_of(crop, reference) for crop in track.sink.crops])[2:-2]
    # The pattern lies to the left of where it is detected.
    expected = -96 / 60 * np.convolve(noise, np.array([1, 2, 3, 2, 1]) / 9, "valid")
    assert np.abs(shifts - expected).max() < 0.35
    assert shifts.std() < 0.7 * (noise * 96 / 60).std()


# ---------------------------------------------------------------------------- memory


@pytest.mark.slow
def test_few_frames_are_held():
    alive = weakref.WeakSet()
    max_alive = 0

    def frames():
        nonlocal max_alive
        actors = [Actor(lambda t: None if 100 <= t % 200 < 108 else 30, 30, 20),
                  Actor(90, 30, 24, 1)]  # fmt: skip
        for index in range(400):
            frame = to_video_frame(draw_frame(actors, index, 40, (64, 128)))
            alive.add(frame)
            gc.collect(0)
            max_alive = max(max_alive, len(alive))
            yield frame

    class NullSink(RecordingSink):
        def append(self, crop, box):
            pass

    settings = DataConfig(detection_size=160)
    tracks = list(FaceTracker(ColourDetector(), settings, NullSink).track(frames()))
    assert spans(tracks) == [(0, 400)]
    assert max_alive <= settings.max_lost_frames + settings.detect_every + 6


# ---------------------------------------------------------------------------- frozen frames


def repeat_frames(actors, counts: Iterable[int]):
    """Each frame so many times, the same object."""
    for index, count in enumerate(counts):
        frame = to_video_frame(draw_frame(actors, index, 40, (HEIGHT, WIDTH)))
        for _ in range(count):
            yield frame


def track_repeated(counts, **settings):
    """Spans of the tracks and the statistics."""
    settings = SETTINGS.model_copy(update=settings)
    tracker = FaceTracker(ColourDetector(), settings, RecordingSink)
    tracks = list(tracker.track(repeat_frames([Actor(lambda t: 100 + t / 4)], counts)))
    return spans(tracks), tracker.stats


def test_a_long_freeze_ends_the_track():
    """Images 0…19 are shown once, image 20 in 31 frames, then the video continues."""
    track_spans, stats = track_repeated([1] * 20 + [31] + [1] * 20, max_lost_frames=10)
    assert track_spans == [(0, 31), (51, 20)]
    assert stats.n_frozen == 20 and stats.n_frames == 71


def test_a_short_freeze_is_part_of_the_track():
    track_spans, stats = track_repeated([1] * 20 + [11] + [1] * 20, max_lost_frames=10)
    assert track_spans == [(0, 51)] and stats.n_frozen == 0


@pytest.mark.parametrize("times", [2, 3, 5])
def test_sources_of_low_frame_rate_are_not_frozen(times):
    """12.5, 8.3 and 5 fps, whatever max_lost_frames is."""
    track_spans, stats = track_repeated([times] * 20, max_lost_frames=0)
    assert track_spans == [(0, 20 * times)] and stats.n_frozen == 0


def test_detection_runs_once_on_a_frozen_image():
    _, stats = track_repeated([1] * 4 + [9] + [1] * 4)
    assert stats.n_searches == len({0, 2, 4, 14, 16})

"""Frames searched before the tracker asks: the same faces, and fewer searches by the tracker."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from src.faces.detection import FaceDetection
from src.faces.search_ahead import KEPT, SearchAhead
from src.faces.search_schedule import SEARCH_INTERVAL
from src.faces.tracker import FaceTracker, scaled_frame
from src.media.frame import to_video_frame
from tests.support.crossing_people import RecordingSink
from tests.support.scripted_faces import SETTINGS, Actor, ColourDetector, draw_video

ROOT = Path(__file__).resolve().parents[2]
SIZE = 64
SMALL = SETTINGS.model_copy(update={"detection_size": SIZE})


class CountingDetector:
    """Names the images it is given by their brightness; detects so many faces in each."""

    def __init__(self, n_faces: int = 1):
        self.seen, self.n_faces = [], n_faces

    def detect(self, images, zoomed=False):
        self.seen += [(round(float(image.mean())), zoomed) for image in images]
        return [[self.face_in(image)] * self.n_faces for image in images]

    @staticmethod
    def face_in(image) -> FaceDetection:
        return FaceDetection(np.full(4, round(float(image.mean())), np.float32), None, 1.0)


def frame_of(level: int):
    return to_video_frame(np.full((96, 128, 3), level, np.uint8))


def test_frames_that_will_be_searched_are_searched_once():
    detector = CountingDetector()
    ahead = SearchAhead(detector, SMALL)
    frames = [frame_of(100 + number // 4) for number in range(30)]
    for frame in frames:
        ahead.prepare(frame)
    assert len(detector.seen) == 3, "0, 12 and 24"
    before = list(detector.seen)
    for number in (0, 12, 24):
        image, _ = scaled_frame(frames[number], SIZE)
        (faces,) = ahead.detect(image[None])
        assert [face.box[0] for face in faces] == [round(float(image.mean()))]
    assert detector.seen == before, "the tracker's searches cost nothing"
    image, _ = scaled_frame(frames[5], SIZE)
    assert ahead.detect(image[None])[0][0].box[0] == round(float(image.mean()))
    assert len(detector.seen) == 4, "any other frame is searched when it is asked for"
    ahead.detect(image[None], zoomed=True)
    assert detector.seen[-1][1]


def test_after_a_search_that_was_not_foreseen_a_shot_is_searched_as_the_tracker_asks():
    detector = CountingDetector()
    ahead = SearchAhead(detector, SMALL)
    frames = [frame_of(100) for _ in range(40)] + [frame_of(200) for _ in range(20)]
    for frame in frames[:20]:
        ahead.prepare(frame)
    ahead.detect(scaled_frame(frames[15], SIZE)[0][None])
    assert len(detector.seen) == 3, "0, 12, and what was asked for"
    for frame in frames[20:40]:
        ahead.prepare(frame)
    assert len(detector.seen) == 3
    for frame in frames[40:]:
        ahead.prepare(frame)
    assert len(detector.seen) == 5, "a new shot"
    ahead.restart()
    ahead.prepare(frames[0])
    assert len(detector.seen) == 6, "a new video"


@pytest.mark.parametrize(("every", "second"), [(1, 12), (5, 15), (7, 14)])
def test_searches_are_in_frames_of_detection(every, second):
    detector = CountingDetector()
    ahead = SearchAhead(detector, SMALL.model_copy(update={"detect_every": every}))
    for number in range(20):
        ahead.prepare(frame_of(100))
        assert len(detector.seen) == 1 + (number >= second)


def test_a_cut_begins_the_grid_anew_and_repeated_frames_are_not_searched():
    detector = CountingDetector()
    ahead = SearchAhead(detector, SMALL)
    dark, bright = frame_of(40), frame_of(200)
    for frame in [dark] * (2 * SEARCH_INTERVAL) + [bright] * 3:
        ahead.prepare(frame)
    assert [level for level, _ in detector.seen] == [40, 200]


def test_the_searches_of_a_tracker_are_foreseen():
    """Of two shots with a face each that is never lost."""
    actors = [Actor(lambda t: 100 + t)]
    frames = list(draw_video(actors, 170, lambda t: 30 if t < 30 else 160 if t < 100 else 182))
    detector = ColourDetector()
    ahead = SearchAhead(detector, SETTINGS)
    tracker, tracks = FaceTracker(ahead, SETTINGS, RecordingSink), []
    for number in range(-SEARCH_INTERVAL, len(frames)):
        if number + SEARCH_INTERVAL < len(frames):
            ahead.prepare(frames[number + SEARCH_INTERVAL])
        if number >= 0:
            tracks += tracker.add_frame(frames[number])
    tracks += tracker.finish()
    assert [(track.first_frame, track.n_frames) for track in tracks] == [(0, 30), (30, 140)]
    # Frames 0, 12 and 24 of each shot, once each; then nothing changes around the face until frame
    # 70 of the second, which is seen at frame 72.
    assert detector.n_full_frames == 3 + 4


def test_results_that_nobody_takes_are_dropped():
    detector = CountingDetector(n_faces=2)
    ahead = SearchAhead(detector, SMALL)
    frames = [frame_of(100) for _ in range(SEARCH_INTERVAL * (KEPT + 2))]
    for frame in frames:
        ahead.prepare(frame)
    n_searched = len(detector.seen)
    assert n_searched == KEPT + 2
    for number in range(0, len(frames), SEARCH_INTERVAL):
        ahead.detect(scaled_frame(frames[number], SIZE)[0][None])
    assert len(detector.seen) == n_searched + 2


def test_two_threads_may_convert_frames_of_one_file(tmp_path):
    """As a search ahead and the tracker's own do; swscale's contexts serve one thread at a time,
    and a program that let two use one crashed or hung."""
    image = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "image.png"), image)
    code = (
        "import sys, cv2, numpy as np\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from src.media.frame import Scaler, to_video_frame\n"
        "frame = to_video_frame(cv2.imread(sys.argv[1]))._frame\n"
        "scaler = Scaler()\n"
        "expected = scaler.convert(frame, 320, 240, 'bgr24')\n"
        "def convert(number):\n"
        "    own = to_video_frame(cv2.imread(sys.argv[1]))._frame\n"
        "    return all((scaler.convert(own, 320, 240, 'bgr24') == expected).all()\n"
        "               for _ in range(150))\n"
        "with ThreadPoolExecutor(4) as executor:\n"
        "    print(all(executor.map(convert, range(4))))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "image.png")], cwd=ROOT, text=True,
        capture_output=True, timeout=300,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, "True"), done.stderr

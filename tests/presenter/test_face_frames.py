"""The face in every frame of a video, at the frame rate of the file."""

import numpy as np
import pytest

from src.core.config import DataConfig
from src.core.errors import PresenterError
from src.faces.mesh import LOWER_LIP, UPPER_LIP
from src.media.writer import write_clip
from src.presenter.base import locate_base
from src.presenter.face_frames import FaceFrames, FaceTrackBoxes, locate_face
from src.presenter.learn import index_clip
from src.presenter.sync_tools import SyncTools
from tests.support.media_files import ffmpeg
from tools.drawn_face import IMAGE_UNIT, MOUTH_Y, Look, Pose, draw_face

SIZE, FPS, N_FRAMES = 320, 50, 36


def shift_at(number: int) -> float:
    """Pixels to the right in a frame."""
    return 1.5 * number - 20


def box_at(shift: float) -> list[float]:
    half_width, half_height = 0.75 * IMAGE_UNIT * SIZE, 0.95 * IMAGE_UNIT * SIZE
    x, y = SIZE / 2 + shift, 0.455 * SIZE
    return [x - half_width, y - half_height, x + half_width, y + half_height]


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """A drawn face that moves to the right; without a face in the last ten frames."""
    path = tmp_path_factory.mktemp("video") / "face.mp4"
    mouth = np.array([0.3, 0.5, 0, 0.3, 0])
    images = [draw_face(Look(), mouth, Pose(x=shift_at(number))) for number in range(N_FRAMES)]
    blank = np.full((SIZE, SIZE, 3), 150, np.uint8)
    write_clip(path, [*images, *[blank] * 10], FPS, None)
    return path


def track(first: int, stop: int) -> FaceTrackBoxes:
    """The boxes on the grid of 25 fps, from frame ``first`` of it."""
    boxes = [box_at(shift_at(2 * number)) for number in range(first, stop)]
    return FaceTrackBoxes(first, np.array(boxes, np.float32))


def test_boxes_between_the_frames_of_the_grid():
    boxes = FaceTrackBoxes(10, np.array([[0, 0, 10, 10], [4, 2, 14, 12], [8, 4, 18, 14]], "f4"))
    assert boxes.box_at(0.40).tolist() == [0, 0, 10, 10]
    assert boxes.box_at(0.46).tolist() == pytest.approx([6, 3, 16, 13])
    assert boxes.box_at(0.39).tolist() == [0, 0, 10, 10], "half a frame before the first"
    assert boxes.box_at(0.495).tolist() == [8, 4, 18, 14]
    assert boxes.box_at(0.37) is None and boxes.box_at(0.51) is None


def still(n_frames: int) -> np.ndarray:
    """The same landmarks in each frame: float32 [n, 468, 2]."""
    points = np.random.default_rng(0).normal(200, 60, (468, 2)).astype(np.float32)
    return np.repeat(points[None], n_frames, 0)


def test_runs_end_where_the_face_jumps():
    """As next to a cut that is not a border of the tracks: by its place, or by its size."""
    landmarks = still(12)
    landmarks += np.arange(12)[:, None, None] * 8  # moves by a tenth of its size: no jump
    landmarks[4:] += 90
    landmarks[9:] = 200 + 1.3 * (landmarks[9:] - 200)
    frames = FaceFrames(np.arange(12) / 25, np.zeros(12, int), landmarks, np.zeros((12, 3)))
    assert list(frames.runs()) == [(0, 4), (4, 9), (9, 12)]


def test_runs_end_where_the_track_changes_or_is_lost():
    numbers = np.array([-1, 0, 0, -1, -1, 0, 1, 1, 1, -1], np.int32)
    frames = FaceFrames(np.arange(10) / 25, numbers, still(10), np.zeros((10, 3)))
    assert list(frames.runs()) == [(1, 3), (5, 6), (6, 9)]
    for value in (-1, 2):
        whole = FaceFrames(np.arange(4) / 25, np.full(4, value), still(4), np.zeros((4, 3)))
        assert list(whole.runs()) == ([(0, 4)] if value >= 0 else [])


def test_the_face_is_found_in_each_frame_of_the_file(video):
    found = locate_face(video, [track(0, 23)])
    assert np.allclose(found.times, np.arange(46) / FPS, atol=1e-3)
    assert (found.track[:N_FRAMES] == 0).all()
    assert (found.track[N_FRAMES:] == -1).all(), "in the box, but not a face"
    assert np.isnan(found.landmarks[N_FRAMES:]).all()
    lips = found.landmarks[:N_FRAMES, [*UPPER_LIP, *LOWER_LIP]].mean(1)
    drawn = SIZE / 2 + np.array([shift_at(number) for number in range(N_FRAMES)])
    assert np.abs(lips[:, 0] - drawn).max() < 4
    assert np.diff(lips[:, 0]).mean() == pytest.approx(1.5, abs=0.1)
    assert lips[:, 1].mean() == pytest.approx(0.455 * SIZE + MOUTH_Y * IMAGE_UNIT * SIZE, abs=8)


def test_outside_of_the_tracks_there_is_no_face(video):
    found = locate_face(video, [track(2, 6), track(9, 14)])
    assert [(run, int(found.track[run[0]])) for run in found.runs()] == [
        ((3, 11), 0),
        ((17, 27), 1),
    ]
    assert np.isnan(found.landmarks[12]).all() and np.isfinite(found.landmarks[20]).all()


class Once:
    """Items that can be passed through once, as bars of progress do."""

    def __init__(self, items):
        self.items = items

    def __iter__(self):
        items, self.items = self.items, None
        assert items is not None, "it is asked for a second time"
        return iter(items)


def test_the_frames_are_passed_through_the_progress_once(video):
    calls = []

    def progress(items, stage, total):
        calls.append(total)
        return Once(items)

    found = locate_face(video, [track(0, 23)], progress, 46)
    assert calls == [46] and len(found.times) == 46
    assert np.array_equal(found.track, locate_face(video, [track(0, 23)]).track)


def test_the_look_is_the_colour_of_the_lips(video):
    """The drawn lips are red: more Cr, less Cb than the skin's; without a face it is not known."""
    found = locate_face(video, [track(0, 23)])
    assert np.isnan(found.look[N_FRAMES:]).all()
    look = found.look[:N_FRAMES]
    assert (look.std(0) < 2).all(), "the same lips"
    assert (look[:, 0] > 135).all() and (look[:, 1] < 125).all()
    assert ((look[:, 2] > 60) & (look[:, 2] < 220)).all()


@pytest.mark.parametrize("stop", [10, 11, 12])
def test_at_a_cut_each_frame_has_the_face_of_its_shot(tmp_path, stop):
    """The tracks meet somewhere near the cut; no frame gets the place of the other face."""
    path, cut, n_frames = tmp_path / "cut.mp4", 22, 44
    mouth = np.array([0.3, 0.5, 0, 0.3, 0])
    left, right = (draw_face(Look(), mouth, Pose(x=x)) for x in (-55, 55))
    write_clip(path, [left] * cut + [255 - right // 2] * (n_frames - cut), FPS, None)
    boxes = [np.array([box_at(x)], np.float32) for x in (-55, 55)]
    tracks = [
        FaceTrackBoxes(0, np.repeat(boxes[0], stop, 0)),
        FaceTrackBoxes(stop, np.repeat(boxes[1], 22 - stop, 0)),
    ]
    found = locate_face(path, tracks)
    assert found.track[:cut].tolist() == [0] * cut
    assert set(found.track[cut:]) <= {1, -1}
    lips = found.landmarks[:cut, [*UPPER_LIP, *LOWER_LIP]].mean(1)
    assert np.abs(lips[:, 0] - (SIZE / 2 - 55)).max() < 6


@pytest.mark.parametrize("entry", ["footage", "base"])
def test_a_video_on_its_side_is_refused(talking_clip, retinaface, tmp_path, entry):
    """Before anything is computed of it."""
    path, folder = tmp_path / "side.mp4", tmp_path / "presenter"
    ffmpeg("-i", talking_clip, "-vf", "transpose=1", "-c:a", "copy", path)
    folder.mkdir()
    tools = SyncTools(None, {}, DataConfig(), retinaface, 60, 0.5, "model.pth", "0" * 64)
    with pytest.raises(PresenterError) as error:
        if entry == "footage":
            index_clip(path, "0" * 64, folder, tools, "speaking")
        else:
            locate_base(path, talking_clip, tools)
    assert str(error.value) == (
        f"{path} lies on its side or is upside down: turn it upright in a video editor first"
    )

"""Videos that lie on their side or are upside down, with nothing in the file that says so."""

from pathlib import Path

import numpy as np
import pytest

from src.core.config import DataConfig
from src.core.notes import note_text
from src.preprocessing.clip_features import ClipFeatures
from src.preprocessing.extract import ExtractOptions, extract_clip
from tests.support.media_files import ffmpeg

# How the frames were turned; by how much they have to be turned clockwise, and the note.
TURNED = [
    ("transpose=1", 270,
     "the video lies on its side, without rotation metadata: it was processed turned by 90° "
     "counterclockwise (a corrected copy keeps its frames as they are)"),
    ("transpose=2", 90,
     "the video lies on its side, without rotation metadata: it was processed turned by 90° "
     "clockwise (a corrected copy keeps its frames as they are)"),
    ("hflip,vflip", 180,
     "the video is upside down, without rotation metadata: it was processed turned by 180° (a "
     "corrected copy keeps its frames as they are)"),
]  # fmt: skip


class CountingDetector:
    """Counts the images given to a detector."""

    def __init__(self, detector):
        self._detector, self.n_images = detector, 0

    def detect(self, images, zoomed=False):
        self.n_images += len(images)
        return self._detector.detect(images, zoomed)


def extract(path: Path, detector, folder: Path, **options) -> ClipFeatures:
    folder.mkdir()
    settings = ExtractOptions(all_faces=True, **options)
    return extract_clip(path, None, DataConfig(), detector, folder, settings)


@pytest.fixture(scope="module")
def upright(talking_clip, retinaface, tmp_path_factory) -> ClipFeatures:
    return extract(talking_clip, retinaface, tmp_path_factory.mktemp("upright") / "features")


def turned_back(boxes: np.ndarray, degrees: int, side: int) -> np.ndarray:
    """Boxes in a square frame that is turned clockwise by so much, in the upright one."""
    x0, y0, x1, y1 = boxes.T
    right = bottom = side - 1
    return np.stack({
        90: (right - y1, x0, right - y0, x1),
        180: (right - x1, bottom - y1, right - x0, bottom - y0),
        270: (y0, bottom - x1, y1, bottom - x0),
    }[degrees], 1)  # fmt: skip


@pytest.mark.parametrize(("filters", "degrees", "text"), TURNED)
def test_a_turned_video_gives_what_the_upright_one_gives(
    talking_clip, retinaface, upright, tmp_path, filters, degrees, text
):
    path = tmp_path / "turned.mp4"
    ffmpeg("-i", talking_clip, "-vf", filters, "-crf", 12, "-c:a", "copy", path)
    clip = extract(path, retinaface, tmp_path / "features")
    (note,) = clip.notes
    assert (note.code, note.degrees, note_text(note)) == ("turned_video", degrees, text)
    assert clip.is_turned and not upright.is_turned
    (track,), (expected,) = clip.tracks, upright.tracks
    assert (track.first_frame, track.n_frames) == (expected.first_frame, expected.n_frames)
    difference = np.abs(track.crops.astype(float) - expected.crops)
    assert difference.mean() < 3, "the face is upright in the crops"
    assert np.array_equal(track.speech, expected.speech)
    assert clip.info.width == clip.info.height
    boxes = turned_back(track.boxes, degrees, clip.info.width)
    assert np.abs(boxes - expected.boxes).max() < 4, "boxes are of the frames as they are"
    assert sorted(path.name for path in (tmp_path / "features").iterdir()) == [
        "audio.rows", "track-0.npy",
    ]  # fmt: skip


def test_an_upright_video_costs_no_more(talking_clip, retinaface, upright, tmp_path, monkeypatch):
    detector = CountingDetector(retinaface)
    clip = extract(talking_clip, detector, tmp_path / "features")
    assert clip.notes == [] and detector.n_images < 35, "five full frames, and 25 zoomed crops"
    assert np.array_equal(clip.tracks[0].crops, upright.tracks[0].crops)


def test_rotation_metadata_that_are_wrong(talking_clip, retinaface, tmp_path):
    path = tmp_path / "marked.mp4"
    ffmpeg("-display_rotation", 90, "-i", talking_clip, "-c", "copy", path)
    clip = extract(path, retinaface, tmp_path / "features")
    assert [note.degrees for note in clip.notes] == [90]
    assert [track.n_frames for track in clip.tracks] == [50]


def test_a_face_that_is_too_short_when_turned_stays_as_it_was(
    talking_clip, retinaface, tmp_path, monkeypatch
):
    """The first tracks are used where the second attempt finds none."""
    monkeypatch.setattr("src.preprocessing.extract.OrientationWatch.find_turn", lambda self: 180)
    clip = extract(talking_clip, retinaface, tmp_path / "features", min_frames=50)
    assert [track.n_frames for track in clip.tracks] == [50] and clip.notes == []

"""The one path from clip to features: what it gives, what it says, and what it refuses."""

import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from src.audio.features import features_of, silence
from src.core.config import DataConfig
from src.core.errors import (
    ClipTooShortError,
    MissingFileError,
    NoAudioError,
    NoFaceError,
    NoVideoError,
    OutputError,
    SilentAudioError,
    UnreadableMediaError,
)
from src.faces.detection import FaceDetection
from src.media.reader import read_audio
from src.media.writer import write_clip, write_wav
from src.preprocessing.clip_features import ClipFeatures
from src.preprocessing.extract import extract_clip
from src.preprocessing.track_file import read_sample

SETTINGS = DataConfig()
# Every frame is looked at, and a face that is lost for more than two ends its track.
STRICT = SETTINGS.model_copy(update={"detect_every": 1, "max_lost_frames": 2})
# Eyes, nose and corners of the mouth, in sides of the face.
POINTS = np.array([[0.3, 0.35], [0.7, 0.35], [0.5, 0.55], [0.35, 0.75], [0.65, 0.75]], np.float32)
MIDDLE = (130, 80, 60)  # x, y and side of a face in a picture of 320×240


class Blobs:
    """A detector that takes each bright square for a face, in whole pictures and in close-ups."""

    def detect(self, pictures: np.ndarray, close: bool = False) -> list[list[FaceDetection]]:
        assert pictures.ndim == 4 and pictures.dtype == np.uint8 and pictures.shape[3] == 3
        return [self._faces(picture) for picture in pictures]

    def _faces(self, picture: np.ndarray) -> list[FaceDetection]:
        bright = (picture[..., 1] > 120).astype(np.uint8)
        found = cv2.connectedComponentsWithStats(bright)[2][1:]
        edge = np.array(picture.shape[1::-1]) - 1
        faces = []
        for x, y, width, height, _ in found:
            whole = x > 0 and y > 0 and x + width <= edge[0] and y + height <= edge[1]
            if whole and min(width, height) >= 8:
                side = np.array([width, height], np.float32)
                box = np.array([x, y, x + width, y + height], np.float32)
                faces.append(FaceDetection(box, (x, y) + POINTS * side, 0.9))
        return faces


def to_video_frame(faces: list[tuple[int, int, int]], number: int) -> np.ndarray:
    """uint8 [240, 320, 3]: bright squares with a chequered middle on a dark ground."""
    picture = np.full((240, 320, 3), 40 + number % 3, np.uint8)
    for x, y, side in faces:
        picture[y : y + side, x : x + side] = 200
        place, part = side // 4, side // 2
        chequers = np.indices((part, part)).sum(0) * 8 // side % 2
        picture[y + place : y + place + part, x + place : x + place + part] = (
            150 + 80 * chequers[..., None]
        )
    return picture


def clip(path: Path, frames=30, seconds=None, level=0.1, faces=lambda number: [MIDDLE]) -> Path:
    """Bright squares under noise; ``level`` 0 is silence, ``faces(i)`` those of frame ``i``."""
    samples = np.random.default_rng(0).normal(0, level, int(16000 * (seconds or frames / 25)))
    pictures = (to_video_frame(faces(number), number) for number in range(frames))
    write_clip(path, pictures, 25, samples.astype(np.float32))
    return path


@pytest.fixture
def extracted(tmp_path):
    """``extracted(video, …)`` calls ``extract_clip`` with an empty folder and these defaults."""
    count = iter(range(100))

    def extract(video, audio=None, settings=SETTINGS, detector=None, **more) -> ClipFeatures:
        folder = tmp_path / f"features {next(count)}"
        folder.mkdir()
        return extract_clip(video, audio, settings, detector or Blobs(), folder, **more)

    return extract


def places(features: ClipFeatures) -> list[tuple[int, int]]:
    return [(track.first_frame, track.n_frames) for track in features.tracks]


# ---------------------------------------------------------------------------- what it gives


def test_what_a_talking_clip_gives(talking_clip, retinaface, extracted):
    features = extracted(talking_clip, detector=retinaface)
    (track,) = features.tracks
    assert (features.n_frames, features.face_share, features.duration_s) == (50, 1.0, 2.0)
    assert features.faces == 1 and features.notes == []
    assert track.first_frame == 0 and track.n_frames == 50
    assert track.crops.shape == (50, 96, 96) and track.crops.dtype == np.uint8
    assert track.mfcc.shape == (200, 40) and track.mfcc.dtype == np.float32
    assert track.speech.shape == (50,) and track.speech.dtype == bool
    assert track.spoken == track.speech.sum() > 10
    assert track.boxes.shape == (50, 4) and track.boxes.dtype == np.float32
    mfcc, speech = features_of(read_audio(talking_clip), 50)
    assert np.array_equal(track.mfcc, mfcc) and np.array_equal(track.speech, speech)
    mouth = track.crops[:, 40:65, 25:70].astype(float)
    assert np.abs(np.diff(mouth, axis=0)).mean() > 1, "the mouth moves in the crop"


def test_the_face_is_where_it_is_said_to_be(tmp_path, extracted):
    moving = clip(tmp_path / "moving.mp4", faces=lambda i: [(100 + 2 * i, 80 + i, 60)])
    (track,) = extracted(moving, settings=STRICT).tracks
    expected = np.array([[100 + 2 * i, 80 + i, 160 + 2 * i, 140 + i] for i in range(30)])
    assert np.abs(track.boxes - expected).max() < 2.5


def test_nothing_but_the_result_stays_in_the_folder(tmp_path):
    path = clip(tmp_path / "two.mp4", frames=60, faces=two_shots_and_a_passer_by)
    (tmp_path / "folder").mkdir()
    features = extract_clip(path, None, STRICT, Blobs(), tmp_path / "folder")
    names = {path.name for path in (tmp_path / "folder").iterdir()}
    assert names == {"sound.rows", "track-0.npy", "track-1.npy"}
    assert [track.path.name for track in features.tracks] == ["track-0.npy", "track-1.npy"]
    for track in features.tracks:
        assert len(read_sample(track.path)) == track.n_frames


def two_shots_and_a_passer_by(number: int) -> list[tuple[int, int, int]]:
    """Nobody in frames 25 to 34; a second, smaller face in frames 5 to 15."""
    faces = [] if 25 <= number < 35 else [MIDDLE]
    return faces + ([(20, 20, 40)] if 5 <= number < 16 else [])


def test_twice_the_same_bytes(talking_clip, retinaface, extracted):
    threads = cv2.getNumThreads()
    try:
        found = []
        for decoding, drawing in ((1, 1), (0, threads), (4, 4)):
            cv2.setNumThreads(drawing)
            features = extracted(talking_clip, detector=retinaface, threads=decoding)
            found.append((features.tracks[0].path.read_bytes(), features.mfcc.tobytes()))
    finally:
        cv2.setNumThreads(threads)
    assert found[0] == found[1] == found[2]


def test_settings_change_the_features(talking_clip, retinaface, extracted):
    settings = SETTINGS.model_copy(update={"input_size": 64, "n_mfcc": 13})
    (track,) = extracted(talking_clip, settings=settings, detector=retinaface).tracks
    assert track.crops.shape == (50, 64, 64) and track.mfcc.shape == (200, 13)


def test_sound_of_another_file(tmp_path, talking_clip, retinaface, extracted):
    sound = read_audio(talking_clip)
    write_wav(tmp_path / "late.wav", np.concatenate([np.zeros(1600, np.float32), sound]))
    (own,) = extracted(talking_clip, detector=retinaface).tracks
    (late,) = extracted(talking_clip, tmp_path / "late.wav", detector=retinaface).tracks
    assert np.array_equal(own.crops, late.crops)
    loudness, later = own.mfcc[:, 0], late.mfcc[:, 0]
    loud = loudness[:180] > np.median(loudness)  # quiet steps hold the noise of 16 bits
    assert np.allclose(later[10:190][loud], loudness[:180][loud], atol=5)


def test_tracks_keep_to_their_frames(tmp_path, extracted):
    path = clip(tmp_path / "two.mp4", 80, faces=lambda n: [] if 30 <= n < 40 else [MIDDLE])
    features = extracted(path, settings=STRICT)
    assert places(features) == [(0, 30), (40, 40)]
    assert features.face_share == pytest.approx(70 / 80)
    whole, _ = features_of(read_audio(path), 80)
    assert np.array_equal(features.tracks[1].mfcc, whole[160:])


def test_the_sound_of_the_whole_clip_goes_with_the_tracks(tmp_path, extracted):
    """A shot may be shorter than the offset is long."""
    path = clip(tmp_path / "away.mp4", 60, faces=lambda n: [] if 20 <= n < 40 else [MIDDLE])
    features = extracted(path, settings=STRICT)
    assert len(features.tracks) == 2
    assert features.mfcc.shape == (240, 40) and features.speech.shape == (60,)
    for track in features.tracks:
        first, last = track.first_frame, track.first_frame + track.n_frames
        assert np.array_equal(track.mfcc, features.mfcc[4 * first : 4 * last])
        assert np.array_equal(track.speech, features.speech[first:last])


def test_a_short_clip_is_used_whole(tmp_path, extracted):
    (track,) = extracted(clip(tmp_path / "eight.mp4", frames=8)).tracks
    assert len(track.crops) == 8


def test_the_shortest_track_is_as_long_as_was_asked_for(tmp_path, extracted):
    path = clip(tmp_path / "brief.mp4", 60, faces=lambda n: [MIDDLE] if n % 20 < 8 else [])
    settings = STRICT.model_copy(update={"max_lost_frames": 0})
    assert places(extracted(path, settings=settings)) == [(0, 8), (20, 8), (40, 8)]
    with pytest.raises(NoFaceError, match=r"brief\.mp4: .* has 8 of the 9 frames"):
        extracted(path, settings=settings, shortest=9)


# ---------------------------------------------------------------------------- what it says


def test_frames_without_a_face_are_said(tmp_path, extracted):
    path = clip(tmp_path / "two.mp4", 80, faces=lambda n: [] if 30 <= n < 40 else [MIDDLE])
    assert extracted(path, settings=STRICT).notes == ["10 of 80 frames without a face are left out"]


def test_other_faces_are_said(tmp_path, extracted):
    """One beside the chosen one throughout, one for half a second."""

    def faces(number):
        passing = [(230, 150, 30)] if 10 <= number < 25 else []
        return [MIDDLE, (20, 20, 40), *passing]

    features = extracted(clip(tmp_path / "crowd.mp4", 50, faces=faces), settings=STRICT)
    assert places(features) == [(0, 50)] and features.faces == 3
    assert features.notes == ["other faces left out: 2 (data.track: largest)"]
    (track,) = features.tracks
    assert np.abs(np.median(track.boxes[:, 2] - track.boxes[:, 0]) - 60) < 3, "the largest"


def test_everyone_is_there_where_everyone_is_asked_for(tmp_path, extracted):
    """Two people, and after a cut (to a brighter room) one of them alone."""

    def picture(number: int) -> np.ndarray:
        if number < 30:
            return to_video_frame([MIDDLE, (20, 20, 40)], number)
        return np.maximum(to_video_frame([(150, 100, 50)], number), 110)

    sound = np.random.default_rng(0).normal(0, 0.1, 16000 * 60 // 25).astype(np.float32)
    write_clip(tmp_path / "film.mp4", (picture(number) for number in range(60)), 25, sound)
    chosen = extracted(tmp_path / "film.mp4", settings=STRICT)
    features = extracted(tmp_path / "film.mp4", settings=STRICT, everyone=True)
    assert places(chosen) == [(0, 30), (30, 30)]
    assert sorted(places(features)) == [(0, 30), (0, 30), (30, 30)]
    assert [track.shot for track in features.tracks] == [0, 0, 1]
    assert [track.shot for track in chosen.tracks] == [0, 1]
    assert features.face_share == chosen.face_share == 1
    assert features.notes == []
    for track in features.tracks:
        sides = track.boxes[:, 2:] - track.boxes[:, :2]
        assert track.area == pytest.approx(sides.prod(1).mean(), rel=1e-3)


def test_damaged_pictures_are_said(tmp_path, extracted):
    import av

    path = clip(tmp_path / "a.mp4", 60)
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(video=0) if p.size and not p.is_keyframe]
        spans = [(packet.pos, packet.size) for packet in packets[20:23]]
    content = bytearray(path.read_bytes())
    for start, size in spans:
        content[start + 8 : start + size] = bytes(size - 8)
    path.write_bytes(content)
    (note,) = extracted(path).notes
    n, said = note.split(" of ")
    assert 1 <= int(n) <= 40 and said == "60 pictures are damaged"


@pytest.mark.slow
def test_sound_that_ends_ten_seconds_early_is_said(tmp_path, extracted):
    path = clip(tmp_path / "early.mp4", 300, seconds=2.0)
    features = extracted(path)
    assert features.notes == ["the sound ends 10.0 s before the picture"]
    (track,) = features.tracks
    after = track.mfcc.reshape(-1, 4, 40)[55:]
    assert np.array_equal(after, np.broadcast_to(silence(40), after.shape))


def test_sound_that_goes_on_for_ten_seconds_is_said(tmp_path, extracted):
    samples = np.random.default_rng(0).normal(0, 0.1, 12 * 16000).astype(np.float32)
    write_wav(tmp_path / "long.wav", samples)
    features = extracted(clip(tmp_path / "a.mp4", 50), tmp_path / "long.wav")
    assert features.notes == [
        "the last 10.0 s of the sound come after the picture and are not compared"
    ]  # fmt: skip
    assert features.n_frames == 50 and features.mfcc.shape == (200, 40)


def test_a_few_frames_are_not_worth_saying(tmp_path, extracted):
    """Half a second of sound too much or too little, two frames of 110 without a face."""
    for seconds in (4.0, 4.8):
        path = clip(tmp_path / f"{seconds}.mp4", 110, seconds, faces=lambda n: [MIDDLE] * (n > 0))
        assert extracted(path, settings=STRICT).notes == []


def test_sound_shorter_than_the_picture(tmp_path, extracted):
    path = clip(tmp_path / "half.mp4", frames=50, seconds=1.0)
    (track,) = extracted(path).tracks
    assert track.mfcc.shape == (200, 40) and track.n_frames == 50
    quiet, _ = features_of(np.zeros(32000, np.float32), 50)
    # The encoder's last block may ring on for some 60 ms.
    assert np.allclose(track.mfcc[110:], quiet[110:], atol=1)
    assert not np.allclose(track.mfcc[:95], quiet[:95], atol=1)


# ---------------------------------------------------------------------------- what it refuses


def test_silent_sound(tmp_path, extracted):
    with pytest.raises(SilentAudioError, match=r"mute\.mp4"):
        extracted(clip(tmp_path / "mute.mp4", level=0))
    write_wav(tmp_path / "zero.wav", np.zeros(16000, np.float32))
    with pytest.raises(SilentAudioError, match=r"zero\.wav"):
        extracted(clip(tmp_path / "loud.mp4"), tmp_path / "zero.wav")


@pytest.mark.parametrize("frames", [1, 4])
def test_less_than_a_window_of_pictures(tmp_path, extracted, frames):
    path = clip(tmp_path / "short.mp4", frames, seconds=1)
    with pytest.raises(ClipTooShortError, match=rf"short\.mp4 has only {frames} of the 5 frames"):
        extracted(path)


def test_less_than_a_window_of_sound(tmp_path, extracted):
    write_wav(tmp_path / "blip.wav", np.full(3000, 0.1, np.float32))
    with pytest.raises(ClipTooShortError, match=r"blip\.wav lasts only 187 ms.*200"):
        extracted(clip(tmp_path / "a.mp4"), tmp_path / "blip.wav")


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_file_that_breaks_off_is_refused(tmp_path, suffix, talking_clip, retinaface, extracted):
    """A download that stopped must not pass for a shorter film."""
    import imageio_ffmpeg

    whole, cut = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-stream_loop", "2", "-i",
               talking_clip, "-c", "copy", "-movflags", "+faststart", whole]  # fmt: skip
    subprocess.run(command, check=True)
    content = whole.read_bytes()
    cut.write_bytes(content[: len(content) * 55 // 100])
    assert extracted(whole, detector=retinaface).n_frames >= 150
    words = rf"cut\.{suffix} breaks off: [78]\d of 15\d frames could be read"
    with pytest.raises(UnreadableMediaError, match=words):
        extracted(cut, detector=retinaface)


def test_no_face(tmp_path, retinaface, extracted):
    path = clip(tmp_path / "nobody.mp4", 30, faces=lambda n: [])
    for detector in (retinaface, None):
        with pytest.raises(NoFaceError, match=r"no face found in 30 of 30 frames of .*nobody"):
            extracted(path, detector=detector)


def test_faces_that_are_too_small_are_measured(tmp_path, extracted):
    path = clip(tmp_path / "far.mp4", 30, faces=lambda n: [(150, 100, 16)])
    words = r"the faces in .*far\.mp4 are too small: 1[5-7] pixels .* 20 are .*data\.min_face_size"
    with pytest.raises(NoFaceError, match=words):
        extracted(path)


def test_a_picture_that_stands_still_shows_nobody_speaking(tmp_path, extracted):
    samples = np.random.default_rng(0).normal(0, 0.1, 64000).astype(np.float32)
    slides = [to_video_frame([MIDDLE], number) for number in range(2)]
    write_clip(tmp_path / "still.mp4", slides, 0.5, samples)
    # Each shows for 50 frames, of which the first 11 might show somebody.
    with pytest.raises(NoFaceError, match=r"still\.mp4 stands still in 78 of 100 frames"):
        extracted(tmp_path / "still.mp4", shortest=15)


def test_what_media_refuses_is_refused_here(tmp_path, extracted):
    video = clip(tmp_path / "a.mp4")
    write_clip(tmp_path / "dumb.mp4", [np.zeros((64, 64, 3), np.uint8)] * 10, 25, None)
    write_wav(tmp_path / "a.wav", np.full(16000, 0.1, np.float32))
    for error, path in {
        MissingFileError: tmp_path / "none.mp4",
        NoAudioError: tmp_path / "dumb.mp4",
        NoVideoError: tmp_path / "a.wav",
    }.items():
        with pytest.raises(error, match=path.name):
            extracted(path)
    with pytest.raises(MissingFileError, match=r"none\.wav"):
        extracted(video, tmp_path / "none.wav")


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(OutputError, match=r"cannot write .*gone.sound\.rows"):
        extract_clip(clip(tmp_path / "a.mp4"), None, SETTINGS, Blobs(), tmp_path / "gone")

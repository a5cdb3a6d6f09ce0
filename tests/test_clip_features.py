"""The one path from clip to features: what it gives, and what it refuses."""

import subprocess

import numpy as np
import pytest

from src.audio_features import mfcc
from src.clip_features import extract_clip
from src.config import DataConfig
from src.errors import (
    ClipTooShortError,
    MissingFileError,
    NoAudioError,
    NoFaceError,
    NoVideoError,
    SilentAudioError,
    UnreadableMediaError,
)
from src.faces import Face
from src.media import read_audio, read_pictures
from src.muxing import write_clip, write_wav

SETTINGS = DataConfig()


class Everywhere:
    """A detector that sees one face in each picture, or in those it is told."""

    def __init__(self, seen=lambda number: True):
        self.number, self.seen = -1, seen

    def detect(self, picture):
        self.number += 1
        points = np.array([[30, 20], [50, 20], [40, 35], [33, 50], [47, 50]], np.float32)
        face = Face(np.array([20, 10, 60, 60], np.float32), points, 0.9)
        return [face] if self.seen(self.number) else []


def clip(path, frames=30, seconds=None, level=0.1):
    """Moving grey pictures under noise; ``level`` 0 is silence."""
    rng = np.random.default_rng(0)
    picture = rng.integers(60, 90, (80, 96, 3)).astype(np.uint8)
    samples = rng.normal(0, level, int(16000 * (seconds or frames / 25))).astype(np.float32)
    write_clip(path, (np.roll(picture, i, 1) for i in range(frames)), 25, samples)
    return path


def test_what_a_talking_clip_gives(talking_clip, retinaface):
    features = extract_clip(talking_clip, None, SETTINGS, retinaface)
    (track,) = features.tracks
    assert (features.n_frames, features.face_share, features.duration_s) == (50, 1.0, 2.0)
    assert track.first_frame == 0
    assert track.crops.shape == (50, 96, 96) and track.crops.dtype == np.uint8
    assert track.mfcc.shape == (200, 40) and track.mfcc.dtype == np.float32
    assert track.speech.shape == (50,) and track.speech.dtype == bool and track.speech.any()
    assert track.boxes.shape == (50, 4) and track.boxes.dtype == np.float32
    assert np.array_equal(track.mfcc, mfcc(read_audio(talking_clip), 50))
    mouth = track.crops[:, 40:65, 25:70].astype(float)
    assert np.abs(np.diff(mouth, axis=0)).mean() > 1, "the mouth moves in the crop"


def test_twice_the_same_bytes(talking_clip, retinaface):
    one, two = (
        extract_clip(talking_clip, None, SETTINGS, retinaface, threads).tracks[0]
        for threads in (1, 2)
    )
    for field in ("crops", "mfcc", "speech", "boxes"):
        assert getattr(one, field).tobytes() == getattr(two, field).tobytes()


def test_settings_change_the_features(talking_clip, retinaface):
    settings = SETTINGS.model_copy(update={"input_size": 64, "n_mfcc": 13})
    (track,) = extract_clip(talking_clip, None, settings, retinaface).tracks
    assert track.crops.shape == (50, 64, 64) and track.mfcc.shape == (200, 13)


def test_sound_of_another_file(tmp_path, talking_clip, retinaface):
    sound = read_audio(talking_clip)
    write_wav(tmp_path / "late.wav", np.concatenate([np.zeros(1600, np.float32), sound]))
    (own,) = extract_clip(talking_clip, None, SETTINGS, retinaface).tracks
    (late,) = extract_clip(talking_clip, tmp_path / "late.wav", SETTINGS, retinaface).tracks
    assert np.array_equal(own.crops, late.crops)
    loudness, later = own.mfcc[:, 0], late.mfcc[:, 0]
    loud = loudness[:180] > np.median(loudness)  # quiet steps hold the noise of 16 bits
    assert np.allclose(later[10:190][loud], loudness[:180][loud], atol=5)


def test_tracks_keep_to_their_frames(tmp_path):
    path = clip(tmp_path / "two.mp4", frames=80)
    settings = SETTINGS.model_copy(update={"detect_every": 1, "max_lost_frames": 2})
    features = extract_clip(path, None, settings, Everywhere(lambda n: not 30 <= n < 40))
    assert [(t.first_frame, len(t.crops)) for t in features.tracks] == [(0, 30), (40, 40)]
    assert features.face_share == pytest.approx(70 / 80)
    whole = mfcc(read_audio(path), 80)
    assert np.array_equal(features.tracks[1].mfcc, whole[160:])
    grays = [picture.gray for picture in read_pictures(path)]
    assert len(grays) == 80


def test_silent_sound(tmp_path):
    with pytest.raises(SilentAudioError, match=r"mute\.mp4"):
        extract_clip(clip(tmp_path / "mute.mp4", level=0), None, SETTINGS, Everywhere())
    write_wav(tmp_path / "zero.wav", np.zeros(16000, np.float32))
    path = clip(tmp_path / "loud.mp4")
    with pytest.raises(SilentAudioError, match=r"zero\.wav"):
        extract_clip(path, tmp_path / "zero.wav", SETTINGS, Everywhere())


@pytest.mark.parametrize("frames", [1, 4])
def test_less_than_a_window_of_pictures(tmp_path, frames):
    path = clip(tmp_path / "short.mp4", frames, seconds=1)
    with pytest.raises(ClipTooShortError, match=rf"short\.mp4 has only {frames} frames.*5"):
        extract_clip(path, None, SETTINGS, Everywhere())


def test_less_than_a_window_of_sound(tmp_path):
    write_wav(tmp_path / "blip.wav", np.full(3000, 0.1, np.float32))
    with pytest.raises(ClipTooShortError, match=r"blip\.wav lasts only 187 ms.*200"):
        extract_clip(clip(tmp_path / "a.mp4"), tmp_path / "blip.wav", SETTINGS, Everywhere())


def test_a_short_clip_is_used_whole(tmp_path):
    path = clip(tmp_path / "eight.mp4", frames=8)
    (track,) = extract_clip(path, None, SETTINGS, Everywhere()).tracks
    assert len(track.crops) == 8


def test_the_sound_of_the_whole_clip_goes_with_the_tracks(tmp_path):
    """A shot may be shorter than the offset is long."""
    settings = SETTINGS.model_copy(update={"detect_every": 1, "max_lost_frames": 2})
    path = clip(tmp_path / "away.mp4", frames=60)
    features = extract_clip(path, None, settings, Everywhere(lambda n: not 20 <= n < 40))
    assert len(features.tracks) == 2
    assert features.mfcc.shape == (240, settings.n_mfcc) and features.speech.shape == (60,)
    for track in features.tracks:
        first, last = track.first_frame, track.first_frame + len(track.crops)
        assert np.array_equal(track.mfcc, features.mfcc[4 * first : 4 * last])
        assert np.array_equal(track.speech, features.speech[first:last])


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_file_that_breaks_off_is_refused(tmp_path, suffix, talking_clip):
    """A download that stopped must not pass for a shorter film."""
    import imageio_ffmpeg

    whole, cut = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-stream_loop", "2", "-i",
               talking_clip, "-c", "copy", "-movflags", "+faststart", whole]  # fmt: skip
    subprocess.run(command, check=True)
    content = whole.read_bytes()
    cut.write_bytes(content[: len(content) * 55 // 100])
    extract_clip(whole, None, SETTINGS, Everywhere())
    with pytest.raises(UnreadableMediaError, match=rf"cut\.{suffix} breaks off after [23]\.. of 6"):
        extract_clip(cut, None, SETTINGS, Everywhere())


def test_no_face(tmp_path, retinaface):
    path = clip(tmp_path / "nobody.mp4", frames=30)
    with pytest.raises(NoFaceError, match=r"no face found in 30 of 30 frames of .*nobody\.mp4"):
        extract_clip(path, None, SETTINGS, retinaface)


def test_a_face_that_does_not_stay(tmp_path):
    path = clip(tmp_path / "brief.mp4", frames=60)
    settings = SETTINGS.model_copy(update={"detect_every": 1, "max_lost_frames": 0})
    with pytest.raises(NoFaceError, match=r"brief\.mp4.*8 frames.*15"):
        extract_clip(path, None, settings, Everywhere(lambda n: n % 20 < 8), shortest=15)
    features = extract_clip(path, None, settings, Everywhere(lambda n: n % 20 < 8))
    assert [(t.first_frame, len(t.crops)) for t in features.tracks] == [(0, 8), (20, 8), (40, 8)]


def test_sound_shorter_than_the_picture(tmp_path):
    path = clip(tmp_path / "half.mp4", frames=50, seconds=1.0)
    (track,) = extract_clip(path, None, SETTINGS, Everywhere()).tracks
    assert track.mfcc.shape == (200, 40) and len(track.crops) == 50
    silence = mfcc(np.zeros(32000, np.float32), 50)
    # The encoder's last block may ring on for some 60 ms.
    assert np.allclose(track.mfcc[110:], silence[110:], atol=1)
    assert not np.allclose(track.mfcc[:95], silence[:95], atol=1)


def test_what_media_refuses_is_refused_here(tmp_path):
    video = clip(tmp_path / "a.mp4")
    write_clip(tmp_path / "dumb.mp4", [np.zeros((64, 64, 3), np.uint8)] * 10, 25, None)
    write_wav(tmp_path / "a.wav", np.full(16000, 0.1, np.float32))
    for error, pair in {
        MissingFileError: (tmp_path / "none.mp4", None),
        NoAudioError: (tmp_path / "dumb.mp4", None),
        NoVideoError: (tmp_path / "a.wav", None),
    }.items():
        with pytest.raises(error):
            extract_clip(*pair, SETTINGS, Everywhere())
    with pytest.raises(MissingFileError, match=r"none\.wav"):
        extract_clip(video, tmp_path / "none.wav", SETTINGS, Everywhere())

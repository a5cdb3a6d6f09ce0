"""The one path from clip to features: what it returns and rejects."""

import subprocess
import threading

import cv2
import numpy as np
import pytest

from src.audio.features import compute_features
from src.core.constants import SAMPLE_RATE
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
from src.media.reader import read_audio
from src.media.writer import write_clip, write_wav
from src.preprocessing import extract
from src.preprocessing.extract import ExtractOptions, SharedVideo, extract_clip
from src.preprocessing.sample_file import read_sample
from tests.support.media_files import ffmpeg
from tests.support.square_faces import (
    FACE,
    SETTINGS,
    STRICT,
    SquareDetector,
    draw_frame,
    make_clip,
    spans,
)

pytest_plugins = ("tests.support.extract_fixtures",)

# ---------------------------------------------------------------------------- features


def test_features_of_a_talking_head(talking_clip, retinaface, extracted):
    features = extracted(talking_clip, detector=retinaface)
    (track,) = features.tracks
    assert (features.n_frames, features.face_share, features.duration_s) == (50, 1.0, 2.0)
    assert features.n_faces == 1 and features.notes == []
    assert track.first_frame == 0 and track.n_frames == 50
    assert track.crops.shape == (50, 96, 96) and track.crops.dtype == np.uint8
    assert track.mfcc.shape == (200, 40) and track.mfcc.dtype == np.float32
    assert track.speech.shape == (50,) and track.speech.dtype == bool
    assert track.n_speech_frames == track.speech.sum() > 10
    assert track.boxes.shape == (50, 4) and track.boxes.dtype == np.float32
    mfcc, speech = compute_features(read_audio(talking_clip), 50)
    assert np.array_equal(track.mfcc, mfcc) and np.array_equal(track.speech, speech)
    mouth_region = track.crops[:, 40:65, 25:70].astype(float)
    assert np.abs(np.diff(mouth_region, axis=0)).mean() > 1, "the mouth moves in the crop"


def test_boxes_follow_the_face(tmp_path, extracted):
    moving = make_clip(tmp_path / "moving.mp4", faces=lambda i: [(100 + 2 * i, 80 + i, 60)])
    (track,) = extracted(moving, settings=STRICT).tracks
    expected = np.array([[100 + 2 * i, 80 + i, 160 + 2 * i, 140 + i] for i in range(30)])
    assert np.abs(track.boxes - expected).max() < 2.5


def test_only_the_result_stays_in_the_folder(tmp_path):
    path = make_clip(tmp_path / "two.mp4", frames=60, faces=two_appearances_and_a_passer_by)
    (tmp_path / "folder").mkdir()
    features = extract_clip(path, None, STRICT, SquareDetector(), tmp_path / "folder")
    names = {path.name for path in (tmp_path / "folder").iterdir()}
    assert names == {"audio.rows", "track-0.npy", "track-1.npy"}
    assert [track.path.name for track in features.tracks] == ["track-0.npy", "track-1.npy"]
    for track in features.tracks:
        assert len(read_sample(track.path)) == track.n_frames


def two_appearances_and_a_passer_by(number: int) -> list[tuple[int, int, int]]:
    """No face in frames 25 to 34; a second, smaller one in frames 5 to 15."""
    faces = [] if 25 <= number < 35 else [FACE]
    return faces + ([(20, 20, 40)] if 5 <= number < 16 else [])


def test_features_do_not_depend_on_threads(talking_clip, retinaface, extracted):
    threads = cv2.getNumThreads()
    try:
        results = []
        for decoder_threads, opencv_threads in ((1, 1), (0, threads), (4, 4)):
            cv2.setNumThreads(opencv_threads)
            features = extracted(talking_clip, detector=retinaface, threads=decoder_threads)
            results.append((features.tracks[0].path.read_bytes(), features.mfcc.tobytes()))
    finally:
        cv2.setNumThreads(threads)
    assert results[0] == results[1] == results[2]


def test_settings_change_the_features(talking_clip, retinaface, extracted):
    settings = SETTINGS.model_copy(update={"input_size": 64, "n_mfcc": 13})
    (track,) = extracted(talking_clip, settings=settings, detector=retinaface).tracks
    assert track.crops.shape == (50, 64, 64) and track.mfcc.shape == (200, 13)


def test_a_separate_audio_file_is_used(tmp_path, talking_clip, retinaface, extracted):
    audio = read_audio(talking_clip)
    write_wav(tmp_path / "late.wav", np.concatenate([np.zeros(1600, np.float32), audio]))
    (embedded,) = extracted(talking_clip, detector=retinaface).tracks
    (delayed,) = extracted(talking_clip, tmp_path / "late.wav", detector=retinaface).tracks
    assert np.array_equal(embedded.crops, delayed.crops)
    loudness, delayed_loudness = embedded.mfcc[:, 0], delayed.mfcc[:, 0]
    loud = loudness[:180] > np.median(loudness)  # quiet hops hold the noise of 16 bits
    assert np.allclose(delayed_loudness[10:190][loud], loudness[:180][loud], atol=5)


@pytest.fixture
def n_readings(monkeypatch) -> list:
    """Grows with each reading of the frames of a video."""
    readings, real = [], extract.read_frames
    monkeypatch.setattr(
        extract, "read_frames", lambda path, *rest: readings.append(path) or real(path, *rest)
    )
    return readings


def test_a_video_with_several_audio_files_is_read_once(tmp_path, extracted, n_readings):
    rng = np.random.default_rng(0)
    video = make_clip(tmp_path / "v.mp4", 40)
    audios = [tmp_path / "one.wav", tmp_path / "two.wav", tmp_path / "short.wav"]
    for audio, seconds in zip(audios, (2, 1.6, 0.1), strict=True):
        write_wav(audio, rng.normal(0, 0.1, round(seconds * SAMPLE_RATE)).astype(np.float32))
    expected = [extracted(video, audio) for audio in audios[:2]]
    n_readings.clear()
    (tmp_path / "video").mkdir()
    shared = SharedVideo(video, SETTINGS, SquareDetector(), tmp_path / "video", ExtractOptions())
    for n, audio in enumerate(audios[:2] * 2):
        folder = tmp_path / f"with {n}"
        folder.mkdir()
        clip = shared.with_audio(audio, folder)
        assert spans(clip) == spans(expected[n % 2]) and len(clip.tracks) == 1
        for track, other in zip(clip.tracks, expected[n % 2].tracks, strict=True):
            assert track.path.read_bytes() == other.path.read_bytes()
        assert np.array_equal(clip.mfcc, expected[n % 2].mfcc)
        assert (clip.notes, clip.streams, clip.info) == (
            expected[n % 2].notes, expected[n % 2].streams, expected[n % 2].info
        )  # fmt: skip
    with pytest.raises(ClipTooShortError, match=r"short\.wav"):
        shared.with_audio(audios[2], tmp_path / "with 0")
    assert n_readings == [video]


def test_a_video_without_a_face_is_read_once(tmp_path, extracted, n_readings):
    video = make_clip(tmp_path / "v.mp4", 40, faces=lambda number: [])
    audio = make_clip(tmp_path / "a.mp4", 40)
    with pytest.raises(NoFaceError) as expected:
        extracted(video, audio)
    n_readings.clear()
    shared = SharedVideo(video, SETTINGS, SquareDetector(), tmp_path, ExtractOptions())
    for _ in range(2):
        with pytest.raises(NoFaceError) as found:
            shared.with_audio(audio, tmp_path)
        assert str(found.value) == str(expected.value)
    with pytest.raises(MissingFileError, match=r"none\.wav"):
        shared.with_audio(tmp_path / "none.wav", tmp_path)
    assert n_readings == [video]


def test_tracks_have_the_audio_of_their_frames(tmp_path, extracted):
    path = make_clip(tmp_path / "two.mp4", 80, faces=lambda n: [] if 30 <= n < 40 else [FACE])
    features = extracted(path, settings=STRICT)
    assert spans(features) == [(0, 30), (40, 40)]
    assert features.face_share == pytest.approx(70 / 80)
    mfcc, _ = compute_features(read_audio(path), 80)
    assert np.array_equal(features.tracks[1].mfcc, mfcc[160:])


def test_features_include_the_audio_of_the_whole_clip(tmp_path, extracted):
    """A shot may be shorter than the offset is long."""
    path = make_clip(tmp_path / "away.mp4", 60, faces=lambda n: [] if 20 <= n < 40 else [FACE])
    features = extracted(path, settings=STRICT)
    assert len(features.tracks) == 2
    assert features.mfcc.shape == (240, 40) and features.speech.shape == (60,)
    for track in features.tracks:
        first, last = track.first_frame, track.first_frame + track.n_frames
        assert np.array_equal(track.mfcc, features.mfcc[4 * first : 4 * last])
        assert np.array_equal(track.speech, features.speech[first:last])


def test_a_short_clip_is_used_entirely(tmp_path, extracted):
    (track,) = extracted(make_clip(tmp_path / "eight.mp4", frames=8)).tracks
    assert len(track.crops) == 8


def test_tracks_have_at_least_min_frames(tmp_path, extracted):
    path = make_clip(tmp_path / "brief.mp4", 60, faces=lambda n: [FACE] if n % 20 < 8 else [])
    settings = STRICT.model_copy(update={"max_lost_frames": 0})
    assert spans(extracted(path, settings=settings)) == [(0, 8), (20, 8), (40, 8)]
    with pytest.raises(
        NoFaceError, match=r"brief\.mp4: the longest face track has 8 of the 9 frames required"
    ):
        extracted(path, settings=settings, min_frames=9)


# ---------------------------------------------------------------------------- errors


def test_silent_audio_is_rejected(tmp_path, extracted):
    with pytest.raises(SilentAudioError, match=r"mute\.mp4"):
        extracted(make_clip(tmp_path / "mute.mp4", level=0))
    write_wav(tmp_path / "zero.wav", np.zeros(16000, np.float32))
    with pytest.raises(SilentAudioError, match=r"zero\.wav"):
        extracted(make_clip(tmp_path / "loud.mp4"), tmp_path / "zero.wav")


@pytest.mark.parametrize("frames", [1, 4])
def test_less_than_a_window_of_video_is_rejected(tmp_path, extracted, frames):
    path = make_clip(tmp_path / "short.mp4", frames, seconds=1)
    with pytest.raises(
        ClipTooShortError, match=rf"short\.mp4 has only {frames} of the 5 frames required"
    ):
        extracted(path)


def test_less_than_a_window_of_audio_is_rejected(tmp_path, extracted):
    write_wav(tmp_path / "blip.wav", np.full(3000, 0.1, np.float32))
    with pytest.raises(
        ClipTooShortError, match=r"blip\.wav is only 187 ms long; at least 200 ms required"
    ):
        extracted(make_clip(tmp_path / "a.mp4"), tmp_path / "blip.wav")


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_truncated_file_is_rejected(tmp_path, suffix, talking_clip, retinaface, extracted):
    """An incomplete download must not pass for a shorter video."""
    import imageio_ffmpeg

    whole, cut = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-stream_loop", "2", "-i",
               talking_clip, "-c", "copy", "-movflags", "+faststart", whole]  # fmt: skip
    subprocess.run(command, check=True)
    content = whole.read_bytes()
    cut.write_bytes(content[: len(content) * 55 // 100])
    assert extracted(whole, detector=retinaface).n_frames >= 150
    message = rf"cut\.{suffix} is truncated: [78]\d of 15\d frames could be read; export or"
    with pytest.raises(UnreadableMediaError, match=message):
        extracted(cut, detector=retinaface)


def test_a_video_without_faces_is_rejected(tmp_path, retinaface, extracted):
    path = make_clip(tmp_path / "nobody.mp4", 30, faces=lambda n: [])
    for detector in (retinaface, None):
        with pytest.raises(NoFaceError, match=r"no face detected in 30 of 30 frames of .*nobody"):
            extracted(path, detector=detector)


def padded(clip, side: int):
    """The frames of a clip in a corner of larger ones."""
    path = clip.with_name(f"{clip.stem} in {side}.mp4")
    ffmpeg("-i", clip, "-vf", f"pad={side}:{side * 3 // 4}:100:200", "-c:a", "copy", path)
    return path


def test_a_face_that_is_small_in_its_frame_is_searched_for_in_larger_ones(tmp_path, extracted):
    clip = make_clip(tmp_path / "clip.mp4", faces=lambda n: [(150, 100, 28)])
    (track,) = extracted(padded(clip, 1280)).tracks  # 7 px wide at 320
    assert track.n_frames == 30


def test_a_flash_that_looks_like_a_face_does_not_hide_a_small_one(tmp_path, extracted):
    def faces(number):
        return [(150, 100, 28), *([(20, 20, 80)] if number in (8, 9) else [])]

    (track,) = extracted(padded(make_clip(tmp_path / "clip.mp4", faces=faces), 1280)).tracks
    assert track.n_frames == 30


def test_larger_frames_are_searched_only_where_they_may_show_more(tmp_path, extracted):
    sides = []

    class Detector(SquareDetector):
        def detect(self, images, zoomed=False):
            sides.append(max(images.shape[1:3]))
            return super().detect(images, zoomed)

    nobody = make_clip(tmp_path / "nobody.mp4", 30, faces=lambda n: [])
    for path, largest in ((nobody, 320), (padded(nobody, 400), 320), (padded(nobody, 1280), 960)):
        with pytest.raises(NoFaceError, match="no face detected in 30 of 30 frames"):
            extracted(path, detector=Detector())
        assert max(sides) == largest
    assert sides.count(960) == 2, "one a second"


def test_faces_that_are_too_small_are_measured(tmp_path, extracted):
    path = make_clip(tmp_path / "far.mp4", 30, faces=lambda n: [(150, 100, 16)])
    message = (
        r"the faces in .*far\.mp4 are too small: 1[5-7] pixels wide, at least 20 required "
        r"\(data\.min_face_size\)"
    )
    with pytest.raises(NoFaceError, match=message):
        extracted(path)


def test_a_frozen_video_is_rejected(tmp_path, extracted):
    samples = np.random.default_rng(0).normal(0, 0.1, 4 * SAMPLE_RATE).astype(np.float32)
    slides = [draw_frame([FACE], number) for number in range(2)]
    write_clip(tmp_path / "still.mp4", slides, 0.5, samples)
    # Each is shown for 50 frames, of which the first 11 do not count as frozen.
    with pytest.raises(
        NoFaceError, match=r"still\.mp4 is frozen in 78 of 100 frames: no visible speech"
    ):
        extracted(tmp_path / "still.mp4", min_frames=15)


def test_errors_of_the_media_package_are_raised(tmp_path, extracted):
    video = make_clip(tmp_path / "a.mp4")
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


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"cannot write .*gone.audio\.rows"):
        extract_clip(
            make_clip(tmp_path / "a.mp4"), None, SETTINGS, SquareDetector(), tmp_path / "gone"
        )


def test_frames_that_are_decoded_ahead_give_the_same_samples(tmp_path):
    """Two shots, a face that moves, and one frame in which it is missed."""

    def faces(number):
        return [] if number == 30 else [(60 + number, 60, 60 if number < 40 else 80)]

    video = make_clip(tmp_path / "v.mp4", frames=75, faces=faces)
    samples = []
    for threads in (1, 0):
        folder = tmp_path / str(threads)
        folder.mkdir()
        clip = extract_clip(
            video, None, STRICT, SquareDetector(), folder, ExtractOptions(threads=threads)
        )
        samples.append([read_sample(track.path).tobytes() for track in clip.tracks])
    assert samples[0] and samples[0] == samples[1]


@pytest.mark.parametrize("error", [NoFaceError, KeyboardInterrupt])
def test_an_error_while_frames_are_decoded_ahead_leaves_no_thread(tmp_path, error):
    class Failing(SquareDetector):
        n_calls = 0

        def detect(self, images, zoomed=False):
            self.n_calls += 1
            if self.n_calls == 5:
                raise error("at once")
            return super().detect(images, zoomed)

    video, folder = make_clip(tmp_path / "v.mp4", frames=50), tmp_path / "features"
    folder.mkdir()
    before = threading.active_count()
    with pytest.raises(error, match="at once"):
        extract_clip(video, None, STRICT, Failing(), folder, ExtractOptions(threads=0))
    assert threading.active_count() == before

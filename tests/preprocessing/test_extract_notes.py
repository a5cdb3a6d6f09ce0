"""What is noted about a clip whose features are extracted."""

import numpy as np
import pytest

from src.audio.features import compute_features, silent_mfcc
from src.core.constants import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from src.core.notes import FramesWithoutFace
from src.media.writer import write_clip, write_wav
from tests.support.square_faces import FACE, STRICT, draw_frame, make_clip, note_texts, spans

pytest_plugins = ("tests.support.extract_fixtures",)


def test_frames_without_a_face_are_noted(tmp_path, extracted):
    path = make_clip(tmp_path / "two.mp4", 80, faces=lambda n: [] if 30 <= n < 40 else [FACE])
    features = extracted(path, settings=STRICT)
    assert features.notes == [FramesWithoutFace(frames=10, total_frames=80)]
    assert note_texts(features) == ["10 of 80 frames skipped: no face"]


def test_other_faces_are_noted(tmp_path, extracted):
    """One beside the chosen one throughout, one for half a second."""

    def faces(number):
        passing = [(230, 150, 30)] if 10 <= number < 25 else []
        return [FACE, (20, 20, 40), *passing]

    features = extracted(make_clip(tmp_path / "crowd.mp4", 50, faces=faces), settings=STRICT)
    assert spans(features) == [(0, 50)] and features.n_faces == 3
    assert note_texts(features) == ["other faces skipped: 2 (data.track: largest)"]
    (track,) = features.tracks
    assert np.abs(np.median(track.boxes[:, 2] - track.boxes[:, 0]) - 60) < 3, "the largest"


def test_all_faces_are_tracks_on_request(tmp_path, extracted):
    """Two people, and after a cut (to a brighter room) one of them alone."""

    def draw(number: int) -> np.ndarray:
        if number < 30:
            return draw_frame([FACE, (20, 20, 40)], number)
        return np.maximum(draw_frame([(150, 100, 50)], number), 110)

    audio = np.random.default_rng(0).normal(0, 0.1, 60 * SAMPLES_PER_FRAME).astype(np.float32)
    write_clip(tmp_path / "a.mp4", (draw(number) for number in range(60)), FPS, audio)
    chosen = extracted(tmp_path / "a.mp4", settings=STRICT)
    features = extracted(tmp_path / "a.mp4", settings=STRICT, all_faces=True)
    assert spans(chosen) == [(0, 30), (30, 30)]
    assert sorted(spans(features)) == [(0, 30), (0, 30), (30, 30)]
    assert [track.shot for track in features.tracks] == [0, 0, 1]
    assert [track.shot for track in chosen.tracks] == [0, 1]
    assert features.face_share == chosen.face_share == 1
    assert features.notes == []
    for track in features.tracks:
        sides = track.boxes[:, 2:] - track.boxes[:, :2]
        assert track.area == pytest.approx(sides.prod(1).mean(), rel=1e-3)


def test_damaged_frames_are_noted(tmp_path, extracted):
    import av

    path = make_clip(tmp_path / "a.mp4", 60)
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(video=0) if p.size and not p.is_keyframe]
        spans = [(packet.pos, packet.size) for packet in packets[20:23]]
    content = bytearray(path.read_bytes())
    for start, size in spans:
        content[start + 8 : start + size] = bytes(size - 8)
    path.write_bytes(content)
    (text,) = note_texts(extracted(path))
    n_damaged, rest = text.split(" of ")
    assert 1 <= int(n_damaged) <= 40 and rest == "60 frames are damaged"


@pytest.mark.slow
def test_audio_that_ends_ten_seconds_early_is_noted(tmp_path, extracted):
    path = make_clip(tmp_path / "early.mp4", 300, seconds=2.0)
    features = extracted(path)
    assert note_texts(features) == ["the audio ends 10.0 s before the video"]
    (track,) = features.tracks
    after = track.mfcc.reshape(-1, 4, 40)[55:]
    assert np.array_equal(after, np.broadcast_to(silent_mfcc(40), after.shape))


def test_audio_that_continues_for_ten_seconds_is_noted(tmp_path, extracted):
    samples = np.random.default_rng(0).normal(0, 0.1, 12 * SAMPLE_RATE).astype(np.float32)
    write_wav(tmp_path / "long.wav", samples)
    features = extracted(make_clip(tmp_path / "a.mp4", 50), tmp_path / "long.wav")
    assert note_texts(features) == [
        "the audio is 10.0 s longer than the video: analysed as far as the video goes"
    ]  # fmt: skip
    assert features.n_frames == 50 and features.mfcc.shape == (200, 40)


def test_small_differences_are_not_noted(tmp_path, extracted):
    """Half a second of audio too much or too little, two frames of 110 without a face."""
    for seconds in (4.0, 4.8):
        path = make_clip(
            tmp_path / f"{seconds}.mp4", 110, seconds, faces=lambda n: [FACE] * (n > 0)
        )
        assert extracted(path, settings=STRICT).notes == []


def test_audio_shorter_than_the_video_is_padded_with_silence(tmp_path, extracted):
    path = make_clip(tmp_path / "half.mp4", frames=50, seconds=1.0)
    (track,) = extracted(path).tracks
    assert track.mfcc.shape == (200, 40) and track.n_frames == 50
    padding, _ = compute_features(np.zeros(32000, np.float32), 50)
    # The encoder's last block may ring for some 60 ms.
    assert np.allclose(track.mfcc[110:], padding[110:], atol=1)
    assert not np.allclose(track.mfcc[:95], padding[:95], atol=1)

"""Which tracks and channels of a clip its features are extracted from."""

import wave
from pathlib import Path

import numpy as np
import pytest

from src.audio.features import compute_features
from src.core.constants import SAMPLE_RATE
from src.core.errors import (
    NoFaceError,
    SilentAudioError,
)
from src.media.reader import read_audio
from src.media.stream_choice import StreamChoice
from tests.support.media_files import ffmpeg
from tests.support.square_faces import make_clip, note_texts

pytest_plugins = ("tests.support.extract_fixtures",)


@pytest.fixture
def with_audio(talking_clip, tmp_path):
    """``with_audio(*tracks)``: the talking clip with these audio tracks, float [n, channels]."""

    def make(*tracks: np.ndarray, options=(), name="talker.mkv") -> Path:
        inputs, maps = ["-i", talking_clip], ["-map", "0:v"]
        for number, track in enumerate(tracks, 1):
            path = tmp_path / f"track-{number}.wav"
            with wave.open(str(path), "wb") as file:
                file.setnchannels(track.shape[1])
                file.setsampwidth(2)
                file.setframerate(SAMPLE_RATE)
                file.writeframes((np.clip(track, -1, 1) * 32767).astype("<i2").tobytes())
            inputs, maps = [*inputs, "-i", path], [*maps, "-map", f"{number}:a"]
        command = [*inputs, *maps, "-c:v", "copy", "-c:a", "pcm_s16le", *options, tmp_path / name]
        ffmpeg(*command)
        return tmp_path / name

    return make


@pytest.fixture
def voice(talking_clip) -> np.ndarray:
    """float32 [n, 1]"""
    return read_audio(talking_clip)[:, None]


@pytest.fixture
def timecode(voice) -> np.ndarray:
    """Linear timecode (SMPTE 12M), which cameras get on one channel: 2000 bits a second, a change
    of polarity at each, and one more in the middle of a one."""
    bits = np.random.default_rng(0).integers(0, 2, len(voice) // 8 + 1)
    halves = np.stack([np.ones(len(bits), int), bits], 1).ravel()  # a change there, or none
    polarity = 1 - 2 * (np.cumsum(halves) % 2)
    return 0.5 * np.repeat(polarity, 4)[: len(voice), None].astype(np.float32)


def test_channels_that_cancel_out_are_used_alone(with_audio, voice, retinaface, extracted):
    features = extracted(with_audio(np.hstack([voice, -voice])), detector=retinaface)
    assert features.streams.channel == 1
    assert note_texts(features) == [
        "only channel 1 of 2 is used: the others cancel or cover its speech"
    ]
    alone = extracted(with_audio(voice, name="mono.mkv"), detector=retinaface)
    assert np.array_equal(features.mfcc, alone.mfcc)
    assert np.array_equal(features.speech, alone.speech) and features.speech.sum() > 10


def test_a_channel_of_timecode_or_noise_is_left_out(
    with_audio, voice, timecode, retinaface, extracted
):
    alone = extracted(with_audio(voice, name="mono.mkv"), detector=retinaface)
    noise = np.random.default_rng(1).normal(0, 0.3, voice.shape)
    for other in (timecode, noise):
        for number, channels in ((1, [voice, other]), (2, [other, voice])):
            features = extracted(with_audio(np.hstack(channels)), detector=retinaface)
            assert features.streams.channel == number
            assert np.allclose(features.mfcc, alone.mfcc, atol=0.01)  # sums of other strides


def test_channels_that_all_have_the_voice_are_averaged(with_audio, voice, retinaface, extracted):
    for right in (voice, 0.3 * voice, 0 * voice):
        features = extracted(with_audio(np.hstack([voice, right])), detector=retinaface)
        assert features.streams.channel is None and features.notes == []
        mfcc, _ = compute_features((voice[:, 0] + right[:, 0]) / 2, features.n_frames)
        assert np.abs(features.mfcc - mfcc)[20:180, 0].mean() < 1


def test_a_silent_track_beside_one_with_speech_is_said(with_audio, voice, retinaface, extracted):
    flags = ("-disposition:a:0", "default", "-disposition:a:1", "0")
    path = with_audio(0 * voice, voice, options=flags)
    message = (
        r"audio track 1 of .*talker\.mkv is silent throughout, but track 2 has speech: use "
        r"--audio-stream 2"
    )
    with pytest.raises(SilentAudioError, match=message):
        extracted(path, detector=retinaface)
    chosen = extracted(path, detector=retinaface, streams=StreamChoice(audio=2))
    assert chosen.streams == StreamChoice(1, 2) and chosen.notes == []
    assert chosen.speech.sum() > 10
    flags = ("-disposition:a:0", "0", "-disposition:a:1", "default")
    flagged = extracted(with_audio(0 * voice, voice, options=flags), detector=retinaface)
    assert flagged.streams == StreamChoice(1, 2)
    assert np.array_equal(flagged.mfcc, chosen.mfcc)
    assert note_texts(flagged) == [
        "audio track 2 is used; the file also has 1 (pcm_s16le) (--audio-stream)"
    ]


def test_a_track_without_speech_beside_one_with_speech_is_said(
    with_audio, voice, retinaface, extracted
):
    hum = 0.1 * np.sin(np.arange(len(voice)) * 2 * np.pi * 50 / SAMPLE_RATE)[:, None]
    features = extracted(with_audio(hum, hum, voice), detector=retinaface)
    assert note_texts(features) == [
        "audio track 1 is used; the file also has 2 (pcm_s16le), 3 (pcm_s16le) (--audio-stream)",
        "audio track 1 has no speech, but track 3 has: use --audio-stream 3",
    ]


def test_without_a_face_other_video_tracks_are_named(tmp_path, talking_clip, retinaface, extracted):
    """A screen recording, and the camera as the second track."""
    screen = make_clip(tmp_path / "screen.mp4", 50, faces=lambda n: [])
    path = tmp_path / "both.mkv"
    ffmpeg("-i", screen, "-i", talking_clip, "-map", "0:v", "-map", "1:v", "-map", "1:a",
           "-c", "copy", path)  # fmt: skip
    named = r"This is video track 1; the file also has 2 \(h264, .*\) \(--video-stream\)"
    with pytest.raises(NoFaceError, match=named):
        extracted(path, detector=retinaface)
    features = extracted(path, detector=retinaface, streams=StreamChoice(video=2))
    whole = extracted(talking_clip, detector=retinaface)
    assert np.array_equal(features.tracks[0].crops, whole.tracks[0].crops)

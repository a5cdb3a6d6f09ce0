"""New speech on the grid of the output: its length, its windows, and where nobody speaks."""

from pathlib import Path

import numpy as np
import pytest
import torch

from src.audio.features import compute_features
from src.core.config import DataConfig
from src.core.constants import SAMPLE_RATE
from src.core.errors import (
    ClipTooShortError,
    MissingFileError,
    NoAudioError,
    PresenterError,
    SilentAudioError,
)
from src.media.reader import read_audio
from src.media.writer import write_wav
from src.models.embedding import embed_audio
from src.models.spec import ModelSpec
from src.models.sync_model import SyncModel
from src.presenter.speech import CLOSE_AFTER, OPEN_BEFORE, Speech, read_speech
from src.presenter.sync_tools import SyncTools
from tests.support.media_files import ffmpeg, make_video
from tools.synthetic_talker import SAMPLE_RATE as VOICE_RATE
from tools.synthetic_talker import clip_parts

DIM = 16


@pytest.fixture(scope="module")
def tools() -> SyncTools:
    """A network that was never trained."""
    torch.manual_seed(0)
    model = SyncModel(ModelSpec(48, DataConfig().n_mfcc, DIM, 16, 2, 0.4)).eval()
    return SyncTools(model, {}, DataConfig(), None, 60, 0.5, "model.pth", "0" * 64)


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    """float32, 3 s of a voice at VOICE_RATE."""
    return clip_parts(7, 3.0)[2]


def speech_of(flags: str) -> Speech:
    """With speech in the frames marked by ``x``."""
    has_speech = np.array([flag == "x" for flag in flags])
    return Speech(Path("a.wav"), len(flags) / 25, np.zeros((len(flags), DIM)), has_speech)


@pytest.mark.parametrize(("speech", "silent"), [
    ("...........", "ssssssssssss"[:11]),
    ("xxxxx", "....."),
    ("........x.......", "sssss.......ssss"),
    ("x..........", "....sssssss"),
    ("..........x", "sssssss...."),
    ("x......x", "........"),  # a pause in which the lips need not shut
    ("x.......x", "....s...."),
])  # fmt: skip
def test_lips_open_before_speech_and_shut_after_it(speech, silent):
    assert (CLOSE_AFTER, OPEN_BEFORE) == (3, 3)
    found = speech_of(speech).silent
    assert "".join("s" if is_silent else "." for is_silent in found) == silent


def test_asking_for_silence_changes_nothing():
    speech = speech_of("..x..")
    speech.silent  # noqa: B018
    assert speech.has_speech.tolist() == [False, False, True, False, False]


@pytest.mark.parametrize("seconds", [1.0, 1.5, 2.987])
def test_there_is_a_window_around_each_frame(tmp_path, tools, voice, seconds):
    path = tmp_path / "voice.wav"
    write_wav(path, voice[: round(seconds * VOICE_RATE)], VOICE_RATE)
    speech = read_speech(path, tools)
    assert speech.duration_s == pytest.approx(seconds, abs=1e-3)
    assert len(speech.embedding) == len(speech.has_speech) == int(np.ceil(speech.duration_s * 25))
    assert speech.embedding.shape[1] == DIM and speech.embedding.dtype == np.float32
    assert np.allclose(np.linalg.norm(speech.embedding, axis=1), 1, atol=1e-4)
    assert speech.has_speech.mean() > 0.5 and speech.path == path


def test_frames_are_where_the_speech_is(tmp_path, tools, voice):
    """With a second of silence in front, everything is 25 frames later."""
    voice = voice[: 2 * VOICE_RATE]
    pause = np.zeros(VOICE_RATE, np.float32)
    write_wav(tmp_path / "a.wav", voice, VOICE_RATE)
    write_wav(tmp_path / "b.wav", np.concatenate([pause, voice]), VOICE_RATE)
    first, second = (read_speech(tmp_path / name, tools) for name in ("a.wav", "b.wav"))
    assert not second.has_speech[:24].any()
    assert (first.has_speech == second.has_speech[25:]).mean() > 0.9

    def similarity(shift: int) -> float:
        return float((first.embedding[5:-5] * second.embedding[5 + shift :][:40]).sum(1).mean())

    assert max(range(20, 31), key=similarity) == 25


def test_embeddings_are_those_of_the_windows_around_the_frames(tmp_path, tools, voice):
    """Compared with the audio as it is, in which frame 2 is in the middle of the first window."""
    path = tmp_path / "voice.wav"
    write_wav(path, voice, VOICE_RATE)
    speech = read_speech(path, tools)
    n_frames = len(speech.embedding)
    mfcc, has_speech = compute_features(read_audio(path), n_frames, tools.data.n_mfcc)
    windows = embed_audio(tools.model, mfcc, has_speech)[::4]
    assert (speech.has_speech == has_speech).mean() > 0.95

    def similarity(shift: int) -> float:
        own = speech.embedding[10 + shift : 60 + shift]
        return float((own * windows[8:58]).sum(1).mean())

    assert max(range(-4, 5), key=similarity) == 0 and similarity(0) > 0.99


def test_the_audio_of_a_video_is_read_too(tmp_path, tools, talking_clip):
    speech = read_speech(talking_clip, tools)
    assert speech.duration_s == pytest.approx(2.0, abs=0.06)
    assert len(speech.embedding) == pytest.approx(50, abs=1)


def error_of(path: Path, tools: SyncTools, kind: type) -> str:
    with pytest.raises(kind) as error:
        read_speech(path, tools)
    message = str(error.value)
    assert "\n" not in message and path.name in message
    return message


def test_audio_that_cannot_be_spoken(tmp_path, tools):
    write_wav(tmp_path / "silent.wav", np.zeros(3 * SAMPLE_RATE, np.float32))
    assert "silent" in error_of(tmp_path / "silent.wav", tools, SilentAudioError)
    tone = 0.3 * np.sin(2 * np.pi * 300 * np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE)
    write_wav(tmp_path / "short.wav", tone[:1000].astype(np.float32))
    assert "62 ms" in error_of(tmp_path / "short.wav", tools, ClipTooShortError)
    write_wav(tmp_path / "tone.wav", tone.astype(np.float32))
    assert "nobody speaks" in error_of(tmp_path / "tone.wav", tools, PresenterError)
    error_of(tmp_path / "missing.wav", tools, MissingFileError)
    error_of(make_video(tmp_path / "mute.mp4", options=("-an",)), tools, NoAudioError)


def test_speech_that_the_other_channel_cancels_is_heard(tools, voice, tmp_path):
    """As of a microphone with one wire swapped."""
    write_wav(tmp_path / "mono.wav", voice, VOICE_RATE)
    ffmpeg("-i", tmp_path / "mono.wav", "-af", "pan=stereo|c0=c0|c1=-1*c0", tmp_path / "two.wav")
    alone, inverted = (read_speech(tmp_path / name, tools) for name in ("mono.wav", "two.wav"))
    assert np.array_equal(inverted.has_speech, alone.has_speech) and alone.has_speech.any()
    assert np.allclose(inverted.embedding, alone.embedding, atol=1e-3)

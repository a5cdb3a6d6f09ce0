"""Containers that are taken by their suffix can be read."""

from pathlib import Path

import numpy as np
import pytest

from src.media.reader import read_audio
from src.media.suffixes import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from tests.support.media_files import (
    burst_delays,
    ffmpeg,
    make_video,
    read_frame_numbers,
    write_audio,
)

H264 = ("-c:v", "libx264", "-c:a", "aac")
MPEG2 = ("-c:v", "mpeg2video", "-q:v", "2")
VIDEOS = {
    ".MTS": ("-c:v", "libx264", "-c:a", "ac3"), ".m2ts": ("-c:v", "libx264", "-c:a", "ac3"),
    ".mxf": (*MPEG2, "-c:a", "pcm_s16le"), ".VOB": (*MPEG2, "-c:a", "ac3"), ".f4v": H264,
    ".3gp": H264,
}  # fmt: skip
AUDIOS = {
    ".opus": "libopus", ".wma": "wmav2", ".aiff": "pcm_s16be", ".caf": "alac", ".mka": "flac",
}  # fmt: skip


@pytest.mark.parametrize("suffix", VIDEOS)
def test_a_video_of_a_camera_or_disc_is_read(tmp_path, suffix):
    assert suffix.lower() in VIDEO_SUFFIXES
    path = tmp_path / f"v{suffix}"
    ffmpeg("-i", make_video(tmp_path / "plain.mp4"), *VIDEOS[suffix], path)
    numbers = read_frame_numbers(path)
    assert np.abs(numbers - np.arange(len(numbers))).max() <= 1 and len(numbers) >= 88
    assert np.abs(burst_delays(read_audio(path))).max() <= 0.002


@pytest.mark.parametrize("suffix", AUDIOS)
def test_audio_of_a_recorder_is_read(tmp_path: Path, suffix):
    assert suffix in AUDIO_SUFFIXES
    path = tmp_path / f"a{suffix}"
    ffmpeg("-i", write_audio(tmp_path / "plain.wav"), "-c:a", AUDIOS[suffix], path)
    # WMA does not say how long the delay of its encoder is; here it is one frame.
    max_delay_s = 2048 / 48000 if suffix == ".wma" else 0.0
    assert np.abs(burst_delays(read_audio(path))).max() <= max_delay_s + 0.002

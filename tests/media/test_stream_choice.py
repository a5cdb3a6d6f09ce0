"""Which of several streams of a file is used: by the default flag, then what can be decoded."""

from pathlib import Path

import numpy as np
import pytest

from src.core.errors import ConfigError
from src.media.container import probe
from src.media.reader import first_frame_s, read_audio, read_frames
from src.media.stream_choice import StreamChoice
from src.media.streams import read_source
from tests.support.media_files import (
    BURSTS,
    SECONDS,
    burst_delays,
    ffmpeg,
    make_video,
    read_code,
    write_audio,
)

LATER_S = 0.2  # by how much the bursts of the second audio stream are later


def with_two_audios(path: Path, *options) -> Path:
    """A video whose second audio stream is ``LATER_S`` later."""
    plain = make_video(path.with_name("plain.mp4"))
    times = np.array(BURSTS) + LATER_S
    second = write_audio(path.with_name("second.wav"), 44100, 2, times, SECONDS)
    ffmpeg("-i", plain, "-i", second, "-map", "0:v", "-map", "0:a", "-map", "1:a",
           "-c:v", "copy", "-c:a", "aac", *options, path)  # fmt: skip
    return path


def with_unknown_first_codec(path: Path) -> Path:
    """Two audio streams, of which the first one has another codec than its data, as phones write
    spatial audio that nothing else can decode."""
    content = with_two_audios(path).read_bytes()
    for known, unknown in ((b"mp4a", b"apac"), (b"esds", b"dapa")):
        assert content.count(known) == 2
        content = content.replace(known, unknown, 1)
    path.write_bytes(content)
    return path


def delay_s(path: Path, streams=None) -> float:
    audio = read_audio(path, streams) if streams else read_audio(path)
    return float(np.median(burst_delays(audio, np.array(BURSTS[:-1]))))


def test_the_default_flag_decides(tmp_path):
    first = with_two_audios(
        tmp_path / "first.mkv", "-disposition:a:0", "default", "-disposition:a:1", "0"
    )
    second = with_two_audios(
        tmp_path / "second.mkv", "-disposition:a:0", "0", "-disposition:a:1", "default"
    )
    assert delay_s(first) == pytest.approx(0, abs=0.002)
    assert delay_s(second) == pytest.approx(LATER_S, abs=0.002)
    assert (probe(first).audio_stream, probe(second).audio_stream) == (1, 2)
    assert probe(second).other_audios == ((1, "aac"),)
    assert probe(second).audio_channels == 2, "the header is that of the stream that is used"
    assert read_source(second).audio.number == 1


def test_a_stream_that_cannot_be_decoded_is_passed_over(tmp_path):
    path = with_unknown_first_codec(tmp_path / "phone.mp4")
    assert probe(path).audio_stream == 2
    assert delay_s(path) == pytest.approx(LATER_S, abs=0.002)


def test_a_number_decides_before_the_flag(tmp_path):
    path = with_two_audios(
        tmp_path / "a.mkv", "-disposition:a:0", "0", "-disposition:a:1", "default"
    )
    assert delay_s(path, StreamChoice(audio=1)) == pytest.approx(0, abs=0.002)
    assert delay_s(path, StreamChoice(audio=2)) == pytest.approx(LATER_S, abs=0.002)
    for read in (probe, read_audio):
        with pytest.raises(ConfigError, match=r"a\.mkv has no audio track 3: it has 2"):
            read(path, StreamChoice(audio=3))


def with_two_videos(path: Path, *options) -> Path:
    """The second video stream begins 0.2 s later, with the frame of that time."""
    plain = make_video(path.with_name("plain.mp4"))
    ffmpeg("-i", plain, "-map", "0:v", "-map", "0:v", "-map", "0:a", "-c:v", "libx264", "-bf", "0",
           "-filter:v:1", "trim=start_frame=5", "-c:a", "copy", *options, path)  # fmt: skip
    return path


def test_video_and_audio_are_on_the_clock_of_the_video_that_is_used(tmp_path):
    path = with_two_videos(
        tmp_path / "screen.mkv", "-disposition:v:0", "0", "-disposition:v:1", "default"
    )
    for streams, first in ((StreamChoice(), 5), (StreamChoice(1), 0), (StreamChoice(2), 5)):
        frames = read_frames(path, streams=streams)
        assert read_code(next(frames).gray) == first
        assert delay_s(path, streams) == pytest.approx(-first / 25, abs=0.002)
        assert first_frame_s(path, streams) == pytest.approx(first / 25, abs=0.002)
    assert probe(path).video_stream == 2
    assert probe(path).other_videos == ((1, "h264, 128×96"),)
    with pytest.raises(ConfigError, match=r"screen\.mkv has no video track 3: it has 2"):
        next(read_frames(path, streams=StreamChoice(3)))

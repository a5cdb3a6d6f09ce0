"""Videos of every kind keep video and audio in sync: ``pytest -s`` prints the table.

Each video has a binary frame number in its frames and bursts in its audio, at known times.
``skew`` is how much later than the video the audio comes out of the reader.
"""

import numpy as np
import pytest

from src.core.constants import SAMPLE_RATE
from src.media import reader
from tests.support.clock_videos import VIDEOS, TimedVideo, coded, cut, frame_times
from tests.support.media_files import (
    BURSTS,
    SECONDS,
    burst_delays,
    ffmpeg,
    frame_delays,
    make_video,
    read_frame_numbers,
)

MEASURED: list[tuple[str, float, float]] = []  # video, skew in ms, limit in ms


@pytest.fixture(scope="module", autouse=True)
def table():
    """Prints the measurements when all tests have run."""
    yield
    width = max((len(name) for name, _, _ in MEASURED), default=0)
    print(f"\n\n{'video':{width}}  {'skew ms':>7}  {'limit':>5}")
    for name, skew, limit in MEASURED:
        print(f"{name:{width}}  {skew + 0:+7.2f}  {limit:5.0f}")


def measure(timed: TimedVideo) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The output of the reader.

    Returns:
        how late each burst is, in seconds; how late each frame at 25 fps is; which source frame it
        shows.
    """
    numbers = list(range(len(timed.times)) if timed.numbers is None else timed.numbers)
    indices = np.array([numbers.index(number) for number in read_frame_numbers(timed.path)])
    zero = timed.times[indices[0]]
    bursts = np.array(timed.bursts)
    if timed.audio_path is None:  # the first sample of a separate file is at the first frame
        bursts = bursts[bursts - zero > 0.05] - zero
    audio = reader.read_audio(timed.audio_path or timed.path)
    return burst_delays(audio, bursts), frame_delays(indices, timed.times, zero), indices


@pytest.mark.parametrize("name", VIDEOS)
def test_video_and_audio_stay_in_sync(tmp_path, name):
    make, limit = VIDEOS[name]
    timed = make(tmp_path)
    audio_delays, video_delays, indices = measure(timed)
    skew = 1000 * float(audio_delays.mean() - video_delays.mean())
    MEASURED.append((name, skew, limit))
    assert abs(skew) <= limit
    assert np.ptp(audio_delays) < 0.002, "the audio drifts or jumps"
    assert not video_delays.any(), "a frame is not output when it is due"
    n_frames = (timed.times[-1] - timed.times[indices[0]]) * 25 + 1
    assert len(indices) == pytest.approx(n_frames, abs=2)


def test_an_injected_skew_is_measured(tmp_path):
    late = make_video(tmp_path / "late.mp4", times=tuple(burst + 0.03 for burst in BURSTS))
    audio_delays, video_delays, _ = measure(TimedVideo(late, frame_times()))
    assert audio_delays == pytest.approx(0.03, abs=1e-3) and not video_delays.any()
    due = frame_times()
    due[10:] += 0.04  # from frame 10 on, frames are 40 ms early
    audio_delays, video_delays, _ = measure(TimedVideo(make_video(tmp_path / "early.mp4"), due))
    assert audio_delays == pytest.approx(0, abs=1e-3)
    assert video_delays[12:] == pytest.approx(-0.04)


@pytest.mark.parametrize("start", [0.2, 0.25, 0.485, 1.003])
def test_a_cut_video_starts_with_the_first_frame_after_the_cut(tmp_path, start):
    numbers = read_frame_numbers(cut("mp4", start)(tmp_path).path)
    assert numbers.tolist() == list(range(int(np.ceil(start * 25)), len(frame_times())))


def test_audio_before_the_first_frame_is_skipped(tmp_path):
    for suffix in ("mp4", "ts", "mkv"):
        path = make_video(tmp_path / f"late.{suffix}", video_start=0.7)
        audio = reader.read_audio(path)
        assert len(audio) == pytest.approx((SECONDS - 0.7) * SAMPLE_RATE, rel=0.02)
        # The burst at 0.62 s is skipped, that at 1.53 s comes later.
        assert np.abs(audio[: round(0.5 * SAMPLE_RATE)]).max() < 0.02


@pytest.mark.parametrize("codec", ["libmp3lame", "aac", "mp2", "ac3"])
def test_lossy_audio_in_avi_is_as_late_as_ffmpeg_plays_it(tmp_path, codec):
    """The container cannot signal the encoder delay: 5 to 23 ms that no reader can know of."""
    path = make_video(tmp_path / "video.avi", **coded("-c:v", "mpeg4", "-c:a", codec))
    played = tmp_path / "played.wav"
    ffmpeg("-i", path, "-vn", "-c:a", "pcm_s16le", played)
    delays = burst_delays(reader.read_audio(path))
    assert delays == pytest.approx(burst_delays(reader.read_audio(played)), abs=1e-4)
    assert 0.005 < delays.mean() < 0.024

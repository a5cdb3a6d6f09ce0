"""Videos whose audio is shifted; clips and audio files that are written."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from src.core.errors import MediaError, OutputError
from src.correction import remux
from src.media import container as container_module
from src.media import reader, writer
from tests.support.media_files import (
    BURSTS,
    HEIGHT,
    PCM,
    PS,
    RATE,
    SECONDS,
    VP9,
    WIDTH,
    burst_audio,
    burst_delays,
    check_frame_times,
    code_image,
    corner_image,
    count_frames,
    ffmpeg,
    make_video,
    video_packets,
    write_audio,
)

# ---------------------------------------------------------------------------- shifted audio


def check_shifted(source: Path, audio: Path | None, target: Path, delay_ms: float, fps=25):
    """Shift the audio: the video must be complete and the bursts ``delay_ms`` later."""
    before = burst_delays(reader.read_audio(audio or source))
    remux.shift_audio(source, audio, target, delay_ms)
    rate_hz = float(Fraction(fps).limit_denominator(1001))
    times = np.arange(int(SECONDS * rate_hz)) / rate_hz
    video_delays = check_frame_times(target, times)
    assert count_frames(target) == count_frames(source) == len(times)
    expected = np.array(BURSTS) + before + delay_ms / 1000
    audio_delays = burst_delays(reader.read_audio(target), expected[expected < SECONDS - 0.1])
    skew = 1000 * (audio_delays - video_delays.mean())
    print(f"SKEW shifted {source.suffix} + {audio and audio.suffix} -> {target.suffix} by"
          f" {delay_ms:+} ms: {skew.mean():+.2f} ms")  # fmt: skip
    with av.open(str(target)) as container:
        stream = container.streams.audio[0]
        ends = [p.pts + (p.duration or 0) for p in container.demux(stream) if p.size]
        end_s = float(ends[-1] * stream.time_base)
    info = container_module.probe(target)
    assert end_s - info.video_start_s == pytest.approx(SECONDS, abs=0.12)
    return np.abs(skew).max()


LATE = {"audio_start": 0.4}
SHIFTS = {
    "own audio later": ("mp4", {}, None, "mp4", 237),
    "own audio earlier": ("mp4", {}, None, "mp4", -163.5),
    "own audio, not shifted": ("mp4", {}, None, "mp4", 0),
    "own late audio earlier": ("mp4", LATE, None, "mp4", -300),
    "own late audio later": ("mp4", LATE, None, "mkv", 120),
    "own early audio later": ("mp4", {"audio_start": -0.3}, None, "mp4", 90),
    "own early audio earlier": ("mp4", {"audio_start": -0.3}, None, "mp4", -90),
    "wav": ("mp4", {}, "wav", "mp4", 90),
    "wav earlier": ("mp4", {}, "wav", "mp4", -90),
    "wav to a video with late audio": ("mp4", LATE, "wav", "mp4", 40),
    "wav to a video with early audio": ("mp4", {"audio_start": -0.3}, "wav", "mp4", -40),
    "mp3": ("mp4", {}, "mp3", "mp4", 90),
    "m4a": ("mp4", {}, "m4a", "mp4", -90),
    "aac": ("mp4", {}, "aac", "mp4", 90),
    "ogg": ("mp4", {}, "ogg", "mp4", -90),
    "audio of another video": ("mp4", {}, "ts", "mp4", 55),
    "30 fps": ("mp4", {"fps": 30}, None, "mp4", 100),
    "29.97 fps to mov": ("mp4", {"fps": Fraction(30000, 1001)}, None, "mov", -100),
    "mkv to mkv": ("mkv", {}, None, "mkv", 100),
    "mp4 to mkv": ("mp4", {}, None, "mkv", -100),
    "ts to mp4": ("ts", LATE, None, "mp4", 100),
    "ts to ts": ("ts", {}, None, "ts", 100),
    "mpg to mp4": ("mpg", {"options": PS}, None, "mp4", 80),
    "mpg to mpg": ("mpg", {"options": PS}, None, "mpg", -80),
    "mpg and wav to mpg": ("mpg", {"options": PS}, "wav", "mpg", -80),
    "mp4 to webm": ("mp4", {}, None, "webm", 80),
    "webm to webm": ("webm", {"options": VP9}, None, "webm", -80),
    "webm to mp4": ("webm", {"options": VP9}, None, "mp4", -80),
    "avi to avi": ("avi", {"options": ["-c:v", "mpeg4", *PCM]}, None, "avi", 80),
    "avi to mp4": ("avi", {"options": ["-c:v", "mpeg4", "-bf", "2", *PCM]}, None, "mp4", 80),
    "avi h264 to mkv": ("avi", {"options": ["-c:v", "libx264", *PCM]}, None, "mkv", -80),
    "avi h264 to avi": ("avi", {"options": ["-c:v", "libx264", *PCM]}, None, "avi", -80),
    "mp4 to avi": ("mp4", {}, None, "avi", 80),
    "flv to flv": ("flv", {}, None, "flv", 80),
    "mp4 to wmv": ("mp4", {}, None, "wmv", 80),
    "mp4 to m4v": ("mp4", {}, None, "m4v", 80),
}


@pytest.mark.parametrize("name", SHIFTS)
def test_audio_is_shifted_and_video_unchanged(tmp_path, name):
    suffix, arguments, audio_suffix, target_suffix, delay = SHIFTS[name]
    fps = arguments.get("fps", 25)
    source, audio = make_video(tmp_path / f"video.{suffix}", **arguments), None
    if audio_suffix == "ts":
        audio = make_video(tmp_path / "other.ts", audio_start=0.2)
    elif audio_suffix:
        audio = tmp_path / f"audio.{audio_suffix}"
        codec = ["-c:a", "libvorbis"] if audio_suffix == "ogg" else []
        ffmpeg("-i", write_audio(tmp_path / "plain.wav", 44100, 2), *codec, audio)
    target = tmp_path / f"target.{target_suffix}"
    assert check_shifted(source, audio, target, delay, fps) <= 2
    if suffix == target_suffix and name != "avi h264 to avi":
        assert video_packets(target) == video_packets(source), "the video is copied"


def test_variable_frame_rates_keep_every_frame(tmp_path):
    source = tmp_path / "vfr.mkv"
    frames = b"".join(code_image(k).tobytes() for k in range(60))
    audio = write_audio(tmp_path / "audio.wav")
    ffmpeg(
        "-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{WIDTH}x{HEIGHT}", "-framerate", 25,
        "-i", "pipe:", "-i", audio, "-vf", "setpts='(N+floor(N/7)*3)/25/TB'", "-fps_mode", "vfr",
        source, stdin=frames,
    )  # fmt: skip
    times = np.array([k + k // 7 * 3 for k in range(60)]) / 25
    for suffix in ("mp4", "webm"):
        target = tmp_path / f"target.{suffix}"
        remux.shift_audio(source, None, target, 50)
        assert count_frames(target) == 60
        check_frame_times(target, times)
        delays = burst_delays(reader.read_audio(target), np.array(BURSTS) + 0.05)
        assert np.abs(delays).max() <= 0.002


def test_audio_is_cut_or_padded_to_the_duration_of_the_video(tmp_path):
    source, target = make_video(tmp_path / "video.mp4"), tmp_path / "target.mkv"
    for seconds in (1.0, 9.0):
        audio = write_audio(tmp_path / "audio.wav", 16000, 1, (0.5,), seconds)
        remux.shift_audio(source, audio, target, 0)
        corrected = reader.read_audio(target)
        assert len(corrected) == pytest.approx(SECONDS * RATE, abs=0.05 * RATE)
        assert np.abs(burst_delays(corrected, (0.5,))).max() <= 0.001


def test_sample_rate_and_channels_are_preserved(tmp_path):
    source = make_video(tmp_path / "video.mp4", rate=44100, channels=2)
    remux.shift_audio(source, None, tmp_path / "target.mp4", 30)
    info = container_module.probe(tmp_path / "target.mp4")
    assert (info.audio_rate, info.audio_channels) == (44100, 2)


def test_an_output_with_an_unknown_suffix_is_rejected(tmp_path):
    source = make_video(tmp_path / "video.mp4")
    for name in ("target", "target.xyz"):
        with pytest.raises(OutputError, match=name):
            remux.shift_audio(source, None, tmp_path / name, 0)
    assert list(tmp_path.iterdir()) == [source]


def test_an_output_in_a_missing_folder_is_rejected(tmp_path):
    with pytest.raises(OutputError, match=r"nowhere"):
        remux.shift_audio(make_video(tmp_path / "a.mp4"), None, tmp_path / "nowhere" / "b.mp4", 0)


def test_failed_input_leaves_no_files(tmp_path):
    source, target = make_video(tmp_path / "video.mp4"), tmp_path / "out.mp4"
    target.write_bytes(b"precious")
    broken = make_video(tmp_path / "audio.mp4")
    with av.open(str(source)) as container:
        assert container.streams.video  # the source is intact: only the audio is not
    broken.write_bytes(broken.read_bytes()[:3000])
    with pytest.raises(MediaError, match=r"audio\.mp4"):
        remux.shift_audio(source, broken, target, 0)
    assert target.read_bytes() == b"precious"
    assert not list(tmp_path.glob(".*"))


def test_shifting_audio_preserves_rotation(tmp_path):
    plain, turned = make_video(tmp_path / "plain.mp4"), tmp_path / "turned.mp4"
    ffmpeg("-display_rotation", 90, "-i", plain, "-c", "copy", turned)
    for suffix in ("mp4", "webm"):
        remux.shift_audio(turned, None, tmp_path / f"target.{suffix}", 40)
        frame = next(reader.read_frames(tmp_path / f"target.{suffix}"))
        assert (frame.width, frame.height) == (HEIGHT, WIDTH)


def test_write_clip_and_probe(tmp_path):
    path = tmp_path / "clip.mp4"
    writer.write_clip(path, [corner_image()] * 30, 30, burst_audio(24000)[:24000], 24000)
    info = container_module.probe(path)
    assert (info.has_video, info.has_audio, info.width, info.height) == (True, True, 160, 90)
    assert (info.fps, info.audio_rate, info.audio_channels) == (30, 24000, 1)
    assert info.duration_s == pytest.approx(1, abs=0.05)
    assert info.video_start_s == pytest.approx(0, abs=1e-6)


def test_write_wav(tmp_path):
    from scipy.io import wavfile

    samples = np.array([0, 0.5, -0.5, 1.5, -1.5], np.float32)
    writer.write_wav(tmp_path / "a.wav", samples, 8000)
    rate, written = wavfile.read(tmp_path / "a.wav")
    assert rate == 8000 and written.tolist() == [0, 16383, -16383, 32767, -32767]

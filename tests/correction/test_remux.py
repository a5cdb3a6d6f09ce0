"""Writing films, and the sound moved under its picture."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from src.core.errors import MediaError, OutputError
from src.correction import remux
from src.media import container as containers
from src.media import reader as media
from src.media import writer
from tests.support.films import (
    BURSTS,
    HEIGHT,
    PCM,
    PS,
    RATE,
    SECONDS,
    VP9,
    WIDTH,
    burst_errors,
    bursts,
    code_picture,
    corner_picture,
    count_pictures,
    ffmpeg,
    film,
    packets,
    picture_errors,
    write_sound,
)

# ---------------------------------------------------------------------------- moving the sound


def check_moved(source: Path, sound: Path | None, target: Path, delay_ms: float, fps=25):
    """Move the sound; the film must be whole and its bursts ``delay_ms`` later."""
    before = burst_errors(media.read_audio(sound or source))
    remux.shift_audio(source, sound, target, delay_ms)
    rate_hz = float(Fraction(fps).limit_denominator(1001))
    times = np.arange(int(SECONDS * rate_hz)) / rate_hz
    pictures = picture_errors(target, times)
    assert count_pictures(target) == count_pictures(source) == len(times)
    expected = np.array(BURSTS) + before + delay_ms / 1000
    found = burst_errors(media.read_audio(target), expected[expected < SECONDS - 0.1])
    skew = 1000 * (found - pictures.mean())
    print(f"SKEW moved {source.suffix} + {sound and sound.suffix} -> {target.suffix} by"
          f" {delay_ms:+} ms: {skew.mean():+.2f} ms")  # fmt: skip
    with av.open(str(target)) as container:
        audio = container.streams.audio[0]
        last = [p.pts + (p.duration or 0) for p in container.demux(audio) if p.size][-1]
        length = float(last * audio.time_base)
    info = containers.probe(target)
    assert length - info.video_start_s == pytest.approx(SECONDS, abs=0.12)
    return np.abs(skew).max()


LATE = {"late": 0.4}
MOVES = {
    "own later": ("mp4", {}, None, "mp4", 237),
    "own earlier": ("mp4", {}, None, "mp4", -163.5),
    "own, not at all": ("mp4", {}, None, "mp4", 0),
    "own late track earlier": ("mp4", LATE, None, "mp4", -300),
    "own late track later": ("mp4", LATE, None, "mkv", 120),
    "own early track later": ("mp4", {"late": -0.3}, None, "mp4", 90),
    "own early track earlier": ("mp4", {"late": -0.3}, None, "mp4", -90),
    "wav": ("mp4", {}, "wav", "mp4", 90),
    "wav earlier": ("mp4", {}, "wav", "mp4", -90),
    "wav to a film with late sound": ("mp4", LATE, "wav", "mp4", 40),
    "wav to a film with early sound": ("mp4", {"late": -0.3}, "wav", "mp4", -40),
    "mp3": ("mp4", {}, "mp3", "mp4", 90),
    "m4a": ("mp4", {}, "m4a", "mp4", -90),
    "aac": ("mp4", {}, "aac", "mp4", 90),
    "ogg": ("mp4", {}, "ogg", "mp4", -90),
    "sound of another film": ("mp4", {}, "ts", "mp4", 55),
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


@pytest.mark.parametrize("name", MOVES)
def test_sound_is_moved_and_the_picture_kept(tmp_path, name):
    suffix, arguments, sound_suffix, target_suffix, delay = MOVES[name]
    fps = arguments.get("fps", 25)
    source, sound = film(tmp_path / f"film.{suffix}", **arguments), None
    if sound_suffix == "ts":
        sound = film(tmp_path / "other.ts", late=0.2)
    elif sound_suffix:
        sound = tmp_path / f"sound.{sound_suffix}"
        codec = ["-c:a", "libvorbis"] if sound_suffix == "ogg" else []
        ffmpeg("-i", write_sound(tmp_path / "plain.wav", 44100, 2), *codec, sound)
    target = tmp_path / f"target.{target_suffix}"
    assert check_moved(source, sound, target, delay, fps) <= 2
    if suffix == target_suffix and name != "avi h264 to avi":
        assert packets(target) == packets(source), "the pictures are copied as they are"


def test_changing_frame_rates_keep_every_picture(tmp_path):
    source = tmp_path / "vfr.mkv"
    pictures = b"".join(code_picture(k).tobytes() for k in range(60))
    sound = write_sound(tmp_path / "sound.wav")
    ffmpeg(
        "-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{WIDTH}x{HEIGHT}", "-framerate", 25,
        "-i", "pipe:", "-i", sound, "-vf", "setpts='(N+floor(N/7)*3)/25/TB'", "-fps_mode", "vfr",
        source, pictures=pictures,
    )  # fmt: skip
    times = np.array([k + k // 7 * 3 for k in range(60)]) / 25
    for suffix in ("mp4", "webm"):
        target = tmp_path / f"target.{suffix}"
        remux.shift_audio(source, None, target, 50)
        assert count_pictures(target) == 60
        picture_errors(target, times)
        heard = burst_errors(media.read_audio(target), np.array(BURSTS) + 0.05)
        assert np.abs(heard).max() <= 0.002


def test_sound_is_cut_or_continued_to_the_length_of_the_picture(tmp_path):
    source, target = film(tmp_path / "film.mp4"), tmp_path / "target.mkv"
    for seconds in (1.0, 9.0):
        sound = write_sound(tmp_path / "sound.wav", 16000, 1, (0.5,), seconds)
        remux.shift_audio(source, sound, target, 0)
        heard = media.read_audio(target)
        assert len(heard) == pytest.approx(SECONDS * RATE, abs=0.05 * RATE)
        assert np.abs(burst_errors(heard, (0.5,))).max() <= 0.001


def test_rate_and_channels_of_the_sound_are_kept(tmp_path):
    source = film(tmp_path / "film.mp4", rate=44100, channels=2)
    remux.shift_audio(source, None, tmp_path / "target.mp4", 30)
    info = containers.probe(tmp_path / "target.mp4")
    assert (info.audio_rate, info.audio_channels) == (44100, 2)


def test_an_output_without_a_known_suffix_is_refused(tmp_path):
    source = film(tmp_path / "film.mp4")
    for name in ("target", "target.xyz"):
        with pytest.raises(OutputError, match=name):
            remux.shift_audio(source, None, tmp_path / name, 0)
    assert list(tmp_path.iterdir()) == [source]


def test_an_output_in_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(OutputError, match=r"nowhere"):
        remux.shift_audio(film(tmp_path / "a.mp4"), None, tmp_path / "nowhere" / "b.mp4", 0)


def test_a_failing_encoder_leaves_nothing(tmp_path):
    source, target = film(tmp_path / "film.mp4"), tmp_path / "out.mp4"
    target.write_bytes(b"precious")
    broken = film(tmp_path / "sound.mp4")
    with av.open(str(source)) as container:
        assert container.streams.video  # the source is fine: only the target's folder is not
    broken.write_bytes(broken.read_bytes()[:3000])
    with pytest.raises(MediaError, match=r"sound\.mp4"):
        remux.shift_audio(source, broken, target, 0)
    assert target.read_bytes() == b"precious"
    assert not list(tmp_path.glob(".*"))


def test_moving_the_sound_keeps_the_rotation(tmp_path):
    plain, turned = film(tmp_path / "plain.mp4"), tmp_path / "turned.mp4"
    ffmpeg("-display_rotation", 90, "-i", plain, "-c", "copy", turned)
    for suffix in ("mp4", "webm"):
        remux.shift_audio(turned, None, tmp_path / f"target.{suffix}", 40)
        picture = next(media.read_frames(tmp_path / f"target.{suffix}"))
        assert (picture.width, picture.height) == (HEIGHT, WIDTH)


def test_write_clip_and_probe(tmp_path):
    path = tmp_path / "clip.mp4"
    writer.write_clip(path, [corner_picture()] * 30, 30, bursts(24000)[:24000], 24000)
    info = containers.probe(path)
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

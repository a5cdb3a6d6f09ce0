"""Containers and clocks: films carry a binary timecode in the picture and bursts in the sound."""

import hashlib
import itertools
import subprocess
import wave
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest
from scipy.signal import correlate, resample_poly

from src import media
from src.errors import (
    MediaError,
    MissingFileError,
    NoAudioError,
    NoVideoError,
    OutputError,
    UnreadableMediaError,
)

HEIGHT, WIDTH, COLUMNS, ROWS = 96, 128, 4, 3
SECONDS = 3.6
BURSTS = (0.62, 1.53, 2.34, 3.1)  # seconds of the film at which the bursts are loudest
RATE = media.SAMPLE_RATE


def code_picture(number: int) -> np.ndarray:
    """uint8 BGR: ``number`` as 12 black or white blocks."""
    bits = [(number >> bit) & 1 for bit in range(COLUMNS * ROWS)]
    blocks = np.array(bits, np.uint8).reshape(ROWS, COLUMNS) * 219 + 16
    picture = np.kron(blocks, np.ones((HEIGHT // ROWS, WIDTH // COLUMNS), np.uint8))
    return np.repeat(picture[..., None], 3, axis=2)


def read_code(gray: np.ndarray) -> int:
    height, width = gray.shape[0] // ROWS, gray.shape[1] // COLUMNS
    means = [
        gray[r * height + 4 : (r + 1) * height - 4, c * width + 4 : (c + 1) * width - 4].mean()
        for r in range(ROWS)
        for c in range(COLUMNS)
    ]
    return sum(1 << bit for bit, mean in enumerate(means) if mean > 128)


def bursts(rate: int, times=BURSTS, seconds: float = SECONDS) -> np.ndarray:
    """float32 mono: short chirps, loudest at ``times``."""
    at = np.arange(round(seconds * rate)) / rate
    sound = np.zeros(len(at))
    for time in times:
        since = at - time
        sound += np.exp(-0.5 * (since / 0.004) ** 2) * np.sin(2 * np.pi * (1200 + 6e4 * since) * since)
    return (0.5 * sound).astype(np.float32)


def burst_errors(sound: np.ndarray, times=BURSTS) -> np.ndarray:
    """How late, in seconds, each burst is found in ``sound`` (16 kHz)."""
    errors = []
    for time in times:
        one = bursts(RATE, [time], len(sound) / RATE)
        lags = correlate(sound, one, "full")
        zero = len(one) - 1
        near = lags[zero - 7000 : zero + 7001]  # ±437 ms: nearer than the next burst
        peak = int(np.argmax(near))
        assert near[peak] > 0.3 * (one @ one), "the burst is not there"
        errors.append((peak - 7000) / RATE)
    return np.array(errors)


def write_sound(path: Path, rate=48000, channels=1, times=BURSTS, seconds=SECONDS) -> Path:
    samples = (bursts(rate, times, seconds) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.repeat(samples, channels).tobytes())
    return path


def ffmpeg(*arguments, pictures=None) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-y", *map(str, arguments)]
    subprocess.run(command, input=pictures, check=True, stderr=subprocess.PIPE)


def film(path: Path, fps=25, late=0.0, rate=48000, channels=1, options=(), times=BURSTS) -> Path:
    """A film whose frame ``k`` shows the number ``k`` and whose bursts sound at ``times``."""
    rate_hz = Fraction(fps).limit_denominator(1001)
    count = int(SECONDS * rate_hz)
    pictures = b"".join(code_picture(k).tobytes() for k in range(count))
    sound = path.with_name(f"{path.stem}-{path.suffix[1:]}-source.wav")
    write_sound(sound, rate, channels, [time - late for time in times], SECONDS - late)
    ffmpeg(
        "-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{WIDTH}x{HEIGHT}", "-framerate", rate_hz,
        "-i", "pipe:", "-itsoffset", late, "-i", sound, "-map", "0:v", "-map", "1:a",
        *options, path.absolute(), pictures=pictures,
    )  # fmt: skip
    return path


def picture_errors(path: Path, times: np.ndarray) -> np.ndarray:
    """How late, in seconds, the picture shown on each place of the 25 fps grid is."""
    shown = np.array([read_code(picture.gray) for picture in media.read_pictures(path)])
    errors = times[shown] - np.arange(len(shown)) / media.FPS
    # Each is the nearest there is (containers count in milliseconds at worst).
    best = np.abs(times[None] - np.arange(len(shown))[:, None] / media.FPS).min(1)
    assert np.all(np.abs(errors) <= best + 0.0015)
    return errors


def skew_ms(path: Path, fps=25, sound: Path | None = None) -> float:
    """How late the sound is against the picture after reading both, in ms."""
    rate_hz = float(Fraction(fps).limit_denominator(1001))
    times = np.arange(int(SECONDS * rate_hz)) / rate_hz
    pictures = picture_errors(path, times)
    assert len(pictures) == pytest.approx(SECONDS * media.FPS, abs=1)
    sounds = burst_errors(media.read_audio(sound or path))
    assert np.ptp(sounds) < 0.002, "the sound drifts or jumps"
    return float(1000 * (sounds.mean() - pictures.mean()))


PS = ["-c:v", "mpeg1video", "-c:a", "mp2", "-f", "mpeg"]
PCM = ["-c:a", "pcm_s16le"]
VP9 = ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus"]
FILMS = {
    "25 mp4": ("mp4", {}, 5),
    "24 mp4": ("mp4", {"fps": 24}, 5),
    "29.97 mp4": ("mp4", {"fps": Fraction(30000, 1001)}, 5),
    "30 mp4": ("mp4", {"fps": 30}, 5),
    "60 mp4": ("mp4", {"fps": 60}, 5),
    "50 mov": ("mov", {"fps": 50}, 5),
    "sound 400 ms late mp4": ("mp4", {"late": 0.4}, 5),
    "sound 400 ms late ts": ("ts", {"late": 0.4}, 5),
    "sound 400 ms late mkv": ("mkv", {"late": 0.4}, 5),
    "sound 300 ms early mp4": ("mp4", {"late": -0.3}, 5),
    "mpeg-ps": ("mpg", {"options": PS, "rate": 44100}, 5),
    "mkv": ("mkv", {}, 5),
    "mkv flac": ("mkv", {"options": ["-c:a", "flac"]}, 5),
    "mkv mp3": ("mkv", {"options": ["-c:a", "libmp3lame"]}, 5),
    "webm vp9 opus": ("webm", {"options": VP9}, 10),
    "avi mpeg4": ("avi", {"options": ["-c:v", "mpeg4", *PCM]}, 5),
    "avi mpeg4 B-frames": ("avi", {"options": ["-c:v", "mpeg4", "-bf", "2", *PCM]}, 5),
    "avi h264 B-frames": ("avi", {"options": ["-c:v", "libx264", *PCM]}, 5),
    "flv": ("flv", {"rate": 44100}, 5),
    "44.1 kHz stereo": ("mp4", {"rate": 44100, "channels": 2}, 5),
    "8 kHz mono": ("mp4", {"rate": 8000}, 5),
    "no B-frames": ("mp4", {"options": ["-bf", "0"]}, 5),
    "fragmented mp4": ("mp4", {"options": ["-movflags", "frag_keyframe+empty_moov"]}, 5),
}


@pytest.mark.parametrize("name", FILMS)
def test_picture_and_sound_stay_together(tmp_path, name):
    suffix, arguments, limit = FILMS[name]
    path = film(tmp_path / f"film.{suffix}", **arguments)
    skew = skew_ms(path, arguments.get("fps", 25))
    print(f"SKEW {name}: {skew:+.2f} ms")
    assert abs(skew) <= limit


def test_variable_frame_rate(tmp_path):
    path = tmp_path / "vfr.mp4"
    rng = np.random.default_rng(5)
    times = np.cumsum(rng.choice([17, 33, 40, 50, 120, 300], 60)) / 1000
    times -= times[0]
    total = float(times[-1]) + 0.3
    silent, sound = tmp_path / "silent.mp4", tmp_path / "sound.wav"
    with av.open(str(silent), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(code_picture(number), format="bgr24")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    at = (0.5, 1.7, total - 0.7)
    write_sound(sound, 48000, 1, at, total)
    ffmpeg("-i", silent, "-i", sound, "-c:v", "copy", path)
    errors = picture_errors(path, times)
    assert len(errors) == pytest.approx(times[-1] * 25 + 1, abs=3)
    heard = burst_errors(media.read_audio(path), at)
    skew = 1000 * (heard.mean() - np.median(errors))
    print(f"SKEW VFR: {skew:+.2f} ms")
    assert np.abs(heard).max() < 0.002


def test_gap_in_the_sound_is_silence(tmp_path):
    whole, path = film(tmp_path / "whole.mkv", options=["-c:a", "flac"]), tmp_path / "gap.mkv"
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        streams = {s.index: target.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.size == 0:
                continue
            if packet.stream.type == "audio" and 1.0 < float(packet.pts * packet.time_base) < 2.0:
                continue
            packet.stream = streams[packet.stream.index]
            target.mux(packet)
    sound = media.read_audio(path)
    kept = (BURSTS[0], BURSTS[2], BURSTS[3])
    assert np.abs(burst_errors(sound, kept)).max() < 0.002
    assert np.abs(sound[round(1.2 * RATE) : round(1.9 * RATE)]).max() == 0


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "m4a", "aac", "ogg", "opus"])
@pytest.mark.parametrize(("rate", "channels"), [(48000, 2), (44100, 1), (8000, 1)])
def test_sound_files(tmp_path, suffix, rate, channels):
    source = write_sound(tmp_path / "source.wav", rate, channels)
    path = tmp_path / f"sound.{suffix}"
    ffmpeg("-i", source, "-map_metadata", "-1", *(["-c:a", "libvorbis"] if suffix == "ogg" else []),
           path)  # fmt: skip
    sound = media.read_audio(path)
    assert sound.dtype == np.float32 and sound.ndim == 1
    errors = burst_errors(sound)
    print(f"SKEW {suffix} {rate}: {1000 * errors.mean():+.2f} ms")
    # Raw .aac cannot say how much of its beginning is the encoder's: 1024 samples and more.
    limit = 0.4 * 0.48 if suffix == "aac" else 0.005
    assert np.abs(errors).max() <= limit
    assert len(sound) == pytest.approx(SECONDS * RATE, abs=0.14 * RATE if suffix != "aac" else 6000)
    if suffix in ("wav", "flac"):
        assert np.corrcoef(sound, bursts(RATE)[: len(sound)])[0, 1] > 0.999


def test_channels_are_averaged(tmp_path):
    left = bursts(RATE)
    path = tmp_path / "stereo.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        both = np.stack([left, np.zeros_like(left)], 1)
        file.writeframes((both * 32767).astype("<i2").tobytes())
    sound = media.read_audio(path)
    factor = (sound @ left) / (left @ left)
    assert 0.49 < factor < 0.72 and np.allclose(sound, factor * left, atol=1e-3)


def test_sound_before_the_first_picture_is_left_out(tmp_path):
    path = film(tmp_path / "early.mp4", late=-0.7)
    sound = media.read_audio(path)
    assert np.abs(burst_errors(sound)).max() < 0.002
    assert len(sound) <= (SECONDS + 0.1) * RATE


# ---------------------------------------------------------------------------- moving the sound


def packets(path: Path) -> list[str]:
    """A hash of each packet of the pictures."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [hashlib.sha256(bytes(p)).hexdigest() for p in container.demux(stream) if p.size]


def count_pictures(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(container.streams.video[0]))


def check_moved(source: Path, sound: Path | None, target: Path, delay_ms: float, fps=25):
    """Move the sound; the film must be whole and its bursts ``delay_ms`` later."""
    before = burst_errors(media.read_audio(sound or source))
    media.move_sound(source, sound, target, delay_ms)
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
    info = media.probe(target)
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

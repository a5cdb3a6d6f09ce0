"""Containers and clocks: films carry a binary timecode in the picture and bursts in the sound."""

import hashlib
import itertools
import os
import shutil
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
        sound += np.exp(-0.5 * (since / 0.004) ** 2) * np.sin(
            2 * np.pi * (1200 + 6e4 * since) * since
        )
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


@pytest.fixture(scope="session", autouse=True)
def shelf(tmp_path_factory):
    """Films that were made once are copied when they are asked for again."""
    _shelf["folder"] = tmp_path_factory.mktemp("shelf")


_shelf: dict = {}


def film(path: Path, **arguments) -> Path:
    """A film whose frame ``k`` shows the number ``k`` and whose bursts sound at ``times``."""
    key = hashlib.sha256(repr(sorted(arguments.items())).encode()).hexdigest()[:16]
    kept = _shelf["folder"] / f"{key}{path.suffix}"
    if not kept.exists():
        _make_film(kept, **arguments)
    shutil.copyfile(kept, path)
    return path


def _make_film(
    path: Path, fps=25, late=0.0, rate=48000, channels=1, options=(), times=BURSTS
) -> None:
    rate_hz = Fraction(fps).limit_denominator(1001)
    count = int(SECONDS * rate_hz)
    pictures = b"".join(code_picture(k).tobytes() for k in range(count))
    sound = path.with_name(f"{path.stem}-{path.suffix[1:]}-source.wav")
    write_sound(sound, rate, channels, [time - late for time in times], SECONDS - late)
    ffmpeg(
        "-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{WIDTH}x{HEIGHT}", "-framerate", rate_hz,
        "-i", "pipe:", "-itsoffset", late, "-i", sound, "-map", "0:v", "-map", "1:a",
        *options, path, pictures=pictures,
    )  # fmt: skip


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
    assert np.abs(errors).max() <= 0.005
    assert len(sound) == pytest.approx(SECONDS * RATE, abs=0.14 * RATE)
    if suffix in ("wav", "flac"):
        assert np.corrcoef(sound, bursts(RATE)[: len(sound)])[0, 1] > 0.999


def test_two_channels_are_averaged(tmp_path):
    left = bursts(RATE)
    path = tmp_path / "stereo.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        both = np.stack([left, np.zeros_like(left)], 1)
        file.writeframes((both * 32767).astype("<i2").tobytes())
    assert np.allclose(media.read_audio(path), left / 2, atol=1e-4)


@pytest.mark.parametrize("channels", [3, 4, 6, 8])
def test_many_channels(tmp_path, channels):
    source = film(tmp_path / "film.mp4")
    sound = write_sound(tmp_path / "many.wav", 48000, channels)
    assert np.abs(burst_errors(media.read_audio(sound))).max() < 0.001
    media.move_sound(source, sound, tmp_path / "out.mkv", 40)
    heard = media.read_audio(tmp_path / "out.mkv")
    assert np.abs(burst_errors(heard, np.array(BURSTS) + 0.04)).max() < 0.002


def test_sound_before_the_first_picture_is_left_out(tmp_path):
    path = film(tmp_path / "early.mp4", late=-0.7)
    sound = media.read_audio(path)
    assert np.abs(burst_errors(sound)).max() < 0.002
    assert len(sound) <= (SECONDS + 0.1) * RATE


# ---------------------------------------------------------------------------- moving the sound


def packets(path: Path) -> list[str]:
    """A hash of each packet of the pictures."""
    with av.open(str(path.absolute())) as container:
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
        media.move_sound(source, None, target, 50)
        assert count_pictures(target) == 60
        picture_errors(target, times)
        heard = burst_errors(media.read_audio(target), np.array(BURSTS) + 0.05)
        assert np.abs(heard).max() <= 0.002


def test_sound_is_cut_or_continued_to_the_length_of_the_picture(tmp_path):
    source, target = film(tmp_path / "film.mp4"), tmp_path / "target.mkv"
    for seconds in (1.0, 9.0):
        sound = write_sound(tmp_path / "sound.wav", 16000, 1, (0.5,), seconds)
        media.move_sound(source, sound, target, 0)
        heard = media.read_audio(target)
        assert len(heard) == pytest.approx(SECONDS * RATE, abs=0.05 * RATE)
        assert np.abs(burst_errors(heard, (0.5,))).max() <= 0.001


def test_rate_and_channels_of_the_sound_are_kept(tmp_path):
    source = film(tmp_path / "film.mp4", rate=44100, channels=2)
    media.move_sound(source, None, tmp_path / "target.mp4", 30)
    info = media.probe(tmp_path / "target.mp4")
    assert (info.audio_rate, info.audio_channels) == (44100, 2)


def test_an_output_without_a_known_suffix_is_refused(tmp_path):
    source = film(tmp_path / "film.mp4")
    for name in ("target", "target.xyz"):
        with pytest.raises(OutputError, match=name):
            media.move_sound(source, None, tmp_path / name, 0)
    assert list(tmp_path.iterdir()) == [source]


def test_an_output_in_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(OutputError, match=r"nowhere"):
        media.move_sound(film(tmp_path / "a.mp4"), None, tmp_path / "nowhere" / "b.mp4", 0)


def test_a_failing_encoder_leaves_nothing(tmp_path):
    source, target = film(tmp_path / "film.mp4"), tmp_path / "out.mp4"
    target.write_bytes(b"precious")
    broken = film(tmp_path / "sound.mp4")
    with av.open(str(source)) as container:
        assert container.streams.video  # the source is fine: only the target's folder is not
    broken.write_bytes(broken.read_bytes()[:3000])
    with pytest.raises(MediaError, match=r"sound\.mp4"):
        media.move_sound(source, broken, target, 0)
    assert target.read_bytes() == b"precious"
    assert not list(tmp_path.glob(".*"))


# ---------------------------------------------------------------------------- what pictures show


def corner_picture(height=90, width=160) -> np.ndarray:
    """White top left corner on black."""
    picture = np.full((height, width, 3), 16, np.uint8)
    picture[: height // 2, : width // 2] = 235
    return picture


def corners(gray: np.ndarray) -> list[bool]:
    """Which corners are white: top left, top right, bottom left, bottom right."""
    height, width = gray.shape
    places = [(y, x) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)]
    return [bool(gray[place] > 128) for place in places]


@pytest.mark.parametrize(
    ("turn", "expected"),
    [(0, (1, 0, 0, 0)), (90, (0, 0, 1, 0)), (180, (0, 0, 0, 1)), (270, (0, 1, 0, 0))],
)
def test_rotated_films_are_upright(tmp_path, turn, expected):
    """ffmpeg's -display_rotation turns the picture counterclockwise for the viewer."""
    plain, turned = tmp_path / "plain.mp4", tmp_path / "turned.mp4"
    media.write_clip(plain, [corner_picture()] * 5, 25, None)
    ffmpeg("-display_rotation", turn, "-i", plain, "-c", "copy", turned)
    upright = tmp_path / "upright.png"
    ffmpeg("-i", turned, "-frames:v", 1, upright)  # turned by ffmpeg itself: the reference
    picture = next(media.read_pictures(turned))
    assert picture.gray.shape == (picture.height, picture.width)
    assert picture.bgr.shape == (picture.height, picture.width, 3)
    assert (picture.width, picture.height) == ((160, 90) if turn % 180 == 0 else (90, 160))
    assert corners(picture.gray) == [bool(corner) for corner in expected]
    assert corners(picture.bgr[..., 1]) == corners(picture.small_bgr(80)[..., 1])
    assert max(picture.small_bgr(80).shape) == 80
    import cv2

    assert corners(cv2.imread(str(upright), cv2.IMREAD_GRAYSCALE)) == corners(picture.gray)


def test_moving_the_sound_keeps_the_rotation(tmp_path):
    plain, turned = film(tmp_path / "plain.mp4"), tmp_path / "turned.mp4"
    ffmpeg("-display_rotation", 90, "-i", plain, "-c", "copy", turned)
    for suffix in ("mp4", "webm"):
        media.move_sound(turned, None, tmp_path / f"target.{suffix}", 40)
        picture = next(media.read_pictures(tmp_path / f"target.{suffix}"))
        assert (picture.width, picture.height) == (HEIGHT, WIDTH)


@pytest.mark.parametrize("aspect", [Fraction(4, 3), Fraction(1, 2)])
def test_pixels_that_are_not_square_are_stretched(tmp_path, aspect):
    path = tmp_path / "wide.mp4"
    ffmpeg("-f", "lavfi", "-i", "color=gray:s=120x90:d=0.2",
           "-vf", f"setsar={aspect.numerator}/{aspect.denominator}", path)  # fmt: skip
    picture = next(media.read_pictures(path))
    assert (picture.width, picture.height) == (round(120 * aspect), 90)
    assert picture.gray.shape == (90, round(120 * aspect))


def test_odd_sizes(tmp_path):
    path = tmp_path / "odd.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=101x67:d=0.4:r=25", "-f", "lavfi", "-i",
           "sine=d=0.4", "-pix_fmt", "yuv444p", path)  # fmt: skip
    pictures = list(media.read_pictures(path))
    assert len(pictures) == 10
    assert pictures[0].gray.shape == (67, 101)
    media.move_sound(path, None, tmp_path / "odd.webm", 0)
    assert count_pictures(tmp_path / "odd.webm") == 10


@pytest.mark.parametrize(("fps", "count"), [(25, 50), (50, 50), (12.5, 50), (30, 50)])
def test_number_of_pictures(tmp_path, fps, count):
    path = tmp_path / "clip.mp4"
    media.write_clip(path, [corner_picture()] * round(2 * fps), fps, None)
    assert sum(1 for _ in media.read_pictures(path)) == count


def test_a_standing_picture_is_one_object(tmp_path):
    path = tmp_path / "slow.mp4"
    media.write_clip(path, [corner_picture(), corner_picture()[::-1]], 5, None)
    pictures = list(media.read_pictures(path))
    assert len(pictures) == 10
    assert len({id(picture) for picture in pictures}) == 2


def test_write_clip_and_probe(tmp_path):
    path = tmp_path / "clip.mp4"
    media.write_clip(path, [corner_picture()] * 30, 30, bursts(24000)[:24000], 24000)
    info = media.probe(path)
    assert (info.has_video, info.has_audio, info.width, info.height) == (True, True, 160, 90)
    assert (info.fps, info.audio_rate, info.audio_channels) == (30, 24000, 1)
    assert info.duration_s == pytest.approx(1, abs=0.05)
    assert info.video_start_s == pytest.approx(0, abs=1e-6)


def test_write_wav(tmp_path):
    from scipy.io import wavfile

    samples = np.array([0, 0.5, -0.5, 1.5, -1.5], np.float32)
    media.write_wav(tmp_path / "a.wav", samples, 8000)
    rate, written = wavfile.read(tmp_path / "a.wav")
    assert rate == 8000 and written.tolist() == [0, 16383, -16383, 32767, -32767]


def test_resampling_follows_the_sine(tmp_path):
    """A tone of 440 Hz at 48 kHz stays that tone, in phase, at 16 kHz."""
    at = np.arange(48000) / 48000
    media.write_wav(tmp_path / "tone.wav", 0.5 * np.sin(2 * np.pi * 440 * at), 48000)
    sound = media.read_audio(tmp_path / "tone.wav")
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(len(sound)) / RATE)
    assert len(sound) == pytest.approx(RATE, abs=2)
    assert np.abs(sound - expected)[200:-200].max() < 2e-3
    reference = resample_poly(0.5 * np.sin(2 * np.pi * 440 * at), 1, 3)
    assert np.abs(sound[200:15800] - reference[200:15800]).max() < 2e-3


# ---------------------------------------------------------------------------- bad files


def bad_file(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.mp4"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("this is no film\n" * 500)
    elif kind == "noise":
        path.write_bytes(np.random.default_rng(1).bytes(50_000))
    elif kind == "folder":
        path.mkdir()
    elif kind == "truncated":
        whole = film(folder / "whole.mp4")
        path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    return path


BAD = {
    "missing": MissingFileError,
    "folder": MissingFileError,
    "empty": UnreadableMediaError,
    "text": UnreadableMediaError,
    "noise": UnreadableMediaError,
    "truncated": UnreadableMediaError,
}
READERS = {
    "probe": media.probe,
    "read_audio": media.read_audio,
    "read_pictures": lambda path: list(media.read_pictures(path)),
    "first_picture_s": media.first_picture_s,
    "move_sound": lambda path: media.move_sound(path, None, path.with_name("out.mp4"), 0),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_named_in_one_line(tmp_path, kind):
    path = bad_file(tmp_path, kind)
    for name, reader in READERS.items():
        with pytest.raises(BAD[kind]) as caught:
            reader(path)
        text = str(caught.value)
        assert path.name in text and "\n" not in text, name
    assert not path.with_name("out.mp4").exists()


def test_sound_files_have_no_pictures(tmp_path):
    path = write_sound(tmp_path / "only.wav")
    for name in ("read_pictures", "first_picture_s", "move_sound"):
        with pytest.raises(NoVideoError, match=r"only\.wav"):
            READERS[name](path)
    assert not media.probe(path).has_video


def test_cover_art_is_no_video(tmp_path):
    cover, path = tmp_path / "cover.png", tmp_path / "song.mp3"
    ffmpeg("-f", "lavfi", "-i", "color=red:s=64x64", "-frames:v", 1, cover)
    ffmpeg("-i", write_sound(tmp_path / "s.wav"), "-i", cover, "-map", 0, "-map", 1,
           "-disposition:v", "attached_pic", path)  # fmt: skip
    with pytest.raises(NoVideoError, match=r"song\.mp3"):
        list(media.read_pictures(path))
    assert np.abs(burst_errors(media.read_audio(path))).max() < 0.002


def test_silent_films_have_no_sound(tmp_path):
    path = tmp_path / "mute.mp4"
    media.write_clip(path, [corner_picture()] * 5, 25, None)
    for reader in (READERS["read_audio"], READERS["move_sound"]):
        with pytest.raises(NoAudioError, match=r"mute\.mp4"):
            reader(path)
    assert not (tmp_path / "out.mp4").exists()


def test_damage_in_the_middle_is_passed_over(tmp_path):
    path = film(tmp_path / "film.ts")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2 // 188 * 188
    data[middle : middle + 188 * 6] = np.random.default_rng(3).bytes(188 * 6)
    path.write_bytes(data)
    assert sum(1 for _ in media.read_pictures(path)) == pytest.approx(90, abs=2)
    assert np.abs(burst_errors(media.read_audio(path), [BURSTS[0], BURSTS[3]])).max() < 0.002


ODD_NAMES = ["two words.mp4", "口播.mp4", "mañana.mp4", "it's.mp4", "-dash.mp4", "50%d.mp4"]


@pytest.mark.parametrize("name", ODD_NAMES if os.name == "nt" else [*ODD_NAMES, "a:b.mp4"])
def test_odd_names(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    film(tmp_path / "plain.mp4").rename(tmp_path / name)
    source, target = Path(name), Path("-out " + name)
    assert media.probe(source).has_video
    assert sum(1 for _ in media.read_pictures(source)) == 90
    assert np.abs(burst_errors(media.read_audio(source))).max() < 0.002
    media.move_sound(source, source, target, 25)
    assert packets(target) == packets(source)
    assert not list(tmp_path.glob(".*")), "nothing half-written stays"


def test_same_pictures_and_sound_twice(tmp_path):
    path = film(tmp_path / "film.mp4", fps=30)
    one, two = ([p.gray.tobytes() for p in media.read_pictures(path, t)] for t in (1, 2))
    assert one == two
    assert all(a.tobytes() == b.tobytes() for a, b in itertools.repeat(
        (media.read_audio(path), media.read_audio(path)), 1))  # fmt: skip

"""Films for tests: a binary timecode in the picture and bursts in the sound."""

import atexit
import hashlib
import shutil
import subprocess
import tempfile
import wave
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest
from scipy.signal import correlate

from src import media

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


@cache
def _shelf() -> Path:
    """Films that were made once are copied when they are asked for again."""
    folder = tempfile.TemporaryDirectory(prefix="films-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


def film(path: Path, **arguments) -> Path:
    """A film whose frame ``k`` shows the number ``k`` and whose bursts sound at ``times``."""
    key = hashlib.sha256(repr(sorted(arguments.items())).encode()).hexdigest()[:16]
    kept = _shelf() / f"{key}{path.suffix}"
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


def corner_picture(height=90, width=160) -> np.ndarray:
    """White top left corner on black."""
    picture = np.full((height, width, 3), 16, np.uint8)
    picture[: height // 2, : width // 2] = 235
    return picture


def packets(path: Path) -> list[str]:
    """A hash of each packet of the pictures."""
    with av.open(str(path.absolute())) as container:
        stream = container.streams.video[0]
        return [hashlib.sha256(bytes(p)).hexdigest() for p in container.demux(stream) if p.size]


def count_pictures(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(container.streams.video[0]))

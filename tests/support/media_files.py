"""Media files for tests: a binary frame number in the video, bursts in the audio."""

import atexit
import hashlib
import shutil
import subprocess
import tempfile
import wave
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
from scipy.signal import correlate

from src.core.constants import FPS, SAMPLE_RATE
from src.media import reader

HEIGHT, WIDTH, COLUMNS, ROWS = 96, 128, 4, 3
SECONDS = 3.6
BURSTS = (0.62, 1.53, 2.34, 3.1)  # seconds of the video at which the bursts are loudest
RATE = SAMPLE_RATE


def code_image(number: int) -> np.ndarray:
    """uint8 BGR: ``number`` as 12 black or white blocks."""
    bits = [(number >> bit) & 1 for bit in range(COLUMNS * ROWS)]
    blocks = np.array(bits, np.uint8).reshape(ROWS, COLUMNS) * 219 + 16
    image = np.kron(blocks, np.ones((HEIGHT // ROWS, WIDTH // COLUMNS), np.uint8))
    return np.repeat(image[..., None], 3, axis=2)


def read_code(gray: np.ndarray) -> int:
    """The number in an image of ``code_image``, uint8 [height, width]."""
    height, width = gray.shape[0] // ROWS, gray.shape[1] // COLUMNS
    means = [
        gray[r * height + 4 : (r + 1) * height - 4, c * width + 4 : (c + 1) * width - 4].mean()
        for r in range(ROWS)
        for c in range(COLUMNS)
    ]
    return sum(1 << bit for bit, mean in enumerate(means) if mean > 128)


def burst_audio(rate: int, times=BURSTS, seconds: float = SECONDS) -> np.ndarray:
    """float32 mono: short chirps, loudest at ``times``."""
    sample_times = np.arange(round(seconds * rate)) / rate
    audio = np.zeros(len(sample_times))
    for time in times:
        since = sample_times - time
        audio += np.exp(-0.5 * (since / 0.004) ** 2) * np.sin(
            2 * np.pi * (1200 + 6e4 * since) * since
        )
    return (0.5 * audio).astype(np.float32)


def burst_delays(audio: np.ndarray, times=BURSTS) -> np.ndarray:
    """How late, in seconds, each burst is in ``audio`` (16 kHz)."""
    delays = []
    search = 7000  # ±437 ms: closer than the next burst
    padded = np.pad(audio, search + RATE)
    for time in times:
        first = max(0, round((time - 0.05) * RATE))
        burst = burst_audio(RATE, [time], time + 0.05)[first:]
        surroundings = padded[first + RATE :][: len(burst) + 2 * search]
        correlation = correlate(surroundings, burst, "valid")
        peak = int(np.argmax(correlation))
        assert correlation[peak] > 0.3 * (burst @ burst), "the burst is missing"
        delays.append((peak - search) / RATE)
    return np.array(delays)


def write_audio(path: Path, rate=48000, channels=1, times=BURSTS, seconds=SECONDS) -> Path:
    samples = (burst_audio(rate, times, seconds) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.repeat(samples, channels).tobytes())
    return path


def ffmpeg(*arguments, stdin: bytes | None = None) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-y", *map(str, arguments)]
    subprocess.run(command, input=stdin, check=True, stderr=subprocess.PIPE)


@cache
def _video_cache() -> Path:
    """Videos are encoded once, and copied when they are asked for again."""
    folder = tempfile.TemporaryDirectory(prefix="videos-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


def make_video(path: Path, **arguments) -> Path:
    """A video whose frame ``k`` shows the number ``k`` and whose bursts are at ``times``.

    ``audio_start`` is when its audio starts, ``video_start`` its first frame. With ``fields``
    ("top" or "bottom": the first) it is interlaced, 50 fields per second: ``field_number``.
    """
    key = hashlib.sha256(repr(sorted(arguments.items())).encode()).hexdigest()[:16]
    cached = _video_cache() / f"{key}{path.suffix}"
    if not cached.exists():
        _encode_video(cached, VideoSpec(**arguments))
    shutil.copyfile(cached, path)
    return path


@dataclass(frozen=True)
class VideoSpec:
    """What ``make_video`` encodes; times in s, ``fields``: the first one of an interlaced frame."""

    fps: float = 25
    audio_start: float = 0.0
    rate: int = 48000
    channels: int = 1
    options: tuple = ()
    times: tuple = BURSTS
    video_start: float = 0.0
    fields: str | None = None


def _encode_video(path: Path, spec: VideoSpec) -> None:
    rate_hz = 50 if spec.fields else Fraction(spec.fps).limit_denominator(1001)
    count = int(SECONDS * rate_hz)
    numbers = (field_number(k) if spec.fields else k for k in range(count))
    frames = b"".join(code_image(number).tobytes() for number in numbers)
    audio = path.with_name(f"{path.stem}-{path.suffix[1:]}-source.wav")
    audio_times = [time - spec.audio_start for time in spec.times]
    write_audio(audio, spec.rate, spec.channels, audio_times, SECONDS - spec.audio_start)
    ffmpeg(
        "-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{WIDTH}x{HEIGHT}", "-framerate", rate_hz,
        "-itsoffset", spec.video_start, "-i", "pipe:", "-itsoffset", spec.audio_start, "-i", audio,
        "-map", "0:v", "-map", "1:a", *(_interlaced(spec.fields) if spec.fields else ()),
        *(["-fps_mode", "passthrough"] if spec.video_start else ()), *spec.options, path,
        stdin=frames,
    )  # fmt: skip


def _interlaced(first: str) -> list[str]:
    order = "tff" if first == "top" else "bff"
    filters = f"tinterlace=interleave_{first},setfield={order}"
    return ["-vf", filters, "-flags", "+ilme+ildct"]


def field_number(k: int) -> int:
    """What field ``k`` of an interlaced video shows: a Gray code, so that the block in which the
    fields of a frame differ changes from frame to frame (static combing is taken for detail)."""
    return k ^ (k >> 1)


def read_frame_numbers(path: Path) -> np.ndarray:
    """The number shown by each frame at 25 fps."""
    return np.array([read_code(frame.gray) for frame in reader.read_frames(path)])


def frame_delays(numbers: np.ndarray, times: np.ndarray, zero: float = 0.0) -> np.ndarray:
    """How late, in seconds, each frame at 25 fps is: 0 where it is the one due.

    Due is the frame nearest in time, but in a gap the last one until the next is due. Within 1.5 ms
    of the change either is correct: some containers count in milliseconds.

    Args:
        numbers: the source frame of each output frame, as an index of ``times``.
        times: when each source frame is due.
        zero: the time of output frame 0.
    """
    early = np.diff(times) / 2
    early[2 * early > 0.25] = 0.5 / FPS
    changes = times[1:] - early
    due = zero + np.arange(len(numbers)) / FPS
    first, last = (np.searchsorted(changes, due + slack, "right") for slack in (-0.0015, 0.0015))
    return times[np.clip(numbers, first, last)] - times[numbers]


def check_frame_times(path: Path, times: np.ndarray) -> np.ndarray:
    """``frame_delays`` of a video that starts with frame 0; each frame must be the one due."""
    delays = frame_delays(read_frame_numbers(path), times)
    assert not delays.any()
    return delays


PS = ["-c:v", "mpeg1video", "-c:a", "mp2", "-f", "mpeg"]
MPEG2 = ["-c:v", "mpeg2video", "-q:v", "2", "-c:a", "mp2"]
PCM = ["-c:a", "pcm_s16le"]
VP9 = ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus"]


def corner_image(height=90, width=160) -> np.ndarray:
    """White top left corner on black."""
    image = np.full((height, width, 3), 16, np.uint8)
    image[: height // 2, : width // 2] = 235
    return image


def video_packets(path: Path) -> list[str]:
    """A hash of each packet of the video stream."""
    with av.open(str(path.absolute())) as container:
        stream = container.streams.video[0]
        return [hashlib.sha256(bytes(p)).hexdigest() for p in container.demux(stream) if p.size]


def count_frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(container.streams.video[0]))

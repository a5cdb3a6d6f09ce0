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
from scipy.signal import correlate

from src.media import reader as media

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
    reach = 7000  # ±437 ms: nearer than the next burst
    around = np.pad(sound, reach + RATE)
    for time in times:
        first = max(0, round((time - 0.05) * RATE))
        one = bursts(RATE, [time], time + 0.05)[first:]
        near = around[first + RATE :][: len(one) + 2 * reach]
        lags = correlate(near, one, "valid")
        peak = int(np.argmax(lags))
        assert lags[peak] > 0.3 * (one @ one), "the burst is not there"
        errors.append((peak - reach) / RATE)
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
    """A film whose frame ``k`` shows the number ``k`` and whose bursts sound at ``times``.

    ``late`` is when its sound track begins, ``picture_late`` its first picture. With ``fields``
    ("top" or "bottom": the first) it is interlaced, 50 fields a second: ``field_number``.
    """
    key = hashlib.sha256(repr(sorted(arguments.items())).encode()).hexdigest()[:16]
    kept = _shelf() / f"{key}{path.suffix}"
    if not kept.exists():
        _make_film(kept, **arguments)
    shutil.copyfile(kept, path)
    return path


def _make_film(
    path: Path,
    fps=25,
    late=0.0,
    rate=48000,
    channels=1,
    options=(),
    times=BURSTS,
    picture_late=0.0,
    fields=None,
) -> None:
    rate_hz = 50 if fields else Fraction(fps).limit_denominator(1001)
    count = int(SECONDS * rate_hz)
    numbers = (field_number(k) if fields else k for k in range(count))
    pictures = b"".join(code_picture(number).tobytes() for number in numbers)
    sound = path.with_name(f"{path.stem}-{path.suffix[1:]}-source.wav")
    write_sound(sound, rate, channels, [time - late for time in times], SECONDS - late)
    ffmpeg(
        "-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{WIDTH}x{HEIGHT}", "-framerate", rate_hz,
        "-itsoffset", picture_late, "-i", "pipe:", "-itsoffset", late, "-i", sound,
        "-map", "0:v", "-map", "1:a", *(_interlaced(fields) if fields else ()),
        *(["-fps_mode", "passthrough"] if picture_late else ()), *options, path, pictures=pictures,
    )  # fmt: skip


def _interlaced(first: str) -> list[str]:
    order = "tff" if first == "top" else "bff"
    weave = f"tinterlace=interleave_{first},setfield={order}"
    return ["-vf", weave, "-flags", "+ilme+ildct"]


def field_number(k: int) -> int:
    """What field ``k`` of an interlaced film shows: a Gray code, so that the block in which the
    fields of a picture differ changes from picture to picture (combs that stand are details)."""
    return k ^ (k >> 1)


def shown_numbers(path: Path) -> np.ndarray:
    """The number that is read on each place of the 25 fps grid."""
    return np.array([read_code(picture.gray) for picture in media.read_frames(path)])


def lateness(shown: np.ndarray, times: np.ndarray, zero: float = 0.0) -> np.ndarray:
    """How late, in seconds, each place of the grid shows its picture: 0 where it is the one due.

    Due is the picture nearest in time, but in a gap the last one until the next is. What lies
    within 1.5 ms of the turn may fall on either side: containers count in milliseconds.

    Args:
        shown: picture on each place of the grid, as an index of ``times``.
        times: when each picture is due.
        zero: the time of place 0.
    """
    early = np.diff(times) / 2
    early[2 * early > 0.25] = 0.5 / media.FPS
    turns = times[1:] - early
    at = zero + np.arange(len(shown)) / media.FPS
    first, last = (np.searchsorted(turns, at + slack, "right") for slack in (-0.0015, 0.0015))
    return times[np.clip(shown, first, last)] - times[shown]


def picture_errors(path: Path, times: np.ndarray) -> np.ndarray:
    """``lateness`` of a film that begins with picture 0; each must be the one due."""
    late = lateness(shown_numbers(path), times)
    assert not late.any()
    return late


PS = ["-c:v", "mpeg1video", "-c:a", "mp2", "-f", "mpeg"]
MPEG2 = ["-c:v", "mpeg2video", "-q:v", "2", "-c:a", "mp2"]
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

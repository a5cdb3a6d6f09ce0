"""Encode and mux: clips from pictures and sound, and a sound moved under its picture.

With ``media`` the only room that knows containers and clocks.
"""

import math
import subprocess
import tempfile
import wave
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np

from src.containers import opened, path_argument, probe, video_stream
from src.errors import OutputError
from src.files import written_aside
from src.media import SAMPLE_RATE, first_picture_s, frame_rate, sound_blocks
from src.messages import tr
from src.retiming import retimed
from src.timeline import Piece, Timeline

# Where AAC cannot be held, or the run-up of lossy codecs cannot be marked (avi).
SOUND_CODECS = {
    ".webm": "libopus", ".avi": "pcm_s16le", ".mpg": "mp2", ".mpeg": "mp2", ".wmv": "wmav2",
}  # fmt: skip


def write_clip(
    path: str | Path,
    frames: Iterable[np.ndarray],
    fps: float | Fraction,
    samples: np.ndarray | None,
    sample_rate: int = SAMPLE_RATE,
) -> None:
    """Encode pictures and sound as H.264 + AAC; both begin at time zero.

    Args:
        path: the file to make; its suffix chooses the container (mp4, mov, mkv).
        frames: uint8 BGR [height, width, 3], even sides.
        fps: pictures a second.
        samples: float32 [n] mono in −1…1, or None for a silent film.
        sample_rate: Hz of ``samples``.

    Raises:
        OutputError.
    """
    with written_aside(path) as aside, av.open(str(aside), "w") as container:
        rate = Fraction(fps).limit_denominator(1001)
        video = container.add_stream("libx264", rate=rate, options={"crf": "18"})
        video.pix_fmt = "yuv420p"
        sound = container.add_stream("aac", rate=sample_rate) if samples is not None else None
        if sound is not None:
            sound.layout = "mono"
        started = False
        for index, picture in enumerate(frames):
            if not started:
                video.height, video.width = picture.shape[:2]
                started = True
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="bgr24")
            frame.pts, frame.time_base = index, 1 / rate
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if sound is not None:
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples, np.float32)[None], format="fltp", layout="mono"
            )
            frame.sample_rate, frame.pts = sample_rate, 0
            frame.time_base = Fraction(1, sample_rate)
            container.mux(sound.encode(frame))
            container.mux(sound.encode(None))


def write_wav(path: str | Path, samples: np.ndarray, sample_rate: int = SAMPLE_RATE) -> None:
    """Write float32 mono samples in −1…1 as 16-bit PCM."""
    with written_aside(path) as aside, wave.open(str(aside), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def move_sound(
    video_path: str | Path, audio_path: str | Path | None, output_path: str | Path, delay_ms: float
) -> None:
    """``lay_sound`` with one offset: > 0: the sound comes later; < 0: earlier."""
    timeline = Timeline("constant", (Piece(0.0, math.inf, delay_ms),))
    lay_sound(video_path, audio_path, output_path, timeline)


def lay_sound(
    video_path: str | Path,
    audio_path: str | Path | None,
    output_path: str | Path,
    timeline: Timeline,
) -> None:
    """Put a sound under a video along a timeline; the picture keeps every frame.

    The picture is copied as it is where the output's container can hold it, else encoded anew.
    The sound is encoded once, at its own rate and channels, and fills the length of the picture:
    silence is added, and what would outlast the picture is cut.

    Args:
        video_path: the pictures.
        audio_path: the sound, its first sample at the first picture; None: the video's own.
        output_path: the file to make; its suffix names the container.
        timeline: the offsets that are mended.

    Raises:
        MediaError: an input cannot be used.
        OutputError: the suffix names no container, or the file cannot be written.
    """
    import ffmpeg
    import imageio_ffmpeg

    source = Path(video_path if audio_path is None else audio_path)
    suffix = Path(output_path).suffix.lower()
    film, sound = _read_packets(video_path), probe(source)
    rate = sound.audio_rate or 48000
    blocks = sound_blocks(source, rate)
    start, block = next(blocks)  # a sound that cannot be read is found out before writing
    channels = len(block)
    # On the input's own clock, moved so that the first picture is at zero, where the sound starts.
    video = ffmpeg.input(path_argument(video_path), itsoffset=-film.first_s, copyts=None).video
    audio = ffmpeg.input("pipe:", format="f32le", ar=rate, ac=channels).audio
    with written_aside(output_path) as aside:
        options = {"acodec": SOUND_CODECS.get(suffix, "aac"), "map_metadata": 0}
        if options["acodec"] == "mp2":
            options |= {"ar": 48000, "audio_bitrate": 192_000}
        elif options["acodec"] != "pcm_s16le":
            options["audio_bitrate"] = min(256_000, max(128_000, sound.audio_bit_rate))
        container, held = _container_of(output_path, aside)
        # ffmpeg stamps pictures anew that it copies out of a program stream, and wrongly.
        movable = film.well_stamped and film.container != "mpeg" and suffix != ".wmv"
        if film.container == container or (film.codec in held and movable):
            options["vcodec"] = "copy"
        else:
            if not film.well_stamped:
                video = video.filter("setpts", "round(N/FRAME_RATE/TB)")
            video = video.filter("pad", "ceil(iw/2)*2", "ceil(ih/2)*2")
            options |= {"fps_mode": "passthrough", "pix_fmt": "yuv420p", **_encoder(suffix, held)}
        command = ffmpeg.output(video, audio, path_argument(aside), **options).global_args(
            "-loglevel", "error"
        )
        binary = imageio_ffmpeg.get_ffmpeg_exe()
        total = round(film.length_s * rate)
        laid = retimed(chain([(start, block)], blocks), rate, timeline, total)
        _run(
            command.compile(cmd=binary, overwrite_output=True),
            (part.T.astype("<f4").tobytes() for part in laid),
            output_path,
        )


@dataclass(frozen=True)
class _Film:
    """What a look at all packets of a video stream says.

    Attributes:
        container: name of the file's format.
        codec: its name.
        first_s: time of the first picture that can be decoded, on the container's clock.
        length_s: seconds from there to the end of the last picture.
        well_stamped: whether each packet has a presentation time that can be trusted.
    """

    container: str
    codec: str
    first_s: float
    length_s: float
    well_stamped: bool


def _read_packets(path: str | Path) -> _Film:
    """Raises MissingFileError, UnreadableMediaError, NoVideoError."""
    first = first_picture_s(path)
    with opened(path) as container:
        stream = video_stream(container)
        unstamped, good, last, count = container.format.name == "avi", True, first, 0
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, av.error.InvalidDataError):
                break
            if not packet.size:
                continue
            count += 1
            if packet.pts is None or (unstamped and packet.pts != packet.dts):
                good = False
            else:
                last = max(last, float(packet.pts * packet.time_base))
        end = last + 1 / frame_rate(stream)
        if not good:
            end = first + count / frame_rate(stream)
        name = stream.codec.canonical_name
        return _Film(container.format.name, name, first, end - first, good)


def _encoder(suffix: str, held: set[str]) -> dict:
    """Options of a good encoder for a container."""
    if suffix == ".webm":
        return {"vcodec": "libvpx-vp9", "crf": 24, "video_bitrate": 0, "deadline": "good",
                "cpu-used": 4, "row-mt": 1}  # fmt: skip
    if "h264" in held and suffix not in (".mpg", ".mpeg", ".wmv"):
        return {"vcodec": "libx264", "crf": 18}
    return {"q:v": 3}


def _container_of(output_path: str | Path, aside: Path) -> tuple[str, set[str]]:
    """The container of this suffix: its name, and those of the codecs it can hold."""
    try:
        with av.open(str(aside), "w") as container:
            return container.format.name, set(container.supported_codecs)
    except (ValueError, av.error.FFmpegError):
        raise OutputError(
            tr("{path}: no video container goes by this name; use .mp4, .mov, .mkv or .webm",
               path=output_path)
        ) from None  # fmt: skip


def _run(command: list[str], sound: Iterator[bytes], output_path: str | Path) -> None:
    """Run ffmpeg with ``sound`` on its standard input.

    Raises:
        OutputError: with ffmpeg's last words.
    """
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=said)
        try:
            with suppress(OSError):  # it ended early: its words say why
                for part in sound:
                    process.stdin.write(part)
            with suppress(OSError):
                process.stdin.close()
            process.wait()
        finally:
            if process.poll() is None:  # an error or Ctrl+C: do not leave it writing
                process.kill()
                process.wait()
        if process.returncode:
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()
            why = lines[-1] if lines else "ffmpeg failed"
            raise OutputError(tr("cannot write {path}: {why}", path=output_path, why=why))

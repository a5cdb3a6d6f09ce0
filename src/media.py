"""Decode, probe, encode, mux: the only room that knows containers and clocks.

Time zero of a file is its first picture (of a file without pictures: its first sample). Frames
come on a 25 fps grid, sound at 16 kHz, both placed by the container's presentation times, so a
late sound track, a variable frame rate or a gap keeps its place.
"""

import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import chain
from pathlib import Path

import av
import numpy as np

from src.errors import (
    MissingFileError,
    NoAudioError,
    NoVideoError,
    OutputError,
    UnreadableMediaError,
)
from src.files import written_aside
from src.messages import tr

FPS = 25  # frames per second of the grid
SAMPLE_RATE = 16000  # Hz
SAMPLES_PER_FRAME = SAMPLE_RATE // FPS

# A sound packet whose stamp is further than this from where the samples before it ended starts
# anew at its stamp. Containers that count in milliseconds (mkv, flv) jitter by up to 1 ms.
AUDIO_JUMP_S = 0.005

VIDEO_SUFFIXES = {
    ".mp4", ".avi", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".flv", ".m4v", ".ts", ".wmv", ".3gp"
}  # fmt: skip
AUDIO_SUFFIXES = (".wav", ".mp3", ".m4a", ".flac", ".aac", ".ogg")
# Where AAC cannot be held, or the run-up of lossy codecs cannot be marked (avi).
SOUND_CODECS = {
    ".webm": "libopus", ".avi": "pcm_s16le", ".mpg": "mp2", ".mpeg": "mp2", ".wmv": "wmav2",
}  # fmt: skip


@dataclass(frozen=True)
class MediaInfo:
    """What a file holds. Times in seconds on the container's own clock; 0 where unknown."""

    path: Path
    has_video: bool
    has_audio: bool
    fps: float = 0.0
    width: int = 0
    height: int = 0
    video_start_s: float = 0.0
    audio_start_s: float = 0.0
    duration_s: float = 0.0
    audio_rate: int = 0
    audio_channels: int = 0
    audio_bit_rate: int = 0


class Picture:
    """One decoded picture, converted only as far as it is asked for.

    Rotation metadata and non-square pixels are applied: ``width`` and ``height`` are those a
    viewer sees.
    """

    def __init__(self, frame: av.VideoFrame, aspect: Fraction | None):
        self._frame = frame
        self._turns = round((frame.rotation or 0) / 90) % 4
        ratio = float(aspect) if aspect else 1.0
        width = max(2, round(frame.width * ratio))
        self._size = (width, frame.height)
        self.width, self.height = self._size[::-1] if self._turns % 2 else self._size

    def _convert(self, size: tuple[int, int], pixel_format: str) -> np.ndarray:
        picture = self._frame.reformat(width=size[0], height=size[1], format=pixel_format)
        return np.ascontiguousarray(np.rot90(picture.to_ndarray(), self._turns))

    @cached_property
    def gray(self) -> np.ndarray:
        """uint8 [height, width], the luma."""
        return self._convert(self._size, "gray")

    @cached_property
    def bgr(self) -> np.ndarray:
        """uint8 [height, width, 3]."""
        return self._convert(self._size, "bgr24")

    def small_bgr(self, longest: int) -> np.ndarray:
        """uint8 [h, w, 3], scaled down so that the longer side has at most ``longest`` pixels."""
        factor = min(1.0, longest / max(self._size))
        return self._convert(tuple(max(2, round(side * factor)) for side in self._size), "bgr24")


def _argument(path: str | Path) -> str:
    """A path as ffmpeg takes it: absolute, so that none looks like a protocol or an option."""
    return str(Path(path).absolute())


@contextmanager
def _opened(path: str | Path):
    """Open a media file for reading; every way that fails becomes one readable error."""
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(tr("file not found: {path}", path=path))
    try:
        container = av.open(_argument(path), metadata_errors="replace")
    except PermissionError:
        raise UnreadableMediaError(tr("no permission to read {path}", path=path)) from None
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise _unreadable(path, error) from None
    try:
        yield container
    except av.error.FFmpegError as error:
        raise _unreadable(path, error) from None
    finally:
        container.close()


def _unreadable(path: Path, error: Exception) -> UnreadableMediaError:
    why = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return UnreadableMediaError(
        tr("cannot read {path}: {why}; is it a complete media file?", path=path, why=why)
    )


def _video_stream(container: av.container.InputContainer) -> av.VideoStream | None:
    """The first real picture stream: cover art in a sound file is not a video."""
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            return stream
    return None


def _start(container, stream) -> float:
    """First presentation time of a stream in seconds, as far as the header knows it."""
    if stream is not None and stream.start_time is not None:
        return float(stream.start_time * stream.time_base)
    return container.start_time / av.time_base if container.start_time else 0.0


def probe(path: str | Path) -> MediaInfo:
    """Read a file's header.

    Raises:
        MissingFileError, UnreadableMediaError.
    """
    with _opened(path) as container:
        video = _video_stream(container)
        audio = container.streams.audio[0] if container.streams.audio else None
        duration = container.duration / av.time_base if container.duration else 0.0
        info = {"duration_s": duration}
        if video is not None:
            info |= {
                "fps": float(video.average_rate or video.guessed_rate or 0),
                "width": video.codec_context.width,
                "height": video.codec_context.height,
                "video_start_s": _start(container, video),
            }
        if audio is not None:
            info |= {
                "audio_start_s": _start(container, audio),
                "audio_rate": audio.codec_context.sample_rate,
                "audio_channels": audio.codec_context.channels,
                "audio_bit_rate": audio.codec_context.bit_rate or 0,
            }
        return MediaInfo(Path(path), video is not None, audio is not None, **info)


def _decode(container, stream) -> Iterator:
    """Decoded frames of one stream; a damaged packet is passed over, not the end of the file."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.error.InvalidDataError:
            return  # the demuxer lost its way: what was read so far counts
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            continue


def _rate(stream: av.VideoStream) -> float:
    """Pictures a second, as the header has it."""
    return float(stream.average_rate or stream.guessed_rate or FPS)


def _timed_pictures(container, stream) -> Iterator[tuple[float, av.VideoFrame]]:
    """(presentation time in seconds, picture), times rising."""
    # AVI knows no presentation times (those the demuxer reports are guesses), but the place of
    # each chunk in the file, and its pictures come out of the decoder in the order of these.
    unstamped = container.format.name == "avi"
    delay = None
    shown_at = -float("inf")
    for frame in _decode(container, stream):
        if unstamped:
            if delay is None:
                delay = frame.dts or 0
            at = None if frame.dts is None else float((frame.dts - delay) * frame.time_base)
        else:
            at = frame.time
        if at is None:
            at = shown_at + 1 / _rate(stream) if shown_at > -float("inf") else 0.0
        if at > shown_at:
            shown_at = at
            yield at, frame


def read_pictures(path: str | Path, threads: int = 0) -> Iterator[Picture]:
    """Pictures on the 25 fps grid, streamed.

    Picture ``i`` is the one nearest in presentation time to ``first + i / 25`` seconds, where
    ``first`` is the time of the first picture. A picture that stands longer is given repeatedly
    (the same object).

    Args:
        path: a video file.
        threads: decoder threads; 0 lets the decoder choose.

    Raises:
        MissingFileError, UnreadableMediaError, NoVideoError.
    """
    with _opened(path) as container:
        stream = _video_stream(container)
        if stream is None:
            raise NoVideoError(tr("{path} has no video stream", path=path))
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = threads
        aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
        rate = _rate(stream)
        first = shown = None
        shown_at = 0.0
        index = 0
        for at, frame in _timed_pictures(container, stream):
            picture = Picture(frame, aspect)
            if first is None:
                first = at
            while shown is not None and first + index / FPS < (shown_at + at) / 2:
                yield shown
                index += 1
            shown, shown_at = picture, at
        if shown is None:
            raise UnreadableMediaError(
                tr("cannot read {path}: {why}; is it a complete media file?",
                   path=path, why=tr("no picture could be decoded"))
            )  # fmt: skip
        # The last picture stands for one frame of the source.
        while first + index / FPS < shown_at + 1 / rate - 1e-6:
            yield shown
            index += 1


def first_picture_s(path: str | Path) -> float:
    """Presentation time of the first picture that can be decoded, in seconds.

    The header's start time is not asked: it counts pictures a decoder drops, too.

    Raises:
        MissingFileError, UnreadableMediaError, NoVideoError.
    """
    with _opened(path) as container:
        stream = _video_stream(container)
        if stream is None:
            raise NoVideoError(tr("{path} has no video stream", path=path))
        for at, _ in _timed_pictures(container, stream):
            return at
        return _start(container, stream)


def read_audio(path: str | Path) -> np.ndarray:
    """The sound of a file: float32 [samples], mono, 16 kHz, range −1…1.

    Sample ``n`` belongs to ``zero + n / 16000`` seconds, where ``zero`` is the first picture of
    the file or, without pictures, its first sample. Gaps are silence; what sounds before zero
    is left out.

    Raises:
        MissingFileError, UnreadableMediaError, NoAudioError.
    """
    parts, end = [], 0
    for start, block in _sound_blocks(path, SAMPLE_RATE, mono=True):
        skip = max(0, end - start)
        if skip < block.shape[1]:
            parts += [np.zeros(max(0, start - end), np.float32), block.mean(0)[skip:]]
            end = start + block.shape[1]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _sound_blocks(
    path: str | Path, rate: int, mono: bool = False
) -> Iterator[tuple[int, np.ndarray]]:
    """The sound of a file, streamed in order: (place of the first sample, float32 [channels, n]).

    Place 0 is the zero of ``read_audio``; places count samples at ``rate`` Hz. With ``mono``,
    surround sound is mixed down to one channel; otherwise the channels are those of the file.

    Raises:
        MissingFileError, UnreadableMediaError, NoAudioError.
    """
    with _opened(path) as container:
        if not container.streams.audio:
            raise NoAudioError(tr("{path} has no sound", path=path))
        stream = container.streams.audio[0]
        zero = first_picture_s(path) if _video_stream(container) is not None else None
        # Raw AAC cannot say that its first block is the encoder's run-up.
        run_up = container.format.name == "aac"
        resampler, layout, shape, expected, start = None, None, None, 0.0, 0
        for frame in _decode(container, stream):
            at = frame.time if frame.time is not None else expected
            if zero is None:
                zero = at + (frame.samples / frame.sample_rate if run_up else 0)
            if layout is None:
                layout = "mono" if mono and frame.layout.nb_channels > 2 else frame.layout.name
            found = (frame.sample_rate, frame.layout.name, frame.format.name)
            if resampler is None or abs(at - expected) > AUDIO_JUMP_S or found != shape:
                for block in _resampled(resampler, None):
                    yield start, block
                    start += block.shape[1]
                resampler = av.AudioResampler(format="flt", layout=layout, rate=rate)
                shape, expected, start = found, at, round((at - zero) * rate)
            frame.pts = None  # the resampler would stuff or drop samples to follow the stamps
            expected += frame.samples / frame.sample_rate
            for block in _resampled(resampler, frame):
                yield start, block
                start += block.shape[1]
        if resampler is None:
            raise UnreadableMediaError(
                tr("cannot read {path}: {why}; is it a complete media file?",
                   path=path, why=tr("no sound could be decoded"))
            )  # fmt: skip
        for block in _resampled(resampler, None):
            yield start, block
            start += block.shape[1]


def _resampled(resampler: av.AudioResampler | None, frame) -> list[np.ndarray]:
    """What the resampler gives for a frame; for None: what it still holds."""
    if resampler is None:
        return []
    # Interleaved: PyAV 18 crashes on frames of eight planes.
    return [
        part.to_ndarray().reshape(-1, part.layout.nb_channels).T
        for part in resampler.resample(frame)
    ]


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
    import wave

    with written_aside(path) as aside, wave.open(str(aside), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def move_sound(
    video_path: str | Path, audio_path: str | Path | None, output_path: str | Path, delay_ms: float
) -> None:
    """Put a sound under a video, moved by ``delay_ms``; the picture keeps every frame.

    The picture is copied as it is where the output's container can hold it, else encoded anew.
    The sound is encoded once, at its own rate and channels, and fills the length of the picture:
    silence is added, and what would outlast the picture is cut.

    Args:
        video_path: the pictures.
        audio_path: the sound, its first sample at the first picture; None: the video's own.
        output_path: the file to make; its suffix names the container.
        delay_ms: > 0: the sound comes later; < 0: earlier.

    Raises:
        MediaError: an input cannot be used.
        OutputError: the suffix names no container, or the file cannot be written.
    """
    import ffmpeg
    import imageio_ffmpeg

    source, suffix = Path(audio_path or video_path), Path(output_path).suffix.lower()
    film, sound = _read_packets(video_path), probe(source)
    rate = sound.audio_rate or 48000
    blocks = _sound_blocks(source, rate)
    start, block = next(blocks)  # a sound that cannot be read is found out before writing
    channels = len(block)
    # On the input's own clock, moved so that the first picture is at zero, where the sound starts.
    video = ffmpeg.input(_argument(video_path), itsoffset=-film.first_s, copyts=None).video
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
        command = ffmpeg.output(video, audio, _argument(aside), **options).global_args(
            "-loglevel", "error"
        )
        binary = imageio_ffmpeg.get_ffmpeg_exe()
        delay = round(delay_ms / 1000 * rate)
        total = round(film.length_s * rate)
        _run(
            command.compile(cmd=binary, overwrite_output=True),
            _laid_out(chain([(start, block)], blocks), delay, total),
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
    with _opened(path) as container:
        stream = _video_stream(container)
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
        end = last + 1 / _rate(stream)
        if not good:
            end = first + count / _rate(stream)
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


def _laid_out(blocks, delay: int, total: int) -> Iterator[bytes]:
    """Raw samples (float32, channels interleaved), exactly ``total``, ``delay`` samples later."""
    cursor = channels = 0
    for start, block in blocks:
        channels = len(block)
        start += delay
        gap = min(start, total) - cursor
        if gap > 0:
            yield from _silence(gap, channels)
            cursor += gap
        block = block[:, max(0, cursor - start) : max(0, total - start)]
        if block.shape[1]:
            yield block.T.astype("<f4").tobytes()
            cursor += block.shape[1]
        if cursor >= total:
            return
    yield from _silence(total - cursor, channels)


def _silence(samples: int, channels: int) -> Iterator[bytes]:
    while samples > 0:
        part = min(samples, 1 << 16)
        yield bytes(4 * part * channels)
        samples -= part


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
            with suppress(BrokenPipeError):  # it ended early: its words say why
                for part in sound:
                    process.stdin.write(part)
            with suppress(BrokenPipeError):
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

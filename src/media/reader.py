"""Pictures and sound of a file on one clock.

Time zero of a file is its first picture (of a file without pictures: its first sample). Frames
come on a 25 fps grid, sound at 16 kHz, both placed by the container's presentation times, so a
late sound track, a variable frame rate or a gap keeps its place.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from ..core.constants import FPS, SAMPLE_RATE
from ..core.errors import NoAudioError, NoVideoError, UnreadableMediaError
from ..i18n.messages import tr
from .container import (
    ReadReport,
    broken_clock,
    check_decoder,
    decode,
    open_media,
    path_argument,
    start_of,
    video_stream,
)
from .frame import Scaler, VideoFrame, deinterlaced

# A sound packet whose stamp is further than this from where the samples before it ended starts
# anew at its stamp. Containers that count in milliseconds (mkv, flv) jitter by up to 1 ms.
AUDIO_JUMP_S = 0.005
# Pictures further apart than this are not a slow film: something is missing, or nothing changed.
PICTURE_GAP_S = 0.25
RATES = 2000, 768_000  # Hz, of sounds there are: a damaged header makes seconds of hours
# Gaps longer than these are broken clocks: to fill them would take all memory.
MAX_GAP_S = 30
MAX_SOUND_GAP_S = 1800  # all together, …
LOUDEST = 32768  # samples beyond are damage: even whole numbers taken for floats stay within
MAX_SILENCE = 10  # … and this many times the sound there is: calls send nothing where all listen


def frame_rate(stream: av.VideoStream) -> float:
    """Pictures a second, as the header has it."""
    return float(stream.average_rate or stream.guessed_rate or FPS)


def _timed_frames(
    container, stream, report: ReadReport | None = None
) -> Iterator[tuple[float, av.VideoFrame]]:
    """(presentation time in seconds, picture), times rising."""
    # AVI knows no presentation times (those the demuxer reports are guesses), but the place of
    # each chunk in the file, and its pictures come out of the decoder in the order of these.
    unstamped = container.format.name == "avi"
    delay = None
    shown_at = -float("inf")
    for frame in deinterlaced(decode(container, stream, report)):
        if unstamped:
            if delay is None:
                begin = next((entry.timestamp for entry in stream.index_entries), 0)
                delay = (frame.dts or begin) - begin
            at = None if frame.dts is None else float((frame.dts - delay) * stream.time_base)
        else:
            at = frame.time
        if at is None:
            at = shown_at + 1 / frame_rate(stream) if shown_at > -float("inf") else 0.0
        if at > shown_at:
            shown_at = at
            yield at, frame


def read_frames(
    path: str | Path, threads: int = 0, report: ReadReport | None = None
) -> Iterator[VideoFrame]:
    """Pictures on the 25 fps grid, streamed.

    Picture ``i`` is the one nearest in presentation time to ``first + i / 25`` seconds, where
    ``first`` is the time of the first picture. A picture that stands longer is given repeatedly
    (the same object), in a gap until the next one is due. Interlaced pictures are deinterlaced.

    Args:
        path: a video file.
        threads: decoder threads; 0 lets the decoder choose.
        report: filled with what was met.

    Raises:
        MissingFileError, UnreadableMediaError, NoVideoError.
    """
    with _opened_frames(path, threads) as (container, stream, aspect):
        scaler, grid = Scaler(), FrameGrid()
        for at, frame in _timed_frames(container, stream, report):
            if grid.shown_at is not None and at - grid.shown_at > MAX_GAP_S:
                raise broken_clock(path, at - grid.shown_at, grid.shown_at - grid.first)
            yield from grid.add(at, VideoFrame(frame, aspect, scaler))
        if grid.first is None:
            raise UnreadableMediaError(
                tr("cannot read {path}: {why}; is it a complete media file?",
                   path=path, why=tr("no picture could be decoded"))
            )  # fmt: skip
        # The last picture stands for one frame of the source.
        yield from grid.end(min(1 / frame_rate(stream), MAX_GAP_S))


@contextmanager
def _opened_frames(path: str | Path, threads: int):
    """A container, its video stream with a decoder of so many threads, and the shape of a pixel."""
    with open_media(path) as container:
        stream = video_stream(container)
        if stream is None:
            raise NoVideoError(tr("{path} has no video stream", path=path))
        check_decoder(path, stream)
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = threads
        aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
        yield container, stream, aspect


class FrameGrid:
    """Pictures of any times -> the 25 fps grid, see ``read_frames``.

    Attributes:
        first: time of the first picture in seconds, or None before there is one.
        shown_at: of the latest.
        index: number of the next frame of the grid.
    """

    def __init__(self):
        self.first = self.shown_at = self._shown = None
        self.index = 0

    def add(self, at: float, picture: VideoFrame) -> Iterator[VideoFrame]:
        """A picture, later than the one before: the frames that are settled by it."""
        if self.first is None:
            self.first = at
        else:
            far = at - self.shown_at > PICTURE_GAP_S
            yield from self.until(at - 0.5 / FPS if far else (self.shown_at + at) / 2)
        self._shown, self.shown_at = picture, at

    def until(self, turn: float) -> Iterator[VideoFrame]:
        """The frames before a time in seconds show the latest picture."""
        while self.first + self.index / FPS < turn:
            self.index += 1
            yield self._shown

    def end(self, stands_s: float) -> Iterator[VideoFrame]:
        """The last frames; the last picture stands for so many seconds."""
        yield from self.until(self.shown_at + stands_s - 1e-6)


def source_frames(
    path: str | Path, threads: int = 0
) -> Iterator[tuple[float, VideoFrame, Fraction]]:
    """Every picture of a file, streamed: its time in seconds after the first one, the picture,
    and the tick of the file's clock in seconds. Interlaced pictures are deinterlaced.

    Raises:
        MissingFileError, UnreadableMediaError, NoVideoError.
    """
    with _opened_frames(path, threads) as (container, stream, aspect):
        first, scaler = None, Scaler()
        for at, frame in _timed_frames(container, stream):
            first = at if first is None else first
            yield at - first, VideoFrame(frame, aspect, scaler), stream.time_base


def first_frame_s(path: str | Path) -> float:
    """Presentation time of the first picture that can be decoded, in seconds.

    The header's start time is not asked: it counts pictures a decoder drops, too.

    Raises:
        MissingFileError, UnreadableMediaError, NoVideoError.
    """
    with open_media(path) as container:
        stream = video_stream(container)
        if stream is None:
            raise NoVideoError(tr("{path} has no video stream", path=path))
        check_decoder(path, stream)
        for at, _ in _timed_frames(container, stream):
            return at
        return start_of(container, stream)


def _edit_shift(container: av.container.InputContainer, path: str | Path) -> float:
    """How many seconds later than the demuxer says the pictures of a cut mp4 are due.

    Cut without decoding, a file has an edit list that may begin between two pictures. The demuxer
    moves the first one after it there, and all the others with it, but not the sound.
    """
    stream = video_stream(container)
    entries = stream.index_entries
    if "mp4" not in container.format.name or not (len(entries) and entries[0].is_discard):
        return 0.0
    kept = next((entry for entry in entries if not entry.is_discard), entries[0])
    options = {"advanced_editlist": "0"}  # stamps as the list has them, nothing left out
    with av.open(path_argument(path), metadata_errors="replace", options=options) as plain:
        for entry in plain.streams[stream.index].index_entries:
            if entry.pos == kept.pos:
                return float((entry.timestamp - kept.timestamp) * stream.time_base)
    return 0.0


def read_audio(path: str | Path) -> np.ndarray:
    """The sound of a file: float32 [samples], mono, 16 kHz, range −1…1.

    Sample ``n`` belongs to ``zero + n / 16000`` seconds, where ``zero`` is the first picture of
    the file or, without pictures, its first sample. Gaps are silence; what sounds before zero
    is left out.

    Raises:
        MissingFileError, UnreadableMediaError, NoAudioError.
    """
    parts = list(stream_audio(path))
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def stream_audio(path: str | Path, report: ReadReport | None = None) -> Iterator[np.ndarray]:
    """The sound of ``read_audio`` in consecutive pieces of at most a few seconds; ``report`` is
    filled with what was met."""
    for block in gapless(audio_blocks(path, SAMPLE_RATE, mono=True, report=report), SAMPLE_RATE):
        yield block[0] if len(block) == 1 else block.mean(0)


def gapless(blocks: Iterable[tuple[int, np.ndarray]], rate: int) -> Iterator[np.ndarray]:
    """The sound of ``audio_blocks`` from place 0 on, float32 [channels, n] each: gaps are silence,
    what sounds before zero or twice is left out."""
    end = 0
    for start, block in blocks:
        for gap in range(end, start, rate):
            yield np.zeros((len(block), min(rate, start - gap)), np.float32)
        skip = max(0, end - start)
        if skip < block.shape[1]:
            yield block[:, skip:]
            end = start + block.shape[1]


def audio_blocks(
    path: str | Path,
    rate: int,
    mono: bool = False,
    report: ReadReport | None = None,
    number: int = 0,
) -> Iterator[tuple[int, np.ndarray]]:
    """The sound of a file, streamed in order: (place of the first sample, float32 [channels, n]).

    Place 0 is the zero of ``read_audio``; places count samples at ``rate`` Hz. With ``mono``,
    surround sound is mixed down to one channel; otherwise the channels are those of the file.
    ``report`` is filled with what was met; ``number`` says which of several tracks is read.

    Raises:
        MissingFileError, UnreadableMediaError, NoAudioError.
    """
    with open_media(path) as container:
        if not container.streams.audio:
            raise NoAudioError(tr("{path} has no sound", path=path))
        stream = container.streams.audio[number]
        check_decoder(path, stream)
        zero = None
        if video_stream(container) is not None:
            zero = first_frame_s(path) + _edit_shift(container, path)
        # Raw AAC cannot say that its first block is the encoder's run-up.
        run_up = container.format.name == "aac"
        resampler, layout, shape, expected, start = None, None, None, 0.0, 0
        heard = filled = 0.0  # seconds of sound, and of the gaps in it
        for frame in decode(container, stream, report):
            at = frame.time if frame.time is not None else expected
            if zero is None:
                zero = at + (frame.samples / frame.sample_rate if run_up else 0)
            if layout is None:
                layout = "mono" if mono and frame.layout.nb_channels > 2 else frame.layout.name
            found = (frame.sample_rate, frame.layout.name, frame.format.name)
            if found != shape and not RATES[0] <= frame.sample_rate <= RATES[1]:
                raise UnreadableMediaError(
                    tr("cannot read {path}: {why}; is it a complete media file?", path=path,
                       why=tr("its sound claims {rate} samples a second", rate=frame.sample_rate))
                )  # fmt: skip
            if resampler is None or abs(at - expected) > AUDIO_JUMP_S or found != shape:
                for block in resampled(resampler, None):
                    yield start, block
                    start += block.shape[1]
                resampler = av.AudioResampler(format="flt", layout=layout, rate=rate)
                filled += max(0.0, at - max(zero, expected))
                if filled > MAX_SOUND_GAP_S + MAX_SILENCE * heard:
                    raise broken_clock(path, at - expected, expected - zero)
                shape, expected, start = found, at, round((at - zero) * rate)
            frame.pts = None  # the resampler would stuff or drop samples to follow the stamps
            expected += frame.samples / frame.sample_rate
            heard += frame.samples / frame.sample_rate
            for block in resampled(resampler, frame):
                yield start, block
                start += block.shape[1]
        if resampler is None:
            raise UnreadableMediaError(
                tr("cannot read {path}: {why}; is it a complete media file?",
                   path=path, why=tr("no sound could be decoded"))
            )  # fmt: skip
        for block in resampled(resampler, None):
            yield start, block
            start += block.shape[1]


def resampled(resampler: av.AudioResampler | None, frame) -> list[np.ndarray]:
    """What the resampler gives for a frame; for None: what it still holds. Samples that are no
    numbers, or impossibly loud, are silence: one of them would spoil all that is computed."""
    if resampler is None:
        return []
    # Interleaved: PyAV 18 crashes on frames of eight planes.
    return [
        _sound(part.to_ndarray().reshape(-1, part.layout.nb_channels).T)
        for part in resampler.resample(frame)
    ]


def _sound(samples: np.ndarray) -> np.ndarray:
    usable = np.abs(samples) <= LOUDEST  # NaN is not
    return samples if usable.all() else np.where(usable, samples, np.float32(0))

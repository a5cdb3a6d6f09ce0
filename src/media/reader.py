"""Video and audio of a file on one clock.

Time zero of a file is its first frame (without video: its first sample). Video is resampled to
25 fps and audio to 16 kHz, both by the container's presentation times, so that a late audio
stream, a variable frame rate and gaps keep their timing.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from ..core.constants import FPS, SAMPLE_RATE
from ..core.errors import NoAudioError, NoVideoError, UnreadableMediaError
from ..i18n.messages import tr
from .container import (
    Reading,
    ReadReport,
    check_decoder,
    decode,
    find_audio_stream,
    find_video_stream,
    joined_clock,
    open_media,
    path_argument,
    start_time_s,
    timestamp_jump_error,
)
from .formats import input_options
from .frame import Scaler, VideoFrame, deinterlace
from .stream_choice import DEFAULT_STREAMS, StreamChoice

# An audio frame whose timestamp is further than this from the end of the previous one is placed
# by its timestamp. Containers that count in milliseconds (mkv, flv) jitter by up to 1 ms.
MIN_AUDIO_JUMP_S = 0.005
# Frames further apart than this are a gap: frames are missing, or the image did not change.
MIN_VIDEO_GAP_S = 0.25
BLOCK_S = 0.25  # least duration of a block of audio that others follow without a gap
MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 2000, 768_000  # Hz; others come from damaged headers
# Longer gaps are wrong timestamps; to fill them would take all memory.
MAX_VIDEO_GAP_S = 30
MAX_AUDIO_GAP_S = 1800  # in total, …
MAX_SILENCE_RATIO = 10  # … plus this times the audio: calls send no packets during silence
SEEKABLE = {"mp4", "mov", "matroska", "webm"}  # containers whose frames are found again by time
MAX_AMPLITUDE = 32768  # beyond is damage: even 16-bit integers read as floats stay within


def frame_rate(stream: av.VideoStream) -> float:
    """Frames per second, from the header."""
    return float(stream.average_rate or stream.guessed_rate or FPS)


def _timed_frames(container, stream, report: ReadReport) -> Iterator[tuple[float, av.VideoFrame]]:
    """(presentation time in seconds, frame), at increasing times."""
    # AVI has no presentation times (those of the demuxer are guesses), but the index of each chunk
    # in the file, and frames leave the decoder in this order.
    is_avi = container.format.name == "avi"
    delay = None
    previous_s = -float("inf")
    for frame in deinterlace(decode(container, stream, report)):
        if is_avi:
            if delay is None:
                start = next((entry.timestamp for entry in stream.index_entries), 0)
                delay = (frame.dts or start) - start
            time_s = None if frame.dts is None else float((frame.dts - delay) * stream.time_base)
        else:
            time_s = frame.time
        if time_s is None:
            time_s = previous_s + 1 / frame_rate(stream) if previous_s > -float("inf") else 0.0
        if time_s > previous_s:
            previous_s = time_s
            yield time_s, frame
        else:
            report.superseded += 1


def read_frames(
    path: str | Path, threads: int = 0, streams: StreamChoice = DEFAULT_STREAMS, turn: int = 0
) -> Reading[VideoFrame]:
    """Frames at 25 fps, streamed.

    Frame ``i`` is the one nearest in presentation time to ``first + i / 25`` seconds, where
    ``first`` is the time of the first frame. A frame displayed for longer is repeated (the same
    object), before a gap until the next one is due. Interlaced video is deinterlaced.

    Args:
        path: a video file.
        threads: decoder threads; 0 lets the decoder choose.
        streams: which of several video streams.
        turn: degrees by which each frame is turned clockwise: 0, 90, 180 or 270.

    Raises:
        MissingFileError, UnreadableMediaError, NoVideoError.
        ConfigError: a stream of ``streams`` does not exist.
    """
    return Reading(lambda report: _read_frames(path, threads, streams, turn, report))


def _read_frames(
    path: str | Path, threads: int, streams: StreamChoice, turn: int, report: ReadReport
) -> Iterator[VideoFrame]:
    with _open_video(path, threads, streams) as (container, stream, aspect):
        scaler, grid = Scaler(), FrameGrid()
        for time_s, frame in _timed_frames(container, stream, report):
            if grid.latest_s is not None and time_s - grid.latest_s > MAX_VIDEO_GAP_S:
                gap_s = time_s - grid.latest_s
                raise timestamp_jump_error(path, gap_s, grid.latest_s - grid.first_s)
            yield from grid.add(time_s, VideoFrame(frame, aspect, scaler, turn))
        if grid.first_s is None:
            raise UnreadableMediaError(
                tr("cannot read {path}: {why}; is it a complete media file?",
                   path=path, why=tr("no video frame could be decoded"))
            )  # fmt: skip
        # The last frame is displayed for one frame interval of the source.
        yield from grid.end(min(1 / frame_rate(stream), MAX_VIDEO_GAP_S))
        count = FrameCount(report.frames, report.frames - report.superseded)
        _counts[_file_key(path), stream.index] = count


@dataclass(frozen=True)
class FrameCount:
    """Frames of a video: how many are decoded, and how many of these are displayed, at times one
    after the other."""

    n_decoded: int
    n_displayed: int


_counts: dict[tuple, FrameCount] = {}  # of the videos read to their end, by file and index


def _file_key(path: str | Path) -> tuple:
    """Another one if the file is changed."""
    status = Path(path).stat()
    return str(Path(path).absolute()), status.st_size, status.st_mtime_ns


def count_frames(path: str | Path, streams: StreamChoice = DEFAULT_STREAMS) -> FrameCount:
    """How many frames can be decoded: read anew, unless this process has read all of the video.

    Args:
        streams: which of several video streams.

    Raises:
        MissingFileError, UnreadableMediaError, NoVideoError.
        ConfigError: a stream of ``streams`` does not exist.
    """
    with open_media(path) as container:
        stream = find_video_stream(container, streams.video)
        key = _file_key(path), -1 if stream is None else stream.index
    if key not in _counts:
        for _ in read_frames(path, streams=streams):
            pass
    return _counts[key]


@contextmanager
def _open_video(path: str | Path, threads: int, streams: StreamChoice):
    """A container, its video stream with a decoder of so many threads, and the pixel aspect."""
    with open_media(path) as container:
        stream = find_video_stream(container, streams.video)
        if stream is None:
            raise NoVideoError(tr("{path} has no video stream", path=path))
        check_decoder(path, stream)
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = threads
        aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
        yield container, stream, aspect


class FrameGrid:
    """Resamples frames at any times to 25 fps, see ``read_frames``.

    Attributes:
        first_s: time of the first frame in seconds, or None before there is one.
        latest_s: of the latest frame.
        index: of the next output frame.
    """

    def __init__(self):
        self.first_s = self.latest_s = self._latest = None
        self.index = 0

    def add(self, time_s: float, frame: VideoFrame) -> Iterator[VideoFrame]:
        """Add a frame, later than the previous one; yields the output frames before it."""
        if self.first_s is None:
            self.first_s = time_s
        else:
            is_gap = time_s - self.latest_s > MIN_VIDEO_GAP_S
            yield from self.repeat(time_s - 0.5 / FPS if is_gap else (self.latest_s + time_s) / 2)
        self._latest, self.latest_s = frame, time_s

    def repeat(self, until_s: float) -> Iterator[VideoFrame]:
        """The latest frame for each output frame before a time in seconds."""
        while self.first_s + self.index / FPS < until_s:
            self.index += 1
            yield self._latest

    def end(self, duration_s: float) -> Iterator[VideoFrame]:
        """The last output frames; ``duration_s``: how long the last frame is displayed."""
        yield from self.repeat(self.latest_s + duration_s - 1e-6)


def source_frames(
    path: str | Path,
    threads: int = 0,
    start_s: float = 0.0,
    streams: StreamChoice = DEFAULT_STREAMS,
) -> Iterator[tuple[float, VideoFrame, Fraction]]:
    """Every frame of a file, streamed: its time in seconds after the first one, the frame, and the
    time base of the stream in seconds. Interlaced video is deinterlaced.

    Args:
        start_s: frames long before this time are left out where the container allows it.
        streams: which of several video streams.

    Raises:
        MissingFileError, UnreadableMediaError, NoVideoError.
    """
    first_s = first_frame_s(path, streams) if start_s > 0 else None
    with _open_video(path, threads, streams) as (container, stream, aspect):
        if start_s > 0:
            _seek(container, stream, first_s + start_s)
        scaler = Scaler()
        for time_s, frame in _timed_frames(container, stream, ReadReport()):
            first_s = time_s if first_s is None else first_s
            yield time_s - first_s, VideoFrame(frame, aspect, scaler), stream.time_base


def _seek(container, stream: av.VideoStream, time_s: float) -> None:
    """Go to the last key frame before a time, where the container has exact times and an index."""
    if not SEEKABLE & set(container.format.name.split(",")):
        return
    if joined_clock(container.name).breaks_s:  # its index holds other times
        return
    try:
        container.seek(int(time_s / stream.time_base), stream=stream, backward=True)
    except av.error.FFmpegError:  # no index: it is read from the beginning
        container.seek(0)


def first_frame_s(path: str | Path, streams: StreamChoice = DEFAULT_STREAMS) -> float:
    """Presentation time of the first frame that can be decoded, in seconds.

    The start time in the header includes frames that a decoder drops.

    Raises:
        MissingFileError, UnreadableMediaError, NoVideoError.
    """
    with open_media(path) as container:
        stream = find_video_stream(container, streams.video)
        if stream is None:
            raise NoVideoError(tr("{path} has no video stream", path=path))
        check_decoder(path, stream)
        for time_s, _ in _timed_frames(container, stream, ReadReport()):
            return time_s
        return start_time_s(container, stream)


def _edit_list_shift_s(
    container: av.container.InputContainer, stream: av.VideoStream, path: str | Path
) -> float:
    """How many seconds later than the demuxer says the frames of a cut mp4 are due.

    An mp4 that was cut without re-encoding has an edit list that may begin between two frames. The
    demuxer moves the following frame there, and all others with it, but not the audio.
    """
    entries = stream.index_entries
    if "mp4" not in container.format.name or not (len(entries) and entries[0].is_discard):
        return 0.0
    first = next((entry for entry in entries if not entry.is_discard), entries[0])
    options = input_options(path) | {
        "advanced_editlist": "0"
    }  # timestamps of the file, nothing discarded
    with av.open(path_argument(path), metadata_errors="replace", options=options) as unedited:
        for entry in unedited.streams[stream.index].index_entries:
            if entry.pos == first.pos:
                return float((entry.timestamp - first.timestamp) * stream.time_base)
    return 0.0


def read_audio(path: str | Path, streams: StreamChoice = DEFAULT_STREAMS) -> np.ndarray:
    """The audio of a file: float32 [samples], mono, 16 kHz, range −1…1.

    Sample ``n`` belongs to ``zero + n / 16000`` seconds, where ``zero`` is the first frame of the
    file or, without video, its first sample. Gaps are silence; audio before zero is skipped.

    Raises:
        MissingFileError, UnreadableMediaError, NoAudioError.
    """
    parts = list(stream_audio(path, streams))
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def stream_audio(path: str | Path, streams: StreamChoice = DEFAULT_STREAMS) -> Reading[np.ndarray]:
    """The audio of ``read_audio`` in consecutive blocks of at most a few seconds.

    Args:
        streams: which of several streams, and whether only one of its channels.
    """
    return Reading(lambda report: _stream_audio(path, streams, report))


def _stream_audio(
    path: str | Path, streams: StreamChoice, report: ReadReport
) -> Iterator[np.ndarray]:
    blocks = _long_blocks(path, SAMPLE_RATE, streams.channel is None, streams, report)
    for block in fill_gaps(blocks, SAMPLE_RATE):
        yield mix(block, streams.channel)


def mix(block: np.ndarray, channel: int | None) -> np.ndarray:
    """float32 [channels, n] -> [n]: one channel, from 1, if there is one of that number, or the
    mean of all."""
    if channel is not None and channel <= len(block):
        return block[channel - 1]
    return block[0] if len(block) == 1 else block.mean(0)


def fill_gaps(blocks: Iterable[tuple[int, np.ndarray]], sample_rate: int) -> Iterator[np.ndarray]:
    """The audio of ``audio_blocks`` from sample 0 on, float32 [channels, n] each: gaps are filled
    with silence, samples before 0 and overlaps are skipped."""
    end = 0
    for start, block in blocks:
        for gap_start in range(end, start, sample_rate):
            n_silent = min(sample_rate, start - gap_start)
            yield np.zeros((len(block), n_silent), np.float32)
        skip = max(0, end - start)
        if skip < block.shape[1]:
            yield block[:, skip:]
            end = start + block.shape[1]


def audio_blocks(
    path: str | Path,
    sample_rate: int,
    mono: bool = False,
    streams: StreamChoice = DEFAULT_STREAMS,
) -> Reading[tuple[int, np.ndarray]]:
    """The audio of a file, streamed in order: (index of the first sample, float32 [channels, n]).

    Sample 0 is at the zero of ``read_audio``; indices count samples at ``sample_rate`` Hz. With
    ``mono``, surround is mixed down to one channel; otherwise the channels are those of the file.
    ``streams`` selects one of several audio streams, and the video on whose clock they are.

    Raises:
        MissingFileError, UnreadableMediaError, NoAudioError.
        ConfigError: a stream of ``streams`` does not exist.
    """
    return Reading(lambda report: _long_blocks(path, sample_rate, mono, streams, report))


def _long_blocks(
    path: str | Path, sample_rate: int, mono: bool, streams: StreamChoice, report: ReadReport
) -> Iterator[tuple[int, np.ndarray]]:
    """``_audio_blocks`` that follow one another, joined: decoders give some 20 ms at a time, and
    what is done for each block takes longer than their samples do."""
    pending, begin, n_pending = [], 0, 0
    for start, block in _audio_blocks(path, sample_rate, mono, streams, report):
        is_next = pending and start == begin + n_pending and len(block) == len(pending[0])
        if pending and not (is_next and n_pending < BLOCK_S * sample_rate):
            yield begin, np.concatenate(pending, 1)
            pending = []
        if not pending:
            begin, n_pending = start, 0
        pending.append(block)
        n_pending += block.shape[1]
    if pending:
        yield begin, np.concatenate(pending, 1)


def _audio_blocks(
    path: str | Path, sample_rate: int, mono: bool, streams: StreamChoice, report: ReadReport
) -> Iterator[tuple[int, np.ndarray]]:
    with open_media(path) as container:
        stream = find_audio_stream(container, streams.audio)
        if stream is None:
            raise NoAudioError(tr("{path} has no audio", path=path))
        check_decoder(path, stream)
        zero_s, video = None, find_video_stream(container, streams.video)
        if video is not None:
            zero_s = first_frame_s(path, streams) + _edit_list_shift_s(container, video, path)
        # Raw AAC cannot signal that its first frame is encoder delay.
        has_encoder_delay = container.format.name == "aac"
        resampler, layout, audio_format, expected_s, start = None, None, None, 0.0, 0
        decoded_s = gaps_s = 0.0  # seconds of audio, and of the gaps in it
        for frame in decode(container, stream, report):
            time_s = frame.time if frame.time is not None else expected_s
            if layout is None:
                layout = "mono" if mono and frame.layout.nb_channels > 2 else frame.layout.name
            frame_format = (frame.sample_rate, frame.layout.name, frame.format.name)
            is_new_format = frame_format != audio_format
            if is_new_format and not MIN_SAMPLE_RATE <= frame.sample_rate <= MAX_SAMPLE_RATE:
                raise UnreadableMediaError(
                    tr("cannot read {path}: {why}; is it a complete media file?", path=path,
                       why=tr("implausible audio sample rate of {rate} Hz",
                              rate=frame.sample_rate))
                )  # fmt: skip
            duration_s = frame.samples / frame.sample_rate
            if zero_s is None:
                zero_s = time_s + (duration_s if has_encoder_delay else 0)
            is_jump = abs(time_s - expected_s) > MIN_AUDIO_JUMP_S
            if resampler is None or is_jump or is_new_format:
                for block in resample(resampler, None):
                    yield start, block
                    start += block.shape[1]
                resampler = av.AudioResampler(format="flt", layout=layout, rate=sample_rate)
                gaps_s += max(0.0, time_s - max(zero_s, expected_s))
                if gaps_s > MAX_AUDIO_GAP_S + MAX_SILENCE_RATIO * decoded_s:
                    raise timestamp_jump_error(path, time_s - expected_s, expected_s - zero_s)
                audio_format, expected_s = frame_format, time_s
                start = round((time_s - zero_s) * sample_rate)
            frame.pts = None  # the resampler would insert or drop samples to follow timestamps
            expected_s += duration_s
            decoded_s += duration_s
            for block in resample(resampler, frame):
                yield start, block
                start += block.shape[1]
        if resampler is None:
            raise UnreadableMediaError(
                tr("cannot read {path}: {why}; is it a complete media file?",
                   path=path, why=tr("no audio could be decoded"))
            )  # fmt: skip
        for block in resample(resampler, None):
            yield start, block
            start += block.shape[1]


def resample(resampler: av.AudioResampler | None, frame: av.AudioFrame | None) -> list[np.ndarray]:
    """The output of a resampler for a frame, float32 [channels, n] each; for None: what it has
    buffered. Samples that are NaN, infinite or impossibly loud become silence, as one of them
    would spoil all features around it."""
    if resampler is None:
        return []
    # Interleaved: PyAV 18 crashes on frames of eight planes.
    return [
        _silence_invalid(part.to_ndarray().reshape(-1, part.layout.nb_channels).T)
        for part in resampler.resample(frame)
    ]


def _silence_invalid(samples: np.ndarray) -> np.ndarray:
    is_valid = np.abs(samples) <= MAX_AMPLITUDE  # False for NaN
    return samples if is_valid.all() else np.where(is_valid, samples, np.float32(0))

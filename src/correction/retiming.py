"""Audio retimed along an offset timeline: shifted, resampled, or segment by segment.

The audio at second ``t`` of the video is taken from second ``t − offset(t)`` of the source.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

import av
import numpy as np

from ..media.streams import default_layout
from ..scoring.timeline import Segment, Timeline

CROSSFADE_S = 0.02  # between segments
BLOCK_SAMPLES = 1 << 14  # computed at a time
# Clock errors up to this are corrected by resampling, which changes the pitch by as much: 0.5 %
# is a twelfth of a semitone. Beyond, the tempo is changed at the same pitch.
MAX_RESAMPLED_SLOPE = 5.0  # ms per second


def retime(
    blocks: Iterator[tuple[int, np.ndarray]], sample_rate: int, timeline: Timeline, n_samples: int
) -> Iterator[np.ndarray]:
    """The audio in sync with the video, streamed.

    Args:
        blocks: (index of the first sample, float32 [channels, n]) in order; gaps are silence
            (``media.audio_blocks``).
        sample_rate: Hz.
        timeline: the offsets to be corrected.
        n_samples: of the output; beyond the source there is silence.

    Yields:
        float32 [channels, n], ``n_samples`` in all. Memory does not grow with the duration.
    """
    source = _SourceBuffer(blocks)
    fade = round(CROSSFADE_S * sample_rate)
    segments = timeline.segments
    edges = [0, *(round(segment.end_s * sample_rate) for segment in segments[:-1]), n_samples]
    edges = [min(max(edge, 0), n_samples) for edge in edges]
    tail = None  # of the previous segment, into which the next one is crossfaded
    for number, (first, last) in enumerate(pairwise(edges)):
        segment, following = segments[number], segments[number + 1 :]
        # A jump may lead back in the source.
        position = _source_position(segment, last, sample_rate)
        rewind = max((position - _source_position(later, last, sample_rate) for later in following),
                     default=0)  # fmt: skip
        source.n_retained = max(0, round(rewind)) + 2 * fade
        overlap = min(fade, n_samples - last) if following else 0
        reader = _SegmentReader(source, segment, first, last + overlap, sample_rate)
        yield from _crossfade(reader, last - first, tail)
        tail = reader.read(overlap)


def _source_position(segment: Segment, sample: int, sample_rate: int) -> float:
    """The sample of the source that belongs to a sample of the output."""
    return sample - segment.offset_at(sample / sample_rate) * sample_rate / 1000


class _SourceBuffer:
    """Samples of a stream by their index, read forwards; the last ``n_retained`` can be re-read."""

    def __init__(self, blocks: Iterator[tuple[int, np.ndarray]]):
        self._blocks = blocks
        start, block = next(blocks)
        self.channels = len(block)
        self._buffered = [(start, block)]
        self._end = start + block.shape[1]
        self.n_retained = 0

    def read(self, first: int, count: int) -> np.ndarray:
        """float32 [channels, count] from sample ``first``; silence where there is none."""
        while self._end < first + count:
            following = next(self._blocks, None)
            if following is None:
                break
            self._buffered.append(following)
            self._end = following[0] + following[1].shape[1]
        oldest = first - self.n_retained
        self._buffered = [(start, block) for start, block in self._buffered
                          if start + block.shape[1] > oldest]  # fmt: skip
        samples = np.zeros((self.channels, count), np.float32)
        for start, block in self._buffered:
            low, high = max(start, first), min(start + block.shape[1], first + count)
            if low < high:
                samples[:, low - first : high - first] = block[:, low - start : high - start]
        return samples


class _SegmentReader:
    """The samples ``first … last − 1`` of the output, along one segment."""

    def __init__(
        self, source: _SourceBuffer, segment: Segment, first: int, last: int, sample_rate: int
    ):
        self._source, self._n_remaining = source, last - first
        self._position = round(_source_position(segment, first, sample_rate))
        self._change_speed = _speed_changer(segment.slope, sample_rate, source.channels)
        self._ready = np.zeros((source.channels, 0), np.float32)

    def read(self, count: int) -> np.ndarray:
        """The next samples, at most ``count``."""
        count = min(count, self._n_remaining)
        self._n_remaining -= count
        if self._change_speed is None:
            samples = self._source.read(self._position, count)
            self._position += count
            return samples
        while self._ready.shape[1] < count:
            block = self._change_speed(self._source.read(self._position, BLOCK_SAMPLES))
            self._position += BLOCK_SAMPLES
            self._ready = np.concatenate([self._ready, block], axis=1)
        samples, self._ready = self._ready[:, :count], self._ready[:, count:]
        return samples


def _crossfade(reader: _SegmentReader, count: int, tail: np.ndarray | None) -> Iterator[np.ndarray]:
    """``count`` samples of a segment, crossfaded with the tail of the previous one."""
    if tail is not None and tail.shape[1]:
        block = reader.read(min(tail.shape[1], count))
        tail = tail[:, : block.shape[1]]
        gain = (np.arange(block.shape[1], dtype=np.float32) + 0.5) / max(1, block.shape[1])
        yield block * gain + tail * (1 - gain)
        count -= block.shape[1]
    while count > 0:
        block = reader.read(min(BLOCK_SAMPLES, count))
        yield block
        count -= block.shape[1]


def _speed_changer(
    slope: float, sample_rate: int, channels: int
) -> Callable[[np.ndarray], np.ndarray] | None:
    """Changes the speed of a source block by block; None for no change.

    A second of the output takes ``1 − slope / 1000`` seconds of the source.
    """
    speed = 1 - slope / 1000
    if slope == 0:
        return None
    if abs(slope) <= MAX_RESAMPLED_SLOPE:
        import soxr

        stream = soxr.ResampleStream(sample_rate * speed, sample_rate, channels, dtype="float32")
        return lambda block: stream.resample_chunk(np.ascontiguousarray(block.T)).T
    return _TempoFilter(speed, sample_rate, channels)


class _TempoFilter:
    """ffmpeg's atempo: another tempo at the same pitch."""

    def __init__(self, tempo: float, sample_rate: int, channels: int):
        self._sample_rate, self._layout = sample_rate, default_layout(channels)
        self._graph = av.filter.Graph()
        source = self._graph.add_abuffer(
            sample_rate=sample_rate, format="fltp", layout=self._layout,
            time_base=f"1/{sample_rate}",
        )  # fmt: skip
        atempo = self._graph.add("atempo", f"{tempo:.9f}")
        source.link_to(atempo)
        atempo.link_to(self._graph.add("abuffersink"))
        self._graph.configure()
        self._pts, self._channels = 0, channels

    def __call__(self, block: np.ndarray) -> np.ndarray:
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(block, np.float32), format="fltp", layout=self._layout
        )
        frame.sample_rate, frame.pts = self._sample_rate, self._pts
        self._pts += block.shape[1]
        self._graph.push(frame)
        parts = [np.zeros((self._channels, 0), np.float32)]
        while True:
            try:
                parts.append(self._graph.pull().to_ndarray())
            except (av.error.BlockingIOError, av.error.EOFError):
                return np.concatenate(parts, axis=1)


def interleave(blocks: Iterable[np.ndarray]) -> Iterator[bytes]:
    """float32 [channels, n] each -> bytes of f32le samples, interleaved."""
    for block in blocks:
        yield block.T.astype("<f4").tobytes()

"""A sound laid under its picture along a timeline: delayed, stretched, or piece by piece.

The sound at second ``t`` of the picture is taken from second ``t − offset(t)`` of the source.
"""

from collections.abc import Iterator
from itertools import pairwise

import av
import numpy as np

from ..media.streams import layout_of
from ..scoring.timeline import Segment, Timeline

FADE_S = 0.02  # pieces cross over in this time
BLOCK = 1 << 14  # samples made at a time
# Clocks that are wrong by less are mended by resampling, which moves the pitch by as much: 0.5 %
# is a twelfth of a semitone. Above, the pitch is kept.
MOST_RESAMPLED = 5.0  # ms in a second


def retime(
    blocks: Iterator[tuple[int, np.ndarray]], rate: int, timeline: Timeline, total: int
) -> Iterator[np.ndarray]:
    """The sound that belongs under the picture, streamed.

    Args:
        blocks: (place of the first sample, float32 [channels, n]) in order, of which gaps are
            silent (``media.audio_blocks``).
        rate: Hz.
        timeline: the offsets to mend.
        total: samples to make: beyond the source there is silence.

    Yields:
        float32 [channels, n], ``total`` samples in all. Memory does not grow with the length.
    """
    source = _Source(blocks)
    fade = round(FADE_S * rate)
    edges = [0, *(round(piece.end_s * rate) for piece in timeline.pieces[:-1]), total]
    edges = [min(max(edge, 0), total) for edge in edges]
    tail = None  # of the piece before, over which the next one fades in
    for number, (first, last) in enumerate(pairwise(edges)):
        piece = timeline.pieces[number]
        following = timeline.pieces[number + 1 :]
        # A jump may lead back in the source.
        back = max((_place(piece, last, rate) - _place(other, last, rate) for other in following),
                   default=0)  # fmt: skip
        source.keep = max(0, round(back)) + 2 * fade
        over = min(fade, total - last) if following else 0
        made = _Stretched(source, piece, first, last + over, rate)
        yield from _crossed(made, last - first, tail)
        tail = made.take(over)


def _place(piece: Segment, sample: int, rate: int) -> float:
    """Where in the source a sample of the picture's clock is taken from."""
    return sample - piece.at(sample / rate) * rate / 1000


class _Source:
    """Samples of a stream by their place, read forwards, a little of the past kept."""

    def __init__(self, blocks: Iterator[tuple[int, np.ndarray]]):
        self._blocks = blocks
        start, block = next(blocks)
        self.channels = len(block)
        self._held = [(start, block)]
        self._end = start + block.shape[1]
        self.keep = 0

    def read(self, first: int, count: int) -> np.ndarray:
        """float32 [channels, count] from place ``first``; silence where there is nothing."""
        while self._end < first + count:
            following = next(self._blocks, None)
            if following is None:
                break
            self._held.append(following)
            self._end = following[0] + following[1].shape[1]
        oldest = first - self.keep
        self._held = [(at, block) for at, block in self._held if at + block.shape[1] > oldest]
        found = np.zeros((self.channels, count), np.float32)
        for at, block in self._held:
            low, high = max(at, first), min(at + block.shape[1], first + count)
            if low < high:
                found[:, low - first : high - first] = block[:, low - at : high - at]
        return found


class _Stretched:
    """The samples ``first … last − 1`` of the picture's clock, made along a piece."""

    def __init__(self, source: _Source, piece: Segment, first: int, last: int, rate: int):
        self._source, self._left = source, last - first
        self._at = round(_place(piece, first, rate))
        self._stretcher = _stretcher(piece.slope, rate, source.channels)
        self._ready = np.zeros((source.channels, 0), np.float32)

    def take(self, count: int) -> np.ndarray:
        """The next samples, at most ``count``."""
        count = min(count, self._left)
        self._left -= count
        if self._stretcher is None:
            found = self._source.read(self._at, count)
            self._at += count
            return found
        while self._ready.shape[1] < count:
            more = self._stretcher(self._source.read(self._at, BLOCK))
            self._at += BLOCK
            self._ready = np.concatenate([self._ready, more], axis=1)
        found, self._ready = self._ready[:, :count], self._ready[:, count:]
        return found


def _crossed(made: _Stretched, count: int, tail: np.ndarray | None) -> Iterator[np.ndarray]:
    """``count`` samples of a stream, the first of them faded in over the end of another one."""
    if tail is not None and tail.shape[1]:
        block = made.take(min(tail.shape[1], count))
        tail = tail[:, : block.shape[1]]
        rise = (np.arange(block.shape[1], dtype=np.float32) + 0.5) / max(1, block.shape[1])
        yield block * rise + tail * (1 - rise)
        count -= block.shape[1]
    while count > 0:
        block = made.take(min(BLOCK, count))
        yield block
        count -= block.shape[1]


def _stretcher(slope: float, rate: int, channels: int):
    """What makes a source longer or shorter, block by block; None for none.

    A second of the picture's clock takes ``1 − slope / 1000`` seconds of the source.
    """
    pace = 1 - slope / 1000
    if slope == 0:
        return None
    if abs(slope) <= MOST_RESAMPLED:
        import soxr

        stream = soxr.ResampleStream(rate * pace, rate, channels, dtype="float32")
        return lambda block: stream.resample_chunk(np.ascontiguousarray(block.T)).T
    return _Tempo(pace, rate, channels)


class _Tempo:
    """ffmpeg's atempo: another pace at the same pitch."""

    def __init__(self, pace: float, rate: int, channels: int):
        self._rate, self._layout = rate, layout_of(channels)
        self._graph = av.filter.Graph()
        entry = self._graph.add_abuffer(
            sample_rate=rate, format="fltp", layout=self._layout, time_base=f"1/{rate}"
        )
        tempo = self._graph.add("atempo", f"{pace:.9f}")
        end = self._graph.add("abuffersink")
        entry.link_to(tempo)
        tempo.link_to(end)
        self._graph.configure()
        self._at, self._channels = 0, channels

    def __call__(self, block: np.ndarray) -> np.ndarray:
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(block, np.float32), format="fltp", layout=self._layout
        )
        frame.sample_rate, frame.pts = self._rate, self._at
        self._at += block.shape[1]
        self._graph.push(frame)
        found = [np.zeros((self._channels, 0), np.float32)]
        while True:
            try:
                found.append(self._graph.pull().to_ndarray())
            except (av.error.BlockingIOError, av.error.EOFError):
                return np.concatenate(found, axis=1)

"""The offset over time: constant, drifting, or jumping where the video or the audio was cut.

Which of them a clip has, is decided from its evidence by second (``timeline_fit.py``).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise

import numpy as np

from ..core.constants import FPS, HOP_MS, WINDOW_FRAMES
from .evidence import PEAK_FIT_HOPS, Evidence, parabola_vertex

JUMP_SEARCH_S = 4  # a jump is located within ± this of where the evidence by second puts it


@dataclass(frozen=True)
class Segment:
    """A span of time in which the offset is constant or changes linearly.

    Attributes:
        start_s, end_s: seconds of the video.
        offset_ms: at ``start_s``; > 0: the audio leads.
        slope: ms per second; a drift in ppm is 1000 times as much.
    """

    start_s: float
    end_s: float
    offset_ms: float
    slope: float = 0.0

    def offset_at(self, second: float) -> float:
        """The offset at a time, in ms."""
        return self.offset_ms + self.slope * (second - self.start_s)


@dataclass(frozen=True)
class Timeline:
    """The offset of a clip over time.

    Attributes:
        kind: ``constant``, ``drift`` or ``jumps``.
        segments: one, or for jumps several, in order and without gaps.
    """

    kind: str
    segments: tuple[Segment, ...]

    @property
    def ppm(self) -> float:
        """The drift: how far the audio's clock is off; > 0: it plays too fast and gets earlier."""
        return 1000 * self.segments[0].slope

    @classmethod
    def from_details(cls, details: dict) -> "Timeline":
        """From ``details["timeline"]`` of a result."""
        segments = []
        for piece in details["pieces"]:
            length_s = piece["end_s"] - piece["start_s"]
            slope = (piece["end_offset_ms"] - piece["offset_ms"]) / max(length_s, 1e-3)
            segments.append(Segment(piece["start_s"], piece["end_s"], piece["offset_ms"], slope))
        return cls(details["kind"], tuple(segments))

    def plus(self, other: "Timeline", length_s: float) -> "Timeline":
        """The sum of both offsets, over ``length_s`` seconds."""
        edges = sorted({0.0, length_s, *(segment.end_s for segment in self.segments[:-1]),
                        *(segment.end_s for segment in other.segments[:-1])})  # fmt: skip
        segments = []
        for start_s, end_s in pairwise(edge for edge in edges if 0 <= edge <= length_s):
            first, second = self._segment_at(start_s), other._segment_at(start_s)
            offset_ms = first.offset_at(start_s) + second.offset_at(start_s)
            segments.append(Segment(start_s, end_s, offset_ms, first.slope + second.slope))
        kind = "jumps" if len(segments) > 1 else "drift" if segments[0].slope else "constant"
        return Timeline(kind, tuple(segments))

    def largest_offset(self, length_s: float) -> float:
        """The offset furthest from 0 within ``length_s`` seconds, in ms, with its sign."""
        offsets = []
        for segment in self.segments:
            ends = segment.start_s, min(segment.end_s, length_s)
            offsets += [segment.offset_at(second) for second in ends]
        return max(offsets, key=abs)

    def first_second_beyond(self, limit_ms: float, length_s: float) -> float | None:
        """The first whole second at which the offset exceeds ±``limit_ms``; None: never."""
        seconds = np.arange(0, length_s, 1.0)
        return next(
            (float(second) for second in seconds if abs(self.offset_at(second)) > limit_ms), None
        )

    def median_offset(self, length_s: float) -> float:
        """The median of the offset over ``length_s`` seconds, in ms."""
        seconds = np.arange(min(0.5, length_s / 2), length_s, 1.0)
        return float(np.median([self.offset_at(second) for second in seconds]))

    def offset_at(self, second: float) -> float:
        """The offset at a time, in ms; outside of all segments that of the nearest one."""
        return self._segment_at(second).offset_at(second)

    def _segment_at(self, second: float) -> Segment:
        return next(
            (segment for segment in self.segments if second < segment.end_s), self.segments[-1]
        )


@dataclass(frozen=True)
class EvidenceBySecond:
    """Evidence of a clip, summed by second.

    Attributes:
        evidence: float [N, 2 M + 1], Σ over windows of (similarity − its mean over offsets).
        n_windows: int [N], windows with speech at offset 0.
    """

    evidence: np.ndarray
    n_windows: np.ndarray

    @property
    def reach(self) -> int:
        """The search range: offsets of ±``reach`` hops (M)."""
        return self.evidence.shape[1] // 2

    @property
    def times(self) -> np.ndarray:
        """The middles of the seconds, float [N]."""
        return np.arange(len(self.evidence)) + 0.5

    @property
    def has_speech(self) -> np.ndarray:
        """Whether someone speaks in the second, bool [N]."""
        return self.n_windows > 0


def evidence_by_second(tracks: Iterable[Evidence], n_frames: int) -> EvidenceBySecond:
    """Sum the evidence of the windows that begin in each second.

    Args:
        tracks: of the active speakers; one or more.
        n_frames: length of the clip.
    """
    n_seconds, sums = -(-n_frames // FPS), None
    for chunk in chain.from_iterable(track.chunks() for track in tracks):
        usable = chunk.usable
        if sums is None:
            sums = EvidenceBySecond(
                np.zeros((n_seconds, usable.shape[1])), np.zeros(n_seconds, int)
            )
        if not len(usable):
            continue
        second = (chunk.first_frame + np.arange(len(usable))) // FPS
        starts = np.flatnonzero(np.diff(second, prepend=-1))
        sums.evidence[second[starts]] += np.add.reduceat(chunk.above_mean(), starts)
        has_speech = usable[:, chunk.reach].astype(int)
        sums.n_windows[second[starts]] += np.add.reduceat(has_speech, starts)
    return sums


def drift_compensated(
    tracks: Iterable[Evidence], timeline: Timeline, reference_ms: float
) -> Iterator[Evidence]:
    """The evidence as it would be if the offset were ``reference_ms`` at all times, in chunks.

    Rows of different times can then be averaged.
    """
    for chunk in chain.from_iterable(track.chunks() for track in tracks):
        rows, width = chunk.similarity.shape
        seconds = (chunk.first_frame + np.arange(rows)) / FPS
        hops = [round((timeline.offset_at(second) - reference_ms) / HOP_MS) for second in seconds]
        columns = np.arange(width) + np.array(hops, int).reshape(-1, 1)
        is_inside = (columns >= 0) & (columns < width)
        columns = np.clip(columns, 0, width - 1)
        similarity = np.take_along_axis(chunk.similarity, columns, 1) * is_inside
        usable = np.take_along_axis(chunk.usable, columns, 1) & is_inside
        yield Evidence(similarity, usable, chunk.first_frame)


def refine_jumps(
    timeline: Timeline, tracks: list[Evidence], cuts: Sequence[float] = ()
) -> Timeline:
    """Locate jumps to the frame that are known to the second.

    A jump lies where the windows change from one offset to the other; in a pause between them at
    a cut of the video, or else in its middle.

    Args:
        cuts: seconds at which the video is cut. Jumps that lie at one already stay.
    """
    segments = list(timeline.segments)
    for number, (before, after) in enumerate(pairwise(timeline.segments)):
        if before.end_s in cuts:
            continue
        jump_s = _locate_jump(before, after, tracks, cuts)
        segments[number] = replace(segments[number], end_s=jump_s)
        segments[number + 1] = replace(after, start_s=jump_s, offset_ms=after.offset_at(jump_s))
    return replace(timeline, segments=tuple(segments))


def _locate_jump(
    before: Segment, after: Segment, tracks: list[Evidence], cuts: Sequence[float]
) -> float:
    """The second at which the offset jumps from one segment to the next."""
    frame = round(before.end_s * FPS)
    first = max(frame - JUMP_SEARCH_S * FPS, round((before.start_s + before.end_s) / 2 * FPS))
    stop = min(frame + JUMP_SEARCH_S * FPS, round((after.start_s + after.end_s) / 2 * FPS))
    difference = np.zeros(max(1, stop - first))  # of the similarities at both offsets
    for track in tracks:
        low, high = max(first, track.first_frame), min(stop, track.stop)
        if low < high:
            part = track.part(low - track.first_frame, high - track.first_frame)
            similarity_before, similarity_after = (
                _similarity_at(part, segment.offset_at(before.end_s)) for segment in (before, after)
            )
            difference[low - first : high - first] += similarity_after - similarity_before
    cost = np.concatenate([[0.0], difference.cumsum()])  # of a jump before each frame
    best = np.flatnonzero(cost <= cost.min() + 1e-6)
    best = best[: 1 + int(np.argmax(np.diff(best, append=best[-1] + 2) > 1))]
    half = WINDOW_FRAMES / 2 - 0.5
    jump_s = (first + best.mean() + half) / FPS
    first_s, last_s = (first + best[[0, -1]] + half) / FPS
    # A window across a cut holds both sides of it and is clear for neither.
    margin_s = WINDOW_FRAMES / FPS
    nearby = [cut_s for cut_s in cuts if first_s - margin_s <= cut_s <= last_s + margin_s]
    return min(nearby, key=lambda cut_s: abs(cut_s - jump_s)) if nearby else jump_s


def _similarity_at(part: Evidence, offset_ms: float) -> np.ndarray:
    """Similarities at an offset, 0 where no one speaks; float [W]."""
    column = int(np.clip(round(offset_ms / HOP_MS) + part.reach, 0, 2 * part.reach))
    return part.similarity[:, column] * part.usable[:, column]


def peak_hops(curve: np.ndarray) -> float:
    """The offset at which a curve over offsets has its maximum, refined by a parabola.

    float [2 M + 1] -> hops.
    """
    best = int(curve.argmax())
    low, high = max(0, best - PEAK_FIT_HOPS), min(len(curve), best + PEAK_FIT_HOPS + 1)
    vertex = parabola_vertex(np.arange(low, high) - best, curve[low:high])
    return best - len(curve) // 2 + float(vertex)

"""The offset over time: one for all, a clock that drifts, or jumps where something was cut.

Which of them it is, is found from evidence summed by second (``stories.py``).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise

import numpy as np

from ..core.constants import FPS, HOP_MS, WINDOW_FRAMES
from .evidence import FIT_STEPS, Evidence

PLACING_S = 4  # a jump is placed within ± this of where seconds show it


@dataclass(frozen=True)
class Segment:
    """A stretch with one course of the offset.

    Attributes:
        start_s, end_s: seconds of the picture.
        offset_ms: at ``start_s``; > 0: the sound is early.
        slope: ms of offset more in each second; ppm are 1000 times as many.
    """

    start_s: float
    end_s: float
    offset_ms: float
    slope: float = 0.0

    def at(self, second: float) -> float:
        """The offset at a time, in ms."""
        return self.offset_ms + self.slope * (second - self.start_s)


@dataclass(frozen=True)
class Timeline:
    """The course of the offset over a clip.

    Attributes:
        kind: ``constant``, ``drift`` or ``jumps``.
        pieces: one, or for jumps several, in order and without gaps.
    """

    kind: str
    pieces: tuple[Segment, ...]

    @property
    def ppm(self) -> float:
        """By how much the sound's clock is wrong; > 0: the sound is too short, it gets earlier."""
        return 1000 * self.pieces[0].slope

    @classmethod
    def from_numbers(cls, told: dict) -> "Timeline":
        """Of ``details["timeline"]``."""
        pieces = []
        for piece in told["pieces"]:
            length_s = piece["end_s"] - piece["start_s"]
            slope = (piece["end_offset_ms"] - piece["offset_ms"]) / max(length_s, 1e-3)
            pieces.append(Segment(piece["start_s"], piece["end_s"], piece["offset_ms"], slope))
        return cls(told["kind"], tuple(pieces))

    def plus(self, other: "Timeline", length_s: float) -> "Timeline":
        """Both offsets together, over so many seconds."""
        edges = sorted({0.0, length_s, *(piece.end_s for piece in self.pieces[:-1]),
                        *(piece.end_s for piece in other.pieces[:-1])})  # fmt: skip
        pieces = []
        for first, last in pairwise(edge for edge in edges if 0 <= edge <= length_s):
            own, more = self._piece(first), other._piece(first)
            offset = own.at(first) + more.at(first)
            pieces.append(Segment(first, last, offset, own.slope + more.slope))
        kind = "jumps" if len(pieces) > 1 else "drift" if pieces[0].slope else "constant"
        return Timeline(kind, tuple(pieces))

    def largest(self, length_s: float) -> float:
        """The offset where it is furthest from 0, with its sign."""
        ends = []
        for piece in self.pieces:
            ends += [piece.at(piece.start_s), piece.at(min(piece.end_s, length_s))]
        return max(ends, key=abs)

    def leaves_at(self, reach_ms: float, length_s: float) -> float | None:
        """The first second at which the offset is further from 0 than that; None: never."""
        seconds = np.arange(0, length_s, 1.0)
        return next((float(one) for one in seconds if abs(self.at(one)) > reach_ms), None)

    def middle(self, length_s: float) -> float:
        """The median of the offset over so many seconds."""
        seconds = np.arange(min(0.5, length_s / 2), length_s, 1.0)
        return float(np.median([self.at(second) for second in seconds]))

    def at(self, second: float) -> float:
        """The offset at a time, in ms; before the first and after the last piece, theirs."""
        return self._piece(second).at(second)

    def _piece(self, second: float) -> Segment:
        return next((piece for piece in self.pieces if second < piece.end_s), self.pieces[-1])


@dataclass(frozen=True)
class EvidenceBySecond:
    """Evidence by second.

    Attributes:
        gain: float [N, 2 M + 1], Σ over windows of (similarity − the second's mean similarity).
        windows: int [N], windows with speech at offset 0.
    """

    gain: np.ndarray
    windows: np.ndarray

    @property
    def reach(self) -> int:
        """Largest offset looked at, in steps."""
        return self.gain.shape[1] // 2

    @property
    def times(self) -> np.ndarray:
        """The middles of the seconds."""
        return np.arange(len(self.gain)) + 0.5

    @property
    def heard(self) -> np.ndarray:
        """Whether somebody speaks in the second, bool [N]."""
        return self.windows > 0


def evidence_by_second(tracks: Iterable[Evidence], n_frames: int) -> EvidenceBySecond:
    """Sum the evidence of the windows that begin in each second.

    Args:
        tracks: of whom the sound belongs to; one or more.
        n_frames: length of the clip.
    """
    count, seconds = -(-n_frames // FPS), None
    for part in chain.from_iterable(track.parts() for track in tracks):
        usable = part.usable
        if seconds is None:
            seconds = EvidenceBySecond(np.zeros((count, usable.shape[1])), np.zeros(count, int))
        if not len(usable):
            continue
        second = (part.first_frame + np.arange(len(usable))) // FPS
        begins = np.flatnonzero(np.diff(second, prepend=-1))
        support = usable.sum(1, keepdims=True)
        mean = (part.similarity * usable).sum(1, keepdims=True) / np.maximum(support, 1)
        above = np.where(usable, part.similarity - mean, 0)
        seconds.gain[second[begins]] += np.add.reduceat(above, begins)
        spoken = usable[:, part.reach].astype(int)
        seconds.windows[second[begins]] += np.add.reduceat(spoken, begins)
    return seconds


def drift_compensated(
    tracks: Iterable[Evidence], timeline: Timeline, reference_ms: float
) -> Iterator[Evidence]:
    """The evidence as it would be if the offset were ``reference_ms`` all the time: along the
    timeline, rows of different times can be averaged. In parts: hours are never held twice."""
    for part in chain.from_iterable(track.parts() for track in tracks):
        rows, width = part.similarity.shape
        seconds = (part.first_frame + np.arange(rows)) / FPS
        steps = [round((timeline.at(second) - reference_ms) / HOP_MS) for second in seconds]
        place = np.arange(width) + np.array(steps, int).reshape(-1, 1)
        inside = (place >= 0) & (place < width)
        place = np.clip(place, 0, width - 1)
        similarity = np.take_along_axis(part.similarity, place, 1) * inside
        usable = np.take_along_axis(part.usable, place, 1) & inside
        yield Evidence(similarity, usable, part.first_frame)


def refine_jumps(
    timeline: Timeline, tracks: list[Evidence], cuts: Sequence[float] = ()
) -> Timeline:
    """Jumps found by the second, placed to the frame: where the windows change sides; in a pause
    between, where the picture is cut, else in its middle.

    Args:
        cuts: seconds at which the picture is cut. Jumps that are there already stay.
    """
    pieces = list(timeline.pieces)
    for number, (before, after) in enumerate(pairwise(timeline.pieces)):
        if before.end_s in cuts:
            continue
        at = round(before.end_s * FPS)
        first = max(at - PLACING_S * FPS, round((before.start_s + before.end_s) / 2 * FPS))
        stop = min(at + PLACING_S * FPS, round((after.start_s + after.end_s) / 2 * FPS))
        change = np.zeros(max(1, stop - first))
        for track in tracks:
            low, high = max(first, track.first_frame), min(stop, track.stop)
            if low < high:
                part = track.part(low - track.first_frame, high - track.first_frame)
                shown = [_column(part, piece.at(before.end_s)) for piece in (before, after)]
                change[low - first : high - first] += shown[1] - shown[0]
        against = np.concatenate([[0.0], change.cumsum()])  # what a cut there would give away
        best = np.flatnonzero(against <= against.min() + 1e-6)
        best = best[: 1 + int(np.argmax(np.diff(best, append=best[-1] + 2) > 1))]
        half = WINDOW_FRAMES / 2 - 0.5
        cut = (first + best.mean() + half) / FPS
        edges = (first + best[[0, -1]] + half) / FPS
        # A window of a cut has both sides in it, and shows neither well.
        at_cut = [
            one
            for one in cuts
            if edges[0] - WINDOW_FRAMES / FPS <= one <= edges[1] + WINDOW_FRAMES / FPS
        ]
        if at_cut:
            cut = min(at_cut, key=lambda one: abs(one - cut))
        pieces[number] = replace(pieces[number], end_s=cut)
        pieces[number + 1] = replace(after, start_s=cut, offset_ms=after.at(cut))
    return replace(timeline, pieces=tuple(pieces))


def _column(part: Evidence, offset_ms: float) -> np.ndarray:
    """Similarities at an offset, 0 where nobody speaks; float [W]."""
    place = int(np.clip(round(offset_ms / HOP_MS) + part.reach, 0, 2 * part.reach))
    return part.similarity[:, place] * part.usable[:, place]


def peak_hops(total: np.ndarray) -> float:
    """Where a curve over offsets is highest, in steps, refined by a parabola."""
    reach = len(total) // 2
    best = int(total.argmax())
    low, high = max(0, best - FIT_STEPS), min(len(total), best + FIT_STEPS + 1)
    bend, slope, _ = np.polyfit(np.arange(low, high) - best, total[low:high], 2)
    refined = -slope / (2 * bend) if bend < 0 else 0.0
    return best - reach + float(np.clip(refined, -FIT_STEPS, FIT_STEPS))

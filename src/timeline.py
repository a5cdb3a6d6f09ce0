"""The offset over time: one for all, a clock that drifts, or jumps where something was cut.

Evidence is summed by second. Three stories are told of it, each the best of its kind: one offset;
an offset that grows in a line (a clock that is wrong by so many parts in a million); offsets that
stay until they jump. The simplest is believed until a richer one fits seconds it was not fitted to
better, by more than chance explains (cross-validation, as in Stone 1974, with paired differences).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, pairwise

import numpy as np

from src.audio_features import STEP_MS
from src.clip_features import WINDOW_FRAMES
from src.media import FPS
from src.metrics import FIT_STEPS, Evidence

MOST_PPM = 3000  # clocks that are wrong by more are not looked for
SURE = 3.0  # standard errors by which a richer story must fit better
FOLDS = 4  # every fourth second judges what is fitted to the others
LEAST_PIECE_S = 3  # shorter stretches are no piece of their own
LEAST_DRIFT_MS = 20  # over the whole length: less is not told from none
LEAST_JUMP_MS = 20  # pieces that differ by less are one
STRETCHES, STRETCH_S = 6, 20  # a line is laid through so many, each so long at least
NEAR_STEPS = 8  # what a stretch shows is looked for within ± so many steps of the line
PLACING_S = 4  # a jump is placed within ± this of where seconds show it
JUMP_COST = 3.0  # of a jump, in deviations of what a second shows by chance


@dataclass(frozen=True)
class Piece:
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
    pieces: tuple[Piece, ...]

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
            pieces.append(Piece(piece["start_s"], piece["end_s"], piece["offset_ms"], slope))
        return cls(told["kind"], tuple(pieces))

    def plus(self, other: "Timeline", length_s: float) -> "Timeline":
        """Both offsets together, over so many seconds."""
        edges = sorted({0.0, length_s, *(piece.end_s for piece in self.pieces[:-1]),
                        *(piece.end_s for piece in other.pieces[:-1])})  # fmt: skip
        pieces = []
        for first, last in pairwise(edge for edge in edges if 0 <= edge <= length_s):
            own, more = self._piece(first), other._piece(first)
            offset = own.at(first) + more.at(first)
            pieces.append(Piece(first, last, offset, own.slope + more.slope))
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

    def _piece(self, second: float) -> Piece:
        return next((piece for piece in self.pieces if second < piece.end_s), self.pieces[-1])


@dataclass(frozen=True)
class Seconds:
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


def by_second(tracks: Iterable[Evidence], n_frames: int) -> Seconds:
    """Sum the evidence of the windows that begin in each second.

    Args:
        tracks: of whom the sound belongs to; one or more.
        n_frames: length of the clip.
    """
    count, seconds = -(-n_frames // FPS), None
    for part in chain.from_iterable(track.parts() for track in tracks):
        usable = part.usable
        if seconds is None:
            seconds = Seconds(np.zeros((count, usable.shape[1])), np.zeros(count, int))
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


def straightened(
    tracks: Iterable[Evidence], timeline: Timeline, reference_ms: float
) -> Iterator[Evidence]:
    """The evidence as it would be if the offset were ``reference_ms`` all the time: along the
    timeline, rows of different times can be averaged. In parts: hours are never held twice."""
    for part in chain.from_iterable(track.parts() for track in tracks):
        rows, width = part.similarity.shape
        seconds = (part.first_frame + np.arange(rows)) / FPS
        steps = [round((timeline.at(second) - reference_ms) / STEP_MS) for second in seconds]
        place = np.arange(width) + np.array(steps, int).reshape(-1, 1)
        inside = (place >= 0) & (place < width)
        place = np.clip(place, 0, width - 1)
        similarity = np.take_along_axis(part.similarity, place, 1) * inside
        usable = np.take_along_axis(part.usable, place, 1) & inside
        yield Evidence(similarity, usable, part.first_frame)


def jumps_placed(timeline: Timeline, tracks: list[Evidence]) -> Timeline:
    """Jumps found by the second, placed to the frame: where the windows change sides; in a pause
    between, in its middle."""
    pieces = list(timeline.pieces)
    for number, (before, after) in enumerate(pairwise(timeline.pieces)):
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
        cut = (first + best.mean() + WINDOW_FRAMES / 2 - 0.5) / FPS
        pieces[number] = replace(pieces[number], end_s=cut)
        pieces[number + 1] = replace(after, start_s=cut, offset_ms=after.at(cut))
    return replace(timeline, pieces=tuple(pieces))


def _column(part: Evidence, offset_ms: float) -> np.ndarray:
    """Similarities at an offset, 0 where nobody speaks; float [W]."""
    place = int(np.clip(round(offset_ms / STEP_MS) + part.reach, 0, 2 * part.reach))
    return part.similarity[:, place] * part.usable[:, place]


def find_timeline(seconds: Seconds, length_s: float) -> Timeline | None:
    """The simplest story that the evidence does not contradict; None without any evidence.

    Args:
        length_s: of the picture.
    """
    if not seconds.windows.any():
        return None
    stories = {"constant": _constant, "drift": _drift, "jumps": _jumps}
    kind = "constant"
    if (seconds.windows > 0).sum() >= 4 * LEAST_PIECE_S:
        held_out = {name: _held_out(seconds, fit, length_s) for name, fit in stories.items()}
        for name in ("drift", "jumps"):
            if _better(held_out[name], held_out[kind]):
                kind = name
    found = stories[kind](seconds, np.ones(len(seconds.gain), bool), length_s)
    flat = kind == "drift" and abs(found[0].slope) * length_s < LEAST_DRIFT_MS
    if flat or (kind == "jumps" and len(found) == 1):
        kind = "constant"
        found = _constant(seconds, np.ones(len(seconds.gain), bool), length_s)
    return Timeline(kind, found)


def _held_out(seconds: Seconds, fit, length_s: float) -> np.ndarray:
    """What each second shows for a story that was fitted to others, float [N]."""
    number = np.arange(len(seconds.gain))
    shown = np.zeros(len(number))
    for fold in range(FOLDS):
        kept = number % FOLDS != fold
        story = Timeline("", fit(seconds, kept, length_s))
        for second in number[~kept]:
            shown[second] = _gain_at(seconds.gain[second], story.at(second + 0.5))
    return shown


def _gain_at(gain: np.ndarray, offset_ms: float) -> float:
    """What a second shows for an offset; nothing for or against one that was not looked at."""
    place = offset_ms / STEP_MS + len(gain) // 2
    return float(np.interp(place, np.arange(len(gain)), gain, left=0, right=0))


def _better(rich: np.ndarray, simple: np.ndarray) -> bool:
    """Whether a story fits better than another by more than chance explains."""
    more = rich - simple
    return more.sum() > SURE * np.sqrt((more**2).sum())


def _constant(seconds: Seconds, kept: np.ndarray, length_s: float) -> tuple[Piece, ...]:
    return (Piece(0.0, length_s, _peak(seconds.gain[kept].sum(0)) * STEP_MS),)


def _peak(total: np.ndarray) -> float:
    """Where a curve over offsets is highest, in steps, refined by a parabola."""
    reach = len(total) // 2
    best = int(total.argmax())
    low, high = max(0, best - FIT_STEPS), min(len(total), best + FIT_STEPS + 1)
    bend, slope, _ = np.polyfit(np.arange(low, high) - best, total[low:high], 2)
    refined = -slope / (2 * bend) if bend < 0 else 0.0
    return best - reach + float(np.clip(refined, -FIT_STEPS, FIT_STEPS))


def _drift(seconds: Seconds, kept: np.ndarray, length_s: float) -> tuple[Piece, ...]:
    """The line, in offset over time, along which most is shown. It may leave what was looked at."""
    lines = _Lines(seconds.gain[kept], seconds.times[kept] - length_s / 2)
    finest = 1000 * STEP_MS / max(length_s, 1.0)  # ppm that move the ends by half a step
    slopes = np.arange(-MOST_PPM, MOST_PPM + finest, finest) / 1000
    heights = np.array([lines.shown(slope / STEP_MS).max() for slope in slopes])
    at = int(np.argmax(heights))
    slope = slopes[at]
    near = slice(max(0, at - 3), at + 4)
    if len(slopes[near]) >= 3:
        bend, lean, _ = np.polyfit(slopes[near] - slope, heights[near], 2)
        step = slopes[1] - slopes[0]
        slope += float(np.clip(-lean / (2 * bend), -step, step)) if bend < 0 else 0.0
    middle = _peak(lines.shown(slope / STEP_MS)) * STEP_MS
    line = Piece(0.0, length_s, middle - slope * length_s / 2, slope)
    return (_straight_through(line, seconds, kept),)


def _straight_through(line: Piece, seconds: Seconds, kept: np.ndarray) -> Piece:
    """The line through what stretches of the time show near it (least squares, each stretch
    weighed by its evidence): finer than lines that are tried one by one."""
    for _ in range(2):
        steps = line.at(seconds.times) / STEP_MS
        near = kept & (seconds.windows > 0) & (np.abs(steps) < seconds.reach - NEAR_STEPS)
        count = min(STRETCHES, int(near.sum()) // STRETCH_S)
        if count < 3:
            return line
        columns = np.arange(-NEAR_STEPS, NEAR_STEPS + 1) + seconds.reach
        times, offsets, weights = [], [], []
        for rows in np.array_split(np.flatnonzero(near), count):
            whole = np.round(steps[rows]).astype(int)
            total = seconds.gain[rows[:, None], columns + whole[:, None]].sum(0)
            if 0 < total.argmax() < len(total) - 1 and total.max() > 0:
                times.append(seconds.times[rows].mean())
                offsets.append((whole.mean() + _peak(total)) * STEP_MS)
                weights.append(total.max())
        if len(times) < 3:
            return line
        slope, start = np.polyfit(times, offsets, 1, w=np.sqrt(weights))
        line = Piece(line.start_s, line.end_s, float(start), float(slope))
    return line


class _Lines:
    """What is shown along lines through the evidence, between steps in proportion.

    Times at which a line lies between the same two steps are summed at once, from running sums
    of the evidence and of its product with time: a line costs no more in an hour than it has
    steps.

    Args:
        gain: float [N, 2 M + 1].
        times: float [N], rising.
    """

    def __init__(self, gain: np.ndarray, times: np.ndarray):
        self._times, self._reach = times, gain.shape[1] // 2
        nothing = np.zeros((1, gain.shape[1]))
        self._sums = np.vstack([nothing, gain.cumsum(0)])
        self._moments = np.vstack([nothing, (gain * times[:, None]).cumsum(0)])

    def shown(self, pace: float) -> np.ndarray:
        """The sums along all lines of so many steps a second; float [2 C + 1], the line at ``c``
        passes ``c − C`` steps at time 0."""
        below = np.floor(pace * self._times).astype(int)
        edges = np.flatnonzero(np.diff(below, prepend=below[0] - 1, append=below[-1] + 1))
        if len(edges) < 2:
            edges = np.array([0, len(below)])
        steps = below[edges[:-1]][:, None]
        total, moment = (np.diff(sums[edges], axis=0) for sums in (self._sums, self._moments))
        upper = pace * moment - steps * total  # the shares of the step above
        far = self._reach + 1 + int(np.abs(below).max(initial=0))
        place = np.arange(2 * self._reach + 1) - self._reach - steps + far
        size = 2 * far + 1
        return np.bincount(place.ravel(), (total - upper).ravel(), size) + np.bincount(
            place.ravel() - 1, upper.ravel(), size
        )


def _jumps(seconds: Seconds, kept: np.ndarray, length_s: float) -> tuple[Piece, ...]:
    """The course of constant pieces along which most is shown, less the cost of each jump
    (dynamic programming; a piece has at least ``LEAST_PIECE_S`` seconds of speech)."""
    number = np.flatnonzero(kept & (seconds.windows > 0))
    gain = seconds.gain[number]
    count, width = gain.shape
    least = max(1, -(-LEAST_PIECE_S * kept.sum() // len(kept)))
    by_chance = np.median(np.abs(gain)) * 1.4826
    cost = JUMP_COST * by_chance * np.sqrt(2 * np.log(max(2, count * width)))
    sums = np.vstack([np.zeros(width), gain.cumsum(0)])
    score = np.full(count + 1, -np.inf)
    score[0], before = 0.0, np.zeros(count + 1, int)
    # The best begin of a piece depends on its offset, but not on its end: it is kept for each.
    best, begin = np.full(width, -np.inf), np.zeros(width, int)
    for end in range(least, count + 1):
        start = end - least
        if np.isfinite(score[start]):
            shown = score[start] - (cost if start else 0) - sums[start]
            begin[shown > best] = start
            best = np.maximum(best, shown)
        offset = int((sums[end] + best).argmax())
        score[end], before[end] = sums[end, offset] + best[offset], begin[offset]
    if not np.isfinite(score[count]):
        return _constant(seconds, kept, length_s)
    edges = [count]
    while edges[0]:
        edges.insert(0, int(before[edges[0]]))
    offsets = [_peak(total) * STEP_MS for total in np.diff(sums[edges], axis=0)]
    while len(offsets) > 1 and np.abs(np.diff(offsets)).min() < LEAST_JUMP_MS:
        del edges[1 + int(np.abs(np.diff(offsets)).argmin())]
        offsets = [_peak(total) * STEP_MS for total in np.diff(sums[edges], axis=0)]
    pieces = []
    for (start, end), offset in zip(pairwise(edges), offsets, strict=True):
        first = 0.0 if start == 0 else (number[start - 1] + 1 + number[start]) / 2
        last = length_s if end == count else (number[end - 1] + 1 + number[end]) / 2
        pieces.append(Piece(float(first), float(last), offset))
    return tuple(pieces)

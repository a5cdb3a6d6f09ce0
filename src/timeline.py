"""The offset over time: one for all, a clock that drifts, or jumps where something was cut.

Evidence is summed by second. Three stories are told of it, each the best of its kind: one offset;
an offset that grows in a line (a clock that is wrong by so many parts in a million); offsets that
stay until they jump. The simplest is believed until a richer one fits seconds it was not fitted to
better, by more than chance explains (cross-validation, as in Stone 1974, with paired differences).
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from src.audio_features import STEP_MS
from src.media import FPS
from src.metrics import FIT_STEPS, Evidence

MOST_PPM = 3000  # clocks that are wrong by more are not looked for
SURE = 3.0  # standard errors by which a richer story must fit better
FOLDS = 4  # every fourth second judges what is fitted to the others
LEAST_PIECE_S = 3  # shorter stretches are no piece of their own
LEAST_DRIFT_MS = 20  # over the whole length: less is not told from none
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

    def middle(self, length_s: float) -> float:
        """The median of the offset over so many seconds."""
        return float(np.median([self.at(second) for second in np.arange(0.5, length_s, 1.0)]))

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


def by_second(tracks: list[Evidence], n_frames: int) -> Seconds:
    """Sum the evidence of the windows that begin in each second.

    Args:
        tracks: of whom the sound belongs to.
        n_frames: length of the clip.
    """
    count = -(-n_frames // FPS)
    width = tracks[0].similarity.shape[1]
    gain, windows = np.zeros((count, width)), np.zeros(count, int)
    for track in tracks:
        second = (track.first_frame + np.arange(len(track.similarity))) // FPS
        usable = track.usable
        support = usable.sum(1, keepdims=True)
        mean = (track.similarity * usable).sum(1, keepdims=True) / np.maximum(support, 1)
        np.add.at(gain, second, np.where(usable, track.similarity - mean, 0))
        np.add.at(windows, second, usable[:, track.reach].astype(int))
    return Seconds(gain, windows)


def straightened(tracks: list[Evidence], timeline: Timeline, reference_ms: float) -> list[Evidence]:
    """The evidence as it would be if the offset were ``reference_ms`` all the time: along the
    timeline, rows of different times can be averaged."""
    found = []
    for track in tracks:
        rows, width = track.similarity.shape
        seconds = (track.first_frame + np.arange(rows)) / FPS
        steps = [round((timeline.at(second) - reference_ms) / STEP_MS) for second in seconds]
        place = np.arange(width) + np.array(steps, int)[:, None]
        inside = (place >= 0) & (place < width)
        place = np.clip(place, 0, width - 1)
        similarity = np.take_along_axis(track.similarity, place, 1) * inside
        usable = np.take_along_axis(track.usable, place, 1) & inside
        found.append(Evidence(similarity, usable, track.first_frame))
    return found


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
    reach = len(gain) // 2
    return float(np.interp(offset_ms / STEP_MS + reach, np.arange(len(gain)), gain))


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
    """The line, in offset over time, along which most is shown."""
    gain, times = seconds.gain[kept], seconds.times[kept] - length_s / 2
    finest = 1000 * STEP_MS / max(length_s, 1.0)  # ppm that move the ends by half a step
    slopes = np.arange(-MOST_PPM, MOST_PPM + finest, finest) / 1000
    best = (-np.inf, 0.0, 0.0)
    heights = []
    for slope in slopes:
        aligned = _aligned(gain, slope * times / STEP_MS)
        heights.append(aligned.max())
        if heights[-1] > best[0]:
            best = (heights[-1], slope, _peak(aligned))
    at = int(np.argmax(heights))
    slope = best[1]
    near = slice(max(0, at - 3), at + 4)
    if len(slopes[near]) >= 3:
        bend, lean, _ = np.polyfit(slopes[near] - slope, np.array(heights)[near], 2)
        step = slopes[1] - slopes[0]
        slope += float(np.clip(-lean / (2 * bend), -step, step)) if bend < 0 else 0.0
    middle = _peak(_aligned(gain, slope * times / STEP_MS)) * STEP_MS
    return (Piece(0.0, length_s, middle - slope * length_s / 2, slope),)


def _aligned(gain: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """The sum of all seconds, each with its offsets moved by so many steps; 0 beyond the ends."""
    count, width = gain.shape
    place = np.arange(width) + moved[:, None]
    below = np.floor(place).astype(int)
    part = place - below
    rows = np.arange(count)[:, None]

    def taken(index: np.ndarray) -> np.ndarray:
        inside = (index >= 0) & (index < width)
        return np.where(inside, gain[rows, np.clip(index, 0, width - 1)], 0)

    return (taken(below) * (1 - part) + taken(below + 1) * part).sum(0)


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
    for end in range(1, count + 1):
        for start in range(0, end - least + 1):
            if start and not np.isfinite(score[start]):
                continue
            shown = (sums[end] - sums[start]).max() + score[start] - (cost if start else 0)
            if shown > score[end]:
                score[end], before[end] = shown, start
    if not np.isfinite(score[count]):
        return _constant(seconds, kept, length_s)
    ends = [count]
    while before[ends[-1]]:
        ends.append(int(before[ends[-1]]))
    edges = [0, *reversed(ends)]
    pieces = []
    for start, end in pairwise(edges):
        offset = _peak(sums[end] - sums[start]) * STEP_MS
        first = 0.0 if start == 0 else (number[start - 1] + 1 + number[start]) / 2
        last = length_s if end == count else (number[end - 1] + 1 + number[end]) / 2
        pieces.append(Piece(float(first), float(last), offset))
    return tuple(pieces)

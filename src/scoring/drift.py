"""A clock that is wrong: the line, in offset over time, along which the evidence shows most.

Lines that differ by less than a step where they can be seen are one. A steep line crosses what was
looked at in a short time, so that few steep ones cover all clocks: their slopes rise by a share,
flat ones by what the length of the clip tells apart.
"""

import numpy as np

from ..core.constants import HOP_MS
from .timeline import EvidenceBySecond, Segment, peak_hops

# Sound of 24 pictures a second played under 25 gets earlier by 40000 ppm, the other way round later
# by 41667. Clocks that are wrong by more are not looked for; lines a little steeper are laid, to
# see that.
MOST_PPM = 45000
BEYOND = 1.1  # times MOST_PPM: the steepest lines
STRETCHES, STRETCH_S = 6, 20  # a line is laid through so many, each so long at least
NEAR_STEPS = 8  # what a stretch shows is looked for within ± so many steps of the line
# More steps than this to either side are looked at by groups: time would grow with their square.
COARSE = 60
# The best of the slopes that were tried is refined within ± so many of them, each parted so.
WIDE, FINE = 6, 4


def slopes_tried(length_s: float, reach: int, step_ms: float = HOP_MS) -> np.ndarray:
    """Slopes in ms a second, rising, 0 among them.

    Args:
        length_s: of the picture.
        reach: largest offset looked at, in steps.
        step_ms: how long these are.
    """
    most = BEYOND * MOST_PPM / 1000
    apart = step_ms / max(length_s, 1.0)  # moves the ends by half a step, away from the middle
    crossing = 2 * reach * apart  # steeper lines leave what was looked at
    flat = np.arange(0, min(most, crossing) + apart, apart)
    share = 1 + 1 / (2 * reach)
    count = max(0, int(np.ceil(np.log(most / flat[-1]) / np.log(share))))
    rising = np.concatenate([flat, flat[-1] * share ** np.arange(1, count + 1)])
    return np.concatenate([-rising[:0:-1], rising])


def drifting(seconds: EvidenceBySecond, kept: np.ndarray, length_s: float) -> tuple[Segment, ...]:
    """The line along which most is shown. It may leave what was looked at.

    Args:
        kept: bool [N], the seconds that are asked.
        length_s: of the picture.
    """
    group = -(-seconds.reach // COARSE)
    gain, step_ms = grouped(seconds.gain[kept], group), HOP_MS * group
    lines = Lines(gain, seconds.times[kept] - length_s / 2)
    slopes = slopes_tried(length_s, gain.shape[1] // 2, step_ms)
    heights = np.array([lines.shown(slope / step_ms).max() for slope in slopes])
    at = int(np.argmax(heights))
    slope, apart = slopes[at], np.gradient(slopes)[at]
    middle = peak_hops(lines.shown(slope / step_ms)) * step_ms
    line = Segment(0.0, length_s, float(middle - slope * length_s / 2), float(slope))
    for _ in range(1 if group == 1 else 2):
        line = _refined(line, apart, seconds, kept)
        apart /= FINE
    return (_straight_through(line, seconds, kept),)


def grouped(gain: np.ndarray, group: int) -> np.ndarray:
    """Sums of so many steps next to each other, those around 0 in the middle; what is left at
    the edges is dropped. float [N, 2 M + 1] -> [N, 2 m + 1]."""
    reach = gain.shape[1] // 2
    few = (reach - group // 2) // group
    first, count = reach - few * group - group // 2, 2 * few + 1
    return gain[:, first : first + count * group].reshape(len(gain), count, group).sum(2)


def _refined(line: Segment, apart: float, seconds: EvidenceBySecond, kept: np.ndarray) -> Segment:
    """The best of the lines near one, by the seconds in which it can be seen well. Where all
    seconds count, a line that is less steep stays longer within what was looked at, and gathers
    more there."""
    near = kept & _visible(line, seconds)
    if near.sum() < 2:
        return line
    times = seconds.times[near]
    middle_s = times.mean()
    lines = Lines(seconds.gain[near], times - middle_s)
    slopes = line.slope + apart * np.linspace(-WIDE, WIDE, 2 * WIDE * FINE + 1)
    shown = [lines.shown(slope / HOP_MS) for slope in slopes]
    at = int(np.argmax([one.max() for one in shown]))
    start = peak_hops(shown[at]) * HOP_MS - slopes[at] * (middle_s - line.start_s)
    return Segment(line.start_s, line.end_s, float(start), float(slopes[at]))


def _visible(line: Segment, seconds: EvidenceBySecond) -> np.ndarray:
    """Seconds with speech in which a line, and what is near it, was looked at; bool [N]."""
    steps = line.at(seconds.times) / HOP_MS
    return seconds.heard & (np.abs(steps) < seconds.reach - NEAR_STEPS)


def _straight_through(line: Segment, seconds: EvidenceBySecond, kept: np.ndarray) -> Segment:
    """The line through what stretches of the time show near it (least squares, each stretch
    weighed by its evidence): finer than lines that are tried one by one."""
    for _ in range(2):
        steps = line.at(seconds.times) / HOP_MS
        near = kept & _visible(line, seconds)
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
                offsets.append((whole.mean() + peak_hops(total)) * HOP_MS)
                weights.append(total.max())
        if len(times) < 3:
            return line
        slope, start = np.polyfit(times, offsets, 1, w=np.sqrt(weights))
        line = Segment(line.start_s, line.end_s, float(start), float(slope))
    return line


class Lines:
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

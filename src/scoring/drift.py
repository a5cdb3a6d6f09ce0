"""Clock drift: the line, in offset over time, along which the evidence is largest.

Lines that differ by less than a hop wherever they are within the search range are equivalent. A
steep line crosses the search range in a short time, so that few steep ones cover all clock errors:
steep slopes grow in proportion, flat ones by what the length of the clip can resolve.
"""

import numpy as np

from ..core.constants import HOP_MS
from .timeline import EvidenceBySecond, Segment, peak_hops

# Audio made for 24 fps that is played with video at 25 gets earlier by 40000 ppm, the other way
# round later by 41667. Larger drift is not measured; lines a little steeper are tried to detect it.
MAX_DRIFT_PPM = 45000
SLOPE_MARGIN = 1.1  # × MAX_DRIFT_PPM: the steepest lines tried
MAX_SPANS, MIN_SPAN_S = 6, 20  # the final line is fitted to the offsets of so many spans
NEAR_HOPS = 8  # a span's offset is searched within ± so many hops of the line
# Wider search ranges are searched in groups of hops: the time would grow with their square.
COARSE_REACH = 60
# The best of the slopes tried is refined within ± so many of them, each divided by so much.
REFINE_SLOPES, REFINE_FACTOR = 6, 4


def candidate_slopes(length_s: float, reach: int, hop_ms: float = HOP_MS) -> np.ndarray:
    """Slopes to try, in ms per second, rising, 0 among them; float [S].

    Args:
        length_s: of the video.
        reach: of the evidence, in hops.
        hop_ms: length of a hop.
    """
    max_slope = SLOPE_MARGIN * MAX_DRIFT_PPM / 1000
    increment = hop_ms / max(length_s, 1.0)  # moves both ends by half a hop, in opposite ways
    crossing = 2 * reach * increment  # steeper lines leave the search range
    flat = np.arange(0, min(max_slope, crossing) + increment, increment)
    ratio = 1 + 1 / (2 * reach)
    count = max(0, int(np.ceil(np.log(max_slope / flat[-1]) / np.log(ratio))))
    rising = np.concatenate([flat, flat[-1] * ratio ** np.arange(1, count + 1)])
    return np.concatenate([-rising[:0:-1], rising])


def fit_drift(seconds: EvidenceBySecond, used: np.ndarray, length_s: float) -> tuple[Segment, ...]:
    """One segment: the line with the most evidence. It may leave the search range.

    Args:
        seconds: the evidence by second.
        used: bool [N], the seconds to fit.
        length_s: of the video.
    """
    group = -(-seconds.reach // COARSE_REACH)
    evidence, hop_ms = sum_hop_groups(seconds.evidence[used], group), HOP_MS * group
    lines = LineSums(evidence, seconds.times[used] - length_s / 2)
    slopes = candidate_slopes(length_s, evidence.shape[1] // 2, hop_ms)
    maxima = np.array([lines.totals(slope / hop_ms).max() for slope in slopes])
    index = int(np.argmax(maxima))
    slope, increment = slopes[index], np.gradient(slopes)[index]
    middle_ms = peak_hops(lines.totals(slope / hop_ms)) * hop_ms
    line = Segment(0.0, length_s, float(middle_ms - slope * length_s / 2), float(slope))
    for _ in range(1 if group == 1 else 2):
        line = _refine_slope(line, increment, seconds, used)
        increment /= REFINE_FACTOR
    return (_fit_line(line, seconds, used),)


def sum_hop_groups(evidence: np.ndarray, group: int) -> np.ndarray:
    """Sums of ``group`` neighbouring hops, one group centred on offset 0; hops left over at the
    edges are dropped. float [N, 2 M + 1] -> [N, 2 m + 1]."""
    reach = evidence.shape[1] // 2
    group_reach = (reach - group // 2) // group
    first, count = reach - group_reach * group - group // 2, 2 * group_reach + 1
    columns = evidence[:, first : first + count * group]
    return columns.reshape(len(evidence), count, group).sum(2)


def _refine_slope(
    line: Segment, increment: float, seconds: EvidenceBySecond, used: np.ndarray
) -> Segment:
    """The best of the lines with nearby slopes, by the seconds in which ``line`` is well inside the
    search range. By all seconds, a line that is less steep would gain from staying inside longer.

    Args:
        increment: between the slopes tried before, in ms per second.
    """
    near = used & _is_within_reach(line, seconds)
    if near.sum() < 2:
        return line
    times = seconds.times[near]
    middle_s = times.mean()
    lines = LineSums(seconds.evidence[near], times - middle_s)
    n_slopes = 2 * REFINE_SLOPES * REFINE_FACTOR + 1
    slopes = line.slope + increment * np.linspace(-REFINE_SLOPES, REFINE_SLOPES, n_slopes)
    totals = [lines.totals(slope / HOP_MS) for slope in slopes]
    index = int(np.argmax([total.max() for total in totals]))
    start_ms = peak_hops(totals[index]) * HOP_MS - slopes[index] * (middle_s - line.start_s)
    return Segment(line.start_s, line.end_s, float(start_ms), float(slopes[index]))


def _is_within_reach(line: Segment, seconds: EvidenceBySecond) -> np.ndarray:
    """Seconds with speech in which a line lies well inside the search range; bool [N]."""
    hops = line.offset_at(seconds.times) / HOP_MS
    return seconds.has_speech & (np.abs(hops) < seconds.reach - NEAR_HOPS)


def _fit_line(line: Segment, seconds: EvidenceBySecond, used: np.ndarray) -> Segment:
    """The line through the offsets of consecutive spans near ``line`` (least squares, weighted by
    their evidence): finer than the increment of the slopes."""
    for _ in range(2):
        hops = line.offset_at(seconds.times) / HOP_MS
        near = used & _is_within_reach(line, seconds)
        n_spans = min(MAX_SPANS, int(near.sum()) // MIN_SPAN_S)
        if n_spans < 3:
            return line
        columns = np.arange(-NEAR_HOPS, NEAR_HOPS + 1) + seconds.reach
        times, offsets_ms, weights = [], [], []
        for rows in np.array_split(np.flatnonzero(near), n_spans):
            whole_hops = np.round(hops[rows]).astype(int)
            total = seconds.evidence[rows[:, None], columns + whole_hops[:, None]].sum(0)
            if 0 < total.argmax() < len(total) - 1 and total.max() > 0:
                times.append(seconds.times[rows].mean())
                offsets_ms.append((whole_hops.mean() + peak_hops(total)) * HOP_MS)
                weights.append(total.max())
        if len(times) < 3:
            return line
        slope, start_ms = np.polyfit(times, offsets_ms, 1, w=np.sqrt(weights))
        line = Segment(line.start_s, line.end_s, float(start_ms), float(slope))
    return line


class LineSums:
    """Sums of the evidence along lines, interpolated linearly between hops.

    Times at which a line lies between the same two hops are summed at once, from running sums of
    the evidence and of its product with time: the cost of a line depends on the hops it crosses,
    not on the length of the clip.

    Args:
        evidence: float [N, 2 M + 1].
        times: float [N], seconds, rising.
    """

    def __init__(self, evidence: np.ndarray, times: np.ndarray):
        self._times, self._reach = times, evidence.shape[1] // 2
        zeros = np.zeros((1, evidence.shape[1]))
        self._sums = np.vstack([zeros, evidence.cumsum(0)])
        self._moments = np.vstack([zeros, (evidence * times[:, None]).cumsum(0)])

    def totals(self, hops_per_second: float) -> np.ndarray:
        """The sums along all lines of a slope; float [2 C + 1], of the line that passes offset
        ``c − C`` hops at time 0."""
        below = np.floor(hops_per_second * self._times).astype(int)
        edges = np.flatnonzero(np.diff(below, prepend=below[0] - 1, append=below[-1] + 1))
        if len(edges) < 2:
            edges = np.array([0, len(below)])
        hops = below[edges[:-1]][:, None]
        total, moment = (np.diff(sums[edges], axis=0) for sums in (self._sums, self._moments))
        upper = hops_per_second * moment - hops * total  # the share of the hop above
        centre = self._reach + 1 + int(np.abs(below).max(initial=0))
        line = np.arange(2 * self._reach + 1) - self._reach - hops + centre
        size = 2 * centre + 1
        return np.bincount(line.ravel(), (total - upper).ravel(), size) + np.bincount(
            line.ravel() - 1, upper.ravel(), size
        )

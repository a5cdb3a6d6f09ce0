"""Recordings joined byte by byte: one clock for all of a file whose own clock breaks.

Where recordings are appended to each other, as live-stream recorders and cameras do, the clock of
the file goes back, or jumps ahead, from one packet to the next. The parts are played in the order
of the file: each begins where the one before ends, with one shift for all of its streams, so that
video and audio stay together.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import av

from ..core.errors import UnreadableMediaError
from ..i18n.messages import tr

# Containers with the times of the whole file in an index: they cannot break.
INDEXED_FORMATS = ("mov,mp4,m4a,3gp,3g2,mj2", "avi", "wav", "mxf")
MIN_BACKWARD_S = 0.2  # timestamps jitter by less
MIN_FORWARD_S = 10.0  # shorter jumps are gaps: reception was lost
WRAPPED_S = 43_200.0  # ffmpeg adds a day or more to a clock that restarts before its beginning
MIN_RUN_PACKETS = 3  # fewer at another time are damaged timestamps, not a part
# Between decoding and presentation time of a packet. Beyond is damage; in program streams, the last
# frame before a break has the presentation time of the first one after it.
MAX_REORDER_S = 5.0
MAX_LAG_S = 1.5  # by how much the streams of a part may begin or end before one another, …
MAX_INTERLEAVING_S = 3.0  # … and how far from one another they may be in the file
MAX_JITTER_S = 1.0  # a stream that goes back by no more while the others do not is no part
MAX_AUDIO_OVERLAP_S = 0.15  # of two parts: what encoders add; more would be lost


@dataclass
class _Run:
    """Consecutive packets of a stream on an unbroken clock.

    Attributes:
        first, stop: numbers of its packets, among those of the stream.
        jump_s: of the clock, from the run before.
        start_s, end_s: presentation times.
        first_dts_s: decoding time of its first packet that has one.
    """

    first: int
    stop: int
    jump_s: float = 0.0
    start_s: float = float("inf")
    end_s: float = -float("inf")
    first_dts_s: float | None = None

    @property
    def is_gap(self) -> bool:
        """Whether the clock jumped ahead, so that it may be a gap."""
        return 0 < self.jump_s < WRAPPED_S

    def add(self, packet: av.Packet, is_dated: bool) -> None:
        self.stop += 1
        duration_s = float((packet.duration or 0) * packet.time_base)
        if not is_dated:  # it follows the packets before
            self.end_s += duration_s
        elif packet.pts is not None:
            time_s = float(packet.pts * packet.time_base)
            self.start_s = min(self.start_s, time_s)
            self.end_s = max(self.end_s, time_s + duration_s)
        if packet.dts is not None and self.start_s < float(
            "inf"
        ):  # the last frame may have a wrong presentation time
            dts_s = float(packet.dts * packet.time_base)
            self.first_dts_s = dts_s if self.first_dts_s is None else self.first_dts_s
            self.end_s = max(self.end_s, self.start_s + dts_s - self.first_dts_s + duration_s)

    def extend(self, following: "_Run") -> None:
        self.stop = following.stop
        self.start_s = min(self.start_s, following.start_s)
        self.end_s = max(self.end_s, following.end_s)


class _StreamClock:
    """The packets of a stream and where its clock breaks.

    Attributes:
        orders: the number of each packet among all of the file.
        runs: its packets; a single one where the clock does not break.
        undated: numbers of packets whose times are damaged.
    """

    def __init__(self):
        self.orders = array("q")
        self.runs = [_Run(0, 0)]
        self.undated: set[int] = set()
        self._latest_s: float | None = None  # decoding time
        self._candidate: _Run | None = None  # a run that may be damaged timestamps only
        self._candidate_s = 0.0

    def add(self, packet: av.Packet, order: int) -> None:
        number = len(self.orders)
        self.orders.append(order)
        time_s = _decoding_time_s(packet)
        is_dated = True
        if time_s is not None and packet.pts is not None:
            lead_s = float(packet.pts * packet.time_base) - time_s
            is_dated = -MIN_BACKWARD_S <= lead_s <= MAX_REORDER_S
        if not is_dated:
            self.undated.add(number)
        if self._candidate is not None:
            if time_s is None or not _breaks(time_s - self._candidate_s):
                self._candidate.add(packet, is_dated)
                self._candidate_s = self._candidate_s if time_s is None else time_s
                if self._candidate.stop - self._candidate.first >= MIN_RUN_PACKETS:
                    self.runs.append(self._candidate)
                    self._latest_s, self._candidate = self._candidate_s, None
                return
            self.end()
        if time_s is not None and self._latest_s is not None:
            jump_s = time_s - self._latest_s
            if _breaks(jump_s):
                self._candidate, self._candidate_s = _Run(number, number, jump_s), time_s
                self._candidate.add(packet, is_dated)
                return
        self.runs[-1].add(packet, is_dated)
        self._latest_s = self._latest_s if time_s is None else time_s

    def end(self) -> None:
        """No more packets, or none that continue the candidate: its times are damaged."""
        if self._candidate is not None:
            self.undated.update(range(self._candidate.first, self._candidate.stop))
            self.runs[-1].stop = self._candidate.stop
            self._candidate = None

    def join_runs(self, is_part) -> None:
        """Drop the breaks before runs that are no part of their own."""
        runs = self.runs[:1]
        for run in self.runs[1:]:
            if is_part(run, runs[-1]):
                runs.append(run)
            else:
                runs[-1].extend(run)
        self.runs = runs


def _decoding_time_s(packet: av.Packet) -> float | None:
    """Rising from packet to packet; None: unknown."""
    ticks = packet.dts
    if ticks is None and packet.is_keyframe:
        ticks = packet.pts
    return None if ticks is None else float(ticks * packet.time_base)


def _breaks(jump_s: float) -> bool:
    return jump_s < -MIN_BACKWARD_S or jump_s > MIN_FORWARD_S


@dataclass(frozen=True)
class JoinedClock:
    """How the packets of a file get on one clock.

    Attributes:
        breaks_s: where its parts after the first begin, seconds after the first frame (without
            video: the first sample); empty where the clock does not break.
        duration_s: of the video (without video: the audio), if the clock breaks.
        shifts: by stream index: the first packet of each part, and the seconds added to its times.
        undated: by stream index: the numbers of packets whose times are damaged.
    """

    breaks_s: tuple[float, ...] = ()
    duration_s: float = 0.0
    shifts: dict[int, list[tuple[int, float]]] = field(default_factory=dict)
    undated: dict[int, frozenset[int]] = field(default_factory=dict)

    def corrected(self, packets: Iterable[av.Packet]) -> Iterator[av.Packet]:
        """The packets of a file from its beginning, of all streams or of one, on one clock.

        Raises whatever reading them raises.
        """
        if not self.breaks_s:
            yield from packets
            return
        numbers: dict[int, int] = {}
        for packet in packets:
            if packet.size:
                index = packet.stream.index
                numbers[index] = number = numbers.get(index, -1) + 1
                self._correct(packet, index, number)
            yield packet

    def _correct(self, packet: av.Packet, index: int, number: int) -> None:
        if number in self.undated.get(index, ()):
            packet.pts = None
        parts = self.shifts.get(index, [])
        part = bisect_right(parts, number, key=lambda first_and_shift: first_and_shift[0]) - 1
        shift = round(parts[part][1] / packet.time_base) if part >= 0 else 0
        if packet.pts is not None:
            packet.pts += shift
        if packet.dts is not None:
            packet.dts += shift


def other_codec_error(path: str | Path) -> UnreadableMediaError:
    return UnreadableMediaError(
        tr("{path} holds recordings of different formats: its parts cannot be joined; process "
           "them one by one", path=path)
    )  # fmt: skip


def read_joined_clock(
    path: str | Path, container: av.container.InputContainer, video: av.VideoStream | None
) -> JoinedClock:
    """Read all packets of a file and find out where its clock breaks.

    Args:
        path: of the file, for messages.
        container: the file, opened for this.
        video: the stream whose parts count; None: there is none.

    Raises:
        UnreadableMediaError: the streams do not break together, so that it is not sure how the
            parts belong together; or a part has other streams.
    """
    if container.format.name in INDEXED_FORMATS:
        return JoinedClock()
    clocks, has_late_streams = _read_clocks(container)
    others = [
        clocks[stream.index] for stream in container.streams.audio if clocks.get(stream.index)
    ]
    main = clocks.get(video.index) if video is not None else None
    if main is None:
        if not others:
            return JoinedClock()
        main = others.pop(0)
    _join_gaps_and_jitter(main, others)
    part_numbers = [_place(path, main, other) for other in others]
    if len(main.runs) == 1:
        return JoinedClock()
    if has_late_streams:
        raise other_codec_error(path)
    shifts_s = _part_shifts(main, others, part_numbers)
    shifts = {
        index: [(bisect_left(clock.orders, main.orders[run.first]), shift_s)
                for run, shift_s in zip(main.runs, shifts_s, strict=True)]
        for index, clock in clocks.items()
    }  # fmt: skip
    shifts |= {
        index: [(run.first, shifts_s[part])
                for run, part in zip(clock.runs, part_numbers[others.index(clock)], strict=True)]
        for index, clock in clocks.items() if clock in others
    }  # fmt: skip
    zero_s = main.runs[0].start_s
    starts_s = [run.start_s + shift_s for run, shift_s in zip(main.runs, shifts_s, strict=True)]
    return JoinedClock(
        tuple(start_s - zero_s for start_s in starts_s[1:]),
        main.runs[-1].end_s + shifts_s[-1] - zero_s,
        shifts,
        {index: frozenset(clock.undated) for index, clock in clocks.items()},
    )


def _read_clocks(
    container: av.container.InputContainer,
) -> tuple[dict[int, _StreamClock], bool]:
    """The clock of each stream that has packets, by its index; whether there are others, which
    begin so late that they were not found when the file was opened."""
    clocks: dict[int, _StreamClock] = {}
    packets = container.demux()
    order, has_late_streams = 0, False
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.FFmpegError):  # as far as the file can be read
            break
        except IndexError:  # at the end of the file, for PyAV has no object for these streams
            has_late_streams = True
            break
        if packet.size:
            clocks.setdefault(packet.stream.index, _StreamClock()).add(packet, order)
            order += 1
    for clock in clocks.values():
        clock.end()
    return clocks, has_late_streams


def _join_gaps_and_jitter(main: _StreamClock, others: list[_StreamClock]) -> None:
    """Keep the breaks of parts: those of all streams, and jumps far back."""

    def is_part_of(clock: _StreamClock, counterparts: list[_StreamClock]):
        def is_part(run: _Run, before: _Run) -> bool:
            order = clock.orders[run.first]
            found = [_has_break(other, run, before) for other in counterparts
                     if _has_packets_around(other, order)]  # fmt: skip
            if run.is_gap:
                return bool(found) and all(found)
            return all(found) or run.jump_s < -MAX_JITTER_S or run.jump_s > 0

        return is_part

    main_runs = list(main.runs)
    main.join_runs(is_part_of(main, others))
    confirmed, main.runs = main.runs, main_runs
    for other in others:
        other.join_runs(is_part_of(other, [main]))
    main.runs = confirmed


def _has_packets_around(clock: _StreamClock, order: int) -> bool:
    return clock.orders[0] < order < clock.orders[-1]


def _has_break(clock: _StreamClock, run: _Run, before: _Run) -> bool:
    """Whether a stream has a break like that of another one between two runs."""
    return any(
        abs(own.start_s - run.start_s) <= MAX_LAG_S
        and abs(own_before.end_s - before.end_s) <= MAX_LAG_S
        for own_before, own in pairwise(clock.runs)
    )


def _place(path: str | Path, main: _StreamClock, other: _StreamClock) -> list[int]:
    """The part (number of a run of ``main``) of each run of another stream.

    Raises:
        UnreadableMediaError: one of them is not in one part.
    """
    numbers: list[int] = []
    for run in other.runs:
        allowed = range(numbers[-1] + 1 if numbers else 0, len(main.runs))
        number = next((n for n in allowed if _is_in_part(main, n, other, run)), None)
        if number is None:
            raise UnreadableMediaError(
                tr("the timestamps of video and audio in {path} restart at different places: its "
                   "parts cannot be joined; process them one by one", path=path)
            )  # fmt: skip
        numbers.append(number)
    return numbers


def _is_in_part(main: _StreamClock, number: int, other: _StreamClock, run: _Run) -> bool:
    """Whether a run of another stream is at the time and the place in the file of a part."""
    part, n_parts = main.runs[number], len(main.runs)
    if n_parts == 1:
        return True
    is_first, is_last = number == 0, number == n_parts - 1
    if run.start_s < part.start_s - MAX_LAG_S and not is_first:
        return False
    if run.end_s > part.end_s + MAX_LAG_S and not is_last:
        return False
    orders = other.orders
    n_outside = 0
    if not is_first:
        first = bisect_left(orders, main.orders[part.first])
        n_outside += max(0, min(first, run.stop) - run.first)
    if not is_last:
        stop = bisect_left(orders, main.orders[part.stop])
        n_outside += max(0, run.stop - max(stop, run.first))
    n_packets = run.stop - run.first
    return n_outside * (run.end_s - run.start_s) <= MAX_INTERLEAVING_S * n_packets and (
        n_outside < n_packets
    )


def _part_shifts(
    main: _StreamClock, others: list[_StreamClock], part_numbers: list[list[int]]
) -> list[float]:
    """The seconds to be added to the times of each part."""
    shifts_s = [0.0]
    for number, (before, part) in enumerate(pairwise(main.runs)):
        shift_s = before.end_s + shifts_s[-1] - part.start_s
        overlap_s = 0.0
        for other, numbers in zip(others, part_numbers, strict=True):
            if number in numbers and number + 1 in numbers:
                end_s = other.runs[numbers.index(number)].end_s + shifts_s[-1]
                start_s = other.runs[numbers.index(number + 1)].start_s + shift_s
                overlap_s = max(overlap_s, end_s - start_s)
        shifts_s.append(shift_s + (overlap_s if overlap_s > MAX_AUDIO_OVERLAP_S else 0.0))
    return shifts_s

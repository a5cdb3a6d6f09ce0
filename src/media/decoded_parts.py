"""Whether all recordings that are joined in a file can be decoded."""

from bisect import bisect_right

import av

from .joined_clock import JoinedClock

MIN_PART_PACKETS = 10  # of a part that must give frames


class DecodedParts:
    """Whether the decoder of a stream gives frames of each part of a file.

    Args:
        clock: of the file.
        index: of the stream.
    """

    def __init__(self, clock: JoinedClock, index: int):
        parts = clock.shifts.get(index, []) if clock.breaks_s else []
        self._firsts = [first for first, _ in parts]
        self._n_packets, self._n_frames = [0] * len(parts), [0] * len(parts)
        self._starts: list[int] = []  # times of the first packets
        self._number = -1

    def add_packet(self, packet: av.Packet) -> None:
        """The next packet of the stream, on the clock."""
        if not self._firsts or not packet.size:
            return
        self._number += 1
        part = bisect_right(self._firsts, self._number) - 1
        if part >= 0:
            self._n_packets[part] += 1
            while len(self._starts) <= part:
                self._starts.append(packet.pts or 0)

    def add_frame(self, frame: av.VideoFrame | av.AudioFrame) -> None:
        """A frame that was decoded."""
        if self._starts and frame.pts is not None:
            self._n_frames[max(0, bisect_right(self._starts, frame.pts) - 1)] += 1

    @property
    def is_one_missing(self) -> bool:
        return any(
            n_packets >= MIN_PART_PACKETS and not n_frames
            for n_packets, n_frames in zip(self._n_packets, self._n_frames, strict=True)
        )

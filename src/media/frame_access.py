"""Frames of a video in any order, for example backwards: only a few are in memory."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..core.errors import UnreadableMediaError
from ..i18n.messages import tr
from .frame import VideoFrame
from .reader import source_frames

BACKWARD_FRAMES = 48  # frames held while a video is played backwards
SEEK_AHEAD_S = 0.5  # a seek may land late: it aims at so much before the frame


def frames_in_order(
    path: str | Path, times: np.ndarray, numbers: np.ndarray
) -> Iterator[VideoFrame]:
    """The frames with these numbers, one after the other.

    Args:
        path: a video file.
        times: float64 [N], of all its frames, as ``reader.source_frames`` gives them.
        numbers: int64 [M], in any order; fast where they rise or fall one by one.

    Raises:
        MediaError: a frame cannot be read (again).
    """
    for first, stop, step in _stretches(numbers):
        if step > 0:
            yield from _read(path, times, first, stop)
            continue
        for end in range(first + 1, stop + 1, -BACKWARD_FRAMES):
            begin = max(end - BACKWARD_FRAMES, stop + 1)
            yield from reversed(list(_read(path, times, begin, end)))


def _stretches(numbers: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """(first, stop, step of 1 or −1) of stretches that rise or fall one by one."""
    position = 0
    while position < len(numbers):
        first = int(numbers[position])
        step = 1
        if position + 1 < len(numbers) and numbers[position + 1] == first - 1:
            step = -1
        length = 1
        while (
            position + length < len(numbers) and numbers[position + length] == first + step * length
        ):
            length += 1
        yield first, first + step * length, step
        position += length


def _read(path: str | Path, times: np.ndarray, first: int, stop: int) -> Iterator[VideoFrame]:
    """The frames ``first … stop − 1``."""
    start_s = max(0.0, float(times[first]) - SEEK_AHEAD_S) if first else 0.0
    number = first
    half_gap = _half_gap(times)
    for time_s, frame, _ in source_frames(path, start_s=start_s):
        if time_s < times[number] - half_gap:
            continue
        if time_s > times[number] + half_gap:
            break
        yield frame
        number += 1
        if number == stop:
            return
    raise UnreadableMediaError(
        tr("cannot read {path}: {why}; is it a complete media file?", path=path,
           why=tr("frame {n} cannot be found again", n=number))
    )  # fmt: skip


def _half_gap(times: np.ndarray) -> float:
    """Half of the shortest distance of two frames, in seconds."""
    return float(np.diff(times).min()) / 2 if len(times) > 1 else 0.5

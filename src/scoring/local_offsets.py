"""Stretches whose own offset is not the one that is told for them.

A story of the offset is one for the whole clip. What is too short to be told in it, or of a kind
that none is told of, is found by what stretches of a few seconds show by themselves.
"""

from dataclasses import dataclass

import numpy as np

from ..i18n.messages import tr
from .timeline import Timeline

SURE_CHANCE = 0.9  # a stretch is believed that is right with this chance
FAR_MS = 40  # further from what is told than this: a frame
IN_A_ROW = 2  # stretches that must say so


@dataclass(frozen=True)
class LocalOutlier:
    """Stretches in a row that say another offset.

    Attributes:
        first_s, last_s: from the middle of the first to that of the last.
        offset_ms: their median.
    """

    first_s: float
    last_s: float
    offset_ms: float


def local_outliers(offsets: list[dict], timeline: dict | None) -> list[LocalOutlier]:
    """Where stretches in a row, each sure by itself, differ from the course to the same side.

    Args:
        offsets, timeline: as in ``details`` of ``compute_sync_score``.
    """
    if timeline is None:
        return []
    course, found, row, side = Timeline.from_numbers(timeline), [], [], 0.0
    for stretch in [*offsets, None]:
        turn = 0.0
        if stretch and (stretch["probability"] or 0) >= SURE_CHANCE:
            gap = stretch["offset_ms"] - course.at(stretch["time_s"])
            turn = float(np.sign(gap)) if abs(gap) > FAR_MS else 0.0
        if turn != side or not turn:
            if len(row) >= IN_A_ROW:
                middle = float(np.median([one["offset_ms"] for one in row]))
                found.append(LocalOutlier(row[0]["time_s"], row[-1]["time_s"], middle))
            row, side = [], turn
        if turn:
            row.append(stretch)
    return found


def local_outlier_notes(
    offsets: list[dict], timeline: dict | None, mended: bool = False
) -> list[str]:
    """The same in words.

    Args:
        mended: it was measured in a mended result.
    """
    text = (
        tr("{first:.0f}–{last:.0f} s: these seconds still measure {ms:+.0f} ms after the "
           "correction")
        if mended
        else tr("{first:.0f}–{last:.0f} s: these seconds show {ms:+.0f} ms by themselves, not the "
                "offset that is told")
    )  # fmt: skip
    return [
        text.format(first=one.first_s, last=one.last_s, ms=one.offset_ms)
        for one in local_outliers(offsets, timeline)
    ]

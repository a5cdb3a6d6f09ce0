"""Spans whose own offset differs from the reported one.

The offset model is one for the whole clip. What is too short to appear in it, or of a kind that it
does not know, shows in what spans of a few seconds measure on their own.
"""

from itertools import groupby

import numpy as np

from ..core.constants import FRAME_MS
from ..core.notes import LocalOutlier
from .result_types import LocalOffset
from .timeline import Timeline

MIN_PROBABILITY = 0.9  # spans that are less likely correct do not count
TOLERANCE_MS = FRAME_MS  # no deviation
MIN_SPANS = 2  # that deviate to the same side, one after the other


def local_outliers(
    offsets: list[LocalOffset], timeline: Timeline | None, after_correction: bool = False
) -> list[LocalOutlier]:
    """Where spans in a row, each of them certain, deviate from the timeline to the same side.

    Args:
        offsets: what spans measure on their own, rising in time.
        timeline: the reported offset over time; None: none is reported, nothing can deviate.
        after_correction: whether this was measured in a corrected result.

    Returns:
        A note for each row: from the middle of its first span to that of its last, with the median
        of their offsets.
    """
    if timeline is None:
        return []
    outliers = []
    for side, spans in groupby(offsets, lambda span: _side(span, timeline)):
        row = list(spans)
        if side and len(row) >= MIN_SPANS:
            outliers.append(
                LocalOutlier(
                    start_s=row[0].time_s,
                    end_s=row[-1].time_s,
                    offset_ms=float(np.median([span.offset_ms for span in row])),
                    after_correction=after_correction,
                )
            )
    return outliers


def _side(span: LocalOffset, timeline: Timeline) -> int:
    """1 where a span is certain to lead the timeline, −1 where it lags, else 0."""
    if (span.probability or 0) < MIN_PROBABILITY:
        return 0
    deviation_ms = span.offset_ms - timeline.offset_at(span.time_s)
    return int(np.sign(deviation_ms)) if abs(deviation_ms) > TOLERANCE_MS else 0

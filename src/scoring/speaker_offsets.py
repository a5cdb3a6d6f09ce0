"""One offset for each of several speakers: with microphones and cameras of their own, in one video.

Whose turn it is, is known (``turns.py``), so that all turns of a speaker are evidence of one
offset. Speakers are merged, the most similar first, as long as their offsets differ by no more than
their errors explain, as shots are (``changepoints.py``).
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ..core.constants import FPS, HOP_MS, WINDOW_FRAMES
from .changepoints import (
    BOOTSTRAP_SAMPLES,
    SEED,
    ShotSegment,
)
from .evidence import Evidence
from .timeline import Segment, Timeline, evidence_by_second

# Two speakers differ by so many standard errors, and so much: one error may be the model's.
MIN_DISTANCE, MIN_DIFFERENCE_MS = 2.5, 25
MIN_SPEECH_S = 2  # a speaker with less has the offset of the others
# Share of the evidence of another offset over time that one offset for each speaker must reach: it
# has fewer numbers to choose.
MIN_SHARE = {"constant": 1.0, "jumps": 0.98, "drift": 1.0}


def speaker_timeline(parts: Sequence[tuple[int, Evidence]], n_frames: int) -> Timeline | None:
    """The offset over time if it changes with the speaker; None where all have one offset.

    Args:
        parts: (number of the face, its evidence) each, in order of time.
        n_frames: length of the clip.
    """
    groups = _merge_speakers(_offset_by_speaker(parts, n_frames))
    if len(groups) < 2:
        return None
    offset_ms = {number: group.offset_ms for numbers, group in groups for number in numbers}
    known = [(offset_ms[number], part) for number, part in parts if number in offset_ms]
    segments: list[Segment] = []
    for (ms, part), (_, following) in pairwise([*known, (None, None)]):
        end_s = n_frames / FPS
        if following is not None:
            middle = (_last_word(part) + _first_word(following)) / 2
            end_s = (middle + WINDOW_FRAMES // 2) / FPS
        if segments and segments[-1].offset_ms == ms:
            start_s = segments.pop().start_s
        else:
            start_s = segments[-1].end_s if segments else 0.0
        segments.append(Segment(start_s, end_s, ms))
    return Timeline("jumps", tuple(segments))


def prefer_speakers(
    by_speaker: Timeline, other: Timeline, parts: Sequence[tuple[int, Evidence]]
) -> bool:
    """Whether one offset for each speaker explains the evidence as well as another timeline."""
    tracks = [part for _, part in parts]
    return evidence_along(by_speaker, tracks) > MIN_SHARE[other.kind] * evidence_along(
        other, tracks
    )


def evidence_along(timeline: Timeline, tracks: Sequence[Evidence]) -> float:
    """Σ over windows of the similarity at the offset of a timeline, less the mean over offsets."""
    total = 0.0
    for track in tracks:
        for chunk in track.chunks():
            if not len(chunk.similarity):
                continue
            seconds = (chunk.first_frame + np.arange(len(chunk.similarity))) / FPS
            hops = [round(timeline.offset_at(second) / HOP_MS) for second in seconds]
            columns = np.array(hops) + chunk.reach
            rows = np.flatnonzero((columns >= 0) & (columns < chunk.similarity.shape[1]))
            total += float(chunk.above_mean()[rows, columns[rows]].sum())
    return total


def _offset_by_speaker(
    parts: Sequence[tuple[int, Evidence]], n_frames: int
) -> list[tuple[list[int], ShotSegment]]:
    """The evidence of each speaker with enough of it, and the speaker's number."""
    speakers = []
    for number in sorted({number for number, _ in parts}):
        own = [part for other, part in parts if other == number]
        seconds = evidence_by_second(own, n_frames)
        rows = np.flatnonzero(seconds.has_speech)
        if len(rows) < MIN_SPEECH_S:
            continue
        weights = np.random.default_rng(SEED).exponential(size=(BOOTSTRAP_SAMPLES, len(rows)))
        weights = np.vstack([np.ones(len(rows)), weights])
        totals = (weights @ seconds.evidence[rows]).astype(np.float32)
        speakers.append(([number], ShotSegment(0.0, len(rows), totals)))
    return speakers


def _merge_speakers(
    groups: list[tuple[list[int], ShotSegment]],
) -> list[tuple[list[int], ShotSegment]]:
    """Merge speakers until each group has an offset of its own."""
    while len(groups) > 1:
        pairs = [
            (first.distance_to(second), abs(first.offset_ms - second.offset_ms), i, j)
            for i, (_, first) in enumerate(groups)
            for j, (_, second) in enumerate(groups[:i])
        ]
        alike = [pair for pair in pairs if pair[0] < MIN_DISTANCE or pair[1] < MIN_DIFFERENCE_MS]
        if not alike:
            break
        *_, i, j = min(alike)
        numbers, group = groups.pop(i)
        groups[j] = groups[j][0] + numbers, groups[j][1] + group
    return groups


def _first_word(part: Evidence) -> float:
    """The frame at which the first window with speech begins, at any offset."""
    rows = np.flatnonzero(part.usable.any(1))
    return part.first_frame + (int(rows[0]) if len(rows) else 0)


def _last_word(part: Evidence) -> float:
    """The frame after which the last window with speech ends, at any offset."""
    rows = np.flatnonzero(part.usable.any(1))
    return part.first_frame + (int(rows[-1]) if len(rows) else 0) + 1

"""Offsets far outside the search range, as of a recorder that was started seconds later.

Where the search range shows no offset, the similarity of each face is computed for offsets of
seconds, without keeping the evidence of each window. What stands out there is then searched around
as usual. Among so many offsets chance produces higher peaks, but the best one has to lead over all
of them, and more is required of it than of an offset within the search range.
"""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from ..core.constants import FRAME_MS, HOP_MS
from ..core.progress import Progress, no_progress
from ..models.backend import Network
from ..preprocessing.clip_features import ClipFeatures
from .calibration import peak_probability
from .clip_evidence import evidence_chunks
from .evidence import Curve, EvidenceSums, at_edge, best_offset
from .perception import perceived, worst_ms
from .result import FaceTrackResult
from .result_types import OffsetResult, OffsetTimeline, SimilarityCurve
from .timeline import Timeline

# The certainty of the best of all offsets from which it is searched around, and the one of what is
# found there from which it is reported. benchmarks/far_offsets.py (figures: docs/evaluation.md).
MIN_CANDIDATE_PROBABILITY = 0.2
MIN_PROBABILITY = 0.95
MIN_SPEECH_WINDOWS = 50  # 2 s: a few words fit somewhere by chance


def find_far_offset(
    model: Network,
    clip: ClipFeatures,
    reach: int,
    calibration: dict,
    progress: Progress = no_progress,
    numbers: Iterable[int] | None = None,
) -> int | None:
    """The offset in hops, within ``±reach``, at which a face fits the audio; None: there is none.

    Args:
        reach: in hops of 10 ms.
        calibration: of the checkpoint.
        progress: reports on the chunks.
        numbers: of the faces that count; None: all.
    """
    wanted = set(range(len(clip.tracks)) if numbers is None else numbers)
    sums = {number: EvidenceSums.empty(reach) for number in wanted}
    for number, _, part in evidence_chunks(model, clip, reach, progress):
        if number in wanted:
            sums[number] = sums[number] + EvidenceSums.of([part])
    candidates = (far_candidate(total.curve(), calibration) for total in sums.values())
    probability, hops = max(candidates, default=(0.0, 0))
    return hops if probability >= MIN_CANDIDATE_PROBABILITY else None


def far_candidate(curve: Curve, calibration: dict) -> tuple[float, int]:
    """The probability, 0…1, that the best offset of a wide curve is correct, and that offset in
    hops; (0, 0) where it is the last one, or less than 2 s of speech overlap at it: it may be the
    true one all the same, so that no other is tried."""
    hops = best_offset(curve)
    if hops is None or curve.windows_at(hops) < MIN_SPEECH_WINDOWS or at_edge(curve):
        return 0.0, 0
    return peak_probability(curve, calibration) or 0.0, hops


def is_reliable(far: OffsetResult) -> bool:
    """Whether a result around a far offset holds."""
    return far.status == "ok" and far.offset_probability >= MIN_PROBABILITY


def join_far(near: OffsetResult, far: OffsetResult, centre: int) -> OffsetResult:
    """The result of a clip whose offset is far outside the search range.

    Args:
        near: of the search range around 0, of which the scores are: how the pair is as given.
        far: around ``centre``, with an offset.
        centre: in hops.
    """
    shift_ms = centre * HOP_MS
    timeline = OffsetTimeline.from_timeline(
        _shifted(far.timeline, shift_ms), far.timeline.segments[-1].end_s
    )
    offset_ms = far.offset_ms + shift_ms
    return far.model_copy(update={
        "score": near.score, "per_second": near.per_second,
        "offset_ms": offset_ms, "offset_frames": round(offset_ms / FRAME_MS),
        "bt1359": perceived(worst_ms(offset_ms, timeline)),
        "timeline": timeline,
        "curve": _joined_curve(near.curve, far.curve, shift_ms),
        "offsets": [
            span if span.offset_ms is None
            else span.model_copy(update={"offset_ms": round(span.offset_ms + shift_ms, 4)})
            for span in far.offsets
        ],
        "notes": [
            note.model_copy(update={"offset_ms": note.offset_ms + shift_ms})
            if hasattr(note, "offset_ms") else note
            for note in far.notes
        ],
    })  # fmt: skip


def join_tracks(
    near: list[FaceTrackResult], far: list[FaceTrackResult], centre: int
) -> list[FaceTrackResult]:
    """The face tracks of such a clip; arguments as of ``join_far``."""
    shift_ms = centre * HOP_MS
    return [
        track.model_copy(update={
            "score": as_given.score,
            "offset_ms": None if track.offset_ms is None else round(track.offset_ms + shift_ms, 4),
        })
        for as_given, track in zip(near, far, strict=True)
    ]  # fmt: skip


def _shifted(timeline: OffsetTimeline, shift_ms: int) -> Timeline:
    plain = timeline.to_timeline()
    segments = tuple(
        replace(segment, offset_ms=segment.offset_ms + shift_ms) for segment in plain.segments
    )
    return replace(plain, segments=segments)


def _joined_curve(near: SimilarityCurve, far: SimilarityCurve, shift_ms: int) -> SimilarityCurve:
    """Both curves on one axis, which holds 0; null between them."""
    known = dict(zip(near.offset_ms, near.similarity, strict=True))
    known |= {ms + shift_ms: value for ms, value in zip(far.offset_ms, far.similarity, strict=True)}
    offsets_ms = np.arange(min(known), max(known) + HOP_MS, HOP_MS)
    return SimilarityCurve(
        offset_ms=[int(ms) for ms in offsets_ms],
        similarity=[known.get(int(ms)) for ms in offsets_ms],
    )

"""Evidence of all face tracks of a clip -> score, offset and status, in plain values."""

import math
from collections.abc import Sequence

import numpy as np

from ..core.constants import FPS, FRAME_MS, HOP_MS, WINDOW_FRAMES
from ..core.notes import MismatchedSpan
from ..faces.boxes import key_boxes
from .calibration import (
    peak_probability,
    probability_at,
    required_probability,
    sync_probability,
)
from .drift import MAX_DRIFT_PPM
from .evidence import (
    MIN_WINDOWS,
    Curve,
    Evidence,
    at_edge,
    best_offset,
    lse_metrics,
    peak_ms,
    similarity_curve,
)
from .local_offsets import local_outliers
from .perception import perceived, worst_ms
from .result import FaceTrackResult
from .result_types import (
    DriftOutOfRange,
    DriftTooFast,
    Edge,
    LocalOffset,
    NoSpeech,
    OffsetResult,
    OffsetTimeline,
    Reason,
    SimilarityCurve,
    Status,
    TooShort,
    Weak,
)
from .speaker_offsets import prefer_speakers, speaker_timeline
from .speakers import FaceEvidence, SpeakerChoice
from .timeline import Timeline, drift_compensated, evidence_by_second, refine_jumps
from .timeline_fit import MIN_GAIN, exceeds_max_drift, fit_timeline

SPAN_S, SPAN_EVERY_S = 4, 2  # the local offsets are measured in spans so long, so far apart
# Spans so long, with so much speech, are mismatched if they are in sync with less probability.
LONG_SPAN_S, LONG_SPAN_SPEECH_S, MISMATCHED_PROBABILITY = 10, 4, 0.1
MAX_OFFSET_FRAMES = 100  # inference.max_offset_frames can be no larger
SPARE_FRAMES = 3  # beyond the largest offset, so that it is not at the edge


def build_result(
    tracks: list[Evidence],
    n_frames: int,
    calibration: dict,
    min_probability: float,
    cuts: Sequence[float] = (),
    turns: Sequence[int] | None = None,
    min_jump_gain: float = MIN_GAIN,
) -> OffsetResult:
    """Score, offset and status of a clip.

    Args:
        tracks: the evidence of each face track, or of each turn.
        n_frames: length of the clip.
        calibration: of the checkpoint.
        min_probability: an offset less likely correct is undetermined.
        cuts: seconds at which the video is cut: there the offset may jump.
        turns: the number of the speaker of each of ``tracks``, where people take turns; None: they
            do not. Each may have an offset of their own.
        min_jump_gain: as of ``timeline_fit.fit_timeline``.
    """
    builder = _ResultBuilder(tracks, n_frames, calibration, turns)
    return builder.build(min_probability, cuts, min_jump_gain)


def status_of(
    curve: Curve, score: float | None, probability: float | None, min_probability: float
) -> Status:
    """Whether the best offset of a curve is reliable: ``ok``, or why it is not.

    Args:
        score: ``sync_probability`` of the curve.
        probability: ``peak_probability`` of the curve.
        min_probability: an offset less likely correct is ``weak``; ``required_probability`` asks
            for more where there is little speech.
    """
    if best_offset(curve) is None or score is None:
        return "no_speech" if curve.n_windows == 0 else "too_short"
    if probability is None or probability < required_probability(curve, min_probability):
        return "weak"
    return "edge" if at_edge(curve) else "ok"


class _ResultBuilder:
    """The evidence of a clip, and what is read off it.

    Args:
        tracks: the evidence of each face track, one or more.
        n_frames: length of the clip.
        calibration: of the checkpoint.
        turns: as of ``build_result``.
    """

    def __init__(
        self,
        tracks: list[Evidence],
        n_frames: int,
        calibration: dict,
        turns: Sequence[int] | None,
    ):
        self._tracks, self._n_frames, self._calibration = tracks, n_frames, calibration
        self._turns = turns
        self._length_s = n_frames / FPS
        self._limit_ms = tracks[0].reach * HOP_MS

    def build(
        self, min_probability: float, cuts: Sequence[float], min_jump_gain: float = MIN_GAIN
    ) -> OffsetResult:
        curve = similarity_curve(self._tracks)
        score = sync_probability(curve, self._calibration)
        seconds = evidence_by_second(self._tracks, self._n_frames)
        timeline = fit_timeline(seconds, self._length_s, cuts, min_jump_gain)
        mismatched, share = [], 0.0
        if timeline is not None:
            timeline = refine_jumps(timeline, self._tracks, cuts)
            timeline = self._timeline_by_speaker(timeline)
            mismatched, share = self._mismatched_spans(timeline)
        if timeline is not None and timeline.kind != "constant":
            curve = self._compensated_curve(timeline)
            # A mean over all of it is in sync where the offset only passes through zero.
            score = self._share_in_sync()
        probability = peak_probability(curve, self._calibration)
        status = status_of(curve, score, probability, min_probability)
        if status in ("ok", "edge") and share > 0.5:
            status = "weak"
        elif status == "ok" and timeline is not None and self._is_out_of_range(timeline):
            status = "edge"
        offset_ms = peak_ms(curve)
        distance, confidence = (None, None) if offset_ms is None else lse_metrics(curve)
        local = self._local_offsets()
        reported = {"offset_ms": None, "offset_frames": None, "bt1359": None, "timeline": None}
        notes = []
        if status == "ok":
            reported_timeline = OffsetTimeline.from_timeline(timeline, self._length_s)
            reported = {
                "offset_ms": offset_ms,
                "offset_frames": round(offset_ms / FRAME_MS),
                "bt1359": perceived(worst_ms(offset_ms, reported_timeline)),
                "timeline": reported_timeline,
            }
            notes = [*mismatched, *local_outliers(local, reported_timeline.to_timeline())]
        return OffsetResult(
            score=None if status in ("no_speech", "too_short") else score,
            status=status,
            reason=self._reason(status, timeline),
            offset_probability=rounded(probability),
            confidence=rounded(confidence),
            min_distance=rounded(distance),
            curve=SimilarityCurve(
                offset_ms=[int(hops) * HOP_MS for hops in curve.offsets],
                similarity=[rounded(value) for value in curve.similarity],
            ),
            per_second=[rounded(value) for value in self._scores_by_second()],
            offsets=local,
            notes=notes,
            **reported,
        )

    def _timeline_by_speaker(self, timeline: Timeline) -> Timeline:
        """One offset for each of those who take turns, if that is as good as ``timeline``."""
        if self._turns is None:
            return timeline
        parts = list(zip(self._turns, self._tracks, strict=True))
        by_speaker = speaker_timeline(parts, self._n_frames)
        if by_speaker is not None and prefer_speakers(by_speaker, timeline, parts):
            return by_speaker
        return timeline

    def _is_out_of_range(self, timeline: Timeline) -> bool:
        """Whether the timeline leaves the search range, or drifts by more than can be measured."""
        return self._leaves_range_at(timeline) is not None or exceeds_max_drift(timeline)

    def _leaves_range_at(self, timeline: Timeline) -> float | None:
        """The first second at which the timeline is outside the search range; None: never."""
        return timeline.first_second_beyond(self._limit_ms, self._length_s)

    def _compensated_curve(self, timeline: Timeline) -> Curve:
        """The curve along the timeline: one over all of it would show many offsets at once.

        It is centred on the middle of the timeline, or where most of the search range is visible.
        """
        middle_ms = timeline.median_offset(self._length_s)
        if self._leaves_range_at(timeline) is not None:
            middle_ms = float(np.clip(middle_ms, -self._limit_ms / 2, self._limit_ms / 2))
        return similarity_curve(drift_compensated(self._tracks, timeline, middle_ms))

    def _reason(self, status: Status, timeline: Timeline | None) -> Reason | None:
        """Why no offset is reported; None where one is."""
        match status:
            case "no_speech":
                return NoSpeech()
            case "too_short":
                return TooShort(required_ms=(MIN_WINDOWS + WINDOW_FRAMES - 1) * FRAME_MS)
            case "weak":
                return Weak()
            case "edge" if timeline is not None and exceeds_max_drift(timeline):
                return DriftTooFast(drift_ppm=rounded(timeline.ppm), limit_ppm=MAX_DRIFT_PPM)
            case "edge" if timeline is not None and timeline.kind == "drift":
                return self._drift_reason(timeline)
            case "edge":
                return Edge(limit_ms=self._limit_ms)
        return None

    def _drift_reason(self, timeline: Timeline) -> Reason:
        """Where a drift leaves the search range, and the range that takes it in."""
        time_s = self._leaves_range_at(timeline)
        if time_s is None:
            return Edge(limit_ms=self._limit_ms)
        frames = math.ceil(abs(timeline.largest_offset(self._length_s)) / FRAME_MS) + SPARE_FRAMES
        return DriftOutOfRange(
            drift_ppm=rounded(timeline.ppm),
            time_s=rounded(time_s),
            limit_ms=self._limit_ms,
            max_offset_frames=frames if frames <= MAX_OFFSET_FRAMES else None,
        )

    def _mismatched_spans(self, timeline: Timeline) -> tuple[list[MismatchedSpan], float]:
        """Spans in which someone speaks, but the lips do not match at the offset of the timeline:
        a note for each, and their share of all spans with speech."""
        spans, n_speech, length = [], 0, LONG_SPAN_S * FPS
        for start in range(0, self._n_frames, length):
            middle_ms = timeline.offset_at((start + length / 2) / FPS)
            parts = self._parts(start, start + length)
            curve = similarity_curve(drift_compensated(parts, timeline, middle_ms))
            middle = round(middle_ms / HOP_MS)
            probability = probability_at(curve, middle, self._calibration)
            if probability is None or curve.windows_at(middle) < LONG_SPAN_SPEECH_S * FPS:
                continue
            n_speech += 1
            if probability < MISMATCHED_PROBABILITY:
                first = spans.pop()[0] if spans and spans[-1][1] == start else start
                spans.append((first, min(start + length, self._n_frames)))
        notes = [
            MismatchedSpan(
                start_s=round(first / FPS, 3), end_s=round(stop / FPS, 3), limit_ms=self._limit_ms
            )
            for first, stop in spans
        ]
        n_mismatched = sum(-(-(stop - first) // length) for first, stop in spans)
        return notes, n_mismatched / max(1, n_speech)

    def _share_in_sync(self) -> float | None:
        """The mean of the scores of spans of ``SPAN_S``: the share of the time in which the pair
        can be expected to be in sync; None where no span has enough speech."""
        scores = []
        for start in range(0, self._n_frames, SPAN_S * FPS):
            curve = similarity_curve(self._parts_of_one(start, start + SPAN_S * FPS))
            scores.append(sync_probability(curve, self._calibration))
        valid = [score for score in scores if score is not None]
        return float(np.mean(valid)) if valid else None

    def _local_offsets(self) -> list[LocalOffset]:
        """What each span of ``SPAN_S`` measures on its own, believed or not."""
        length, offsets = SPAN_S * FPS, []
        for start in range(0, max(1, self._n_frames - FPS), SPAN_EVERY_S * FPS):
            curve = similarity_curve(self._parts_of_one(start, start + length))
            middle_s = min(start + length / 2, self._n_frames / 2 + start / 2) / FPS
            offsets.append(
                LocalOffset(
                    time_s=round(middle_s, 2),
                    offset_ms=rounded(peak_ms(curve)),
                    probability=rounded(peak_probability(curve, self._calibration)),
                )
            )
        return offsets

    def _scores_by_second(self) -> list[float | None]:
        """The score of the windows that begin in each second; None with too little speech."""
        scores = []
        for second in range(math.ceil(self._n_frames / FPS)):
            parts = self._parts(second * FPS, (second + 1) * FPS)
            curve = similarity_curve([part.with_speech() for part in parts])
            scores.append(sync_probability(curve, self._calibration))
        return scores

    def _parts(self, first: int, stop: int) -> list[Evidence]:
        """The windows that begin in the frames ``first … stop − 1``, by track; one empty part where
        no track is visible then."""
        visible = [
            track for track in self._tracks if track.first_frame < stop and track.stop > first
        ]
        return [
            track.part(max(0, first - track.first_frame), max(0, stop - track.first_frame))
            for track in visible or self._tracks[:1]
        ]

    def _parts_of_one(self, first: int, stop: int) -> list[Evidence]:
        """As ``_parts``; where people take turns, only of the one who speaks in the middle, or
        most: each may have an offset of their own."""
        if self._turns is None:
            return self._parts(first, stop)
        middle = (first + min(stop, self._n_frames)) / 2
        overlaps = [
            (min(track.stop, stop) - max(track.first_frame, first), number, track)
            for number, track in zip(self._turns, self._tracks, strict=True)
        ]
        seen = [overlap for overlap in overlaps if overlap[0] > 0]
        if not seen:
            return self._parts(first, stop)
        in_middle = [turn for turn in seen if turn[2].first_frame <= middle < turn[2].stop]
        speaker = max(in_middle or seen, key=lambda turn: turn[0])[1]
        return [
            track.part(max(0, first - track.first_frame), max(0, stop - track.first_frame))
            for _, number, track in seen
            if number == speaker
        ]


def describe_tracks(
    faces: list[FaceEvidence], speakers: SpeakerChoice, calibration: dict
) -> list[FaceTrackResult]:
    """Every face track, and what the audio says of it."""
    scored: dict[int, list[Evidence]] = {}
    for number, part in speakers.scored(faces):
        scored.setdefault(number, []).append(part)
    spans, tracks = speakers.spans(faces), []
    for face in faces:
        curve = similarity_curve(scored.get(face.number, [face.evidence]))
        offset_ms = peak_ms(curve)
        tracks.append(
            FaceTrackResult(
                number=face.number,
                shot=face.shot,
                start_s=round(face.first_frame / FPS, 3),
                end_s=round(face.stop / FPS, 3),
                boxes=key_boxes(face.boxes, face.first_frame),
                score=rounded(sync_probability(curve, calibration)),
                offset_ms=rounded(offset_ms),
                confidence=None if offset_ms is None else rounded(lse_metrics(curve)[1]),
                chosen=face.number in scored,
                speaks=[
                    [round(first / FPS, 3), round(stop / FPS, 3)]
                    for first, stop in spans[face.number]
                ],
            )
        )
    return tracks


def rounded(value: float | None) -> float | None:
    """Four digits, and None for NaN: JSON knows no NaN."""
    return None if value is None or math.isnan(value) else round(float(value), 4)

"""Evidence of all tracks of a clip -> score, offset and verdict, in numbers and words."""

import math
from collections.abc import Sequence

import numpy as np

from ..core.constants import FPS, FRAME_MS, HOP_MS
from ..faces.boxes import key_boxes
from ..i18n.messages import tr
from .calibration import peak_probability, probability_at, sync_probability
from .drift import MOST_PPM
from .evidence import MIN_WINDOWS, Curve, Evidence, at_edge, best_offset, curve_of, lse, peak_ms
from .local_offsets import local_outlier_notes
from .speakers import FaceEvidence, SpeakerChoice
from .timeline import Timeline, drift_compensated, evidence_by_second, refine_jumps
from .timeline_fit import beyond, fit_timeline
from .verdict import perceived, verdict, worst_ms

STRETCH_S, HOP_S = 4, 2  # the offset over time is read off stretches so long, so far apart
# Stretches so long, with so much speech, are strange if in sync with less than this chance.
STRANGE_S, STRANGE_SPEECH_S, STRANGE_CHANCE = 10, 4, 0.1
MOST_FRAMES = 100  # inference.max_offset_frames can be no larger


def build_result(
    tracks: list[Evidence],
    n_frames: int,
    calibration: dict,
    least_probability: float,
    cuts: Sequence[float] = (),
) -> tuple[float | None, dict]:
    """Score and details of a clip, as ``LipSyncInference.compute_sync_score`` documents them.

    Args:
        tracks: the evidence of each followed face.
        n_frames: length of the clip.
        calibration: of the checkpoint.
        least_probability: an offset less likely right than this is undetermined.
        cuts: seconds at which the picture is cut: there the offset may step.
    """
    curve = curve_of(tracks)
    score = sync_probability(curve, calibration)
    timeline = fit_timeline(evidence_by_second(tracks, n_frames), n_frames / FPS, cuts)
    length_s = n_frames / FPS
    leaves, strange = None, []
    if timeline is not None:
        timeline = refine_jumps(timeline, tracks, cuts)
        leaves = _beyond(timeline, tracks[0].reach * HOP_MS, length_s)
        strange, share = _strange(tracks, timeline, n_frames, calibration)
    if timeline is not None and timeline.kind != "constant":
        # Averaged along its course: a curve over all of it would show many offsets at once. To
        # its middle, or to where most of what was looked at can be seen.
        half_ms = tracks[0].reach * HOP_MS / 2
        middle = timeline.middle(length_s)
        if leaves:
            middle = float(np.clip(middle, -half_ms, half_ms))
        curve = curve_of(drift_compensated(tracks, timeline, middle))
        # A mean over all of it is in sync where the offset only passes through zero.
        score = _share_in_sync(tracks, n_frames, calibration)
    certainty = peak_probability(curve, calibration)
    offset = peak_ms(curve)
    distance, confidence = (None, None) if offset is None else lse(curve)
    status = status_of(curve, score, certainty, least_probability)
    if status in ("ok", "edge") and strange and share > 0.5:
        status = "weak"
    elif status == "ok" and timeline is not None and (leaves or beyond(timeline)):
        status = "edge"
    why = _reason(status, max(abs(curve.offsets)) * HOP_MS)
    if status == "edge" and leaves and timeline.kind == "drift":
        why = leaves
    if status == "edge" and timeline is not None and beyond(timeline):
        why = tr(
            "the sound drifts by {ppm:+.0f} ppm or more; clocks that are wrong by more than "
            "{most} ppm cannot be told",
            ppm=timeline.ppm, most=MOST_PPM,
        )  # fmt: skip
    told = None if why else _told(timeline, length_s)
    if status in ("no_speech", "too_short"):
        score = None
    offsets = _over_time(tracks, n_frames, calibration)
    return score, {
        "status": status,
        "offset_ms": None if why else round(offset, 1),
        "offset_frames": None if why else round(offset / FRAME_MS),
        "offset_probability": rounded(certainty),
        "verdict": tr("undetermined: {why}", why=why) if why else verdict(offset, told),
        "bt1359": None if why else perceived(worst_ms(offset, told)),
        "confidence": rounded(confidence),
        "min_distance": rounded(distance),
        "curve": {
            "offset_ms": [int(step) * HOP_MS for step in curve.offsets],
            "similarity": [rounded(value) for value in curve.similarity],
        },
        "per_second": [rounded(value) for value in _by_second(tracks, n_frames, calibration)],
        "offsets": offsets,
        "timeline": told,
        "undetermined": why,
        "notes": [] if why else strange + local_outlier_notes(offsets, told),
    }


def status_of(
    curve: Curve, score: float | None, certainty: float | None, least_probability: float
) -> str:
    """Whether the best offset of a curve can be believed: ``ok``, ``no_speech``, ``too_short``,
    ``weak`` or ``edge``, see ``LipSyncInference.compute_sync_score``.

    Args:
        score, certainty: ``sync_probability`` and ``peak_probability``.
    """
    if best_offset(curve) is None or score is None:
        return "no_speech" if curve.windows == 0 else "too_short"
    if certainty is None or certainty < least_probability:
        return "weak"
    return "edge" if at_edge(curve) else "ok"


def _beyond(timeline: Timeline, reach_ms: int, length_s: float) -> str | None:
    """What to do about a course that leaves what was looked at; None where it does not."""
    at = timeline.leaves_at(reach_ms, length_s)
    if at is None:
        return None
    frames = math.ceil(abs(timeline.largest(length_s)) / FRAME_MS) + 3
    if frames > MOST_FRAMES:
        return tr(
            "the sound drifts by {ppm:+.0f} ppm, and at {second:.0f} s further than ±{ms} ms: cut "
            "the video into parts",
            ppm=timeline.ppm, second=at, ms=reach_ms,
        )  # fmt: skip
    return tr(
        "the sound drifts by {ppm:+.0f} ppm, and at {second:.0f} s further than was looked at "
        "(±{ms} ms): set inference.max_offset_frames={frames}",
        ppm=timeline.ppm, second=at, ms=reach_ms, frames=frames,
    )  # fmt: skip


def _strange(
    tracks: list[Evidence], timeline: Timeline, n_frames: int, calibration: dict
) -> tuple[list[str], float]:
    """Stretches in which somebody speaks, but not with the mouth that is seen at the offset that
    was found: in words, and their share of all stretches with speech."""
    spans, heard, long = [], 0, STRANGE_S * FPS
    for start in range(0, n_frames, long):
        parts = _parts(tracks, start, start + long)
        middle = timeline.at((start + long / 2) / FPS)
        curve = curve_of(drift_compensated(parts, timeline, middle))
        chance = probability_at(curve, round(middle / HOP_MS), calibration)
        if chance is None or curve.windows < STRANGE_SPEECH_S * FPS:
            continue
        heard += 1
        if chance < STRANGE_CHANCE:
            first = spans.pop()[0] if spans and spans[-1][1] == start else start
            spans.append((first, min(start + long, n_frames)))
    reach = tracks[0].reach * HOP_MS
    told = [
        tr("{first:.0f}–{last:.0f} s: mouth and sound do not belong together at this offset; it "
           "is another voice, or the offset lies beyond what was looked at (±{ms} ms: "
           "inference.max_offset_frames)", first=first / FPS, last=last / FPS, ms=reach)
        for first, last in spans
    ]  # fmt: skip
    return told, sum(-(-(last - first) // long) for first, last in spans) / max(1, heard)


def describe_tracks(
    faces: list[FaceEvidence], speakers: SpeakerChoice, calibration: dict
) -> list[dict]:
    """``details["tracks"]``: every followed face, and what the sound says of it."""
    chosen = {face.number for face in speakers.chosen}
    told = []
    for face in faces:
        curve = curve_of([face.evidence])
        offset = peak_ms(curve)
        told.append({
            "number": face.number, "shot": face.shot,
            "start_s": round(face.first_frame / FPS, 3), "end_s": round(face.stop / FPS, 3),
            "boxes": key_boxes(face.boxes, face.first_frame),
            "score": rounded(sync_probability(curve, calibration)),
            "offset_ms": rounded(offset),
            "confidence": None if offset is None else rounded(lse(curve)[1]),
            "chosen": face.number in chosen,
        })  # fmt: skip
    return told


def _told(timeline: Timeline, length_s: float) -> dict:
    """A timeline in plain numbers."""
    return {
        "kind": timeline.kind,
        "drift_ppm": round(float(timeline.ppm), 1) if timeline.kind == "drift" else None,
        "pieces": [
            {
                "start_s": round(float(piece.start_s), 3),
                "end_s": round(float(min(piece.end_s, length_s)), 3),
                "offset_ms": round(float(piece.at(piece.start_s)), 1),
                "end_offset_ms": round(float(piece.at(min(piece.end_s, length_s))), 1),
            }
            for piece in timeline.pieces
        ],
    }  # fmt: skip


def _share_in_sync(tracks: list[Evidence], n_frames: int, calibration: dict) -> float | None:
    """The mean of the scores of stretches of ``STRETCH_S``: the share of the time in which the pair
    can be expected to be in sync; None where none has speech enough."""
    scores = []
    for start in range(0, n_frames, STRETCH_S * FPS):
        curve = curve_of(_parts(tracks, start, start + STRETCH_S * FPS))
        scores.append(sync_probability(curve, calibration))
    told = [score for score in scores if score is not None]
    return float(np.mean(told)) if told else None


def _over_time(tracks: list[Evidence], n_frames: int, calibration: dict) -> list[dict]:
    """The offset that each stretch of ``STRETCH_S`` shows by itself, and the chance that it is
    right; both None with too little speech."""
    found = []
    for start in range(0, max(1, n_frames - FPS), HOP_S * FPS):
        curve = curve_of(_parts(tracks, start, start + STRETCH_S * FPS))
        found.append({
            "time_s": round(min(start + STRETCH_S * FPS / 2, n_frames / 2 + start / 2) / FPS, 2),
            "offset_ms": rounded(peak_ms(curve)),
            "probability": rounded(peak_probability(curve, calibration)),
        })  # fmt: skip
    return found


def _parts(tracks: list[Evidence], first: int, last: int) -> list[Evidence]:
    """The windows that begin in the frames ``first … last − 1`` of the clip, of the tracks that
    are there; one part, an empty one, where none is."""
    there = [track for track in tracks if track.first_frame < last and track.stop > first]
    return [
        track.part(max(0, first - track.first_frame), max(0, last - track.first_frame))
        for track in there or tracks[:1]
    ]


def _reason(status: str, reach_ms: int) -> str | None:
    return {
        "ok": None,
        "no_speech": tr("nobody speaks while the face is seen"),
        "too_short": tr(
            "too little speech while the face is seen: at least {ms} ms are needed",
            ms=(MIN_WINDOWS + 4) * FRAME_MS,
        ),
        "weak": tr("the mouth and the sound show no clear relation"),
        "edge": tr(
            "the offset may lie beyond what was looked at (±{ms} ms): "
            "raise inference.max_offset_frames",
            ms=reach_ms,
        ),
    }[status]


def _by_second(tracks: list[Evidence], n_frames: int, calibration: dict) -> list[float | None]:
    """The score of the windows that begin in each second; None with too little speech."""
    scores = []
    for second in range(math.ceil(n_frames / FPS)):
        parts = _parts(tracks, second * FPS, (second + 1) * FPS)
        scores.append(sync_probability(curve_of([part.spoken() for part in parts]), calibration))
    return scores


def rounded(value: float | None) -> float | None:
    """Four digits, and None for NaN: JSON knows no NaN."""
    return None if value is None or math.isnan(value) else round(float(value), 4)

"""Evidence of all tracks of a clip -> score, offset and verdict, in numbers and words."""

import math

from src.audio_features import STEP_MS
from src.box_path import key_boxes
from src.calibration import peak_probability, sync_probability
from src.media import FPS
from src.messages import tr
from src.metrics import MIN_WINDOWS, Evidence, at_edge, curve_of, lse, peak_ms
from src.speakers import Face, Speakers
from src.timeline import Timeline, by_second, find_timeline, straightened

FRAME_MS = 1000 // FPS
STRETCH_S, HOP_S = 4, 2  # the offset over time is read off stretches so long, so far apart
IN_SYNC_MS = FRAME_MS  # the verdict says "in sync" within ±1 frame
# ITU-R BT.1359-1: offsets (> 0: the sound is early) that viewers notice, and that they accept.
DETECTABLE_MS = (-125, 45)
ACCEPTABLE_MS = (-185, 90)


def judge(
    tracks: list[Evidence], n_frames: int, calibration: dict, least_probability: float
) -> tuple[float | None, dict]:
    """Score and details of a clip, as ``LipSyncInference.compute_sync_score`` documents them.

    Args:
        tracks: the evidence of each followed face.
        n_frames: length of the clip.
        calibration: of the checkpoint.
        least_probability: an offset less likely right than this is undetermined.
    """
    curve = curve_of(tracks)
    score = sync_probability(curve, calibration)
    timeline = find_timeline(by_second(tracks, n_frames), n_frames / FPS)
    if timeline is not None and timeline.kind != "constant":
        # Averaged along its course: a curve over all of it would show many offsets at once.
        middle = timeline.middle(n_frames / FPS)
        curve = curve_of(straightened(tracks, timeline, middle))
    certainty = peak_probability(curve, calibration)
    offset = peak_ms(curve)
    distance, confidence = (None, None) if offset is None else lse(curve)
    status = "ok"
    if offset is None or score is None:
        status = "no_speech" if curve.windows == 0 else "too_short"
    elif certainty is None or certainty < least_probability:
        status = "weak"
    elif at_edge(curve):
        status = "edge"
    why = _reason(status, max(abs(curve.offsets)) * STEP_MS)
    if status in ("no_speech", "too_short"):
        score = None
    return score, {
        "status": status,
        "offset_ms": None if why else round(offset, 1),
        "offset_frames": None if why else round(offset / FRAME_MS),
        "offset_probability": rounded(certainty),
        "verdict": tr("undetermined: {why}", why=why) if why else verdict(offset),
        "bt1359": None if why else perceived(offset),
        "confidence": rounded(confidence),
        "min_distance": rounded(distance),
        "curve": {
            "offset_ms": [int(step) * STEP_MS for step in curve.offsets],
            "similarity": [rounded(value) for value in curve.similarity],
        },
        "per_second": [rounded(value) for value in _by_second(tracks, n_frames, calibration)],
        "offsets": _over_time(tracks, n_frames, calibration),
        "timeline": None if why else _told(timeline, n_frames / FPS),
        "undetermined": why,
    }


def tracks_in_numbers(faces: list[Face], speakers: Speakers, calibration: dict) -> list[dict]:
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
        "drift_ppm": round(timeline.ppm, 1) if timeline.kind == "drift" else None,
        "pieces": [
            {
                "start_s": round(piece.start_s, 3), "end_s": round(min(piece.end_s, length_s), 3),
                "offset_ms": round(piece.at(piece.start_s), 1),
                "end_offset_ms": round(piece.at(min(piece.end_s, length_s)), 1),
            }
            for piece in timeline.pieces
        ],
    }  # fmt: skip


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
    """The windows that begin in the frames ``first … last − 1`` of the clip."""
    return [
        track.part(max(0, first - track.first_frame), max(0, last - track.first_frame))
        for track in tracks
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


def perceived(offset_ms: float) -> str:
    """What viewers make of an offset, by ITU-R BT.1359-1: ``undetectable``, ``detectable`` or
    ``unacceptable``."""
    if DETECTABLE_MS[0] < offset_ms < DETECTABLE_MS[1]:
        return "undetectable"
    return "detectable" if ACCEPTABLE_MS[0] < offset_ms < ACCEPTABLE_MS[1] else "unacceptable"


def verdict(offset_ms: float) -> str:
    """An offset in words."""
    if abs(offset_ms) < IN_SYNC_MS:
        return tr("in sync (offset {ms:+.0f} ms)", ms=offset_ms)
    if offset_ms > 0:
        moved = tr("audio leads by {ms:.0f} ms", ms=offset_ms)
    else:
        moved = tr("audio lags by {ms:.0f} ms", ms=-offset_ms)
    how = {
        "undetectable": tr("too little to be noticed"),
        "detectable": tr("noticeable, but acceptable"),
        "unacceptable": tr("not acceptable"),
    }[perceived(offset_ms)]
    return tr("{moved}: {how} (ITU-R BT.1359)", moved=moved, how=how)


def correction(details: dict, before: float | None, after: float | None) -> str:
    """What was mended, in words, with the score before and after.

    Args:
        details: of the pair as it was given.
    """
    scores = {"before": shown(before), "after": shown(after)}
    offset_ms, timeline = details["offset_ms"], details["timeline"]
    if timeline["kind"] == "drift":
        return tr("audio drifted by {ppm:+.0f} ppm, corrected; score {before} → {after}",
                  ppm=timeline["drift_ppm"], **scores)  # fmt: skip
    if timeline["kind"] == "jumps":
        offsets = ", ".join(f"{piece['offset_ms']:+.0f}" for piece in timeline["pieces"])
        return tr("audio jumped ({offsets} ms), corrected piece by piece; score {before} → {after}",
                  offsets=offsets, **scores)  # fmt: skip
    if round(offset_ms) == 0:
        return tr("audio is in sync; score {before} → {after}", **scores)
    if offset_ms > 0:
        return tr(
            "audio led by {ms:.0f} ms, corrected; score {before} → {after}", ms=offset_ms, **scores
        )
    return tr(
        "audio lagged by {ms:.0f} ms, corrected; score {before} → {after}", ms=-offset_ms, **scores
    )


def shown(score: float | None) -> str:
    """A score for a person."""
    return "–" if score is None else f"{score:.2f}"


def rounded(value: float | None) -> float | None:
    """Four digits, and None for NaN: JSON knows no NaN."""
    return None if value is None or math.isnan(value) else round(float(value), 4)

"""Results as ``LipSyncInference`` would give them, without a model."""

from pathlib import Path

import numpy as np

from src.scoring.perception import perceived
from src.scoring.result import SyncResult
from src.scoring.result_types import NoSpeech, OffsetTimeline, TimelineSegment

OFFSETS = list(range(-600, 601, 10))


def made_result(
    video: Path, audio: Path, seconds: float, offset_ms: float = -200.0, score: float | None = 0.02
) -> SyncResult:
    """Of a clip with two faces: number 0 speaks and moves to the right, number 1 stands still."""
    similarity = [float(0.8 * np.exp(-0.5 * ((ms - offset_ms) / 50) ** 2)) for ms in OFFSETS]
    n_seconds = int(np.ceil(seconds))
    track = {"shot": 0, "start_s": 0.0, "end_s": seconds, "score": 0.02, "offset_ms": offset_ms,
             "confidence": 0.4}  # fmt: skip
    moving = [[0.0, 10.0, 20.0, 40.0, 60.0], [seconds, 50.0, 20.0, 80.0, 60.0]]
    still = [[0.0, 100.0, 30.0, 120.0, 60.0]]
    return SyncResult(
        score=score, status="ok", reason=None, offset_ms=offset_ms,
        offset_frames=round(offset_ms / 40), offset_probability=0.97, bt1359=perceived(offset_ms),
        confidence=0.4, min_distance=0.9,
        curve={"offset_ms": OFFSETS, "similarity": similarity},
        per_second=[0.0 if second % 2 == 0 else None for second in range(n_seconds)],
        offsets=[{"time_s": seconds / 2, "offset_ms": offset_ms + 3, "probability": 0.9}],
        timeline=made_timeline("constant", (0.0, seconds, offset_ms, offset_ms)),
        tracks=[
            {"number": 0, "chosen": True, "speaks": [[0.0, seconds]], "boxes": moving, **track},
            {"number": 1, "chosen": False, "speaks": [], "boxes": still, **track},
        ],
        voice_over=[], face_share=1.0, duration_s=seconds, faces=2, notes=[], video=str(video),
        audio=str(audio), model={"file": "best_model.pth", "sha256": "0" * 64},
    )  # fmt: skip


def made_timeline(kind: str, *segments: tuple, ppm: float | None = None) -> OffsetTimeline:
    """An offset over time of (start_s, end_s, offset_ms, end_offset_ms) each."""
    names = ("start_s", "end_s", "offset_ms", "end_offset_ms")
    return OffsetTimeline(
        kind=kind,
        drift_ppm=ppm,
        segments=[TimelineSegment(**dict(zip(names, part, strict=True))) for part in segments],
    )


def made_details(video: Path, audio: Path, seconds: float, offset_ms: float = -200.0) -> dict:
    """The details of ``made_result``."""
    return made_result(video, audio, seconds, offset_ms).to_dict()


def undetermined_result(result: SyncResult, reason=None, status: str = "no_speech") -> SyncResult:
    """The same clip without speech, or without an offset for another reason."""
    nothing = dict.fromkeys(
        ("score", "offset_ms", "offset_frames", "offset_probability", "bt1359", "confidence",
         "min_distance", "timeline")
    )  # fmt: skip
    silent = {"score": None, "offset_ms": None, "confidence": None}
    return SyncResult(**dict(result) | nothing | {
        "status": status, "reason": reason or NoSpeech(),
        "curve": {"offset_ms": OFFSETS, "similarity": [None] * len(OFFSETS)},
        "per_second": [None] * len(result.per_second),
        "offsets": [{"time_s": 1.0, "offset_ms": None, "probability": None}],
        "tracks": [track.model_copy(update=silent) for track in result.tracks],
    })  # fmt: skip


def undetermined(details: dict) -> dict:
    """The details of the same clip without speech."""
    return undetermined_result(SyncResult.from_dict(0.02, details)).to_dict()

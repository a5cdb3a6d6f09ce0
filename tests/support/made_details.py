"""Results as ``compute_sync_score`` would give them, without a model."""

from pathlib import Path

import numpy as np

OFFSETS = list(range(-600, 601, 10))


def made_details(video: Path, audio: Path, seconds: float, offset_ms: float = -200.0) -> dict:
    """Of a clip with two faces: number 0 speaks and moves to the right, number 1 stands still."""
    similarity = [0.8 * np.exp(-0.5 * ((ms - offset_ms) / 50) ** 2) for ms in OFFSETS]
    count = int(np.ceil(seconds))
    track = {"shot": 0, "start_s": 0.0, "end_s": seconds, "score": 0.02, "offset_ms": offset_ms,
             "confidence": 0.4}  # fmt: skip
    moving = [[0.0, 10.0, 20.0, 40.0, 60.0], [seconds, 50.0, 20.0, 80.0, 60.0]]
    still = [[0.0, 100.0, 30.0, 120.0, 60.0]]
    return {
        "status": "ok", "offset_ms": offset_ms, "offset_frames": round(offset_ms / 40),
        "offset_probability": 0.97, "verdict": "audio lags by 200 ms: not acceptable",
        "bt1359": "unacceptable", "confidence": 0.4, "min_distance": 0.9,
        "curve": {"offset_ms": OFFSETS, "similarity": similarity},
        "per_second": [0.0 if second % 2 == 0 else None for second in range(count)],
        "offsets": [{"time_s": seconds / 2, "offset_ms": offset_ms + 3, "probability": 0.9}],
        "timeline": {"kind": "constant", "drift_ppm": None, "pieces": [
            {"start_s": 0.0, "end_s": seconds, "offset_ms": offset_ms, "end_offset_ms": offset_ms},
        ]},
        "undetermined": None,
        "tracks": [
            {"number": 0, "chosen": True, "boxes": moving, **track},
            {"number": 1, "chosen": False, "boxes": still, **track},
        ],
        "voice_over": [], "face_share": 1.0, "duration_s": seconds, "faces": 2, "notes": [],
        "video": str(video), "audio": str(audio),
        "model": {"file": "best_model.pth", "sha256": "0" * 64},
    }  # fmt: skip


def undetermined(details: dict) -> dict:
    """The same clip where nobody speaks."""
    nothing = dict.fromkeys(
        ("offset_ms", "offset_frames", "offset_probability", "bt1359", "confidence",
         "min_distance", "timeline")
    )  # fmt: skip
    quiet = {"score": None, "offset_ms": None, "confidence": None}
    return details | nothing | {
        "status": "no_speech", "undetermined": "nobody speaks while the face is seen",
        "verdict": "undetermined: nobody speaks while the face is seen",
        "curve": {"offset_ms": OFFSETS, "similarity": [None] * len(OFFSETS)},
        "per_second": [None] * len(details["per_second"]),
        "offsets": [{"time_s": 1.0, "offset_ms": None, "probability": None}],
        "tracks": [track | quiet for track in details["tracks"]],
    }  # fmt: skip

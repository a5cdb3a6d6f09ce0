"""Clips of a synthetic talker to score, and what holds for every result."""

import hashlib
import json
import math
from pathlib import Path

import av
import numpy as np
from scipy.signal import correlate

from src.core.constants import SAMPLE_RATE
from src.media.writer import write_wav
from tools import synthetic_talker

SEED, SECONDS = 9001, 3.0  # a clip the model was not trained on
DETAILS = {
    "status": str, "offset_ms": float, "offset_frames": int, "offset_probability": float,
    "verdict": str, "bt1359": str, "confidence": float, "min_distance": float, "curve": dict,
    "per_second": list, "offsets": list, "timeline": dict, "tracks": list, "voice_over": list,
    "face_share": float, "duration_s": float, "faces": int, "notes": list, "undetermined": bool,
    "reason": dict,
    "video": str, "audio": str, "video_stream": int, "audio_stream": int, "audio_channel": int,
    "model": dict,
}  # fmt: skip
NEVER_NONE = (
    "status",
    "undetermined",
    "verdict",
    "curve",
    "per_second",
    "offsets",
    "tracks",
    "voice_over",
    "face_share",
    "duration_s",
    "faces",
    "notes",
    "video",
    "audio",
    "video_stream",
    "audio_stream",
    "model",
)


def sound_of(seed: int, shift_ms: float = 0) -> np.ndarray:
    """What a clip says, straight from the synthesiser, at its own sample rate."""
    return synthetic_talker.clip_parts(seed, SECONDS, shift_ms, speaker=0)[2]


def write_sound(path: Path, seed: int = SEED, shift_ms: float = 0) -> Path:
    write_wav(path, sound_of(seed, shift_ms), synthetic_talker.SAMPLE_RATE)
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def video_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def lag_ms(sound: np.ndarray, reference: np.ndarray) -> float:
    """How much later ``sound`` is than ``reference``, by their cross-correlation."""
    return (int(np.argmax(correlate(sound, reference))) - len(reference) + 1) / SAMPLE_RATE * 1000


def check_details(score, details: dict) -> None:
    """The documented keys and types, and what JSON can say."""
    assert set(details) == set(DETAILS)
    for key, kind in DETAILS.items():
        if details[key] is not None or key in NEVER_NONE:
            assert type(details[key]) is kind, key
    assert (details["offset_ms"] is None) == details["undetermined"]
    assert (details["offset_ms"] is None) == (details["offset_frames"] is None)
    assert (details["status"] == "ok") == (not details["undetermined"])
    assert (details["reason"] is None) == (details["status"] == "ok")
    for coded in (details["reason"], *details["notes"]):
        assert coded is None or (coded["code"] and coded["text"])
    assert score is None or (type(score) is float and 0 <= score <= 1)
    for key in ("offset_probability", "face_share"):
        assert details[key] is None or 0 <= details[key] <= 1
    curve = details["curve"]
    assert curve["offset_ms"] == list(range(-600, 601, 10))
    assert len(curve["similarity"]) == 121
    assert all(value is None or -1 <= value <= 1 for value in curve["similarity"])
    assert len(details["per_second"]) == math.ceil(details["duration_s"])
    assert all(value is None or 0 <= value <= 1 for value in details["per_second"])
    json.dumps({"score": score, "details": details}, allow_nan=False)

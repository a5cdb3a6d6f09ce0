"""A real video whose audio lacks two seconds, or has one more, from the middle on.

Needs ``../shared/data`` (see its README). Takes about two minutes on 2 slow cores.
"""

from pathlib import Path

import numpy as np
import pytest

from src.checkpoints.location import PRETRAINED
from src.core.constants import SAMPLE_RATE
from src.media.reader import read_audio
from src.media.writer import write_wav
from src.pipeline.engine import LipSyncInference

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
CLIP = DATA / "test/webspokes/websitetalkingheads__Tatum.mp4"
OWN_MS, CHANGE_S, MAX_ERROR_MS = 27, 11, 20  # the offset of the clip as the README has it

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CLIP.exists(), reason=f"no real clips: {CLIP} is missing"),
]


@pytest.fixture(scope="module")
def inference() -> LipSyncInference:
    return LipSyncInference(PRETRAINED, device="cpu")


@pytest.mark.parametrize("leads_s", [2, -1], ids=["2 s cut out", "1 s of silence inserted"])
def test_each_part_has_its_offset_and_is_corrected(inference, tmp_path, leads_s):
    audio, change = read_audio(CLIP), CHANGE_S * SAMPLE_RATE
    if leads_s > 0:
        parts = audio[:change], audio[change + leads_s * SAMPLE_RATE :]
    else:
        parts = audio[:change], np.zeros(-leads_s * SAMPLE_RATE, np.float32), audio[change:]
    sound, output = tmp_path / "audio.wav", tmp_path / "output.mp4"
    write_wav(sound, np.concatenate(parts), SAMPLE_RATE)
    details = inference.compute_sync_score(CLIP, sound)[1]
    assert details["status"] == "ok" and details["timeline"]["kind"] == "jumps"
    first, last = details["timeline"]["pieces"]
    assert first["offset_ms"] == pytest.approx(OWN_MS, abs=MAX_ERROR_MS)
    assert last["offset_ms"] == pytest.approx(OWN_MS + 1000 * leads_s, abs=MAX_ERROR_MS)
    assert CHANGE_S - 0.6 < last["start_s"] < CHANGE_S + max(0, leads_s) + 0.6
    codes = [note["code"] for note in details["notes"]]
    assert "mismatched_span" not in codes and "voice_over" not in codes
    if leads_s < 0:  # nothing is missing: all of it can be put right
        success, message = inference.sync_video_audio(CLIP, sound, output)
        assert success, message
        corrected = inference.compute_sync_score(output)[1]
        assert corrected["timeline"]["kind"] == "constant"
        assert abs(corrected["offset_ms"]) <= MAX_ERROR_MS

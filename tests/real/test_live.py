"""Streaming a real clip ends with the result of its file.

Needs ``../shared/data`` (see its README).
"""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.streaming import BLOCK, RATE, play
from src.live.stream import LipSyncStream
from src.pipeline.engine import LipSyncInference

CLIPS = Path(__file__).resolve().parents[3] / "shared" / "data" / "test"
NAMES = (
    "grid_misc/brbk7n.mpg", "grid_misc/pwij3p.mpg", "zh_mer_tv/sample_00000167.mp4",
    "zh_mer_tv/sample_00000338.mp4", "wild_misc/videoretalking_5.mp4",
    "wild_misc/-1wCGAxqT_4+000000_000177+p0.mp4", "lrs_demo/souv_1_gt.mp4",
    "zh_misc/example_15s.mp4", "webspokes/websitetalkingheads__Tatum.mp4",
)  # fmt: skip

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CLIPS.is_dir(), reason=f"no real clips: {CLIPS} is missing"),
]


@pytest.fixture(scope="module")
def inference() -> LipSyncInference:
    return LipSyncInference("pretrained/best_model.pth", device="cpu")


@pytest.mark.parametrize("name", NAMES)
def test_end_of_stream_equals_result_of_file(inference, name):
    score, details = inference.compute_sync_score(CLIPS / name, face="largest")
    stream = LipSyncStream(inference, RATE)
    for method, data, time_s in play(CLIPS / name, details["duration_s"] / 60):
        getattr(stream, method)(np.ascontiguousarray(data), time_s)
    estimate = stream.flush().so_far
    assert estimate.status == details["status"]
    if estimate.status != "ok":
        # Without an offset, the score hangs on the last bits, which processors round differently.
        assert max(estimate.score, score) < 0.3
    else:
        # One clip is near the limit of in sync, where the score is steep.
        assert estimate.score == pytest.approx(score, abs=0.08)
        assert estimate.offset_ms == pytest.approx(details["offset_ms"], abs=20)
    assert estimate.time_s == pytest.approx(details["duration_s"], abs=BLOCK / RATE + 0.04)

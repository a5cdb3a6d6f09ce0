"""A real video that lies on its side or is upside down: measured and corrected as if it did not.

Needs ``../shared/data`` (see its README). Takes about a minute on 2 slow cores.
"""

from pathlib import Path

import av
import pytest

from src.checkpoints.location import PRETRAINED
from src.pipeline.engine import LipSyncInference
from tests.support.inference_helpers import check_details, video_packets
from tests.support.media_files import ffmpeg

CLIP = (
    Path(__file__).resolve().parents[3] / "shared/data/test/wild_misc"
    / "Session_4_22-00-570_000021_close.mp4"
)  # fmt: skip
MAX_ERROR_MS = 20

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CLIP.exists(), reason=f"no real clips: {CLIP} is missing"),
]


@pytest.fixture(scope="module")
def inference() -> LipSyncInference:
    return LipSyncInference(PRETRAINED, device="cpu")


@pytest.fixture(scope="module")
def true_ms(inference) -> float:
    details = inference.compute_sync_score(CLIP)[1]
    assert turns(details) == []
    return details["offset_ms"]


def turns(details: dict) -> list[int]:
    return [note["degrees"] for note in details["notes"] if note["code"] == "turned_video"]


@pytest.mark.parametrize(
    ("filters", "degrees"), [("transpose=1", 270), ("transpose=2", 90), ("hflip,vflip", 180)]
)
def test_its_offset_is_that_of_the_upright_one(inference, true_ms, tmp_path, filters, degrees):
    path = tmp_path / "turned.mp4"
    ffmpeg("-i", CLIP, "-vf", filters, "-preset", "veryfast", "-c:a", "copy", path)
    score, details = inference.compute_sync_score(path)
    check_details(score, details)
    assert details["offset_ms"] == pytest.approx(true_ms, abs=MAX_ERROR_MS)
    assert turns(details) == [degrees]
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        width, height = stream.width, stream.height
    _, x0, y0, x1, y1 = details["tracks"][0]["boxes"][0]
    assert 0 < (x0 + x1) / 2 < width and 0 < (y0 + y1) / 2 < height


def test_the_corrected_copy_keeps_its_frames(inference, true_ms, tmp_path):
    path, output = tmp_path / "turned.mp4", tmp_path / "output.mp4"
    delay = ["-itsoffset", 0.3, "-i", CLIP, "-map", "0:v", "-map", "1:a"]
    ffmpeg("-i", CLIP, *delay, "-vf", "transpose=1", "-preset", "veryfast", path)
    assert inference.compute_sync_score(path)[1]["offset_ms"] == pytest.approx(
        true_ms - 300, abs=MAX_ERROR_MS
    )
    success, message = inference.sync_video_audio(path, None, output)
    assert success, message
    assert video_packets(output) == video_packets(path)
    assert abs(inference.compute_sync_score(output)[1]["offset_ms"]) <= MAX_ERROR_MS

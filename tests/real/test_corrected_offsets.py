"""Audio shifted, drifting or cut on purpose, corrected by the pretrained weights.

Needs ``../shared/data`` (see its README). About three minutes on two free cores.
"""

import csv
from hashlib import sha256
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
import soxr

from src.core.constants import FPS, SAMPLE_RATE
from src.media.reader import read_audio, read_frames
from src.media.writer import write_clip
from src.pipeline.engine import LipSyncInference
from tests.support.media_files import ffmpeg
from tests.support.synthetic_audio import (
    MAX_RESIDUAL_MS,
    RATE,
    advance,
    check_residuals,
    correct,
    residuals_by_loudness_ms,
    residuals_ms,
    with_cut,
    with_drift,
)

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
CLIP = "test/webspokes/websitetalkingheads__Tatum.mp4"  # of the longest with a known clip offset
N_FRAMES = 550  # of it: 22 s at 25 fps

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no real clips: {DATA} is missing"),
]


@pytest.fixture(scope="module")
def clip_offset_ms() -> float:
    """The clip offset, as measured by other networks."""
    with open(DATA / "manifest.tsv", newline="", encoding="utf-8") as file:
        rows = {row["path"]: row for row in csv.DictReader(file, delimiter="\t")}
    return float(rows[CLIP]["offset_ms"])


@pytest.fixture(scope="module")
def make_video(tmp_path_factory):
    """``make_video(n_loops)``: the video without audio, repeated so many times, and the audio that
    belongs to it, float32 [n] at RATE."""
    folder = tmp_path_factory.mktemp("video")
    source = folder / "source.mp4"
    frames = list(islice(read_frames(DATA / CLIP), N_FRAMES))
    write_clip(source, (frame.bgr for frame in frames), FPS, None)
    n_samples = N_FRAMES * SAMPLE_RATE // FPS
    audio = soxr.resample(read_audio(DATA / CLIP)[:n_samples], SAMPLE_RATE, RATE)

    def repeat(n_loops: int) -> tuple[Path, np.ndarray]:
        path = folder / f"{n_loops}.mp4"
        if not path.exists():
            ffmpeg("-stream_loop", n_loops - 1, "-i", source, "-c", "copy", path)
            with av.open(str(path)) as container:
                packets = [packet for packet in container.demux() if packet.size]
                times_s = sorted(float(packet.pts * packet.time_base) for packet in packets)
            np.testing.assert_allclose(times_s, np.arange(n_loops * N_FRAMES) / FPS, atol=1e-3)
        return path, np.tile(audio, n_loops)

    return repeat


class CachingDetector:
    """Detects faces in each image once: those of a video that is repeated eight times, and scored
    before and after, come back again and again."""

    def __init__(self, detector):
        self._detector, self._faces_by_image = detector, {}

    def detect(self, images: np.ndarray, zoomed: bool = False) -> list:
        key = images.shape, zoomed, sha256(images).digest()
        if key not in self._faces_by_image:
            self._faces_by_image[key] = self._detector.detect(images, zoomed)
        return self._faces_by_image[key]


@pytest.fixture(scope="module")
def inference() -> LipSyncInference:
    inference = LipSyncInference("pretrained/best_model.pth", device="cpu")
    inference.detector = CachingDetector(inference.detector)
    return inference


@pytest.mark.parametrize("ms", [-400, -160, 217, 400])
def test_a_constant_offset_is_corrected(inference, make_video, clip_offset_ms, tmp_path, ms):
    video, audio = make_video(1)
    output, details = correct(inference, video, advance(audio, ms), tmp_path)
    assert details["timeline"]["kind"] == "constant"
    assert details["offset_ms"] == pytest.approx(ms + clip_offset_ms, abs=MAX_RESIDUAL_MS)
    check_residuals(residuals_ms(output, audio), clip_offset_ms)


def test_a_drift_over_three_minutes_is_corrected(inference, make_video, clip_offset_ms, tmp_path):
    """The other direction: ``pipeline/test_made_offsets.py``."""
    video, audio = make_video(8)
    output, details = correct(inference, video, with_drift(audio, -1000), tmp_path)
    assert details["timeline"]["kind"] == "drift"
    assert details["timeline"]["drift_ppm"] == pytest.approx(-1000, abs=100)
    check_residuals(residuals_ms(output, audio), clip_offset_ms)


@pytest.mark.parametrize("ppm", [5000, -8000, 15000])
def test_a_drift_of_half_a_percent_and_more_is_corrected(
    inference, make_video, clip_offset_ms, tmp_path, ppm
):
    video, audio = make_video(1)
    drifting = with_drift(audio, ppm, abs(ppm) * 0.011)
    output, details = correct(inference, video, drifting, tmp_path)
    assert details["timeline"]["kind"] == "drift"
    assert details["timeline"]["drift_ppm"] == pytest.approx(ppm, abs=1000)
    check_residuals(residuals_by_loudness_ms(output, audio), clip_offset_ms)


def test_a_jump_in_the_middle_is_corrected(inference, make_video, clip_offset_ms, tmp_path):
    """As where 200 ms of audio were cut out."""
    video, audio = make_video(2)
    cut_audio, cut_s = with_cut(audio)
    output, details = correct(inference, video, cut_audio, tmp_path)
    assert details["timeline"]["kind"] == "jumps" and len(details["timeline"]["pieces"]) == 2
    check_residuals(residuals_ms(output, audio, [cut_s]), clip_offset_ms)

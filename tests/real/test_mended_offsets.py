"""Sounds that were moved, stretched or cut on purpose, mended by the weights that come along.

Needs ``../shared/data`` (see its README). About three minutes on two
free cores.
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
from tests.support.films import ffmpeg
from tests.support.made_sounds import (
    MOST_LEFT_MS,
    RATE,
    check,
    cut,
    left_by_loudness_ms,
    left_ms,
    mended,
    stretched,
    taken,
)

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
CLIP = "test/webspokes/websitetalkingheads__Tatum.mp4"  # of the longest whose own offset is known
PICTURES = 550  # 22 s of it, at 25 a second

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no real clips: {DATA} is missing"),
]


@pytest.fixture(scope="module")
def own_ms() -> float:
    """By how much the clip's sound must be delayed as it was found, by other networks."""
    with open(DATA / "manifest.tsv", newline="", encoding="utf-8") as file:
        rows = {row["path"]: row for row in csv.DictReader(file, delimiter="\t")}
    return float(rows[CLIP]["offset_ms"])


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """``film(loops)``: the silent picture, so many times on end, and the sound that goes with it,
    at RATE."""
    folder = tmp_path_factory.mktemp("film")
    once = folder / "once.mp4"
    pictures = list(islice(read_frames(DATA / CLIP), PICTURES))
    write_clip(once, (picture.bgr for picture in pictures), FPS, None)
    samples = PICTURES * SAMPLE_RATE // FPS
    sound = soxr.resample(read_audio(DATA / CLIP)[:samples], SAMPLE_RATE, RATE)

    def made(loops: int) -> tuple[Path, np.ndarray]:
        path = folder / f"{loops}.mp4"
        if not path.exists():
            ffmpeg("-stream_loop", loops - 1, "-i", once, "-c", "copy", path)
            with av.open(str(path)) as container:
                times = sorted(float(p.pts * p.time_base) for p in container.demux() if p.size)
            np.testing.assert_allclose(times, np.arange(loops * PICTURES) / FPS, atol=1e-3)
        return path, np.tile(sound, loops)

    return made


class Remembering:
    """A detector that looks at each picture once: those of a film that is shown eight times, and
    judged before and after, come back all the time."""

    def __init__(self, detector):
        self.detector, self.known = detector, {}

    def detect(self, pictures: np.ndarray, close: bool = False) -> list:
        key = pictures.shape, close, sha256(pictures).digest()
        if key not in self.known:
            self.known[key] = self.detector.detect(pictures, close)
        return self.known[key]


@pytest.fixture(scope="module")
def judge() -> LipSyncInference:
    judge = LipSyncInference("pretrained/best_model.pth", device="cpu")
    judge.detector = Remembering(judge.detector)
    return judge


@pytest.mark.parametrize("ms", [-400, -160, 217, 400])
def test_a_constant_offset(judge, film, own_ms, tmp_path, ms):
    video, sound = film(1)
    output, details = mended(judge, video, taken(sound, ms), tmp_path)
    assert details["timeline"]["kind"] == "constant"
    assert details["offset_ms"] == pytest.approx(ms + own_ms, abs=MOST_LEFT_MS)
    check(left_ms(output, sound), own_ms)


@pytest.mark.parametrize("ppm", [-1000, 1000])
def test_a_clock_that_drifts_over_three_minutes(judge, film, own_ms, tmp_path, ppm):
    video, sound = film(8)
    output, details = mended(judge, video, stretched(sound, ppm), tmp_path)
    assert details["timeline"]["kind"] == "drift"
    assert details["timeline"]["drift_ppm"] == pytest.approx(ppm, abs=100)
    check(left_ms(output, sound), own_ms)


@pytest.mark.parametrize("ppm", [5000, -8000, 15000])
def test_a_clock_that_is_wrong_by_half_a_percent_and_more(judge, film, own_ms, tmp_path, ppm):
    video, sound = film(1)
    given = stretched(sound, ppm, abs(ppm) * 0.011)
    output, details = mended(judge, video, given, tmp_path)
    assert details["timeline"]["kind"] == "drift"
    assert details["timeline"]["drift_ppm"] == pytest.approx(ppm, abs=1000)
    check(left_by_loudness_ms(output, sound), own_ms)


def test_a_jump_in_the_middle(judge, film, own_ms, tmp_path):
    """As where 200 ms of sound were cut out."""
    video, sound = film(2)
    given, at = cut(sound)
    output, details = mended(judge, video, given, tmp_path)
    assert details["timeline"]["kind"] == "jumps" and len(details["timeline"]["pieces"]) == 2
    check(left_ms(output, sound, [at]), own_ms)

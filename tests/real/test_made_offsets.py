"""Sounds that were moved, stretched or cut on purpose, mended by the weights that come along.

Needs ``../shared/data`` (see its README). How well they are mended is measured on the sound alone,
by cross-correlation with the sound before anything was done to it. About three minutes on two
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
from scipy.signal import correlate

from src.inference import LipSyncInference
from src.media import FPS, SAMPLE_RATE, read_audio, read_pictures
from src.muxing import write_clip, write_wav
from tests.films import ffmpeg

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
CLIP = "test/webspokes/websitetalkingheads__Tatum.mp4"  # of the longest whose own offset is known
PICTURES = 550  # 22 s of it, at 25 a second
RATE = 48000  # Hz, of the sounds that are given
MOST_LEFT_MS = 40

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
    pictures = list(islice(read_pictures(DATA / CLIP), PICTURES))
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

    def detect(self, pictures: np.ndarray) -> list:
        key = pictures.shape, sha256(pictures).digest()
        if key not in self.known:
            self.known[key] = self.detector.detect(pictures)
        return self.known[key]


@pytest.fixture(scope="module")
def judge() -> LipSyncInference:
    judge = LipSyncInference("pretrained/best_model.pth", device="cpu")
    judge.detector = Remembering(judge.detector)
    return judge


def taken(sound: np.ndarray, first_ms: float) -> np.ndarray:
    """The sound from a time on, in its length: > 0: it comes early."""
    first = round(first_ms * RATE / 1000)
    moved = sound[max(0, first) :]
    moved = np.concatenate([np.zeros(max(0, -first), np.float32), moved])[: len(sound)]
    return np.pad(moved, (0, len(sound) - len(moved)))


def left_ms(mended: Path, sound: np.ndarray, leave_out=()) -> list[float]:
    """By how much the mended sound comes later than it was, each second: cross-correlation of
    stretches of 1 s with the second around. Silent ones, and those within 0.5 s of the times
    to leave out, say nothing."""
    after, before = read_audio(mended), soxr.resample(sound, RATE, SAMPLE_RATE)
    found = []
    for middle in np.arange(1.5, min(len(after), len(before)) / SAMPLE_RATE - 1.5):
        if any(abs(middle - time) < 1 for time in leave_out):
            continue
        first, last = (round((middle + side) * SAMPLE_RATE) for side in (-0.5, 0.5))
        part, around = after[first:last], before[first - SAMPLE_RATE // 2 : last + SAMPLE_RATE // 2]
        if np.sqrt((around**2).mean()) < 0.1 * np.sqrt((before**2).mean()):
            continue
        match = correlate(around, part, "valid")
        assert match.max() > 0.5 * np.linalg.norm(part) ** 2, "it is another sound"
        found.append((SAMPLE_RATE // 2 - int(match.argmax())) / SAMPLE_RATE * 1000)
    assert len(found) > 0.5 * len(after) / SAMPLE_RATE
    return found


def mended(judge, video: Path, sound: np.ndarray, folder: Path) -> tuple[Path, dict]:
    given, output = folder / "given.wav", folder / "mended.mp4"
    write_wav(given, sound, RATE)
    success, message, measured = judge.mend(video, given, output)
    print(f"\n{message}", end=" ")
    assert success, message
    return output, measured["details"]


def check(left: list[float], own_ms: float) -> None:
    off = np.array(left) - own_ms
    print(f"left: {off.min():+.1f} to {off.max():+.1f} ms", end=" ")
    assert np.abs(off).max() <= MOST_LEFT_MS


@pytest.mark.parametrize("ms", [-400, -160, 217, 400])
def test_a_constant_offset(judge, film, own_ms, tmp_path, ms):
    video, sound = film(1)
    output, details = mended(judge, video, taken(sound, ms), tmp_path)
    assert details["timeline"]["kind"] == "constant"
    assert details["offset_ms"] == pytest.approx(ms + own_ms, abs=MOST_LEFT_MS)
    check(left_ms(output, sound), own_ms)


@pytest.mark.parametrize("ppm", [-1000, 1000])
def test_a_clock_that_drifts_over_three_minutes(judge, film, own_ms, tmp_path, ppm):
    """Early at first by 90 ms and late at the end, or the other way round."""
    video, sound = film(8)
    start_ms = -np.sign(ppm) * 90
    stretched = soxr.resample(sound, RATE * (1 + ppm / 1e6), RATE)
    given = taken(np.pad(stretched, (0, max(0, len(sound) - len(stretched)))), start_ms)
    output, details = mended(judge, video, given[: len(sound)], tmp_path)
    assert details["timeline"]["kind"] == "drift"
    assert details["timeline"]["drift_ppm"] == pytest.approx(ppm, abs=100)
    check(left_ms(output, sound), own_ms)


def test_a_jump_in_the_middle(judge, film, own_ms, tmp_path):
    """As where 200 ms of sound were cut out."""
    video, sound = film(2)
    half = len(sound) // 2 + 3 * RATE
    given = np.concatenate([taken(sound, -60)[:half], taken(sound, 140)[half:]])
    output, details = mended(judge, video, given, tmp_path)
    assert details["timeline"]["kind"] == "jumps" and len(details["timeline"]["pieces"]) == 2
    check(left_ms(output, sound, [half / RATE]), own_ms)

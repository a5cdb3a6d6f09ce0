"""Sounds that were moved, stretched or cut on purpose, mended.

The judge knows the mouth by heart: it is a grey that is the brighter the louder the talker is, and
its embeddings are the course of the grey, and of the loudness, around a moment. All else is as it
is: comparing, the course of the offset over time, laying the sound, and measuring the result.
"""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soxr

from src.core.config import Config
from src.core.constants import FPS, HOPS_PER_FRAME, SAMPLE_RATE, WINDOW_FRAMES
from src.media.reader import read_audio, read_frames
from src.media.stream_choice import StreamChoice
from src.media.writer import write_clip, write_wav
from src.pipeline import engine, measure_offset
from src.pipeline.engine import LipSyncInference
from src.scoring.evidence import Evidence, compare
from src.scoring.result import ModelFile
from tests.support.synthetic_audio import (
    MAX_RESIDUAL_MS,
    MIN_LOUDNESS_DB,
    RATE,
    advance,
    check_residuals,
    correct,
    loudness,
    residuals_by_loudness_ms,
    residuals_ms,
    with_cut,
    with_drift,
)
from tools.synthetic_talker import SAMPLE_RATE as SPOKEN
from tools.synthetic_talker import clip_parts

pytest_plugins = ("tests.support.evidence_fixtures",)

SECONDS = 180
SIDE = 5  # frames on both sides of a moment that its embedding tells of


def embeddings(course: np.ndarray, first: int, every: int, count: int) -> np.ndarray:
    """Unit vectors [count, 11] of what goes up and down around each moment.

    Args:
        first: step of the first moment.
        every: steps from one to the next.
    """
    moments = first + every * np.arange(count)
    around = HOPS_PER_FRAME * np.arange(-SIDE, SIDE + 1)
    rows = course[np.clip(moments[:, None] + around, 0, len(course) - 1)]
    rows = rows - rows.mean(1, keepdims=True)
    return (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)).astype("f4")


def known(video: Path, audio: Path | None, *_, **__) -> SimpleNamespace:
    """In place of ``extract_clip``: the greys of the pictures, and the loudness of the sound."""
    greys = np.array([picture.bgr.mean() for picture in read_frames(video)])
    n_frames = len(greys)
    steps = np.interp(np.arange(HOPS_PER_FRAME * n_frames) / HOPS_PER_FRAME,
                      np.arange(n_frames), greys)  # fmt: skip
    heard = np.full(HOPS_PER_FRAME * n_frames, MIN_LOUDNESS_DB)
    found = loudness(read_audio(audio or video))[: len(heard)]
    heard[: len(found)] = found
    track = SimpleNamespace(shot=0, shot_begin=0, first_frame=0, boxes=np.zeros((n_frames, 4)))
    return SimpleNamespace(
        streams=StreamChoice(1, 1),
        tracks=[track], n_frames=n_frames, duration_s=n_frames / FPS, face_share=1.0, n_faces=1,
        notes=[], seen=steps, heard=heard,
    )  # fmt: skip


def evidence(_, clip: SimpleNamespace, reach: int, *__) -> list[Evidence]:
    """In place of ``compute_clip_evidence``: embeddings are made up, comparing them is not."""
    windows = clip.n_frames - WINDOW_FRAMES + 1
    middle = HOPS_PER_FRAME * (WINDOW_FRAMES // 2)
    seen = embeddings(clip.seen, middle, HOPS_PER_FRAME, windows)
    heard = embeddings(clip.heard, middle, 1, HOPS_PER_FRAME * windows)
    spoken = clip.heard.reshape(-1, HOPS_PER_FRAME).max(1) > MIN_LOUDNESS_DB + 10
    return [compare(seen, heard, spoken, reach)]


@pytest.fixture
def judge(calibration, monkeypatch) -> LipSyncInference:
    monkeypatch.setattr(engine, "extract_clip", known)
    monkeypatch.setattr(engine, "reverberation_notes", lambda _: [])
    monkeypatch.setattr(measure_offset, "compute_clip_evidence", evidence)
    judge = object.__new__(LipSyncInference)
    judge.trained = SimpleNamespace(model=None, calibration=calibration)
    judge.config, judge.detector = Config(), None
    judge.model_file = ModelFile(file="best_model.pth", sha256="0" * 64)
    return judge


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """``film(seconds)``: the silent picture, and the sound that goes with it, at RATE."""
    folder = tmp_path_factory.mktemp("film")
    spoken = clip_parts(7001, SECONDS, speaker=0)[2]
    heard = loudness(soxr.resample(spoken, SPOKEN, SAMPLE_RATE))[::HOPS_PER_FRAME]
    greys = np.interp(heard, (MIN_LOUDNESS_DB, heard.max()), (40, 220)).round().astype(np.uint8)
    sound = soxr.resample(spoken, SPOKEN, RATE)

    def made(seconds: int) -> tuple[Path, np.ndarray]:
        path = folder / f"{seconds}.mp4"
        if not path.exists():
            frames = (np.full((32, 32, 3), grey, np.uint8) for grey in greys[: seconds * FPS])
            write_clip(path, frames, FPS, None)
        return path, sound[: seconds * RATE]

    return made


@pytest.mark.parametrize("ms", [-400, 217, 400])
def test_a_constant_offset(judge, film, tmp_path, ms):
    video, sound = film(30)
    output, details = correct(judge, video, advance(sound, ms), tmp_path)
    assert details["timeline"]["kind"] == "constant"
    assert details["offset_ms"] == pytest.approx(ms, abs=MAX_RESIDUAL_MS)
    check_residuals(residuals_ms(output, sound), 0.0)


@pytest.mark.parametrize("ppm", [-1000, 1000])
def test_a_clock_that_drifts_over_three_minutes(judge, film, tmp_path, ppm):
    video, sound = film(SECONDS)
    output, details = correct(judge, video, with_drift(sound, ppm), tmp_path)
    assert details["timeline"]["kind"] == "drift"
    assert details["timeline"]["drift_ppm"] == pytest.approx(ppm, abs=100)
    check_residuals(residuals_ms(output, sound), 0.0)


@pytest.mark.parametrize("ppm", [5000, -8000, 15000])
def test_a_clock_that_is_wrong_by_half_a_percent_and_more(judge, film, tmp_path, ppm):
    """Up to 5000 ppm by resampling; above, the pitch is kept, which waveforms do not survive, but
    the course of the loudness."""
    video, sound = film(60)
    given = with_drift(sound, ppm, abs(ppm) * 0.03)
    output, details = correct(judge, video, given, tmp_path)
    assert details["timeline"]["kind"] == "drift"
    assert details["timeline"]["drift_ppm"] == pytest.approx(ppm, abs=300)
    check_residuals(residuals_by_loudness_ms(output, sound), 0.0)


def test_a_jump_in_the_middle(judge, film, tmp_path):
    """As where 200 ms of sound were cut out."""
    video, sound = film(60)
    given, at = with_cut(sound)
    output, details = correct(judge, video, given, tmp_path)
    assert details["timeline"]["kind"] == "jumps" and len(details["timeline"]["pieces"]) == 2
    check_residuals(residuals_ms(output, sound, [at]), 0.0)


def test_a_sound_that_was_not_mended_would_be_found_out(film, tmp_path):
    """The measure of these tests itself."""
    _, sound = film(30)
    for late_ms in (-60, 0, 60):
        given = tmp_path / "given.wav"
        write_wav(given, advance(sound, -late_ms), RATE)
        left = residuals_ms(given, sound)
        assert np.allclose(left, late_ms, atol=0.5)
        if late_ms:
            with pytest.raises(AssertionError):
                check_residuals(left, 0.0)

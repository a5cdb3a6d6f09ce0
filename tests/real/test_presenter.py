"""A person's mouth re-made for a stranger's speech, with the pretrained weights.

Needs ``../shared/data`` (see its README). About a minute on two free cores.
"""

from pathlib import Path

import numpy as np
import pytest

from src.core.constants import SAMPLE_RATE
from src.core.errors import PresenterError
from src.media.container import probe
from src.media.credentials import read_remade
from src.media.reader import read_audio
from src.media.writer import write_wav
from src.pipeline.engine import LipSyncInference
from src.pipeline.new_speech import find_judge, learn, new_consent
from src.presenter.store import load_presenter

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
FOOTAGE = DATA / "presenters" / "wth_angie_sq.mp4"  # a studio, shots of up to 4 s
STRANGER = DATA / "test" / "webspokes" / "websitetalkingheads__Joey.mp4"
SPEECH_S = 4

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no real clips: {DATA} is missing"),
]


@pytest.fixture(scope="module")
def engine():
    return LipSyncInference("pretrained/best_model.pth", device="cpu")


@pytest.fixture(scope="module")
def presenter(engine, tmp_path_factory):
    """A presenter's folder, and what learning it returned."""
    folder = tmp_path_factory.mktemp("presenters") / "angie"
    return folder, learn(engine, [FOOTAGE], folder, new_consent("option"))


def test_footage_is_learned_once(engine, presenter, monkeypatch):
    folder, (records, advice) = presenter
    (record,) = records
    assert record.speech_s > 10 and record.offset_ms is not None
    assert record.real_confidence > 0.3
    assert any("30 s" in text for text in advice)
    clip = load_presenter(folder).clips[0]
    assert np.isfinite(clip.frames["jaw"]).all()
    monkeypatch.setattr("src.presenter.learn.index_clip", lambda *_: pytest.fail("again"))
    assert learn(engine, [FOOTAGE], folder)[0] == records


def test_lips_follow_the_new_speech(engine, presenter, tmp_path):
    """An independent network hears and sees it: with the new audio, and no longer with the old."""
    folder, _ = presenter
    speech, output = tmp_path / "speech.wav", tmp_path / "out.mp4"
    samples = read_audio(STRANGER)[2 * SAMPLE_RATE : (2 + SPEECH_S) * SAMPLE_RATE]
    write_wav(speech, samples)
    done, message, figures = engine.present(FOOTAGE, speech, output, folder)
    assert done and str(output) in message
    assert abs(probe(output).video_s - SPEECH_S) < 0.1
    judge = find_judge(engine)
    made = judge.measure(output)
    before = judge.measure(FOOTAGE, speech)
    old = judge.measure(output, FOOTAGE)
    assert figures["judged"]["confidence"] == made.confidence
    assert abs(made.offset_ms) <= 40
    assert made.confidence > 0.15
    # Of seventeen windows of 1 s; one in ten is within a frame by chance.
    assert made.in_sync >= 0.8
    assert before.in_sync <= 0.3 and old.in_sync <= 0.3
    remade = read_remade(output)
    assert remade.is_intact and remade.base_video.name == FOOTAGE.name
    notes = engine.compute_sync_score(output)[1]["notes"]
    assert notes[0]["code"] == "remade_lips"


def test_nobody_agreed(engine, tmp_path):
    with pytest.raises(PresenterError, match="--consent"):
        engine.present(FOOTAGE, STRANGER, tmp_path / "out.mp4")
    assert not list(tmp_path.iterdir())


def test_another_model_made_the_presenter(engine, presenter):
    folder, _ = presenter
    record = folder / "presenter.json"
    text = record.read_text(encoding="utf-8")
    record.write_text(text.replace(engine.model_file.sha256, "0" * 64), encoding="utf-8")
    try:
        with pytest.raises(PresenterError, match="another model"):
            learn(engine, [FOOTAGE], folder)
    finally:
        record.write_text(text, encoding="utf-8")

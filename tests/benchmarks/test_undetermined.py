"""The test pairs of a clip, and how their outcomes are counted."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.fft import dct, idct

from benchmarks import undetermined
from benchmarks.undetermined import (
    FPS,
    LEVEL,
    classify,
    make_pairs,
    mix_voices,
    music,
    print_table,
)
from src.audio.features import compute_features
from src.checkpoints.checkpoint import TrainedModel
from src.core.config import load_config
from src.core.constants import N_MELS
from src.dataset.samples import Sample, SampleData


class FakeSample(Sample):
    """A sample whose frames are numbered, without a file."""

    def read(self, start: int = 0, n_frames: int | None = None) -> SampleData:
        n = self.length if n_frames is None else n_frames
        crop = np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None], (n, 96, 96))
        mfcc = np.full((4 * n, 40), float(self.id), np.float32)
        return SampleData(crop, mfcc, np.ones(n, bool))


def fake(name: str, length: int) -> Sample:
    return FakeSample(name, name, name, name, None, length)


def test_every_kind_of_audio_is_paired_with_the_clip():
    pairs = dict(make_pairs(fake("1", 60), fake("2", 40)))
    assert set(pairs) == {
        "matched audio", "matched audio, the first 0.6 s", "matched audio, the first 1 s",
        "matched audio, the first 2 s", "another speaker's audio",
        "matched audio and a second voice",
        "frozen video", "music", "noise", "silence",
    }  # fmt: skip
    for name, track in pairs.items():
        assert len(track.mfcc) == 4 * len(track.crop) == 4 * len(track.speech), name
    assert (pairs["another speaker's audio"].mfcc == 2).all() and len(
        pairs["another speaker's audio"].crop
    ) == 40
    assert len(pairs["matched audio, the first 1 s"].crop) == FPS
    assert not pairs["frozen video"].crop.any() and pairs["matched audio"].crop.any()
    assert not pairs["silence"].speech.any()
    other = dict(make_pairs(fake("3", 60), fake("2", 40)))
    assert not np.array_equal(pairs["noise"].mfcc, other["noise"].mfcc), "each clip its own"
    assert "another speaker's audio" not in dict(make_pairs(clip := fake("1", 20), clip))


def test_mixed_voices_are_equally_loud():
    """The second voice 20 dB louder or softer: the same mixture, 3 dB over one alone."""
    rng = np.random.default_rng(0)
    crop, speech = np.zeros((10, 8, 8), np.uint8), np.ones(10, bool)
    bands = [rng.normal(-30, 10, (40, N_MELS)) for _ in range(2)]
    bands[1] += bands[0].mean() - bands[1].mean()
    mixed = []
    for gain in (-20, 0, 20):
        own, other = (
            SampleData(crop, dct(band, type=2, norm="ortho").astype(np.float32), speech)
            for band in (bands[0], bands[1] + gain)
        )
        mixed.append(mix_voices(own, other).mfcc)
    expected = 10 * np.log10(10 ** (bands[0] / 10) + 10 ** (bands[1] / 10))
    for mfcc in mixed:
        np.testing.assert_allclose(idct(mfcc, norm="ortho"), expected, atol=1e-2)
    doubled = mix_voices(own, own)
    np.testing.assert_allclose(
        idct(doubled.mfcc, norm="ortho"), bands[0] + 10 * np.log10(2), atol=1e-2
    )


def test_music_has_no_speech():
    audio = music(4, 3)
    assert audio.dtype == np.float32 and len(audio) == 64_000
    assert np.sqrt((audio**2).mean()) == pytest.approx(LEVEL, rel=1e-3)
    assert compute_features(audio, 100)[1].mean() < 0.1
    assert not np.array_equal(audio, music(4, 4))


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({"status": "ok", "offset_ms": 70.0}, "correct"),  # an error of 55 ms: one frame
        ({"status": "ok", "offset_ms": 80.0}, "incorrect"),  # 65 ms: two
        ({"status": "ok", "offset_ms": -40.0}, "correct"),
        ({"status": "weak", "offset_ms": None}, "weak"),
    ],
)
def test_offset_is_correct_within_one_frame(monkeypatch, details, expected):
    result = SimpleNamespace(**details, undetermined=details["status"] != "ok")
    monkeypatch.setattr(undetermined, "compute_evidence", lambda *args: None)
    monkeypatch.setattr(undetermined, "build_result", lambda *args: result)
    trained, settings = TrainedModel(None, None, {}), load_config(None, []).inference
    track = fake("1", 20).read()
    assert classify(trained, settings, track, 15.0) == expected
    short = SampleData(track.crop[:4], track.mfcc[:16], track.speech[:4])
    assert classify(trained, settings, short, 0.0) == "too_short"
    without_truth = classify(trained, settings, track, None)
    status = details["status"]
    assert without_truth == ("incorrect" if status == "ok" else status), "no offset is correct"


def test_table_has_shares(capsys):
    counts = {
        (False, "music"): Counter(no_speech=1),
        (True, "matched audio"): Counter(correct=3, weak=1),
    }
    print_table(counts)
    lines = capsys.readouterr().out.splitlines()
    assert (
        lines[2] == "| over 2 s | matched audio | 4 | 75.0% | 0.0% | 0.0% | 0.0% | 25.0% | 0.0% |"
    )
    assert lines[3].startswith("| up to 2 s | music | 1 | 0.0% | 0.0% | 100.0% |")

"""What is asked of a clip, and how the answers are counted."""

from collections import Counter

import numpy as np
import pytest
from scipy.fft import dct, idct

from benchmarks import undetermined
from benchmarks.undetermined import (
    FPS,
    LEVEL,
    answer,
    music,
    pairs_of,
    print_table,
    together,
)
from src.audio.features import features_of
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


def test_every_kind_of_sound_is_asked_about():
    found = dict(pairs_of(fake("1", 60), fake("2", 40)))
    assert set(found) == {
        "its own sound", "its own sound, the first 0.6 s", "its own sound, the first 1 s",
        "its own sound, the first 2 s", "another speaker's", "its own sound and another voice",
        "still picture", "music", "noise", "silence",
    }  # fmt: skip
    for name, track in found.items():
        assert len(track.mfcc) == 4 * len(track.crop) == 4 * len(track.speech), name
    assert (found["another speaker's"].mfcc == 2).all() and len(
        found["another speaker's"].crop
    ) == 40
    assert len(found["its own sound, the first 1 s"].crop) == FPS
    assert not found["still picture"].crop.any() and found["its own sound"].crop.any()
    assert not found["silence"].speech.any()
    other = dict(pairs_of(fake("3", 60), fake("2", 40)))
    assert not np.array_equal(found["noise"].mfcc, other["noise"].mfcc), "each clip its own"
    assert "another speaker's" not in dict(pairs_of(one := fake("1", 20), one))


def test_two_who_talk_at_once_are_as_loud_as_each_other():
    """The second voice 20 dB louder or softer: the same mixture, 3 dB over one alone."""
    dice = np.random.default_rng(0)
    crop, speech = np.zeros((10, 8, 8), np.uint8), np.ones(10, bool)
    bands = [dice.normal(-30, 10, (40, N_MELS)) for _ in range(2)]
    bands[1] += bands[0].mean() - bands[1].mean()
    mixed = []
    for gain in (-20, 0, 20):
        own, other = (
            SampleData(crop, dct(band, type=2, norm="ortho").astype(np.float32), speech)
            for band in (bands[0], bands[1] + gain)
        )
        mixed.append(together(own, other).mfcc)
    expected = 10 * np.log10(10 ** (bands[0] / 10) + 10 ** (bands[1] / 10))
    for found in mixed:
        np.testing.assert_allclose(idct(found, norm="ortho"), expected, atol=1e-2)
    alone = together(own, own)
    np.testing.assert_allclose(
        idct(alone.mfcc, norm="ortho"), bands[0] + 10 * np.log10(2), atol=1e-2
    )


def test_music_is_no_speech():
    sound = music(4, 3)
    assert sound.dtype == np.float32 and len(sound) == 64_000
    assert np.sqrt((sound**2).mean()) == pytest.approx(LEVEL, rel=1e-3)
    assert features_of(sound, 100)[1].mean() < 0.1
    assert not np.array_equal(sound, music(4, 4))


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"status": "ok", "offset_ms": 70.0}, "right"),  # 55 ms off: a frame
        ({"status": "ok", "offset_ms": 80.0}, "wrong"),  # 65 ms: two
        ({"status": "ok", "offset_ms": -40.0}, "right"),
        ({"status": "weak", "offset_ms": None}, "weak"),
    ],
)
def test_an_offset_is_right_within_a_frame(monkeypatch, told, expected):
    monkeypatch.setattr(undetermined, "evidence_of", lambda *args: None)
    monkeypatch.setattr(undetermined, "build_result", lambda *args: (0.5, told))
    trained, settings = TrainedModel(None, None, {}), load_config(None, []).inference
    track = fake("1", 20).read()
    assert answer(trained, settings, track, 15.0) == expected
    short = SampleData(track.crop[:4], track.mfcc[:16], track.speech[:4])
    assert answer(trained, settings, short, 0.0) == "too_short"
    none = answer(trained, settings, track, None)
    assert none == ("wrong" if told["status"] == "ok" else told["status"]), "there is none to tell"


def test_the_table_shows_shares(capsys):
    counts = {
        (False, "music"): Counter(no_speech=1),
        (True, "its own sound"): Counter(right=3, weak=1),
    }
    print_table(counts)
    lines = capsys.readouterr().out.splitlines()
    assert (
        lines[2] == "| over 2 s | its own sound | 4 | 75.0% | 0.0% | 0.0% | 0.0% | 25.0% | 0.0% |"
    )
    assert lines[3].startswith("| up to 2 s | music | 1 | 0.0% | 0.0% | 100.0% |")

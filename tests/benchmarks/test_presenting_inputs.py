"""People, their footage and new audio."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import presenting_inputs
from benchmarks.presenting_inputs import (
    TEXTS,
    cut_recording,
    hold_out,
    in_order,
    limit_footage,
    put_in_sync,
    read_people,
    speak_text,
    usable_seconds,
)
from src.core.errors import DatasetError, MissingFileError
from src.media.reader import read_audio
from src.media.writer import write_wav
from tests.support.made_presenters import clip_record, footage_clip, presenter_of


def write_list(folder, text: str):
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        (folder / name).touch()
    path = folder / "people.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_footage_of_each_person_is_read_in_order(tmp_path):
    path = write_list(tmp_path, "video, Person\nb.mp4,ann\n\na.mp4,bo\nc.mp4,ann\n")
    people = read_people(path)
    assert {name: [p.name for p in videos] for name, videos in people.items()} == {
        "ann": ["b.mp4", "c.mp4"], "bo": ["a.mp4"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("a.mp4,ann\n", DatasetError, "person,video"),
        ("", DatasetError, "person,video"),
        ("person,video\nann\n", DatasetError, "ann"),
        ("person,video\nann,d.mp4\n", MissingFileError, "d.mp4"),
    ],
)
def test_a_wrong_list_is_reported(tmp_path, text, error, words):
    with pytest.raises(error, match=words):
        read_people(write_list(tmp_path, text))
    with pytest.raises(MissingFileError):
        read_people(tmp_path / "none.csv")


def test_the_last_fifth_of_each_clip_is_held_out():
    clips = [
        footage_clip(((0, seconds),), duration_s=float(seconds), seed=seconds) for seconds in (2, 5)
    ]
    presenter = hold_out(presenter_of(*clips))
    assert [int(clip.grid["usable"].sum()) for clip in presenter.clips] == [40, 100]
    assert presenter.clips[1].grid["time"][presenter.clips[1].grid["usable"]].max() < 4
    assert clips[0].grid["usable"].all(), "the presenter itself stays as it is"


def test_footage_is_limited_from_its_beginning():
    presenter = presenter_of(footage_clip(((0, 2),)), footage_clip(((0, 2),), seed=1))
    presenter.clips[0].grid["usable"][10:20] = False
    assert usable_seconds(presenter) == pytest.approx(3.6)
    for seconds, expected in ((1, (25, 0)), (1.6, (40, 0)), (2, (40, 10)), (9, (40, 50))):
        limited = limit_footage(presenter, seconds)
        assert tuple(int(clip.grid["usable"].sum()) for clip in limited.clips) == expected
        assert not limited.clips[0].grid["usable"][10:20].any()


def test_clips_come_in_the_order_of_the_list():
    clips = [footage_clip(sha256=letter * 64) for letter in "abc"]
    records = [clip_record(sha256=letter * 64) for letter in "ca"]
    ordered = in_order(presenter_of(*clips), records)
    assert [clip.record.sha256[0] for clip in ordered.clips] == ["c", "a"]


def test_early_audio_is_delayed_and_late_audio_advanced():
    samples = np.arange(1, 4001, dtype=np.float32)
    delayed, advanced = put_in_sync(samples, 100), put_in_sync(samples, -100)
    assert not delayed[:1600].any() and delayed[1600] == 1
    assert advanced[0] == 1601 and len(advanced) == 2400


@pytest.fixture
def speech(monkeypatch):
    monkeypatch.setattr(
        presenting_inputs, "read_speech",
        lambda path, tools: SimpleNamespace(path=path, duration_s=len(read_audio(path)) / 16000),
    )  # fmt: skip


def test_recordings_are_cut(tmp_path, speech):
    write_wav(tmp_path / "long.wav", np.full(32000, 0.25, np.float32))
    recording = cut_recording(tmp_path / "long.wav", 1.5, tmp_path / "1-long.wav", None)
    assert recording.name == "1-long" and recording.closures_s is None
    assert recording.speech.duration_s == pytest.approx(1.5)


def test_closures_beyond_the_cut_do_not_count(tmp_path, speech, monkeypatch):
    phonemes = [(0.1, 0.2, "m"), (0.2, 0.4, "a"), (0.45, 0.6, "b"), (0.8, 0.9, "p")]
    spoken = SimpleNamespace(
        samples=np.zeros(22050, np.float32), sample_rate=22050, phonemes=phonemes
    )
    monkeypatch.setattr(presenting_inputs, "synthesise_text", lambda text, voice: spoken)
    recording = speak_text(next(iter(TEXTS)), 0.5, tmp_path / "text.wav", None)
    np.testing.assert_array_equal(recording.closures_s, [[0.1, 0.2]])
    assert recording.speech.duration_s == pytest.approx(0.5, abs=0.01)

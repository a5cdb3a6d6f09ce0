"""What mending makes of the lengths, the notes and the folder; the judging itself is scripted."""

from pathlib import Path

import av
import pytest

from src.core.errors import ConfigError, OutputError
from src.correction import remux as muxing
from src.pipeline.engine import LipSyncInference
from tests.support.films import SECONDS, ffmpeg, film, write_sound


def told(offset_ms: float) -> dict:
    piece = {"start_s": 0.0, "end_s": SECONDS, "offset_ms": offset_ms, "end_offset_ms": offset_ms}
    return {
        "undetermined": None, "duration_s": SECONDS, "offset_ms": offset_ms, "offsets": [],
        "timeline": {"kind": "constant", "drift_ppm": None, "pieces": [piece]},
    }  # fmt: skip


@pytest.fixture
def judge(monkeypatch):
    """Finds 200 ms in what it is given, and nothing in what it has mended; keeps how long the
    pictures were that it was shown."""
    judge = object.__new__(LipSyncInference)
    judge.shown = []

    def score(video, audio=None, *_, **__):
        with av.open(str(video)) as container:
            judge.shown.append(container.streams.video[0].frames)
        return (0.1, told(200.0)) if len(judge.shown) == 1 else (0.9, told(0.0))

    monkeypatch.setattr(judge, "compute_sync_score", score)
    return judge


def lengths(path: Path) -> tuple[int, float]:
    """Pictures, and seconds of the sound."""
    with av.open(str(path)) as container:
        audio = container.streams.audio[0]
        return container.streams.video[0].frames, float(audio.duration * audio.time_base)


def test_a_short_clip_is_shown_again_under_a_long_sound(judge, tmp_path):
    sound = write_sound(tmp_path / "sound.wav", seconds=9.0)
    output = tmp_path / "new" / "out.mp4"
    done = judge.sync_video_audio(film(tmp_path / "film.mp4"), sound, output, fit="loop")
    assert done == (True, "audio led by 200 ms, corrected; score 0.10 → 0.90")
    frames, seconds = lengths(output)
    assert 230 <= frames <= 233 and seconds == pytest.approx(frames / 25, abs=0.03)
    assert judge.shown == [90, 90]  # what is shown again is not measured: it belongs to other words
    assert list(output.parent.iterdir()) == [output]


def test_pictures_and_sound_are_cut_together(judge, tmp_path):
    sound = write_sound(tmp_path / "sound.wav", seconds=1.5)
    success, _, found = judge.correct_sync(
        film(tmp_path / "film.mp4"), sound, tmp_path / "out.mp4", fit="trim"
    )
    assert success and found["notes"] == []
    frames, seconds = lengths(tmp_path / "out.mp4")
    assert 43 <= frames <= 46 and seconds == pytest.approx(frames / 25, abs=0.03)


def test_a_film_stays_as_long_as_it_is(judge, tmp_path):
    sound = write_sound(tmp_path / "sound.wav", seconds=9.0)
    success, _, found = judge.correct_sync(film(tmp_path / "film.mp4"), sound, tmp_path / "out.mp4")
    assert success and lengths(tmp_path / "out.mp4") == (90, pytest.approx(SECONDS, abs=0.03))
    cut = "the last 5.6 s of the sound are cut, as the picture ends before them"
    assert found["notes"] == [cut]  # 9 s and the 0.2 s by which they are delayed


def test_what_was_not_kept_is_said(judge, tmp_path):
    plain = film(tmp_path / "plain.mp4")
    ffmpeg("-i", plain, "-i", write_sound(tmp_path / "room.wav"), "-map", 0, "-map", 1, "-c:v",
           "copy", tmp_path / "film.mp4")  # fmt: skip
    _, message = judge.sync_video_audio(tmp_path / "film.mp4", None, tmp_path / "out.mp4")
    assert message.endswith("→ 0.90; sound track 2 (aac) is moved like the first one")


def test_other_fits_are_refused_before_anything_is_read(judge, tmp_path):
    with pytest.raises(ConfigError, match="fit stretch"):
        judge.correct_sync(tmp_path / "none.mp4", None, tmp_path / "out.mp4", fit="stretch")
    assert not judge.shown


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OutputError("disk full")])
@pytest.mark.parametrize("filled", [False, True])
def test_a_folder_that_was_made_for_nothing_is_gone_again(
    judge, tmp_path, monkeypatch, failure, filled
):
    source = film(tmp_path / "film.mp4")
    output = tmp_path / "new" / "folder" / "out.mp4"

    def fail(*_):
        if filled:
            (output.parent / "of somebody else.txt").touch()
        raise failure

    monkeypatch.setattr(muxing, "_run", fail)
    with pytest.raises(type(failure) if isinstance(failure, Exception) else failure):
        judge.correct_sync(source, None, output)
    left = {path.name for path in tmp_path.rglob("*")}
    assert left == {"film.mp4"} | ({"new", "folder", "of somebody else.txt"} if filled else set())


def test_the_folder_goes_when_mending_does_not_help(judge, tmp_path, monkeypatch):
    source = film(tmp_path / "film.mp4")
    monkeypatch.setattr(judge, "compute_sync_score", lambda *_, **__: (0.1, told(-200.0)))
    success, message, _ = judge.correct_sync(source, None, tmp_path / "new" / "out.mp4")
    assert not success and message.startswith("nothing written: ")
    assert list(tmp_path.iterdir()) == [source]

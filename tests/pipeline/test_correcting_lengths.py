"""How correction changes lengths, notes and the folder; the measurements are scripted."""

from pathlib import Path

import av
import pytest

from src.core.errors import ConfigError, OutputError
from src.correction import remux as muxing
from src.pipeline.engine import LipSyncInference
from src.scoring.result import SyncResult
from tests.support.made_details import made_result
from tests.support.media_files import SECONDS, ffmpeg, make_video, write_audio


def scripted_result(score: float, offset_ms: float) -> SyncResult:
    result = made_result("film.mp4", "film.mp4", SECONDS, offset_ms, score)
    return result.model_copy(update={"offsets": []})


@pytest.fixture
def judge(monkeypatch):
    """Measures 200 ms in what it is given, and 0 in what it has corrected; ``shown`` holds the
    number of frames of each video that it measured."""
    judge = object.__new__(LipSyncInference)
    judge.shown = []

    def measure(video, audio=None, *_, **__):
        with av.open(str(video)) as container:
            judge.shown.append(container.streams.video[0].frames)
        first = len(judge.shown) == 1
        return scripted_result(0.1, 200.0) if first else scripted_result(0.9, 0.0)

    monkeypatch.setattr(judge, "measure", measure)
    return judge


def lengths(path: Path) -> tuple[int, float]:
    """Pictures, and seconds of the sound."""
    with av.open(str(path)) as container:
        audio = container.streams.audio[0]
        return container.streams.video[0].frames, float(audio.duration * audio.time_base)


def test_a_short_clip_is_shown_again_under_a_long_sound(judge, tmp_path):
    sound = write_audio(tmp_path / "sound.wav", seconds=9.0)
    output = tmp_path / "new" / "out.mp4"
    done = judge.sync_video_audio(make_video(tmp_path / "film.mp4"), sound, output, fit="loop")
    assert done == (True, "audio led by 200 ms, corrected; score 0.10 → 0.90")
    frames, seconds = lengths(output)
    assert 230 <= frames <= 233 and seconds == pytest.approx(frames / 25, abs=0.03)
    assert judge.shown == [90, 90]  # what is shown again is not measured: it belongs to other words
    assert list(output.parent.iterdir()) == [output]


def test_pictures_and_sound_are_cut_together(judge, tmp_path):
    sound = write_audio(tmp_path / "sound.wav", seconds=1.5)
    success, _, found = judge.correct_sync(
        make_video(tmp_path / "film.mp4"), sound, tmp_path / "out.mp4", fit="trim"
    )
    assert success and found["notes"] == []
    frames, seconds = lengths(tmp_path / "out.mp4")
    assert 43 <= frames <= 46 and seconds == pytest.approx(frames / 25, abs=0.03)


def test_a_film_stays_as_long_as_it_is(judge, tmp_path):
    sound = write_audio(tmp_path / "sound.wav", seconds=9.0)
    source = make_video(tmp_path / "film.mp4")
    success, _, found = judge.correct_sync(source, sound, tmp_path / "out.mp4")
    assert success and lengths(tmp_path / "out.mp4") == (90, pytest.approx(SECONDS, abs=0.03))
    cut = "the last 5.6 s of the audio are cut: the video ends first"
    assert found["notes"] == [cut]  # 9 s and the 0.2 s by which they are delayed


def test_what_was_not_kept_is_said(judge, tmp_path):
    plain = make_video(tmp_path / "plain.mp4")
    ffmpeg("-i", plain, "-i", write_audio(tmp_path / "room.wav"), "-map", 0, "-map", 1, "-c:v",
           "copy", tmp_path / "film.mp4")  # fmt: skip
    _, message = judge.sync_video_audio(tmp_path / "film.mp4", None, tmp_path / "out.mp4")
    assert message.endswith("→ 0.90; audio track 2 (aac) shifted with the corrected audio track")


def test_other_fits_are_refused_before_anything_is_read(judge, tmp_path):
    with pytest.raises(ConfigError, match="fit stretch"):
        judge.correct_sync(tmp_path / "none.mp4", None, tmp_path / "out.mp4", fit="stretch")
    assert not judge.shown


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OutputError("disk full")])
@pytest.mark.parametrize("filled", [False, True])
def test_a_folder_that_was_made_for_nothing_is_gone_again(
    judge, tmp_path, monkeypatch, failure, filled
):
    source = make_video(tmp_path / "film.mp4")
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
    source = make_video(tmp_path / "film.mp4")
    monkeypatch.setattr(judge, "measure", lambda *_, **__: scripted_result(0.1, -200.0))
    success, message, _ = judge.correct_sync(source, None, tmp_path / "new" / "out.mp4")
    assert not success and message.startswith("nothing written: ")
    assert list(tmp_path.iterdir()) == [source]

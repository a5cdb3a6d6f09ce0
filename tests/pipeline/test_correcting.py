"""What correction changes, of one clip or many: the audio moves, all else stays."""

import json
import math
import re
from pathlib import Path

import pytest

from src.core.errors import MissingFileError, OutputError
from src.media.reader import read_audio
from src.scoring.result_types import LocalOffset
from tests.support.inference_helpers import (
    SECONDS,
    SEED,
    check_details,
    lag_ms,
    sha256,
    video_packets,
    write_sound,
)
from tests.support.made_details import made_timeline

pytest_plugins = ("tests.support.training_fixtures", "tests.support.inference_fixtures")


# --- one pair


@pytest.mark.parametrize(
    ("shift_ms", "apart"), [(-240, False), (160, False), (-160, True), (90, True)]
)
def test_correction(judge, clips, tmp_path, shift_ms, apart):
    video = clips(0 if apart else shift_ms)
    sound = write_sound(tmp_path / "sound.wav", SEED, shift_ms) if apart else None
    before = sha256(video), sound and sha256(sound)
    output = tmp_path / "new folder" / "out.mp4"
    success, message = judge.sync_video_audio(video, sound, output)
    assert success, message
    word = "led" if shift_ms > 0 else "lagged"
    said = re.fullmatch(
        rf"audio {word} by (\d+) ms, corrected; score (\d\.\d\d) → (\d\.\d\d)", message
    )
    assert int(said[1]) == pytest.approx(abs(shift_ms), abs=20)
    assert float(said[3]) > 0.8 > float(said[2])
    assert (sha256(video), sound and sha256(sound)) == before
    assert list(output.parent.iterdir()) == [output]
    assert video_packets(output) == video_packets(video)
    # The waveforms: moved by what was said, and so back to where it was before the shift.
    moved = read_audio(output)
    assert lag_ms(moved, read_audio(sound or video)) == pytest.approx(
        math.copysign(int(said[1]), shift_ms), abs=20
    )
    assert lag_ms(moved, read_audio(clips(0))) == pytest.approx(0, abs=20)
    _, after = judge.compute_sync_score(output)
    assert abs(after["offset_ms"]) <= 20


def test_message_in_chinese(judge, clips, tmp_path, speaks):
    speaks("zh")
    success, message = judge.sync_video_audio(clips(-240), None, tmp_path / "out.mp4")
    assert success
    assert re.fullmatch(
        r"音频滞后 2[2-5]\d 毫秒，已校正；分数 \d\.\d\d → \d\.\d\d", message.replace("; ", "；")
    )


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
def test_other_containers(judge, clips, tmp_path, suffix):
    output = tmp_path / f"out{suffix}"
    success, message = judge.sync_video_audio(clips(-240), None, output)
    assert success, message
    assert len(video_packets(output)) == SECONDS * 25
    assert lag_ms(read_audio(output), read_audio(clips(0))) == pytest.approx(0, abs=20)


def test_an_output_is_replaced_only_by_a_complete_one(judge, clips, tmp_path, monkeypatch):
    output = tmp_path / "out.mp4"
    output.write_bytes(b"old")
    real = judge.measure
    given = []

    def interrupted(video, audio=None, *_, **__):
        given.append(Path(video))
        if len(given) > 1:
            raise KeyboardInterrupt
        return real(video, audio)

    monkeypatch.setattr(judge, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        judge.sync_video_audio(clips(-240), None, output)
    assert output.read_bytes() == b"old" and list(tmp_path.iterdir()) == [output]
    assert given[1] != output and given[1].parent == tmp_path  # it was written aside


def test_a_correction_that_does_not_help_is_dropped(judge, clips, tmp_path, monkeypatch):
    real = judge.measure

    def stubborn(video, audio=None, *_, **__):
        timeline = made_timeline("constant", (0.0, SECONDS, -200.0, -200.0))
        return real(video, audio).model_copy(
            update={"status": "ok", "reason": None, "offset_ms": -200.0, "timeline": timeline}
        )

    monkeypatch.setattr(judge, "measure", stubborn)
    success, reason = judge.sync_video_audio(clips(), None, tmp_path / "out.mp4")
    assert not success and not any(tmp_path.iterdir())
    assert reason == "nothing written: the corrected audio is still -200 ms out of sync"


def test_spans_that_still_deviate_are_noted(judge, clips, tmp_path, monkeypatch):
    """The summary of the result is right, but some seconds of it are not."""
    real = judge.measure

    def summarised(video, audio=None, *_, **__):
        spans = [LocalOffset(time_s=2.0 + 2 * n, offset_ms=ms, probability=0.95)
                 for n, ms in enumerate((1.0, -64.0, -66.0))]  # fmt: skip
        return real(video, audio).model_copy(update={"offsets": spans})

    monkeypatch.setattr(judge, "measure", summarised)
    success, message = judge.sync_video_audio(clips(), None, tmp_path / "out.mp4")
    assert success
    assert message.endswith("; 4–6 s: still -65 ms after correction")


def test_an_input_is_never_overwritten(judge, clips, tmp_path):
    video = tmp_path / "in.mp4"
    video.write_bytes(clips(-240).read_bytes())
    sound = write_sound(tmp_path / "in.wav")
    before = sha256(video), sha256(sound)
    link = tmp_path / "link.mp4"
    link.symlink_to(video)
    for output in (video, link, tmp_path / "." / "in.mp4", sound):
        with pytest.raises(OutputError, match="is an input"):
            judge.sync_video_audio(video, sound, output)
    assert (sha256(video), sha256(sound)) == before


def test_a_missing_input_with_an_output_that_is_there(judge, tmp_path):
    output = tmp_path / "out.mp4"
    output.write_bytes(b"old")
    with pytest.raises(MissingFileError, match=r"none\.mp4"):
        judge.sync_video_audio(tmp_path / "none.mp4", None, output)
    assert output.read_bytes() == b"old"


def test_outputs_that_cannot_be(judge, clips, tmp_path):
    for name in ("out.xyz", "out", "out.txt", "out.wav", "out.png"):
        with pytest.raises(OutputError, match=re.escape(name)):
            judge.sync_video_audio(clips(-240), None, tmp_path / name)
    with pytest.raises(OutputError, match="is a folder"):
        judge.sync_video_audio(clips(-240), None, tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot create the folder"):
        judge.sync_video_audio(clips(-240), None, tmp_path / "file" / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# --- many at once


def test_a_batch_goes_on_after_a_bad_pair(judge, clips, tmp_path):
    folder = tmp_path / "outputs"
    sound = write_sound(tmp_path / "sound.wav", SEED, 160)
    pairs = [(clips(-240), None), (tmp_path / "none.mp4", None), (clips(0), sound)]
    results = judge.batch_process(pairs, folder)
    assert [result["success"] for result in results] == [True, False, True]
    for result, (video, audio) in zip(results, pairs, strict=True):
        assert set(result) == {
            "video", "audio", "success", "message", "output", "score", "details",
        }  # fmt: skip
        assert result["video"] == str(video)
        assert result["audio"] == (str(audio) if audio else None)
    assert results[1]["output"] is results[1]["score"] is results[1]["details"] is None
    assert "none.mp4" in results[1]["message"]
    check_details(results[0]["score"], results[0]["details"])
    assert results[0]["details"]["offset_ms"] == pytest.approx(-240, abs=20)
    outputs = {Path(result["output"]) for result in results if result["success"]}
    assert set(folder.iterdir()) == outputs
    assert {path.name for path in outputs} == {
        f"{clips(-240).stem}_synced.mp4", f"{clips(0).stem}_synced.mp4",
    }  # fmt: skip
    json.dumps(results, allow_nan=False)


def test_videos_of_one_name_do_not_overwrite_each_other(judge, clips, tmp_path):
    videos = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        videos.append(tmp_path / name / "v.mp4")
        videos[-1].write_bytes(clips(-240).read_bytes())
    results = judge.batch_process([(video, None) for video in videos], tmp_path / "out")
    assert len({result["output"] for result in results}) == 2
    assert all(Path(result["output"]).is_file() for result in results)


def test_a_batch_does_not_overwrite_the_input_of_a_later_pair(judge, clips, tmp_path):
    first, second = tmp_path / "v.mp4", tmp_path / "v_synced.mp4"
    first.write_bytes(clips(-240).read_bytes())
    second.write_bytes(clips(160).read_bytes())
    before = sha256(second)
    judge.batch_process([(first, None), (second, None)], tmp_path)
    assert sha256(second) == before

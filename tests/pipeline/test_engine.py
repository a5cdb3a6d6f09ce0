"""Score and find: with a model that knows one drawn talker."""

import av
import numpy as np
import pytest

from src.core.config import load_config
from src.media.container import Reading
from src.media.frame import VideoFrame
from src.media.reader import read_frames
from src.media.stream_choice import StreamChoice
from src.media.writer import write_wav
from src.pipeline import loading
from src.pipeline.engine import LipSyncInference
from src.preprocessing import extract
from src.scoring.perception import perceived
from src.scoring.words import verdict_text
from tests.support.inference_helpers import (
    SECONDS,
    SEED,
    check_details,
    sound_of,
    write_sound,
)
from tests.support.made_details import made_result
from tests.support.media_files import ffmpeg
from tools import synthetic_talker

pytest_plugins = ("tests.support.training_fixtures", "tests.support.inference_fixtures")


# --- the settings


def test_the_device_may_be_set_with_spaces(trained, monkeypatch):
    """As the settings themselves: the key is what is before the equals sign."""
    asked = []
    monkeypatch.setattr(loading, "is_plain_cpu", lambda name: asked.append(name) or True)
    LipSyncInference(trained, overrides=["training.device = cuda"])
    LipSyncInference(trained)
    LipSyncInference(trained, "cpu", overrides=["training.device = cuda"])
    assert asked == ["cuda", "auto", "cpu"]


def test_changed_settings_of_the_config_that_do_not_count_are_said(trained, capsys):
    changed = load_config(overrides=["data.min_face_size=60", "data.video_dir=elsewhere"])
    inference = LipSyncInference(trained, "cpu", changed)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "the setting data.min_face_size = 60 is not used: the model has its own, 20; "
        "--set data.min_face_size=60 overrides it"
    ]
    assert inference.config.data.min_face_size == 20
    inference = LipSyncInference(trained, "cpu", changed, ["data.min_face_size=60"])
    assert inference.config.data.min_face_size == 60
    assert capsys.readouterr().err == ""


# --- several tracks


def test_scored_and_corrected_is_the_track_that_was_asked_for(judge, clips, tmp_path):
    """The first track is another clip's; the second one lags by 200 ms."""
    other, own = write_sound(tmp_path / "o.wav", SEED + 2), write_sound(tmp_path / "w.wav", SEED)
    both, target = tmp_path / "both.mkv", tmp_path / "target.mkv"
    ffmpeg("-i", clips(), "-i", other, "-itsoffset", "0.2", "-i", own, "-map", "0:v",
           "-map", "1:a", "-map", "2:a", "-c:v", "copy", "-c:a", "pcm_s16le",
           "-disposition:a:0", "default", "-disposition:a:1", "0", both)  # fmt: skip
    streams = StreamChoice(audio=2)
    score, details = judge.compute_sync_score(both, streams=streams)
    check_details(score, details)
    assert details["offset_ms"] == pytest.approx(-200, abs=20)
    assert (details["video_stream"], details["audio_stream"]) == (1, 2)
    success, message, measured = judge.correct_sync(both, None, target, streams=streams)
    assert success, message
    assert measured["applied_ms"] == pytest.approx(-200, abs=20)
    _, details = judge.compute_sync_score(target)  # the corrected track is the default one
    assert details["offset_ms"] == pytest.approx(0, abs=20) and details["audio_stream"] == 1


# --- the score and its details


def test_details_of_a_clip_in_sync(judge, clips):
    score, details = judge.compute_sync_score(clips())
    check_details(score, details)
    assert score > 0.8 and details["offset_frames"] == 0 and "in sync" in details["verdict"]
    assert details["face_share"] == 1 and details["duration_s"] == SECONDS
    assert details["video"] == details["audio"] == str(clips())
    assert details["confidence"] > 0.2 and 0 < details["min_distance"] < 1.4
    peak = int(np.nanargmax(np.array(details["curve"]["similarity"], float)))
    assert abs(details["curve"]["offset_ms"][peak] - details["offset_ms"]) <= 20
    assert np.mean([second for second in details["per_second"] if second is not None]) > 0.5


@pytest.mark.parametrize("shift_ms", [-400, -160, -37, 0, 90, 240])
def test_found_is_injected(judge, clips, shift_ms):
    score, details = judge.compute_sync_score(clips(shift_ms))
    check_details(score, details)
    assert details["offset_ms"] == pytest.approx(shift_ms, abs=20)
    assert details["offset_frames"] == round(details["offset_ms"] / 40)
    if abs(shift_ms) >= 160:
        assert score < 0.2
        assert ("leads" if shift_ms > 0 else "lags") in details["verdict"]


@pytest.mark.parametrize("shift_ms", [-200, 120])
def test_sound_of_its_own_and_the_same_sound_apart_give_the_same(judge, clips, tmp_path, shift_ms):
    sound = write_sound(tmp_path / "sound.wav", SEED, shift_ms)
    own, apart = (
        judge.compute_sync_score(clips(shift_ms)),
        judge.compute_sync_score(clips(0), sound),
    )
    check_details(*apart)
    assert apart[1]["audio"] == str(sound) and apart[1]["video"] == str(clips(0))
    assert apart[1]["offset_ms"] == pytest.approx(own[1]["offset_ms"], abs=5)
    assert apart[1]["offset_ms"] == pytest.approx(shift_ms, abs=20)


def test_paths_may_be_texts_with_any_letters(judge, clips, tmp_path):
    odd = tmp_path / "嘴 ñ 100%.mp4"
    odd.write_bytes(clips(-160).read_bytes())
    _, details = judge.compute_sync_score(video_path=str(odd), audio_path=None)
    assert details["offset_ms"] == pytest.approx(-160, abs=20)
    success, message = judge.sync_video_audio(str(odd), None, str(tmp_path / "出 %d 100%.mp4"))
    assert success, message
    assert {path.name for path in tmp_path.iterdir()} == {"嘴 ñ 100%.mp4", "出 %d 100%.mp4"}


def test_the_range_of_offsets_is_a_setting(trained, clips):
    from src.core.config import load_config

    config = load_config(None, ["inference.max_offset_frames=8"])
    _, details = LipSyncInference(trained, "cpu", config).compute_sync_score(clips(240))
    assert details["curve"]["offset_ms"] == list(range(-320, 321, 10))
    assert details["offset_ms"] == pytest.approx(240, abs=20)


@pytest.mark.parametrize(
    ("offset_ms", "how"),
    [
        (0, "undetectable"), (44, "undetectable"), (-124, "undetectable"),
        (45, "detectable"), (89, "detectable"), (-125, "detectable"), (-184, "detectable"),
        (90, "unacceptable"), (-185, "unacceptable"), (500, "unacceptable"),
    ],
)  # fmt: skip
def test_the_limits_are_those_of_bt_1359(offset_ms, how):
    assert perceived(offset_ms) == how


@pytest.mark.parametrize(
    ("offset_ms", "text"),
    [
        (-120.4, "audio lags by 120 ms: not noticeable (ITU-R BT.1359)"),
        (80.0, "audio leads by 80 ms: noticeable, but acceptable (ITU-R BT.1359)"),
        (-190.0, "audio lags by 190 ms: not acceptable (ITU-R BT.1359)"),
        (39.0, "in sync (offset +39 ms): not noticeable (ITU-R BT.1359)"),
        (44.6, "audio leads by 45 ms: noticeable, but acceptable (ITU-R BT.1359)"),
        (0.0, "in sync (offset +0 ms): not noticeable (ITU-R BT.1359)"),
    ],
)
def test_verdicts(offset_ms, text):
    assert verdict_text(made_result("v.mp4", "v.mp4", 2.0, offset_ms)) == text


def blinking(n_visible: int):
    """``read_frames``, each ``n_visible`` frames followed by a dark one: so many shots."""

    def darkened(frames):
        for number, frame in enumerate(frames):
            if number % (n_visible + 1) == n_visible:
                dark = np.zeros((frame.height, frame.width, 3), np.uint8)
                frame = VideoFrame(av.VideoFrame.from_ndarray(dark, format="bgr24"), None)
            yield frame

    return lambda *arguments: Reading(lambda _: darkened(read_frames(*arguments)))


@pytest.mark.parametrize("shift_ms", [-400, 0, 240, 400])
@pytest.mark.parametrize("n_visible", [15, 20])
def test_shots_shorter_than_the_offset_is_long(judge, clips, monkeypatch, n_visible, shift_ms):
    monkeypatch.setattr(extract, "read_frames", blinking(n_visible))
    score, details = judge.compute_sync_score(clips(shift_ms))
    check_details(score, details)
    assert details["face_share"] < 1, "the shots are cut"
    assert details["offset_ms"] == pytest.approx(shift_ms, abs=25)


def test_an_offset_beyond_the_reach_is_undetermined(trained, clips):
    overrides = ["inference.max_offset_frames=5", "inference.far_offset_s=0"]
    judge = LipSyncInference(trained, "cpu", overrides=overrides)
    _, details = judge.compute_sync_score(clips(240))
    assert details["offset_ms"] is None and details["status"] in ("edge", "weak")
    assert not judge.sync_video_audio(clips(240), None, clips(240).with_name("no.mp4"))[0]


def test_too_little_speech_is_said(judge, clips, tmp_path):
    sound = sound_of(SEED)
    rate = synthetic_talker.SAMPLE_RATE
    loudest = int(np.argmax(np.convolve(np.abs(sound), np.ones(rate // 5), "same")))
    word = np.zeros_like(sound)
    word[loudest - rate // 20 : loudest + rate // 20] = sound[
        loudest - rate // 20 : loudest + rate // 20
    ]
    write_wav(tmp_path / "word.wav", word, rate)
    score, details = judge.compute_sync_score(clips(), tmp_path / "word.wav")
    check_details(score, details)
    assert score is None and details["status"] in ("no_speech", "too_short")


# --- no evidence, no number


def test_noise_and_silence_are_no_evidence(judge, clips, tmp_path):
    sound = tmp_path / "noise.wav"
    write_wav(sound, np.random.default_rng(0).normal(0, 0.05, 48000).astype(np.float32))
    score, details = judge.compute_sync_score(clips(), sound)
    check_details(score, details)
    assert score is None and details["undetermined"] is True
    reason = {"code": "no_speech", "text": "no speech while a face is visible"}
    assert details["reason"] == reason
    assert details["per_second"] == [None, None, None]
    output = tmp_path / "out.mp4"
    success, message = judge.sync_video_audio(clips(), sound, output)
    assert (success, output.exists()) == (False, False)
    assert message == "nothing changed: no speech while a face is visible"
    assert [path.name for path in tmp_path.iterdir()] == ["noise.wav"]


def test_the_sound_of_other_clips_is_not_in_sync(judge, clips, tmp_path):
    """Not each on its own: this model was trained for a minute, and is another each time."""
    right_score, right = judge.compute_sync_score(clips())
    scores = []
    for other in (9002, 9005, 9007):
        score, details = judge.compute_sync_score(clips(), write_sound(tmp_path / "a.wav", other))
        check_details(score, details)
        assert score < right_score
        assert details["confidence"] < right["confidence"]
        assert details["offset_probability"] < right["offset_probability"]
        scores.append(score)
    assert sorted(scores)[1] < 0.5 < right_score


def test_weak_evidence_changes_nothing(trained, clips, tmp_path):
    from src.core.config import load_config

    config = load_config(None, ["inference.min_offset_probability=0.97"])
    judge = LipSyncInference(trained, "cpu", config)
    sound, output = write_sound(tmp_path / "other.wav", 9002), tmp_path / "out.mp4"
    success, reason = judge.sync_video_audio(clips(), sound, output)
    assert success is False and not output.exists()
    assert reason == "nothing changed: no clear correlation between lips and audio"
    score, details = judge.compute_sync_score(clips(), sound)
    check_details(score, details)
    assert details["offset_ms"] is None and details["verdict"].startswith("undetermined")

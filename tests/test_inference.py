"""Score, find and mend: with a model that knows one drawn talker."""

import hashlib
import json
import math
import re
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from scipy.signal import correlate

from src import clip_features, inference
from src.checkpoint import load_checkpoint, save_checkpoint
from src.cli import run
from src.errors import (
    CheckpointError,
    ClipTooShortError,
    ConfigError,
    MissingFileError,
    NoAudioError,
    NoFaceError,
    NoVideoError,
    OutputError,
    SilentAudioError,
    UnreadableMediaError,
)
from src.inference import LipSyncInference
from src.judgement import verdict
from src.media import SAMPLE_RATE, read_audio, read_pictures
from src.muxing import write_clip, write_wav
from src.picture import Picture
from tests.training_helpers import ROOT, assert_one_line, run_script
from tools import synthetic_talker

pytest_plugins = ("tests.training_fixtures",)

SEED, SECONDS = 9001, 3.0  # a clip the model was not trained on
DETAILS = {
    "status": str, "offset_ms": float, "offset_frames": int, "offset_probability": float,
    "verdict": str, "confidence": float, "min_distance": float, "curve": dict, "per_second": list,
    "face_share": float, "duration_s": float, "faces": int, "notes": list, "undetermined": str,
    "video": str, "audio": str,
}  # fmt: skip
NEVER_NONE = (
    "status",
    "verdict",
    "curve",
    "per_second",
    "face_share",
    "duration_s",
    "faces",
    "notes",
    "video",
    "audio",
)


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """``clips(shift_ms, seed)``: a clip of the talker, made once, with its sound early by that."""
    folder = tmp_path_factory.mktemp("clips")

    def clip(shift_ms: float = 0, seed: int = SEED) -> Path:
        path = folder / f"talk{seed}_{shift_ms}.mp4"
        if not path.exists():
            synthetic_talker.make_clip(path, seed, SECONDS, shift_ms=shift_ms, speaker=0)
        return path

    return clip


@pytest.fixture(scope="session")
def judge(trained) -> LipSyncInference:
    return LipSyncInference(trained, device="cpu")


def sound_of(seed: int, shift_ms: float = 0) -> np.ndarray:
    """What a clip says, straight from the synthesiser, at its own sample rate."""
    return synthetic_talker.clip_parts(seed, SECONDS, shift_ms, speaker=0)[2]


def write_sound(path: Path, seed: int = SEED, shift_ms: float = 0) -> Path:
    write_wav(path, sound_of(seed, shift_ms), synthetic_talker.SAMPLE_RATE)
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def video_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def lag_ms(sound: np.ndarray, reference: np.ndarray) -> float:
    """How much later ``sound`` is than ``reference``, by their cross-correlation."""
    return (int(np.argmax(correlate(sound, reference))) - len(reference) + 1) / SAMPLE_RATE * 1000


# --- the score and its details


def check_details(score, details: dict) -> None:
    """The documented keys and types, and what JSON can say."""
    assert set(details) == set(DETAILS)
    for key, kind in DETAILS.items():
        if details[key] is not None or key in NEVER_NONE:
            assert type(details[key]) is kind, key
    assert (details["offset_ms"] is None) == (details["undetermined"] is not None)
    assert (details["offset_ms"] is None) == (details["offset_frames"] is None)
    assert (details["status"] == "ok") == (details["undetermined"] is None)
    assert score is None or (type(score) is float and 0 <= score <= 1)
    for key in ("offset_probability", "face_share"):
        assert details[key] is None or 0 <= details[key] <= 1
    curve = details["curve"]
    assert curve["offset_ms"] == list(range(-600, 601, 10))
    assert len(curve["similarity"]) == 121
    assert all(value is None or -1 <= value <= 1 for value in curve["similarity"])
    assert len(details["per_second"]) == math.ceil(details["duration_s"])
    assert all(value is None or 0 <= value <= 1 for value in details["per_second"])
    json.dumps({"score": score, "details": details}, allow_nan=False)


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
    from src.config import load_config

    config = load_config(None, ["inference.max_offset_frames=8"])
    _, details = LipSyncInference(trained, "cpu", config).compute_sync_score(clips(240))
    assert details["curve"]["offset_ms"] == list(range(-320, 321, 10))
    assert details["offset_ms"] == pytest.approx(240, abs=20)


def test_verdicts():
    assert verdict(-120.4) == "audio lags by 120 ms"
    assert verdict(80.0) == "audio leads by 80 ms"
    assert verdict(39.0) == "in sync (offset +39 ms)" and verdict(0.0).startswith("in sync")


# --- no evidence, no number


def test_noise_and_silence_are_no_evidence(judge, clips, tmp_path):
    sound = tmp_path / "noise.wav"
    write_wav(sound, np.random.default_rng(0).normal(0, 0.05, 48000).astype(np.float32))
    score, details = judge.compute_sync_score(clips(), sound)
    check_details(score, details)
    assert score is None and details["undetermined"] == "nobody speaks while the face is seen"
    assert details["per_second"] == [None, None, None]
    output = tmp_path / "out.mp4"
    success, reason = judge.sync_video_audio(clips(), sound, output)
    assert (success, output.exists()) == (False, False)
    assert reason == "nothing changed: nobody speaks while the face is seen"
    assert [path.name for path in tmp_path.iterdir()] == ["noise.wav"]


@pytest.mark.parametrize("other", [9002, 9005, 9007])
def test_the_sound_of_another_clip_is_not_in_sync(judge, clips, tmp_path, other):
    sound = write_sound(tmp_path / "other.wav", other)
    score, details = judge.compute_sync_score(clips(), sound)
    check_details(score, details)
    _, right = judge.compute_sync_score(clips())
    assert score < 0.5
    assert details["confidence"] < right["confidence"]
    assert details["offset_probability"] < right["offset_probability"]


def test_weak_evidence_changes_nothing(trained, clips, tmp_path):
    from src.config import load_config

    config = load_config(None, ["inference.min_offset_probability=0.97"])
    judge = LipSyncInference(trained, "cpu", config)
    sound, output = write_sound(tmp_path / "other.wav", 9002), tmp_path / "out.mp4"
    success, reason = judge.sync_video_audio(clips(), sound, output)
    assert success is False and not output.exists()
    assert reason == "nothing changed: the mouth and the sound show no clear relation"
    score, details = judge.compute_sync_score(clips(), sound)
    check_details(score, details)
    assert details["offset_ms"] is None and details["verdict"].startswith("undetermined")


# --- mending


@pytest.mark.parametrize(
    ("shift_ms", "apart"), [(-240, False), (160, False), (-160, True), (90, True)]
)
def test_mending(judge, clips, tmp_path, shift_ms, apart):
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


def test_the_message_in_chinese(judge, clips, tmp_path, speaks):
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


def test_an_output_is_replaced_only_by_a_whole_one(judge, clips, tmp_path, monkeypatch):
    output = tmp_path / "out.mp4"
    output.write_bytes(b"old")
    real = judge.compute_sync_score
    given = []

    def interrupted(video, audio=None):
        given.append(Path(video))
        if len(given) > 1:
            raise KeyboardInterrupt
        return real(video, audio)

    monkeypatch.setattr(judge, "compute_sync_score", interrupted)
    with pytest.raises(KeyboardInterrupt):
        judge.sync_video_audio(clips(-240), None, output)
    assert output.read_bytes() == b"old" and list(tmp_path.iterdir()) == [output]
    assert given[1] != output and given[1].parent == tmp_path  # it was written aside


def test_a_correction_that_does_not_help_is_dropped(judge, clips, tmp_path, monkeypatch):
    real = judge.compute_sync_score

    def stubborn(video, audio=None):
        score, details = real(video, audio)
        return score, details | {"offset_ms": -200.0, "undetermined": None}

    monkeypatch.setattr(judge, "compute_sync_score", stubborn)
    success, reason = judge.sync_video_audio(clips(), None, tmp_path / "out.mp4")
    assert not success and not any(tmp_path.iterdir())
    assert reason == "nothing written: the corrected sound still measures -200 ms"


def blinking(read, shown: int):
    """Reads pictures, each ``shown`` of them followed by a dark one: so many shots."""

    def pictures(*arguments):
        for number, picture in enumerate(read(*arguments)):
            if number % (shown + 1) == shown:
                dark = np.zeros((picture.height, picture.width, 3), np.uint8)
                picture = Picture(av.VideoFrame.from_ndarray(dark, format="bgr24"), None)
            yield picture

    return pictures


@pytest.mark.parametrize("shift_ms", [-400, 0, 240, 400])
@pytest.mark.parametrize("shown", [15, 20])
def test_shots_shorter_than_the_offset_is_long(judge, clips, monkeypatch, shown, shift_ms):
    monkeypatch.setattr(clip_features, "read_pictures", blinking(read_pictures, shown))
    score, details = judge.compute_sync_score(clips(shift_ms))
    check_details(score, details)
    assert details["face_share"] < 1, "the shots are cut"
    assert details["offset_ms"] == pytest.approx(shift_ms, abs=25)


def test_an_offset_beyond_the_reach_is_undetermined(trained, clips):
    judge = LipSyncInference(trained, "cpu", overrides=["inference.max_offset_frames=5"])
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
    with pytest.raises(OutputError, match="cannot make the folder"):
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


# --- bad input: an exception here, one line and status 2 on the command line


def bad_files(folder: Path, clip: Path) -> dict:
    """name: (video, audio, the error, what its text says)."""
    grey = [np.full((120, 160, 3), 90, np.uint8)] * 25
    speech = sound_of(SEED)
    rate = synthetic_talker.SAMPLE_RATE
    write_clip(folder / "noface.mp4", grey, 25, speech[:rate], rate)
    write_clip(folder / "nosound.mp4", grey, 25, None)
    write_clip(folder / "short.mp4", grey[:3], 25, speech[: rate // 8], rate)
    write_wav(folder / "silent.wav", np.zeros(48000, np.float32))
    write_wav(folder / "blip.wav", speech[:1000], rate)
    write_wav(folder / "speech.wav", speech, rate)
    (folder / "text.mp4").write_text("this is not a film\n")
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "half.mp4").write_bytes(clip.read_bytes()[: clip.stat().st_size // 3])
    cases = {
        "missing video": ("none.mp4", None, MissingFileError, "none.mp4"),
        "missing sound": (clip, "none.wav", MissingFileError, "none.wav"),
        "a text": ("text.mp4", None, UnreadableMediaError, "text.mp4"),
        "empty": ("empty.mp4", None, UnreadableMediaError, "empty.mp4"),
        "cut off": ("half.mp4", None, UnreadableMediaError, "half.mp4"),
        "no face": ("noface.mp4", None, NoFaceError, "noface.mp4"),
        "no sound": ("nosound.mp4", None, NoAudioError, "nosound.mp4"),
        "no picture": ("speech.wav", None, NoVideoError, "speech.wav"),
        "silent": (clip, "silent.wav", SilentAudioError, "silent.wav"),
        "short picture": ("short.mp4", "speech.wav", ClipTooShortError, "short.mp4"),
        "short sound": (clip, "blip.wav", ClipTooShortError, "blip.wav"),
    }
    return {
        name: (folder / video, audio and folder / audio, error, text)
        for name, (video, audio, error, text) in cases.items()
    }


def test_bad_input_raises_what_it_is(judge, clips, tmp_path):
    cases = bad_files(tmp_path, clips())
    there = set(tmp_path.iterdir())
    for name, (video, audio, error, text) in cases.items():
        for call in (
            lambda v=video, a=audio: judge.compute_sync_score(v, a),
            lambda v=video, a=audio: judge.sync_video_audio(v, a, tmp_path / "out.mp4"),
        ):
            with pytest.raises(error) as caught:
                call()
            assert type(caught.value) is error, name
            assert text in str(caught.value) and len(str(caught.value).splitlines()) == 1
    assert set(tmp_path.iterdir()) == there, "nothing half-written"


@pytest.fixture
def command(monkeypatch, capfd):
    """``command(*arguments)`` runs the command line here: status, stdout, stderr."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["inference.py", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            run(inference.main)
        said = capfd.readouterr()
        return end.value.code, said.out, said.err

    return call


def test_bad_input_is_one_line_on_the_command_line(command, trained, clips, tmp_path):
    cases = bad_files(tmp_path, clips())
    there = set(tmp_path.iterdir())
    for name, (video, audio, _, text) in cases.items():
        sound = ["--audio", audio] if audio else []
        status, out, err = command(
            "--checkpoint", trained, "--video", video, *sound, "--output", tmp_path / "out.mp4",
            "--plot", tmp_path / "out.png", "--json",
        )  # fmt: skip
        lines = err.splitlines()
        assert (status, out, len(lines)) == (2, "", 1), (name, out, err)
        assert lines[0].startswith("error: ") and text in lines[0]
    assert set(tmp_path.iterdir()) == there


def test_checkpoints_that_are_none(command, trained, clips, tmp_path):
    text = tmp_path / "text.pth"
    text.write_text("no checkpoint")
    half = tmp_path / "half.pth"
    half.write_bytes(trained.read_bytes()[:5000])
    wrong = tmp_path / "wrong.pth"
    content = load_checkpoint(trained)
    content["config"]["model"]["hidden_dim"] = 32
    save_checkpoint(wrong, content)
    for path in (text, half, wrong, tmp_path / "none.pth"):
        status, out, err = command("--checkpoint", path, "--video", clips(), "--score-only")
        assert (status, out, len(err.splitlines())) == (2, "", 1), err
        assert path.name in err
    with pytest.raises(CheckpointError):
        LipSyncInference(text)
    with pytest.raises(ConfigError, match="device gpu"):
        LipSyncInference(trained, device="gpu")


def test_a_real_process_ends_in_one_line_without_a_traceback(trained, tmp_path):
    none = tmp_path / "none.mp4"
    done = run_script("src/inference.py", "--checkpoint", trained, "--video", none, "--score-only")
    assert_one_line(done, str(none))


# --- the command line


def test_json_is_one_object(command, trained, clips):
    status, out, err = command(
        "--checkpoint", trained, "--video", clips(-240), "--score-only", "--json",
        "--device", "cpu",
    )  # fmt: skip
    assert status == 0 and err == "" and len(out.splitlines()) == 1
    result = json.loads(out, parse_constant=lambda name: pytest.fail(name))
    assert set(result) == {"score", "details"}
    check_details(result["score"], result["details"])


def test_json_of_the_undetermined_has_nulls(command, trained, clips, tmp_path):
    sound = tmp_path / "noise.wav"
    write_wav(sound, np.random.default_rng(0).normal(0, 0.05, 48000).astype(np.float32))
    arguments = ("--checkpoint", trained, "--video", clips(), "--audio", sound, "--json")
    status, out, _ = command(*arguments, "--score-only")
    result = json.loads(out, parse_constant=lambda name: pytest.fail(name))
    assert status == 0 and result["score"] is None and result["details"]["offset_ms"] is None
    status, out, _ = command(*arguments, "--output", tmp_path / "out.mp4")
    result = json.loads(out)
    assert status == 1 and result["success"] is False and result["output"] is None
    assert not (tmp_path / "out.mp4").exists()


def test_the_words_for_a_person(command, trained, clips, tmp_path, speaks):
    arguments = ("--checkpoint", trained, "--video", clips(-240))
    status, out, err = command(
        *arguments, "--output", tmp_path / "out.mp4", "--plot", tmp_path / "out.png"
    )
    assert status == 0 and err == ""
    assert re.search(r"^sync score: 0\.[01]\d+$", out, re.M)
    assert re.search(r"^verdict: audio lags by 2\d\d ms$", out, re.M)
    assert re.search(r"^offset: -2\d\d\.\d ms \(-[56] frames\)", out, re.M)
    assert re.search(r"^audio lagged by 2\d\d ms, corrected; score ", out, re.M)
    assert re.search(rf"^output: {re.escape(str(tmp_path / 'out.mp4'))}$", out, re.M)
    assert (tmp_path / "out.png").read_bytes()[:4] == b"\x89PNG"
    speaks("zh")
    status, out, _ = command(*arguments, "--score-only")
    assert status == 0
    assert re.search(r"^同步分数: 0\.", out, re.M) and re.search(r"音频滞后 2\d\d 毫秒", out)


def test_without_output_it_goes_to_the_output_folder(command, trained, clips, tmp_path):
    status, _, _ = command("--checkpoint", trained, "--video", clips(-240),
                           "--set", f"paths.output_dir={tmp_path / 'there'}")  # fmt: skip
    assert status == 0
    assert [p.name for p in (tmp_path / "there").iterdir()] == [f"{clips(-240).stem}_synced.mp4"]


@pytest.mark.parametrize("setting", ["model.hidden_dim=8", "data.input_size=64", "data.n_mfcc=20"])
def test_what_the_training_fixed_cannot_be_changed(command, trained, clips, setting):
    status, _, err = command("--checkpoint", trained, "--video", clips(), "--set", setting)
    assert status == 2 and "trained with" in err and len(err.splitlines()) == 1


def test_any_other_setting_can_be_changed(trained):
    changed = ["data.detection_size=640", "training.device=cpu", "inference.max_offset_frames=7"]
    judge = LipSyncInference(trained, overrides=changed)
    assert judge.config.data.detection_size == 640 and judge.device.type == "cpu"
    assert judge.config.inference.max_offset_frames == 7
    assert judge.config.model == LipSyncInference(trained, "cpu").config.model


def test_a_plot_never_overwrites_an_input(command, trained, clips, tmp_path):
    video = tmp_path / "in.mp4"
    video.write_bytes(clips().read_bytes())
    before = sha256(video)
    for plot in (video, tmp_path / "plot.jpg", trained):
        status, _, err = command(
            "--checkpoint", trained, "--video", video, "--score-only", "--plot", plot
        )
        assert status == 2 and len(err.splitlines()) == 1 and plot.name in err
    assert sha256(video) == before and load_checkpoint(trained)


def test_score_only_and_output_contradict_each_other(command, trained, clips):
    status, _, err = command(
        "--checkpoint", trained, "--video", clips(), "--score-only", "--output", "x.mp4"
    )
    assert status == 2 and "--score-only" in err


def test_help_is_quick_and_imports_nothing_heavy():
    script = [sys.executable, "-X", "importtime", str(ROOT / "src/inference.py"), "--help"]
    took = []
    for _ in range(3):
        begun = time.monotonic()
        done = subprocess.run(script, capture_output=True, text=True, encoding="utf-8", timeout=60)
        took.append(time.monotonic() - begun)
    assert done.returncode == 0 and "--score-only" in done.stdout
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    heavy = {"torch", "librosa", "face_alignment", "onnxruntime", "matplotlib", "torchvision",
             "torchaudio", "scipy"}  # fmt: skip
    assert "argparse" in imported and not imported & heavy
    assert min(took) < 2

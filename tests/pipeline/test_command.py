"""Invalid input and the command line: errors of one line, results as JSON or in words."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from src.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from src.core.errors import (
    CheckpointError,
    ClipTooShortError,
    ConfigError,
    MissingFileError,
    NoAudioError,
    NoFaceError,
    NoVideoError,
    SilentAudioError,
    UnreadableMediaError,
)
from src.media.writer import write_clip, write_wav
from src.pipeline.engine import LipSyncInference
from tests.support.inference_helpers import (
    SEED,
    check_details,
    sha256,
    sound_of,
)
from tests.support.limits import HANG_S
from tests.support.training_helpers import ROOT, assert_one_line, run_script
from tools import synthetic_talker

pytest_plugins = ("tests.support.training_fixtures", "tests.support.inference_fixtures")


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


def test_invalid_input_raises_its_kind_of_error(judge, clips, tmp_path):
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


def test_invalid_input_is_one_line_on_the_command_line(command, trained, clips, tmp_path):
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


def test_invalid_checkpoints(command, trained, clips, tmp_path):
    text = tmp_path / "text.pth"
    text.write_text("no checkpoint")
    half = tmp_path / "half.pth"
    half.write_bytes(trained.read_bytes()[:5000])
    wrong = tmp_path / "wrong.pth"
    content = load_checkpoint(trained)
    content["config"]["model"]["embedding_dim"] *= 2
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


def test_output_for_people(command, trained, clips, tmp_path, speaks):
    arguments = ("--checkpoint", trained, "--video", clips(-240))
    status, out, err = command(
        *arguments, "--output", tmp_path / "out.mp4", "--plot", tmp_path / "out.png"
    )
    assert status == 0 and err == ""
    assert re.search(r"^sync score: 0\.[01]\d+$", out, re.M)
    assert re.search(r"^verdict: audio lags by 2\d\d ms: not acceptable", out, re.M)
    assert re.search(r"^offset: -2\d\d\.\d ms \(-[56] frames\), \d\d% certain$", out, re.M)
    assert re.search(r"^face visible in 100% of 3\.0 s$", out, re.M)
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
    assert judge.config.data.detection_size == 640 and judge.device == "cpu"
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


@pytest.mark.parametrize(
    ("script", "option"),
    [
        ("inference", "--score-only"),
        ("evaluate", "--reference"),
        ("train", "--resume"),
        ("data_processing", "--num-shards"),
        ("clean_offsets", "--config"),
        ("present", "--consent"),
        ("learn_presenter", "--consent"),
        ("train_presenter", "--steps"),
    ],
)
def test_help_is_quick_and_imports_nothing_heavy(script, option):
    command = [sys.executable, "-X", "importtime", str(ROOT / f"src/{script}.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=HANG_S)
    assert done.returncode == 0 and option in done.stdout
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    heavy = {"torch", "librosa", "face_alignment", "onnxruntime", "matplotlib", "torchvision",
             "torchaudio", "scipy", "numpy", "pydantic", "av", "cv2", "sklearn"}  # fmt: skip
    assert "argparse" in imported and not imported & heavy

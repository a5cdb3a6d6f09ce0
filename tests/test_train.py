"""The training command, really run: on the samples of a drawn talker, with a small network."""

import math
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from src import train
from src.checkpoint import load_checkpoint
from src.errors import CheckpointError, DatasetError, MissingFileError, OutOfMemoryError
from src.metrics import OffsetReport
from src.sample_index import INDEX_NAME, read_index, write_index
from tests.training_helpers import ROOT, assert_one_line, run_script, settings_for

pytest_plugins = ("tests.training_fixtures",)

CHANCE = math.log(42)  # 44 windows in a piece of 48 frames, less the two neighbours


@pytest.fixture
def arguments(corpus, tmp_path):
    """``arguments(key=value, …)``: the samples of the corpus, everything else in tmp_path."""

    def make(**changes) -> list[str]:
        processed = changes.pop("data__processed_dir", corpus / "processed")
        return [*settings_for(tmp_path, **changes), "--set", f"data.processed_dir={processed}"]

    return make


def losses(said: str) -> list[tuple[float, ...]]:
    """(train loss, accuracy, validation loss, accuracy) of each epoch."""
    numbers = re.findall(r"(?:loss|accuracy): (\d+\.\d{4})", said)
    return [tuple(map(float, numbers[i : i + 4])) for i in range(0, len(numbers), 4)]


def same_weights(one: dict, other: dict) -> bool:
    return all(
        torch.equal(tensor, other["model_state_dict"][name])
        for name, tensor in one["model_state_dict"].items()
    )


# --- learning


def test_it_learns(trained):
    said = (trained.parents[1] / "train.log").read_text(encoding="utf-8")
    epochs = losses(said)
    assert len(epochs) == 16
    assert epochs[0][0] > 0.9 * CHANCE
    assert epochs[-1][0] < 0.5 * CHANCE and epochs[-1][2] < 0.7 * CHANCE
    assert epochs[-1][3] > 0.3 > 0.1 > epochs[0][1]  # chance: 0.024
    whole = re.search(r"whole clips: ([\d.]+)%", said)
    error = re.search(r"median absolute error: (\d+) ms", said)
    assert float(whole[1]) == 100 and int(error[1]) <= 20
    assert re.search(r"at K = 5 frames: [\d.]+% \(of \d+ places\)", said)
    assert re.search(r"at K = 15 frames: [\d.]+% \(of \d+ places\)", said)


def test_the_best_model_is_the_best_epoch(trained):
    said = (trained.parents[1] / "train.log").read_text(encoding="utf-8")
    validation = [epoch[2] for epoch in losses(said)]
    content = load_checkpoint(trained)
    assert content["val_loss"] == pytest.approx(min(validation), abs=1e-4)
    assert content["epoch"] == validation.index(min(validation)) + 1
    assert content["best_val_loss"] == content["val_loss"]


def test_a_checkpoint_holds_what_the_design_lists(trained):
    content = torch.load(trained, weights_only=True)
    assert {
        "format", "format_version", "versions", "epoch", "step", "sampler", "model_state_dict",
        "optimizer_state_dict", "scheduler_state_dict", "scaler", "val_loss", "best_val_acc",
        "config", "calibration", "zero_ms", "normalization", "random_states", "trained_on",
    } <= set(content)  # fmt: skip
    assert {"python", "numpy", "torch", "cuda", "augmentation"} == set(content["random_states"])
    assert len(content["trained_on"]) == 11 and abs(content["zero_ms"]) < 20
    assert content["config"]["model"]["hidden_dim"] == 64
    weights = content["calibration"]["score"]["weights"]
    assert all(type(weight) is float for weight in weights)


def test_one_seed_one_result(trainer, arguments):
    settings = {"training__num_epochs": 2, "training__augment": True, "model__dropout": 0.3}
    one, again = (losses(trainer(*arguments(**settings))[1]) for _ in range(2))
    other = losses(trainer(*arguments(**settings, training__seed=7))[1])
    assert len(one) == 2 and one == again and one != other


# --- what it prints and writes


QUOTED = [
    r"使用设备: cpu",
    r"模型参数数量: \d{1,3}(,\d{3})+",
    r"加载了 14 个样本",
    r"开始训练\.\.\.",
    r"训练样本: 11, 验证样本: 1, 测试样本: 2",
    r"",
    r"Epoch 1/2",
    r"训练损失: \d\.\d{4}, 训练准确率: [01]\.\d{4}",
    r"验证损失: \d\.\d{4}, 验证准确率: [01]\.\d{4}",
    r"学习率: 0\.\d{6}",
    r"保存最佳模型: .*checkpoints.best_model\.pth",
    r"",
    r"Epoch 2/2",
]


def test_the_console_in_chinese(arguments):
    done = run_script("src/train.py", *arguments(training__num_epochs=2), language="zh")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for line, quoted in zip(lines, QUOTED, strict=False):
        assert re.fullmatch(quoted, line), (line, quoted)
    bars = done.stderr.replace("\r", "\n")
    assert re.search(r"训练: 100%\|█+\| (\d+)/\1 \[.*loss=\d\.\d{4}, acc=[01]\.\d{4}\]", bars)
    assert re.search(r"验证: 100%\|█+\| (\d+)/\1 \[", bars)
    report = "\n".join(lines[-5:])
    for name in ("K = 5 帧", "K = 15 帧", "整段视频", "绝对误差中位数"):
        assert name in report


def test_the_files_of_a_run(trainer, arguments, tmp_path):
    status, _, _ = trainer(*arguments(training__num_epochs=5, training__save_interval=2))
    assert status == 0
    folder = tmp_path / "checkpoints"
    names = {path.name for path in folder.iterdir()}
    assert names == {"best_model.pth", "last.pth", "final_model.pth", "checkpoint_epoch_2.pth",
                     "checkpoint_epoch_4.pth"}  # fmt: skip
    for epoch in (2, 4):
        assert load_checkpoint(folder / f"checkpoint_epoch_{epoch}.pth")["epoch"] == epoch
    for name in ("last.pth", "final_model.pth"):
        assert load_checkpoint(folder / name)["epoch"] == 5


def test_checkpoints_of_steps_and_how_many_are_kept(trainer, arguments, tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    others = {"checkpoint_epoch_90.pth", "checkpoint_epoch_1 (copy).pth", "mine.pth"}
    for name in others:
        (folder / name).write_text("not of this run")
    settings = {"training__num_epochs": 3, "training__save_interval": 1, "training__save_steps": 2}
    trainer(*arguments(**settings, training__keep_checkpoint_max=3))
    steps = 3 * load_checkpoint(folder / "checkpoint_epoch_3.pth")["step"] // 3
    made = [f"checkpoint_epoch_{(step - 1) * 3 // steps + 1}_step_{step}.pth"
            for step in range(2, steps + 1, 2)]  # fmt: skip
    assert steps >= 9, "several steps to an epoch"
    kept = {path.name for path in folder.iterdir()} - others
    always = {"best_model.pth", "last.pth", "final_model.pth"}
    assert always < kept and len(kept - always) == 3
    assert "checkpoint_epoch_3.pth" in kept and kept - always <= {*made, "checkpoint_epoch_3.pth"}
    found = load_checkpoint(folder / made[-1])
    assert found["step"] == int(made[-1].split("_")[-1][:-4])
    for name in others:  # nobody else's file is touched
        assert (folder / name).read_text() == "not of this run"
    trainer(*arguments(**settings, training__keep_checkpoint_max=0))
    assert {*made, "checkpoint_epoch_1.pth"} <= {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("monitor", ["val_loss", "val_acc", "val_offset_acc"])
def test_the_best_is_by_what_is_monitored(trainer, arguments, tmp_path, monkeypatch, monitor):
    loss, right, share = [3.0, 1.0, 2.0], [5, 6, 9], [0.9, 0.1, 0.2]
    epochs = iter(range(3))

    def validate(state):
        now["epoch"] = next(epochs)
        return train.Tally(loss[now["epoch"]] * 10, right[now["epoch"]], 10)

    def report(clips, lengths):
        return OffsetReport(1, dict.fromkeys(lengths, share[now["epoch"]]),
                            dict.fromkeys(lengths, 9), 1.0, 0.0)  # fmt: skip

    now = {}
    monkeypatch.setattr(train, "validate", validate)
    monkeypatch.setattr(train, "offset_report", report)
    monkeypatch.setattr(train, "report_test", lambda *_: None)
    trainer(*arguments(training__num_epochs=3, training__monitor=monitor))
    best = load_checkpoint(tmp_path / "checkpoints" / "best_model.pth")
    assert best["epoch"] == {"val_loss": 2, "val_acc": 3, "val_offset_acc": 1}[monitor]
    assert best["best_val_acc"] == right[best["epoch"] - 1] / 10


def test_tensorboard_shows_numbers_and_pictures(trainer, arguments, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _, said, _ = trainer(*arguments(training__num_epochs=3))
    (run,) = (tmp_path / "logs").iterdir()
    events = EventAccumulator(str(run))
    events.Reload()
    tags = events.Tags()
    assert set(tags["scalars"]) >= {
        "loss/train", "loss/val", "accuracy/train", "accuracy/val", "learning_rate",
        "offset_accuracy/K5", "offset_accuracy/K15", "offset_accuracy/clip",
    }  # fmt: skip
    assert set(tags["images"]) >= {"crops", "similarity"}
    written = [event.value for event in events.Scalars("loss/val")]
    assert written == pytest.approx([epoch[2] for epoch in losses(said)], abs=1e-4)
    assert [event.step for event in events.Scalars("loss/train")] == [1, 2, 3]
    # The rate drawn is the rate printed for the epoch.
    printed = [float(rate) for rate in re.findall(r"learning rate: ([\d.]+)", said)]
    drawn = [event.value for event in events.Scalars("learning_rate")]
    assert drawn == pytest.approx(printed, abs=1e-6)
    assert events.Images("similarity")[0].width == events.Images("similarity")[0].height == 44


# --- going on


def test_resuming_gives_the_weights_of_an_unbroken_run(trainer, arguments, tmp_path):
    settings = {
        "training__num_epochs": 4, "training__save_interval": 2, "training__augment": True,
        "model__dropout": 0.3,
    }  # fmt: skip
    _, straight, _ = trainer(*arguments(**settings))
    first = tmp_path / "checkpoints"
    content = load_checkpoint(first / "last.pth")
    middle = first / "checkpoint_epoch_2.pth"
    again = arguments(**settings, paths__checkpoint_dir=tmp_path / "again")
    _, resumed, _ = trainer(*again, "--resume", middle)
    assert "after epoch 2" in resumed and "Epoch 3/4" in resumed and "Epoch 2/4" not in resumed
    assert losses(straight)[2:] == losses(resumed)
    found = load_checkpoint(tmp_path / "again" / "last.pth")
    assert same_weights(content, found) and found["epoch"] == 4
    assert not same_weights(content, load_checkpoint(middle))
    assert found["best_val_loss"] == content["best_val_loss"]
    assert differences(content, found) == []


def differences(one, other, place: str = "") -> list[str]:
    """Where two checkpoints differ in any bit; settings and names of files apart."""
    if isinstance(one, dict) and isinstance(other, dict) and set(one) == set(other):
        inside = [(one[key], other[key], f"{place}/{key}") for key in one
                  if key not in ("config", "periodic")]  # fmt: skip
    elif isinstance(one, (list, tuple)) and len(one) == len(other):
        inside = [(a, b, f"{place}/{n}") for n, (a, b) in enumerate(zip(one, other, strict=True))]
    else:
        tensors = isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor)
        same = torch.equal(one, other) if tensors else one == other
        return [] if same else [place]
    return [found for pair in inside for found in differences(*pair)]


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_resuming_in_the_middle_of_an_epoch_changes_nothing(trainer, arguments, tmp_path, ema):
    settings = {
        "training__num_epochs": 4, "training__augment": True, "model__dropout": 0.3,
        "training__save_steps": 5, "training__keep_checkpoint_max": 0, "training__ema": ema,
    }  # fmt: skip
    _, straight, _ = trainer(*arguments(**settings))
    folder = tmp_path / "checkpoints"
    (middle,) = folder.glob("checkpoint_epoch_*_step_5.pth")
    content = load_checkpoint(middle)
    assert content["sampler"]["batch"] > 0, "not between two epochs"
    again = arguments(**settings, paths__checkpoint_dir=tmp_path / "again")
    _, resumed, _ = trainer(*again, "--resume", middle)
    assert differences(load_checkpoint(folder / "last.pth"),
                         load_checkpoint(tmp_path / "again" / "last.pth")) == []  # fmt: skip
    assert losses(straight)[content["epoch"] :] == losses(resumed), "also of the epoch it was in"


def test_resume_auto_goes_on_with_the_last_run(trainer, arguments, tmp_path):
    with pytest.raises(MissingFileError, match="no checkpoint to go on from"):
        trainer(*arguments(), "--resume", "auto")
    trainer(*arguments(training__num_epochs=1))
    _, said, _ = trainer(*arguments(training__num_epochs=2), "--resume", "auto")
    assert "after epoch 1" in said and "training.num_epochs: 1 → 2" in said and "Epoch 2/2" in said


def test_what_changed_since_is_told_key_by_key(trainer, arguments, tmp_path):
    trainer(*arguments(training__num_epochs=1))
    last = tmp_path / "checkpoints" / "last.pth"
    new = {
        "training__num_epochs": 2,
        "training__weight_decay": 0.2,
        "inference__max_offset_frames": 9,
    }
    _, said, _ = trainer(*arguments(**new), "--resume", last)
    told = [line for line in said.splitlines() if line.startswith("changed since")]
    assert told == ["changed since: training.num_epochs: 1 → 2",
                    "changed since: training.weight_decay: 0.1 → 0.2"]  # fmt: skip
    with pytest.raises(CheckpointError, match=r"learning_rate = 0\.003, .* 0\.001.*--change-rate"):
        trainer(*arguments(training__learning_rate=0.001), "--resume", last)


def test_resuming_a_finished_run_reports_it(trainer, arguments, tmp_path):
    trainer(*arguments(training__num_epochs=1))
    last = tmp_path / "checkpoints" / "last.pth"
    status, said, _ = trainer(*arguments(training__num_epochs=1), "--resume", last)
    assert status == 0 and "Epoch 2" not in said and "whole clips" in said


def test_resuming_elsewhere_without_a_new_best_still_ends_well(
    trainer, arguments, tmp_path, monkeypatch
):
    trainer(*arguments(training__num_epochs=2, training__save_interval=1))
    first = tmp_path / "checkpoints" / "checkpoint_epoch_1.pth"
    worse = train.Tally(loss=99.0, right=0, asked=1)
    monkeypatch.setattr(train, "validate", lambda state: worse)
    again = arguments(training__num_epochs=2, paths__checkpoint_dir=tmp_path / "again")
    status, said, _ = trainer(*again, "--resume", first)
    assert status == 0 and "whole clips" in said


def test_resuming_on_other_clips_is_refused(trainer, arguments, corpus, tmp_path):
    """What was trained on must not be tested on."""
    trainer(*arguments(training__num_epochs=1))
    last = tmp_path / "checkpoints" / "last.pth"
    shutil.copytree(corpus / "processed", tmp_path / "fewer")
    index = read_index(tmp_path / "fewer" / INDEX_NAME)
    write_index(tmp_path / "fewer" / INDEX_NAME, index["settings"], index["samples"][:-1])
    with pytest.raises(CheckpointError, match="other clips"):
        trainer(*arguments(data__processed_dir=tmp_path / "fewer"), "--resume", last)
    with pytest.raises(CheckpointError, match="another split"):
        trainer(*arguments(training__seed=99), "--resume", last)


def test_resuming_with_other_batches_keeps_the_schedule(trainer, arguments, tmp_path):
    """The rate follows the epochs, however many steps one has, and is the one now set."""
    trainer(*arguments(training__num_epochs=2, training__warmup_epochs=0))
    first = tmp_path / "checkpoints" / "last.pth"
    changes = {"training__num_epochs": 4, "training__warmup_epochs": 0}
    again = arguments(**changes, training__batch_size=2, training__learning_rate=0.002)
    _, said, _ = trainer(*again, "--resume", first, "--change-rate")
    rates = [float(rate) for rate in re.findall(r"learning rate: ([\d.]+)", said)]
    assert rates == pytest.approx([0.002 * 0.5, 0.002 * 0.5 * (1 + math.cos(math.pi * 0.75))],
                                  abs=1e-6)  # fmt: skip


def test_resuming_another_network_is_refused(trainer, arguments, tmp_path):
    trainer(*arguments(training__num_epochs=1))
    last = tmp_path / "checkpoints" / "last.pth"
    with pytest.raises(CheckpointError, match=r"model\.hidden_dim = 64.* 32"):
        trainer(*arguments(model__hidden_dim=32), "--resume", last)
    with pytest.raises(MissingFileError, match=r"none\.pth"):
        trainer(*arguments(), "--resume", tmp_path / "none.pth")


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ on Windows")
@pytest.mark.parametrize("after", ["Epoch 1/", "Epoch 3/"])
def test_ctrl_c_leaves_a_checkpoint_to_go_on_from(arguments, trainer, tmp_path, after):
    with subprocess.Popen(
        [sys.executable, "-u", str(ROOT / "src/train.py"), *arguments(training__num_epochs=1000)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8",
        env=os.environ | {"LIPSYNC_LANG": "en", "OMP_NUM_THREADS": "1"}, cwd=ROOT,
    ) as process:  # fmt: skip
        for line in process.stdout:
            if line.startswith(after):
                process.send_signal(signal.SIGINT)
                break
        rest = process.stdout.read()
        assert process.wait(60) == 130
    assert "Traceback" not in rest
    hint = re.search(r"stopped after epoch (\d+).*python src/train.py (.*) --resume (\S+)", rest)
    # The command can be typed as it stands: it repeats the settings of this run.
    assert shlex.split(hint[2]) == arguments(training__num_epochs=1000)
    last = Path(hint[3])
    content = load_checkpoint(last)
    assert content["epoch"] == int(hint[1]) and last.parent == tmp_path / "checkpoints"
    epochs = content["epoch"] + 1
    status, said, _ = trainer(*arguments(training__num_epochs=epochs), "--resume", last)
    assert status == 0 and f"Epoch {epochs}/{epochs}" in said


# --- what can go wrong


def test_without_an_index_it_says_what_to_run(arguments, tmp_path):
    none = tmp_path / "none"
    done = run_script("src/train.py", *arguments(data__processed_dir=none))
    assert_one_line(done, str(none / INDEX_NAME), "src/data_processing.py")


def test_two_clips_are_too_few(trainer, arguments, corpus, tmp_path):
    some = tmp_path / "some"
    (some / "samples").mkdir(parents=True)
    index = read_index(corpus / "processed" / INDEX_NAME)
    for record in index["samples"][:2]:
        shutil.copy(corpus / "processed" / record["file"], some / record["file"])
    write_index(some / INDEX_NAME, index["settings"], index["samples"][:2])
    with pytest.raises(DatasetError, match="2 usable clips: at least 3"):
        trainer(*arguments(data__processed_dir=some))


def test_running_out_of_gpu_memory_names_the_settings(trainer, arguments, monkeypatch):
    def full(*_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate\n 20 GiB")

    monkeypatch.setattr(train.SyncModel, "forward", full)
    with pytest.raises(OutOfMemoryError) as caught:
        trainer(*arguments())
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    assert "training.batch_size (now 4)" in text and "data.input_size (now 48)" in text


def test_clips_without_speech_do_not_stop_the_run(trainer, arguments, corpus, tmp_path):
    """Nothing can be learned or measured, and that is said without a crash."""
    import numpy as np

    quiet = tmp_path / "quiet"
    shutil.copytree(corpus / "processed", quiet)
    for path in (quiet / "samples").iterdir():
        records = np.load(path)
        records["speech"] = False
        np.save(path, records)
    status, said, _ = trainer(*arguments(data__processed_dir=quiet, training__num_epochs=1))
    assert status == 0 and "nan" in said


def test_ctrl_c_soon_after_resuming_elsewhere_names_a_file_that_is_there(
    trainer, arguments, tmp_path, monkeypatch
):
    trainer(*arguments(training__num_epochs=1))
    first = tmp_path / "checkpoints" / "last.pth"

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "train_epoch", stop)
    again = arguments(training__num_epochs=2, paths__checkpoint_dir=tmp_path / "again")
    status, said, _ = trainer(*again, "--resume", first)
    assert status == 130
    hint = re.search(r"stopped after epoch 1;.*--resume (\S+)", said)
    assert load_checkpoint(hint[1])["epoch"] == 1


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ on Windows")
def test_ctrl_c_and_going_on_ends_like_an_unbroken_run(arguments, trainer, tmp_path):
    settings = {"training__num_epochs": 3, "training__augment": True, "model__dropout": 0.3}
    _, _, _ = trainer(*arguments(**settings))
    again = arguments(**settings, paths__checkpoint_dir=tmp_path / "again")
    script = [sys.executable, "-u", str(ROOT / "src/train.py"), *again]
    environment = os.environ | {"LIPSYNC_LANG": "en", "OMP_NUM_THREADS": "1"}
    stops = 0
    for pause in (0.05, 0.4, 0.8, 0.2):
        resume = ["--resume", "auto"] if stops else []
        with subprocess.Popen(
            [*script, *resume],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env=environment,
            cwd=ROOT,
        ) as process:
            for line in process.stdout:
                if line.startswith("Epoch"):
                    time.sleep(pause)
                    process.send_signal(signal.SIGINT)
                    break
            process.stdout.read()
        stops += process.wait(60) == 130
    assert stops >= 2
    trainer(*again, "--resume", "auto")
    assert differences(load_checkpoint(tmp_path / "checkpoints" / "last.pth"),
                         load_checkpoint(tmp_path / "again" / "last.pth")) == []  # fmt: skip

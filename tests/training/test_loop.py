"""The training command, run on the samples of a synthetic speaker, with a small network."""

import math
import re
import shutil

import pytest
import torch

from src.checkpoints.checkpoint import load_checkpoint
from src.core.errors import DatasetError, OutOfMemoryError
from src.dataset.index import INDEX_NAME, read_index, write_index
from src.evaluation.metrics import OffsetReport
from src.training import loop
from tests.support.training_helpers import assert_one_line, losses, run_script

pytest_plugins = ("tests.support.training_fixtures",)

CHANCE_LOSS = math.log(42)  # 44 windows in a segment of 48 frames, minus the two neighbours


# --- learning


def test_training_learns(trained):
    stdout = (trained.parents[1] / "train.log").read_text(encoding="utf-8")
    epochs = losses(stdout)
    assert len(epochs) == 16
    assert epochs[0][0] > 0.75 * CHANCE_LOSS
    assert epochs[-1][0] < 0.5 * CHANCE_LOSS and epochs[-1][2] < 0.7 * CHANCE_LOSS
    assert epochs[-1][3] > 0.5 > 0.3 > epochs[0][1]  # chance level: 0.024
    whole = re.search(r"whole clips: ([\d.]+)%", stdout)
    error = re.search(r"median absolute error: (\d+) ms", stdout)
    assert float(whole[1]) == 100 and int(error[1]) <= 20
    assert re.search(r"at K = 5 frames: [\d.]+% \(of \d+ positions\)", stdout)
    assert re.search(r"at K = 15 frames: [\d.]+% \(of \d+ positions\)", stdout)


def test_the_best_model_is_the_best_epoch(trained):
    stdout = (trained.parents[1] / "train.log").read_text(encoding="utf-8")
    validation = [epoch[2] for epoch in losses(stdout)]
    content = load_checkpoint(trained)
    assert content["val_loss"] == pytest.approx(min(validation), abs=1e-4)
    assert content["epoch"] == validation.index(min(validation)) + 1
    assert content["best_val_loss"] == content["val_loss"]


def test_a_checkpoint_holds_all_documented_keys(trained):
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


def test_the_same_seed_gives_the_same_losses(trainer, arguments):
    settings = {"training__num_epochs": 2, "training__augment": True, "model__dropout": 0.3}
    first, repeated = (losses(trainer(*arguments(**settings))[1]) for _ in range(2))
    different = losses(trainer(*arguments(**settings, training__seed=7))[1])
    assert len(first) == 2 and first == repeated and first != different


# --- output


GUIDE_LINES = [
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
    for line, expected in zip(lines, GUIDE_LINES, strict=False):
        assert re.fullmatch(expected, line), (line, expected)
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


def test_periodic_checkpoints_and_their_number(trainer, arguments, tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    others = {"checkpoint_epoch_90.pth", "checkpoint_epoch_1 (copy).pth", "mine.pth"}
    for name in others:
        (folder / name).write_text("not of this run")
    settings = {"training__num_epochs": 3, "training__save_interval": 1, "training__save_steps": 2}
    trainer(*arguments(**settings, training__keep_checkpoint_max=3))
    steps = 3 * load_checkpoint(folder / "checkpoint_epoch_3.pth")["step"] // 3
    expected = [f"checkpoint_epoch_{(step - 1) * 3 // steps + 1}_step_{step}.pth"
                for step in range(2, steps + 1, 2)]  # fmt: skip
    assert steps >= 9, "several steps per epoch"
    names = {path.name for path in folder.iterdir()} - others
    always = {"best_model.pth", "last.pth", "final_model.pth"}
    assert always < names and len(names - always) == 3
    assert "checkpoint_epoch_3.pth" in names
    assert names - always <= {*expected, "checkpoint_epoch_3.pth"}
    newest = load_checkpoint(folder / expected[-1])
    assert newest["step"] == int(expected[-1].split("_")[-1][:-4])
    for name in others:  # files of other runs are not touched
        assert (folder / name).read_text() == "not of this run"
    trainer(*arguments(**settings, training__keep_checkpoint_max=0))
    assert {*expected, "checkpoint_epoch_1.pth"} <= {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("monitor", ["val_loss", "val_acc", "val_offset_acc"])
def test_the_best_epoch_is_selected_by_the_monitored_metric(
    trainer, arguments, tmp_path, monkeypatch, monitor
):
    losses, n_correct, accuracy = [3.0, 1.0, 2.0], [5, 6, 9], [0.9, 0.1, 0.2]
    epochs = iter(range(3))

    def validate(state):
        current["epoch"] = next(epochs)
        return loop.AverageMeter(losses[current["epoch"]] * 10, n_correct[current["epoch"]], 10)

    def report(clips, lengths):
        return OffsetReport(1, dict.fromkeys(lengths, accuracy[current["epoch"]]),
                            dict.fromkeys(lengths, 9), 1.0, 0.0)  # fmt: skip

    current = {}
    monkeypatch.setattr(loop, "validate", validate)
    monkeypatch.setattr(loop, "offset_report", report)
    monkeypatch.setattr(loop, "report_test", lambda *_: None)
    trainer(*arguments(training__num_epochs=3, training__monitor=monitor))
    best = load_checkpoint(tmp_path / "checkpoints" / "best_model.pth")
    assert best["epoch"] == {"val_loss": 2, "val_acc": 3, "val_offset_acc": 1}[monitor]
    assert best["best_val_acc"] == n_correct[best["epoch"] - 1] / 10


def test_tensorboard_has_metrics_and_images(trainer, arguments, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _, stdout, _ = trainer(*arguments(training__num_epochs=3))
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
    assert written == pytest.approx([epoch[2] for epoch in losses(stdout)], abs=1e-4)
    assert [event.step for event in events.Scalars("loss/train")] == [1, 2, 3]
    # The learning rate is the printed one.
    printed = [float(rate) for rate in re.findall(r"learning rate: ([\d.]+)", stdout)]
    logged = [event.value for event in events.Scalars("learning_rate")]
    assert logged == pytest.approx(printed, abs=1e-6)
    assert events.Images("similarity")[0].width == events.Images("similarity")[0].height == 44


# --- errors


def test_a_missing_index_names_the_command_that_makes_it(arguments, tmp_path):
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
    def out_of_memory(*_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate\n 20 GiB")

    monkeypatch.setattr(loop.SyncModel, "forward", out_of_memory)
    with pytest.raises(OutOfMemoryError) as caught:
        trainer(*arguments())
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    assert "training.batch_size (now 4)" in text and "data.input_size (now 48)" in text


@pytest.mark.filterwarnings("error:.*lr_scheduler")
def test_clips_without_speech_do_not_stop_the_run(trainer, arguments, corpus, tmp_path):
    """Nothing can be learned or measured, but training finishes."""
    import numpy as np

    quiet = tmp_path / "quiet"
    shutil.copytree(corpus / "processed", quiet)
    for path in (quiet / "samples").iterdir():
        records = np.load(path)
        records["speech"] = False
        np.save(path, records)
    status, stdout, _ = trainer(*arguments(data__processed_dir=quiet, training__num_epochs=1))
    assert status == 0 and "nan" in stdout
    content = load_checkpoint(tmp_path / "checkpoints" / "last.pth")
    assert content["sampler"]["idle"] == content["step"] > 0
    assert content["scheduler_state_dict"]["last_epoch"] == 0, "the weights were never updated"

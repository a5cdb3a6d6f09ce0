"""Resuming: bit-identical, with other settings, and after Ctrl+C."""

import math
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch

with suppress(ImportError):
    # Where it is installed, a training imports it, and its import draws from Python's generator:
    # the first training of a process would end with another state than the next.
    import rich.style  # noqa: F401

from src.checkpoints import archive, safe_file
from src.checkpoints.checkpoint import load_checkpoint
from src.core.errors import CheckpointError, MissingFileError
from src.dataset.index import INDEX_NAME, read_index, write_index
from src.training import loop
from tests.support.limits import HANG_S
from tests.support.training_helpers import ROOT, differences, losses

pytest_plugins = ("tests.support.training_fixtures",)

ZERO_CLIPS = loop.ZERO_CLIPS


def test_resuming_gives_the_weights_of_an_uninterrupted_run(trainer, arguments, tmp_path):
    settings = {
        "training__num_epochs": 2, "training__save_interval": 1, "training__augment": True,
        "model__dropout": 0.3,
    }  # fmt: skip
    _, uninterrupted, _ = trainer(*arguments(**settings))
    first = tmp_path / "checkpoints"
    expected = load_checkpoint(first / "last.pth")
    middle = first / "checkpoint_epoch_1.pth"
    again = arguments(**settings, paths__checkpoint_dir=tmp_path / "again")
    _, resumed, _ = trainer(*again, "--resume", middle)
    assert "after epoch 1" in resumed and "Epoch 2/2" in resumed and "Epoch 1/2" not in resumed
    assert losses(uninterrupted)[1:] == losses(resumed)
    last = load_checkpoint(tmp_path / "again" / "last.pth")
    assert last["epoch"] == 2 and differences(expected, load_checkpoint(middle))
    assert last["best_val_loss"] == expected["best_val_loss"]
    assert differences(expected, last) == []


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_resuming_within_an_epoch_gives_the_same_weights(trainer, arguments, tmp_path, ema):
    settings = {
        "training__num_epochs": 3, "training__augment": True, "model__dropout": 0.3,
        "training__save_steps": 5, "training__keep_checkpoint_max": 0, "training__ema": ema,
    }  # fmt: skip
    _, uninterrupted, _ = trainer(*arguments(**settings))
    folder = tmp_path / "checkpoints"
    (middle,) = folder.glob("checkpoint_epoch_*_step_5.pth")
    content = load_checkpoint(middle)
    assert content["sampler"]["batch"] > 0, "not between two epochs"
    again = arguments(**settings, paths__checkpoint_dir=tmp_path / "again")
    _, resumed, _ = trainer(*again, "--resume", middle)
    assert differences(load_checkpoint(folder / "last.pth"),
                         load_checkpoint(tmp_path / "again" / "last.pth")) == []  # fmt: skip
    assert losses(uninterrupted)[content["epoch"] :] == losses(resumed), "also of that epoch"


def test_resuming_after_steps_without_speech_gives_the_same_weights(
    trainer, arguments, tmp_path, monkeypatch
):
    """Before the first step with speech, and after it."""
    forward = loop.forward

    def first_steps_without_speech(state, *arguments, **options):
        loss, n_correct, n_total = forward(state, *arguments, **options)
        is_training = torch.is_grad_enabled()
        return loss, n_correct, 0 if is_training and state.step < 2 else n_total

    monkeypatch.setattr(loop, "forward", first_steps_without_speech)
    settings = {"training__num_epochs": 2, "training__save_steps": 1,
                "training__keep_checkpoint_max": 0}  # fmt: skip
    trainer(*arguments(**settings))
    folder = tmp_path / "checkpoints"
    expected = load_checkpoint(folder / "last.pth")
    schedule = expected["scheduler_state_dict"]
    assert expected["sampler"]["idle"] == 2 and schedule["last_epoch"] == expected["step"] - 2
    for step in (1, 4):
        (middle,) = folder.glob(f"checkpoint_epoch_*_step_{step}.pth")
        again = arguments(**settings, paths__checkpoint_dir=tmp_path / f"from {step}")
        trainer(*again, "--resume", middle)
        resumed = load_checkpoint(tmp_path / f"from {step}" / "last.pth")
        assert differences(expected, resumed) == []


@pytest.mark.parametrize("option", ["--resume", "training.init_from"])
def test_the_initial_checkpoint_is_read_once(trainer, arguments, tmp_path, monkeypatch, option):
    trainer(*arguments(training__num_epochs=1))
    last = tmp_path / "checkpoints" / "last.pth"
    scanned, loaded = [], []
    scan, load = archive._scan_archive, torch.load

    def recording_scan(file, path):
        scanned.append(path)
        scan(file, path)

    def recording_load(file, **options):
        loaded.append(Path(file.name))
        return load(file, **options)

    monkeypatch.setattr(archive, "_scan_archive", recording_scan)
    monkeypatch.setattr(safe_file.torch, "load", recording_load)
    again = {"training__num_epochs": 2, "paths__checkpoint_dir": tmp_path / "again"}
    if option == "--resume":
        trainer(*arguments(**again), "--resume", last)
    else:
        trainer(*arguments(**again, training__init_from=last))
    assert scanned.count(last) == loaded.count(last) == 1


def test_resume_auto_continues_the_last_run(trainer, arguments, tmp_path):
    with pytest.raises(MissingFileError, match="no checkpoint to resume from: remove --resume"):
        trainer(*arguments(), "--resume", "auto")
    trainer(*arguments(training__num_epochs=1))
    _, stdout, _ = trainer(*arguments(training__num_epochs=2), "--resume", "auto")
    assert (
        "after epoch 1" in stdout
        and "training.num_epochs: 1 → 2" in stdout
        and "Epoch 2/2" in stdout
    )


def test_changed_settings_are_listed_by_key(trainer, arguments, tmp_path):
    trainer(*arguments(training__num_epochs=1))
    last = tmp_path / "checkpoints" / "last.pth"
    new = {
        "training__num_epochs": 2,
        "training__weight_decay": 0.2,
        "inference__max_offset_frames": 9,
    }
    _, stdout, _ = trainer(*arguments(**new), "--resume", last)
    changes = [line for line in stdout.splitlines() if line.startswith("setting changed")]
    assert changes == ["setting changed: training.num_epochs: 1 → 2",
                       "setting changed: training.weight_decay: 0.1 → 0.2"]  # fmt: skip
    with pytest.raises(
        CheckpointError, match=r"learning_rate = 0\.003, .* set to 0\.001.*--change-rate"
    ):
        trainer(*arguments(training__learning_rate=0.001), "--resume", last)


def test_resuming_a_finished_run_reports_it(trainer, arguments, tmp_path):
    trainer(*arguments(training__num_epochs=1))
    last = tmp_path / "checkpoints" / "last.pth"
    status, stdout, _ = trainer(*arguments(training__num_epochs=1), "--resume", last)
    assert status == 0 and "Epoch 2" not in stdout and "whole clips" in stdout


def test_resuming_in_another_folder_without_a_new_best_reports_the_resumed_model(
    trainer, arguments, tmp_path, monkeypatch
):
    trainer(*arguments(training__num_epochs=2, training__save_interval=1))
    first = tmp_path / "checkpoints" / "checkpoint_epoch_1.pth"
    worse = loop.AverageMeter(loss=99.0, n_correct=0, n_total=1)
    monkeypatch.setattr(loop, "validate", lambda state: worse)
    again = arguments(training__num_epochs=2, paths__checkpoint_dir=tmp_path / "again")
    status, stdout, _ = trainer(*again, "--resume", first)
    assert status == 0 and "whole clips" in stdout


def test_resuming_on_other_clips_is_refused(trainer, arguments, corpus, tmp_path):
    """Training clips must not become test clips."""
    trainer(*arguments(training__num_epochs=1))
    last = tmp_path / "checkpoints" / "last.pth"
    shutil.copytree(corpus / "processed", tmp_path / "fewer")
    index = read_index(tmp_path / "fewer" / INDEX_NAME)
    write_index(tmp_path / "fewer" / INDEX_NAME, index["settings"], index["samples"][:-1])
    with pytest.raises(CheckpointError, match="other clips"):
        trainer(*arguments(data__processed_dir=tmp_path / "fewer"), "--resume", last)
    with pytest.raises(CheckpointError, match="another split"):
        trainer(*arguments(training__split_seed=99), "--resume", last)


def test_resuming_with_other_batches_keeps_the_schedule(trainer, arguments, tmp_path):
    """The learning rate follows the epochs, whatever their number of steps, and the new setting."""
    trainer(*arguments(training__num_epochs=2, training__warmup_epochs=0))
    first = tmp_path / "checkpoints" / "last.pth"
    changes = {"training__num_epochs": 4, "training__warmup_epochs": 0}
    again = arguments(**changes, training__batch_size=2, training__learning_rate=0.002)
    _, stdout, _ = trainer(*again, "--resume", first, "--change-rate")
    rates = [float(rate) for rate in re.findall(r"learning rate: ([\d.]+)", stdout)]
    assert rates == pytest.approx([0.002 * 0.5, 0.002 * 0.5 * (1 + math.cos(math.pi * 0.75))],
                                  abs=1e-6)  # fmt: skip


def test_resuming_another_network_is_refused(trainer, arguments, tmp_path):
    trainer(*arguments(training__num_epochs=1))
    last = tmp_path / "checkpoints" / "last.pth"
    with pytest.raises(CheckpointError, match=r"model\.embedding_dim = \d+, but .* set to 24"):
        trainer(*arguments(model__embedding_dim=24), "--resume", last)
    # Without a temporal block, its width has no effect: the network is the same.
    assert (
        trainer(*arguments(model__hidden_dim=32, training__num_epochs=1), "--resume", last)[0] == 0
    )
    with pytest.raises(MissingFileError, match=r"none\.pth"):
        trainer(*arguments(), "--resume", tmp_path / "none.pth")


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ on Windows")
@pytest.mark.parametrize("after", ["Epoch 1/", "Epoch 3/"])
def test_ctrl_c_leaves_a_checkpoint_to_resume_from(arguments, trainer, tmp_path, after):
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
        assert process.wait(HANG_S) == 130
    assert "Traceback" not in rest
    hint = re.search(r"stopped after epoch (\d+).*python src/train.py (.*) --resume (\S+)", rest)
    # The command can be used as it is: it repeats the settings of this run.
    assert shlex.split(hint[2]) == arguments(training__num_epochs=1000)
    last = Path(hint[3])
    content = load_checkpoint(last)
    assert content["epoch"] == int(hint[1]) and last.parent == tmp_path / "checkpoints"
    epochs = content["epoch"] + 1
    status, stdout, _ = trainer(*arguments(training__num_epochs=epochs), "--resume", last)
    assert status == 0 and f"Epoch {epochs}/{epochs}" in stdout


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ on Windows")
def test_resuming_after_ctrl_c_gives_the_weights_of_an_uninterrupted_run(
    arguments, trainer, tmp_path, monkeypatch
):
    monkeypatch.setattr(loop, "ZERO_CLIPS", ZERO_CLIPS)  # as in a process of its own
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
        stops += process.wait(HANG_S) == 130
    assert stops >= 2
    trainer(*again, "--resume", "auto")
    assert differences(load_checkpoint(tmp_path / "checkpoints" / "last.pth"),
                         load_checkpoint(tmp_path / "again" / "last.pth")) == []  # fmt: skip


def test_ctrl_c_right_after_resuming_names_an_existing_checkpoint(
    trainer, arguments, tmp_path, monkeypatch
):
    trainer(*arguments(training__num_epochs=1))
    first = tmp_path / "checkpoints" / "last.pth"

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "train_epoch", stop)
    again = arguments(training__num_epochs=2, paths__checkpoint_dir=tmp_path / "again")
    status, stdout, _ = trainer(*again, "--resume", first)
    assert status == 130
    hint = re.search(r"stopped after epoch 1;.*--resume (\S+)", stdout)
    assert load_checkpoint(hint[1])["epoch"] == 1

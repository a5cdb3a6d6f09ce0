"""What happens to the files of an earlier training, and to a folder that two trainings want."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from src.checkpoints.checkpoint import load_checkpoint
from src.checkpoints.location import BEST, FINAL, LAST
from src.core.errors import DatasetError, InUseError, TrainingError
from src.core.locks import locked
from src.training import loop
from src.training.own_files import LOCK_NAME, checkpoint_folder, keep_aside
from tests.support.training_helpers import ROOT, settings_for

pytest_plugins = ("tests.support.training_fixtures",)

WHEN = 1_700_000_000  # when the files of the earlier training were written


def earlier_training(folder: Path, *names: str) -> dict[str, bytes]:
    """Stand-ins for the files of an earlier training; their content by name."""
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text(f"earlier {name}")
        os.utime(folder / name, (WHEN, WHEN))
    return {name: (folder / name).read_bytes() for name in names}


def kept_files(folder: Path) -> dict[str, bytes]:
    """The files kept aside, by the name that they had."""
    paths = [path for path in folder.iterdir() if re.search(r"_\d{4}-\d\d-\d\d_", path.name)]
    return {re.sub(r"_\d{4}-.*(?=\.pth)", "", path.name): path.read_bytes() for path in paths}


def test_a_new_training_keeps_the_files_of_an_earlier_one(trainer, arguments, tmp_path):
    folder = tmp_path / "checkpoints"
    earlier = earlier_training(folder, BEST, LAST, FINAL)
    settings = {"training__num_epochs": 2, "training__save_interval": 1}
    _, stdout, _ = trainer(*arguments(**settings))
    assert kept_files(folder) == earlier
    (kept,) = folder.glob("best_model_*.pth")
    assert re.fullmatch(r"best_model_2023-11-1[45]_\d\d-\d\d-\d\d\.pth", kept.name)
    line = f"{folder / BEST} is of an earlier training: it is kept as {kept.name}"
    assert stdout.count("is of an earlier training") == 3 and line in stdout.splitlines()
    assert load_checkpoint(folder / LAST)["epoch"] == 2
    # The same training goes on: it replaces its own files.
    trainer(*arguments(**settings | {"training__num_epochs": 3}), "--resume", "auto")
    assert kept_files(folder) == earlier
    assert load_checkpoint(folder / LAST)["epoch"] == 3


def test_a_training_stopped_before_its_first_validation_has_no_best_model(
    trainer, arguments, tmp_path, monkeypatch
):
    """``--resume auto`` continues it, and still keeps that of the earlier training."""
    folder = tmp_path / "checkpoints"
    earlier = earlier_training(folder, BEST)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "validate", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        assert trainer(*arguments(training__num_epochs=1))[0] == 130
    assert (folder / BEST).read_bytes() == earlier[BEST]
    trainer(*arguments(training__num_epochs=1), "--resume", "auto")
    assert kept_files(folder) == earlier
    assert load_checkpoint(folder / BEST)["epoch"] == 1


def test_a_training_resumed_in_the_folder_of_another_keeps_its_files(trainer, arguments, tmp_path):
    trainer(*arguments(training__num_epochs=1))
    elsewhere = tmp_path / "elsewhere"
    earlier = earlier_training(elsewhere, BEST)
    again = arguments(training__num_epochs=1, paths__checkpoint_dir=elsewhere)
    trainer(*again, "--resume", tmp_path / "checkpoints" / LAST)
    assert earlier.items() <= kept_files(elsewhere).items()
    assert load_checkpoint(elsewhere / BEST)["epoch"] == 1


def test_names_of_files_kept_aside(tmp_path):
    path = tmp_path / BEST
    path.write_bytes(b"one")
    os.utime(path, (WHEN, WHEN))
    first = keep_aside(path)
    assert keep_aside(path) == first, "it has that name already"
    path.unlink()
    path.write_bytes(b"two")
    os.utime(path, (WHEN, WHEN))
    second = keep_aside(path)
    assert second.stem == f"{first.stem}_2"
    assert (first.read_bytes(), second.read_bytes()) == (b"one", b"two")


def diverge(monkeypatch, from_step: int, validation_only: bool = False) -> None:
    """The loss is NaN from a step on."""
    real = loop.forward

    def forward(state, *others, **options):
        loss, n_correct, n_total = real(state, *others, **options)
        is_validation = torch.is_inference_mode_enabled()
        if state.step >= from_step and is_validation >= validation_only:
            loss = loss * float("nan")
        return loss, n_correct, n_total

    monkeypatch.setattr(loop, "forward", forward)


@pytest.mark.parametrize("validation_only", [False, True])
def test_a_training_that_diverges_ends_and_reports_no_other_file(
    trainer, arguments, tmp_path, monkeypatch, capsys, validation_only
):
    folder = tmp_path / "checkpoints"
    earlier = earlier_training(folder, BEST)
    diverge(monkeypatch, 1, validation_only)
    monkeypatch.setattr(loop, "report_test", lambda *_: pytest.fail("of an earlier training"))
    with pytest.raises(TrainingError) as caught:
        trainer(*arguments(training__num_epochs=3))
    text = str(caught.value)
    assert "diverged in epoch 1" in text and text.endswith("(now 0.003) and start again")
    assert "Epoch 2" not in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == earlier


def test_a_later_divergence_leaves_the_last_good_epoch(trainer, arguments, tmp_path, monkeypatch):
    trainer(*arguments(training__num_epochs=1))
    steps = load_checkpoint(tmp_path / "checkpoints" / LAST)["step"]
    diverge(monkeypatch, steps + 1)
    with pytest.raises(TrainingError, match=r"diverged in epoch 2: .*--resume auto --change-rate"):
        trainer(*arguments(training__num_epochs=2), "--resume", "auto")
    last = load_checkpoint(tmp_path / "checkpoints" / LAST)
    assert last["epoch"] == 1
    assert all(weights.isfinite().all() for weights in last["model_state_dict"].values())


# --- two trainings, and folders that cannot be written


def test_a_second_training_in_the_same_folder_is_refused(trainer, arguments, tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    with locked(folder / LOCK_NAME, folder), pytest.raises(InUseError, match="is in use by"):
        trainer(*arguments(training__num_epochs=1))
    assert list(folder.iterdir()) == []


def test_parts_of_killed_trainings_are_removed(tmp_path):
    stale = [
        "best_model.pth.part",
        "last.pth.ab12cd_9.part",
        "checkpoint_epoch_3.pth.ab12cd_9.part",
    ]
    others = ["mine.pth.part", "last.pth.my.part", "best_model.pth"]
    for name in stale + others:
        (tmp_path / name).touch()
    with checkpoint_folder(tmp_path):
        pass
    assert {path.name for path in tmp_path.iterdir()} == set(others)


READ_ONLY = """
set -e
mount -t tmpfs none {mounted}
mkdir {mounted}/checkpoints
mount -o remount,ro {mounted}
set +e
{command} > {folder}/printed 2> {folder}/errors
echo $? > {folder}/status
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mounts of Linux")
def test_a_read_only_checkpoint_folder_is_noticed_before_training(tmp_path):
    """Before the samples are even looked for."""
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    settings = settings_for(tmp_path, paths__checkpoint_dir=mounted / "checkpoints")
    command = [sys.executable, str(ROOT / "src/train.py"), *(f"'{part}'" for part in settings)]
    script = READ_ONLY.format(mounted=mounted, folder=tmp_path, command=" ".join(command))
    shell = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script], capture_output=True,
        text=True, check=False, timeout=120, env=os.environ | {"LIPSYNC_LANG": "en"},
    )  # fmt: skip
    if not (tmp_path / "status").exists():
        pytest.skip(f"no disk can be mounted here: {shell.stderr}")
    assert (tmp_path / "status").read_text() == "2\n"
    (line,) = (tmp_path / "errors").read_text().splitlines()
    assert line.startswith(f"error: cannot write {mounted / 'checkpoints'}")
    assert line.endswith(": Read-only file system")


def test_a_log_that_cannot_be_written_costs_the_log(trainer, arguments, tmp_path):
    (tmp_path / "logs").write_text("a file in the way")
    status, _, err = trainer(*arguments(training__num_epochs=1))
    assert status == 0
    lines = [line for line in err.replace("\r", "\n").splitlines() if "log" in line]
    assert len(lines) == 1 and lines[0].startswith(f"cannot write the log {tmp_path / 'logs'}")
    assert lines[0].endswith("; the training goes on without it")


def test_a_disk_that_is_full_under_the_log_costs_the_log(trainer, arguments, tmp_path, monkeypatch):
    """Where the thread that writes it notices."""
    from tensorboard.summary.writer.record_writer import RecordWriter

    def write(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RecordWriter, "write", write)
    status, _, err = trainer(*arguments(training__num_epochs=2))
    assert status == 0 and "Traceback" not in err
    assert err.count("cannot write the log") == 1 and "No space left on device; the" in err


def test_shares_that_leave_nothing_to_train_on(trainer, arguments, corpus, tmp_path):
    from src.dataset.index import INDEX_NAME, read_index, write_index

    few = tmp_path / "few"
    (few / "samples").mkdir(parents=True)
    index = read_index(corpus / "processed" / INDEX_NAME)
    for record in index["samples"][:5]:
        shutil.copy(corpus / "processed" / record["file"], few / record["file"])
    write_index(few / INDEX_NAME, index["settings"], index["samples"][:5])
    shares = {"train_split": 0.1, "val_split": 0.8, "test_split": 0.1}
    settings = {f"training__{name}": share for name, share in shares.items()}
    with pytest.raises(DatasetError, match=r"of 5 usable clips, 4 .*none is left to train on"):
        trainer(*arguments(data__processed_dir=few, **settings))

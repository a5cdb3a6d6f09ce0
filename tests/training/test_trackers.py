"""Trackers, each with its real package, offline: what was logged stands in the run's files."""

import struct
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from src.core.errors import ConfigError
from src.training import trackers
from src.training.tensorboard import TrainingLog
from src.training.trackers import check_tracker, make_writer

VALUES = [0.75, 0.5, 0.25]


@pytest.fixture(autouse=True)
def _away_from_home(monkeypatch, tmp_path):
    for name in ("WANDB_MODE", "SWANLAB_MODE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "SWANLAB_SAVE_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    (tmp_path / "home").mkdir()


def log_values(writer):
    for step, value in enumerate(VALUES, 1):
        writer.add_scalar("loss/train", value, step)
        writer.add_image("similarity", torch.full((1, 4, 6), value), step)
        writer.flush()
    writer.close()


def leveldb_records(data: bytes) -> Iterator[bytes]:
    """The records of a ``.wandb`` file: LevelDB's log format behind a header of 7 bytes."""
    block, position, parts = 32768, 7, []
    while position + 7 <= len(data):
        if block - position % block < 7:  # too little for the head of a record
            position += block - position % block
            continue
        length, kind = struct.unpack("<HB", data[position + 4 : position + 7])
        parts.append(data[position + 7 : position + 7 + length])
        position += 7 + length
        if kind in (1, 4):  # the whole, or its last part
            yield b"".join(parts)
            parts = []


def test_wandb_keeps_the_values_in_a_file_of_the_run(tmp_path):
    pytest.importorskip("wandb")
    from wandb.proto import wandb_internal_pb2

    # wandb 0.31 now and then leaves the file empty when a run of a second ends on a busy machine.
    for attempt in range(20):
        folder, seen = tmp_path / "logs" / f"run{attempt}", []
        log_values(make_writer("wandb", folder, {"model": {"members": 1}}))
        (path,) = folder.rglob("*.wandb")
        assert "offline-run" in str(path)
        for data in leveldb_records(path.read_bytes()):
            record = wandb_internal_pb2.Record.FromString(data)
            for item in record.history.item:
                if item.key == "loss/train" or list(item.nested_key) == ["loss/train"]:
                    seen.append(float(item.value_json))
        if seen:
            break
    assert seen == VALUES
    assert len(list(folder.rglob("media/images/*.png"))) == 3


def test_swanlab_keeps_the_values_in_a_folder_of_the_run(tmp_path):
    pytest.importorskip("swanlab")
    folder = tmp_path / "logs" / "run"
    log_values(make_writer("swanlab", folder, {"model": {"members": 1}}))
    (path,) = folder.rglob("*.swanlab")
    content = path.read_bytes()
    assert b"loss/train" in content
    assert [content.count(struct.pack("<d", value)) for value in VALUES] == [1, 1, 1]
    assert list(folder.rglob("*.png"))


def test_a_tracker_that_is_missing_is_said_before_the_training(monkeypatch):
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    check_tracker("tensorboard")
    with pytest.raises(ConfigError, match="swanlab: it is not installed: pip install swanlab"):
        check_tracker("swanlab")


def test_a_log_that_cannot_be_written_costs_the_log_alone(tmp_path, monkeypatch, caplog):
    class Full:
        def __init__(self, *_):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(trackers, "WandbWriter", Full)
    TrainingLog(tmp_path / "logs", "wandb").close()
    assert "goes on without it" in caplog.text


def test_trackers_are_imported_only_when_asked_for():
    code = "import sys, src.training.loop\nprint(*{'wandb', 'swanlab'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_images_are_pixels():
    image = trackers._pixels(torch.tensor([[[0.0, 0.5, 2.0]]]))
    np.testing.assert_array_equal(image[0, :, 0], [0, 128, 255])
    assert image.shape == (1, 3, 3) and image.dtype == np.uint8

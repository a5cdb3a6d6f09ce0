"""``torchrun src/train.py``: one writer, another number of processes later, and one end for all."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from src.checkpoints.checkpoint import load_checkpoint
from tests.support.limits import HANG_S
from tests.support.noise_samples import write_noise
from tests.support.training_helpers import ROOT, losses, run_script, settings_for

MAX_END_S = 30  # for all to end once one has; half of it is the wait of ``team.LEAVE_S``

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc"),
]


@pytest.fixture
def arguments(tmp_path):
    """Arguments of a small training on samples of noise."""
    (tmp_path / "processed").mkdir()
    write_noise(tmp_path / "processed")
    fixed = {"training__clip_frames": 32, "model__dropout": 0.0, "training__save_interval": 1}
    return lambda **changes: settings_for(tmp_path, **(fixed | changes))


def torchrun(n_processes: int, arguments: list[str]) -> subprocess.Popen:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "torch.distributed.run", f"--nproc_per_node={n_processes}",
        f"--master_port={port}", str(ROOT / "src" / "train.py"), *arguments,
    ]  # fmt: skip
    environment = os.environ | {"LIPSYNC_LANG": "en", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        cwd=ROOT,
    )  # fmt: skip


def children(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_two_processes_write_once_and_one_goes_on(arguments, tmp_path):
    team = torchrun(2, arguments(training__num_epochs=2))
    stdout, stderr = team.communicate(timeout=HANG_S)
    assert team.returncode == 0, stderr
    assert stdout.count("2 processes train together") == stdout.count("Epoch 1/2") == 1
    assert len(list((tmp_path / "logs").iterdir())) == 1
    expected = load_checkpoint(tmp_path / "checkpoints" / "last.pth")
    middle = tmp_path / "checkpoints" / "checkpoint_epoch_1.pth"
    again = arguments(training__num_epochs=2, paths__checkpoint_dir=tmp_path / "again")
    alone = run_script("src/train.py", *again, "--resume", middle)
    assert alone.returncode == 0, alone.stderr
    assert losses(alone.stdout)[0] == pytest.approx(losses(stdout)[1], abs=0.02)
    resumed = load_checkpoint(tmp_path / "again" / "last.pth")
    assert resumed["step"] == expected["step"] and resumed["epoch"] == expected["epoch"] == 2


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_all_end_where_one_is_killed_and_the_last_checkpoint_is_whole(arguments, tmp_path, number):
    """SIGTERM is for all of them: the checkpoint is that of the step at which they stopped. In the
    middle of a step, one that is left waits for the others until ``LEAVE_S`` are over."""
    team = torchrun(2, arguments(training__num_epochs=1000, training__save_interval=1000))
    last = tmp_path / "checkpoints" / "last.pth"
    deadline = time.monotonic() + HANG_S
    while not last.exists():
        assert team.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    processes = children(team.pid)
    assert len(processes) == 2
    saved, began = load_checkpoint(last)["step"], time.monotonic()
    if number == signal.SIGKILL:
        os.kill(processes[1], number)
    else:
        team.send_signal(number)
    stdout, _ = team.communicate(timeout=HANG_S)
    assert team.returncode != 0
    assert time.monotonic() - began <= MAX_END_S
    assert not any(Path(f"/proc/{pid}").exists() for pid in processes)
    checkpoint = load_checkpoint(last)
    assert checkpoint["step"] >= saved
    if number == signal.SIGTERM:
        assert "resume with: python src/train.py" in stdout

"""Locks: one run at a time, and a message to the second one names who holds them."""

import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from src.core import locks
from src.core.errors import InUseError, OutputError
from src.core.locks import check_unlocked, locked

ROOT = Path(__file__).resolve().parents[2]

HOLD = """
import sys
from pathlib import Path
from src.core.locks import locked
with locked(Path(sys.argv[1]), "the folder"):
    print("held", flush=True)
    sys.stdin.read()
"""
COUNT = """
import sys
from pathlib import Path
from src.core.locks import locked
counter = Path(sys.argv[1]) / "counter"
for _ in range(60):
    with locked(Path(sys.argv[1]) / ".lock", "the folder", wait_s=60):
        counter.write_text(str(int(counter.read_text()) + 1))
"""


def start(code: str, *arguments) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip


def test_the_second_run_is_told_who_holds_the_lock(tmp_path):
    lock = tmp_path / ".lock"
    with start(HOLD, lock) as holder:
        assert holder.stdout.readline() == "held\n"
        for _ in range(2):  # asking does not change what the lock says
            with pytest.raises(InUseError) as caught, locked(lock, tmp_path):
                pytest.fail("two at once")
            folder, host = map(re.escape, (str(tmp_path), socket.gethostname()))
            assert re.match(
                rf"{folder} is in use by \S+ on {host} \(process {holder.pid}, "
                r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\): wait",
                str(caught.value),
            )
        with pytest.raises(InUseError):
            check_unlocked(lock, tmp_path)
        holder.communicate("")
    assert list(tmp_path.iterdir()) == []
    with locked(lock, tmp_path):
        assert lock.exists()
    check_unlocked(lock, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL there")
def test_a_lock_ends_with_a_killed_run(tmp_path):
    lock = tmp_path / ".lock"
    with start(HOLD, lock) as holder:
        holder.stdout.readline()
        holder.send_signal(signal.SIGKILL)
    assert lock.exists()
    with locked(lock, tmp_path):
        pass
    assert not lock.exists()


def test_never_two_at_once(tmp_path):
    """Also while locks are removed and made anew all the time."""
    (tmp_path / "counter").write_text("0")
    with ExitStack() as stack:
        processes = [stack.enter_context(start(COUNT, tmp_path)) for _ in range(3)]
        for process in processes:
            assert process.wait(120) == 0
    assert (tmp_path / "counter").read_text() == "180"


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"), locked(tmp_path / "file/.lock", "it"):
        pytest.fail("not locked")


def test_a_disk_without_locks_costs_a_warning(tmp_path, monkeypatch, capsys):
    def refuse(_descriptor, blocking):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks, "lock_descriptor", refuse)
    with locked(tmp_path / ".lock", tmp_path):
        err = capsys.readouterr().err
    assert err == (
        f"{tmp_path} cannot be locked (No locks available): do not run two commands on it at once\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_another_machine_says_how_to_remove_it(tmp_path, monkeypatch):
    """A disk of the network may keep it after that machine was switched off."""
    lock = tmp_path / ".lock"
    with start(HOLD, lock) as holder:
        assert holder.stdout.readline() == "held\n"
        own_name = socket.gethostname()
        monkeypatch.setattr(locks.socket, "gethostname", lambda: "another-host")
        with pytest.raises(InUseError) as caught, locked(lock, tmp_path):
            pytest.fail("two at once")
        assert f" on {own_name} (process {holder.pid}" in str(caught.value)
        assert str(caught.value).endswith(f"if that machine has stopped meanwhile, remove {lock}")
        lock.unlink()
        with locked(lock, tmp_path):
            pass
        holder.communicate("")


def test_clocks_that_differ_change_nothing(tmp_path):
    """Who holds a lock is not decided by times: they are only shown."""
    lock = tmp_path / ".lock"
    owner = {"user": "anna", "host": "ahead", "process": 7, "since": "2099-01-01 00:00:00"}
    text = " " + json.dumps(owner)
    lock.write_text(text)  # left by a run that has ended
    os.utime(lock, (4e9, 4e9))
    with locked(lock, tmp_path):
        pass
    with start(HOLD, lock) as holder:
        assert holder.stdout.readline() == "held\n"
        lock.write_text(text)
        os.utime(lock, (4e9, 4e9))
        with pytest.raises(InUseError) as caught, locked(lock, tmp_path):
            pytest.fail("two at once")
        assert "by anna on ahead (process 7, since 2099-01-01 00:00:00)" in str(caught.value)
        assert str(caught.value).endswith(f"if that machine has stopped meanwhile, remove {lock}")
        holder.communicate("")
    assert list(tmp_path.iterdir()) == []

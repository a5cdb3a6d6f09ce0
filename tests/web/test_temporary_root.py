"""The folder of a server: it goes with it, and after a kill with the next one."""

import os

import pytest

from src.web.temporary_root import LOCK_NAME, TemporaryRoot


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def make_old(folder):
    os.utime(folder / LOCK_NAME, (0, 0))


def test_it_is_private_and_goes_with_everything_in_it(temporary):
    root = TemporaryRoot("lipsync-x-")
    assert root.path.parent == temporary and root.path.name.startswith("lipsync-x-")
    if os.name != "nt":
        assert root.path.stat().st_mode & 0o077 == 0
    (root.path / "file").touch()
    root.delete()
    assert list(temporary.iterdir()) == []


def test_what_a_killed_server_left_behind_goes_with_the_next_start(temporary):
    killed, running, other = TemporaryRoot("lipsync-x-"), TemporaryRoot("lipsync-x-"), "lipsync-y-a"
    for folder in (killed.path, running.path):
        (folder / "file").touch()
        make_old(folder)
    (temporary / other).mkdir()  # another program's, and one that has no lock yet
    (temporary / "lipsync-x-new").mkdir()
    content = (killed.path / LOCK_NAME).read_bytes()
    killed._lock.close()  # what the system does with the locks of a process that is killed
    (killed.path / LOCK_NAME).write_bytes(content)
    young = TemporaryRoot("lipsync-x-")
    assert killed.path.exists()  # it may just have been made
    make_old(killed.path)
    next_one = TemporaryRoot("lipsync-x-")
    left = {path.name for path in temporary.iterdir()}
    assert left == {running.path.name, young.path.name, next_one.path.name, other, "lipsync-x-new"}
    assert (running.path / "file").exists()

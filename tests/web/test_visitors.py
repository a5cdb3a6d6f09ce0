"""Visitors: whose files are whose, their names, and their end."""

import os

import pytest

from src.core.errors import ConfigError
from src.web.visitors import MAX_NAME_BYTES, Visitors, safe_name


@pytest.fixture
def visitors(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    made = Visitors(kept_s=100)
    yield made
    made.close()
    assert list(tmp_path.iterdir()) == []


def uploaded(visitors, visitor, name="v.mp4"):
    path = visitors.uploads / name
    path.write_bytes(b"content")
    visitor.note_upload(str(path))
    return path


def test_an_upload_is_taken_by_its_own_visitor_only(visitors):
    anna, ben = visitors.add(), visitors.add()
    path = uploaded(visitors, anna)
    taken = anna.take_upload(str(path), anna.new_folder())
    assert taken.read_bytes() == b"content" and taken.name == "v.mp4"
    assert anna.folder in taken.parents
    with pytest.raises(ConfigError, match="choose it again"):
        ben.take_upload(str(path), ben.new_folder())
    for other in ("/etc/passwd", str(visitors.uploads / ".." / "x"), "v.mp4"):
        with pytest.raises(ConfigError, match="choose it again"):
            anna.take_upload(other, anna.new_folder())


def test_two_files_of_one_name_are_both_there(visitors):
    anna = visitors.add()
    folder, path = anna.new_folder(), uploaded(visitors, anna)
    names = [anna.take_upload(path, folder).name for _ in range(3)]
    assert names == ["v.mp4", "v_2.mp4", "v_3.mp4"]


def test_a_shown_file_is_found_by_its_own_visitor_only(visitors):
    anna, ben = visitors.add(), visitors.add()
    path = anna.take_upload(uploaded(visitors, anna), anna.new_folder())
    handle = anna.show(path)
    assert anna.show(path) == handle and anna.shown_file(handle) == path
    assert ben.shown_file(handle) is None and anna.shown_file("x") is None
    anna.forget(path.parent)
    assert anna.shown_file(handle) is None and not path.exists()


class Busy:
    is_busy = True


def test_files_go_when_their_visitor_has_gone(visitors, monkeypatch):
    anna, ben, cleo = visitors.add(), visitors.add(), visitors.add()
    paths = [uploaded(visitors, anna, "a.mp4"), uploaded(visitors, ben, "b.mp4")]
    for visitor in (anna, ben, cleo):
        visitor.new_folder()
    ben.tabs["check"] = Busy()
    os.utime(paths[0], (0, 0))
    monkeypatch.setattr(type(anna), "idle_s", lambda self: 0 if self is cleo else 101)
    visitors.sweep()
    assert visitors.find(anna.name) is None and not anna.folder.exists()
    assert not paths[0].exists() and paths[1].exists()  # uploads go by their own age
    assert visitors.find(ben.name) is ben and ben.folder.exists()
    assert visitors.find(cleo.name) is cleo and cleo.folder.exists()


def test_what_was_asked_to_be_kept_longer_is_not_shortened(visitors):
    anna = visitors.add()
    anna.touch(1000)
    anna.touch()
    assert -1000 <= anna.idle_s() < -900


def test_nobody_is_found_without_a_name(visitors):
    visitors.add()
    assert visitors.find(None) is None and visitors.find("") is None


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("v.mp4", "v.mp4"),
        ("中文 口播.mp4", "中文 口播.mp4"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("-i.mp4", "i.mp4"),
        (".hidden.mov", "hidden.mov"),
        ("a\x00b\n.mp4", "a_b_.mp4"),
        ('<img src="x">.mp4', "_img src=_x_.mp4"),
        ("", "file"),
        ("...", "file"),
    ],
)
def test_safe_names(name, safe):
    assert safe_name(name) == safe


def test_a_long_name_keeps_its_suffix():
    name = safe_name("长" * 200 + ".mp4")
    assert name.endswith("长.mp4") and len(name.encode()) <= MAX_NAME_BYTES

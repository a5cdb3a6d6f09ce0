"""Files are written complete, or not at all."""

import os
import stat

import pytest

from src.core.errors import OutputError
from src.core.files import check_writable, folder_created, written_atomically


def test_the_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "out.txt"
    with written_atomically(path) as temporary_path:
        temporary_path.write_text("all")
        assert (
            not path.exists()
            and temporary_path.suffix == ".txt"
            and temporary_path.parent == tmp_path
        )
    assert path.read_text() == "all" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_early_end_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "out.txt"
    path.write_text("old")
    with pytest.raises(error), written_atomically(path) as temporary_path:
        temporary_path.write_text("half")
        raise error
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_named(tmp_path):
    path = tmp_path / "none" / "out.txt"
    with pytest.raises(OutputError, match=r"none.out\.txt"), written_atomically(path):
        pytest.fail("nothing can be written there")


def test_errors_while_writing_are_reported(tmp_path):
    path = tmp_path / "out.txt"
    with pytest.raises(OutputError, match="No space left"), written_atomically(path):
        raise OSError(28, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_a_folder_in_the_way(tmp_path):
    (tmp_path / "out").mkdir()
    with (
        pytest.raises(OutputError, match="out"),
        written_atomically(tmp_path / "out") as temporary_path,
    ):
        temporary_path.write_text("x")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.skipif(os.name == "nt", reason="no such permissions")
def test_permissions_are_those_of_ordinary_files(tmp_path):
    (tmp_path / "plain").write_text("")
    with written_atomically(tmp_path / "aside") as temporary_path:
        temporary_path.write_text("")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "aside")]
    assert modes[0] == modes[1]


def test_long_and_odd_names(tmp_path):
    for name in ("é" * 100 + ".txt", "-dash", "two words.tar.gz", "中文.pkl"):
        with written_atomically(tmp_path / name) as temporary_path:
            temporary_path.write_text(name)
        assert (tmp_path / name).read_text() == name


@pytest.mark.parametrize("name", ["out.txt", "new/out.txt", "new/deeper/../out.txt", "old.txt"])
def test_checking_a_writable_path_leaves_no_trace(tmp_path, name):
    (tmp_path / "old.txt").write_text("old")
    check_writable(tmp_path / name)
    assert list(tmp_path.iterdir()) == [tmp_path / "old.txt"]
    assert (tmp_path / "old.txt").read_text() == "old"


def test_a_file_of_the_current_folder_can_be_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_writable("out.txt")
    check_writable("new/out.txt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    ["file/out.txt", "file/new/out.txt", "x" * 300 + ".txt", "x" * 300 + "/out.txt",
     "new/" + "x" * 300 + ".txt"],
)  # fmt: skip
def test_an_unwritable_path_is_reported_before_the_work(tmp_path, name):
    (tmp_path / "file").write_text("a file, not a folder")
    with pytest.raises(OutputError, match=r"cannot (write|create the folder)") as caught:
        check_writable(tmp_path / name)
    assert (
        str(tmp_path / name.split("/")[0]) in str(caught.value)
        and len(str(caught.value).splitlines()) == 1
    )
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_broken_link_is_reported_before_the_work(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="link"):
        check_writable(tmp_path / "link" / "out.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


def test_checking_a_path_with_dots_leaves_no_trace(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    check_writable("new/../../elsewhere/out.txt")
    assert [path.name for path in tmp_path.rglob("*")] == ["here"]


@pytest.mark.skipif(
    not os.path.isdir("/proc/self"), reason="needs a folder that no one can write to"
)
@pytest.mark.parametrize("name", ["/proc/r.html", "/proc/new/r.html"])
def test_a_folder_without_write_access_is_reported_before_the_work(name):
    with pytest.raises(OutputError, match=r"cannot (write|create the folder) /proc/"):
        check_writable(name)


def test_empty_folders_are_removed_after_an_error(tmp_path):
    with pytest.raises(KeyboardInterrupt), folder_created(tmp_path / "a" / "b"):
        raise KeyboardInterrupt
    long = tmp_path / "a" / ("x" * 300)  # the first part can be made, the second not
    with pytest.raises(OutputError), folder_created(long):
        pytest.fail("it cannot be made")
    assert list(tmp_path.iterdir()) == []
    with folder_created(tmp_path / "a" / "b") as folder:
        (folder / "file").write_text("")
    assert (tmp_path / "a" / "b" / "file").exists()

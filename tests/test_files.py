"""Files are written complete, or not at all."""

import os
import stat

import pytest

from src.errors import OutputError
from src.files import written_aside


def test_the_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "out.txt"
    with written_aside(path) as aside:
        aside.write_text("all")
        assert not path.exists() and aside.suffix == ".txt" and aside.parent == tmp_path
    assert path.read_text() == "all" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_early_end_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "out.txt"
    path.write_text("old")
    with pytest.raises(error), written_aside(path) as aside:
        aside.write_text("half")
        raise error
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_named(tmp_path):
    path = tmp_path / "none" / "out.txt"
    with pytest.raises(OutputError, match=r"none.out\.txt"), written_aside(path):
        pytest.fail("nothing can be written there")


def test_errors_while_writing_are_told(tmp_path):
    path = tmp_path / "out.txt"
    with pytest.raises(OutputError, match="No space left"), written_aside(path):
        raise OSError(28, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_a_folder_in_the_way(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(OutputError, match="out"), written_aside(tmp_path / "out") as aside:
        aside.write_text("x")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.skipif(os.name == "nt", reason="no such permissions")
def test_permissions_are_those_of_ordinary_files(tmp_path):
    (tmp_path / "plain").write_text("")
    with written_aside(tmp_path / "aside") as aside:
        aside.write_text("")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "aside")]
    assert modes[0] == modes[1]


def test_long_and_odd_names(tmp_path):
    for name in ("é" * 100 + ".txt", "-dash", "two words.tar.gz", "中文.pkl"):
        with written_aside(tmp_path / name) as aside:
            aside.write_text(name)
        assert (tmp_path / name).read_text() == name

"""The folders are created and printed; existing ones are left as they are."""

import pytest

import setup_directories
from src.core.errors import OutputError


def test_folders_are_created_once(tmp_path, capsys):
    setup_directories.make_folders(tmp_path)
    output = capsys.readouterr().out
    for name in ("data/videos", "data/audios", "data/processed", "checkpoints", "logs", "outputs"):
        assert (tmp_path / name).is_dir() and f"created: {name}" in output
    (tmp_path / "data/videos/a.mp4").write_text("mine")
    setup_directories.make_folders(tmp_path)
    output = capsys.readouterr().out
    assert output.count("exists:") == 6 and "created" not in output
    assert (tmp_path / "data/videos/a.mp4").read_text() == "mine"


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "logs").write_text("a file")
    with pytest.raises(OutputError, match="logs"):
        setup_directories.make_folders(tmp_path)

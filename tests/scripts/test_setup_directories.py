"""The folders are made, printed, and left as they are when they are there."""

import setup_directories


def test_folders_are_made_once(tmp_path, capsys):
    setup_directories.make_folders(tmp_path)
    said = capsys.readouterr().out
    for name in ("data/videos", "data/audios", "data/processed", "checkpoints", "logs", "outputs"):
        assert (tmp_path / name).is_dir() and f"created: {name}" in said
    (tmp_path / "data/videos/a.mp4").write_text("mine")
    setup_directories.make_folders(tmp_path)
    said = capsys.readouterr().out
    assert said.count("exists:") == 6 and "created" not in said
    assert (tmp_path / "data/videos/a.mp4").read_text() == "mine"


def test_a_file_in_the_way_is_named(tmp_path):
    import pytest

    from src.core.errors import OutputError

    (tmp_path / "logs").write_text("a file")
    with pytest.raises(OutputError, match="logs"):
        setup_directories.make_folders(tmp_path)

"""Folders by speaker, from a table of clips."""

import pytest

from src.clips import find_clips
from src.config import load_config
from src.errors import DatasetError, MissingFileError
from tests.training_helpers import run_script
from tools.link_by_speaker import link_clips


@pytest.fixture
def clips(tmp_path):
    for name in ("train/tv/a.mp4", "train/tv/b.mp4", "train/web/c.mp4", "test/tv/d.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    rows = ["path\tspeaker", "train/tv/a.mp4\tanna (cluster 1)", "train/tv/b.mp4\t",
            "train/web/c.mp4\t../bob", "test/tv/d.mp4\t李雷"]  # fmt: skip
    (tmp_path / "table.tsv").write_text("\n".join(rows), encoding="utf-8")
    return tmp_path


def test_each_speaker_has_a_folder(clips):
    found = link_clips(clips / "table.tsv", clips, "train/", clips / "videos")
    assert found == (2, 2)
    links = {path.relative_to(clips / "videos").as_posix(): path.read_bytes()
             for path in (clips / "videos").rglob("*.mp4")}  # fmt: skip
    assert links == {"tv__anna_cluster_1/a.mp4": b"train/tv/a.mp4",
                     "web__bob/c.mp4": b"train/web/c.mp4"}  # fmt: skip
    config = load_config(None, [f"data.video_dir={clips / 'videos'}"])
    assert sorted(clip.name for clip in find_clips(config.data)) == sorted(links)


def test_a_second_time_changes_nothing(clips):
    for _ in range(2):
        assert link_clips(clips / "table.tsv", clips, "", clips / "videos") == (3, 3)
    assert (clips / "videos" / "tv__李雷" / "d.mp4").read_bytes() == b"test/tv/d.mp4"


def test_what_is_missing_is_named(clips):
    (clips / "train/web/c.mp4").unlink()
    with pytest.raises(MissingFileError, match=r"c\.mp4"):
        link_clips(clips / "table.tsv", clips, "", clips / "videos")
    with pytest.raises(DatasetError, match="no clips of a named speaker"):
        link_clips(clips / "table.tsv", clips, "elsewhere/", clips / "videos")


def test_the_command(clips):
    done = run_script("tools/link_by_speaker.py", clips / "table.tsv", "--only", "test/",
                      "--set", f"data.video_dir={clips / 'out'}")  # fmt: skip
    assert done.returncode == 0
    assert done.stdout.strip() == f"1 clips of 1 speakers linked in {clips / 'out'}"

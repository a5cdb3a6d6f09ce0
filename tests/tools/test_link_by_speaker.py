"""Folders by speaker, from a table of clips."""

import pytest

from src.core.config import load_config
from src.core.errors import DatasetError, MissingFileError, OutputError
from src.dataset.clips import find_clips
from tests.support.training_helpers import run_script
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
    assert done.stdout.strip() == f"1 clip of 1 speaker linked in {clips / 'out'}"


def test_speakers_whose_names_look_alike_stay_apart(clips):
    rows = ["path\tspeaker", "train/tv/a.mp4\tanna (1)", "train/tv/b.mp4\tanna [1]"]
    (clips / "table.tsv").write_text("\n".join(rows))
    assert link_clips(clips / "table.tsv", clips, "", clips / "videos") == (2, 2)
    assert {path.name for path in (clips / "videos").iterdir()} == {"tv__anna_1", "tv__anna_1-2"}


def test_clips_of_one_name_stay_apart(clips):
    (clips / "old" / "tv").mkdir(parents=True)
    (clips / "old" / "tv" / "a.mp4").write_bytes(b"old")
    rows = ["path\tspeaker", "train/tv/a.mp4\tanna", "old/tv/a.mp4\tanna"]
    (clips / "table.tsv").write_text("\n".join(rows))
    for _ in range(2):
        assert link_clips(clips / "table.tsv", clips, "", clips / "videos") == (2, 1)
    found = {path.read_bytes() for path in (clips / "videos" / "tv__anna").iterdir()}
    assert found == {b"old", b"train/tv/a.mp4"}


def test_what_is_there_is_never_replaced(clips):
    link = clips / "videos" / "tv__anna_cluster_1" / "a.mp4"
    link.parent.mkdir(parents=True)
    link.write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"a\.mp4 exists and is another file"):
        link_clips(clips / "table.tsv", clips, "train/", clips / "videos")
    assert link.read_bytes() == b"mine"

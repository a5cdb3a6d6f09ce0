"""Which clips are found, which audio goes with each, and how they are split into shards."""

import os
from pathlib import Path

import pytest

from src.core.errors import DatasetError
from src.dataset.clips import Clip, find_clips, find_unused
from src.dataset.shards import shard_of
from tests.support.processing_helpers import settings_in, touch


def names_in(folder: Path) -> list[str]:
    return [clip.name for clip in find_clips(settings_in(folder).data)]


def test_videos_and_audio_files_are_paired_by_name(tmp_path):
    videos, audios = tmp_path / "videos", tmp_path / "audios"
    names = ["a.mp4", "b.MOV", "anna/c.mkv", "anna/deep/d.webm", "bob/c.avi", "e.flv", "f f.mpg"]
    for name in [*names, "notes.txt", "cover.jpg", "g.wav"]:
        touch(videos / name)
    audio_by_video = {
        "a.mp4": "a.wav", "b.MOV": "b.MP3", "anna/c.mkv": "anna/c.m4a",
        "anna/deep/d.webm": "d.flac", "e.flv": "e.aac", "f f.mpg": "f f.ogg",
    }  # fmt: skip
    for name in [*audio_by_video.values(), "other.wav", "a.txt"]:
        touch(audios / name)
    clips = {clip.name: clip for clip in find_clips(settings_in(tmp_path).data)}
    assert list(clips) == sorted(names)
    for name, clip in clips.items():
        assert clip.video == videos / name
        assert clip.audio == (audios / audio_by_video[name] if name in audio_by_video else None)
    speakers = {name: clip.speaker for name, clip in clips.items()}
    assert speakers["anna/c.mkv"] == speakers["anna/deep/d.webm"] == "anna"
    assert speakers["bob/c.avi"] == "bob" and speakers["a.mp4"] == ""


def test_audio_of_the_same_folder_comes_first(tmp_path):
    for name in ("videos/anna/c.mp4", "videos/bob/c.mp4", "audios/c.wav", "audios/anna/c.mp3"):
        touch(tmp_path / name)
    audio_by_video = {clip.name: clip.audio for clip in find_clips(settings_in(tmp_path).data)}
    assert audio_by_video["anna/c.mp4"] == tmp_path / "audios/anna/c.mp3"
    assert audio_by_video["bob/c.mp4"] == tmp_path / "audios/c.wav"


VIDEO_NAMES = ("00001.MTS", "b.m2ts", "c.mxf", "VTS_01_1.VOB", "e.f4v", "f.3gp")
AUDIO_NAMES = ("00001.opus", "b.WMA", "c.aiff", "VTS_01_1.Caf", "e.mka", "f.mov")


def test_files_of_cameras_recorders_and_discs_are_taken(tmp_path):
    """Of whatever spelling; a video beside the camera's is the recording of another device."""
    for name in VIDEO_NAMES:
        touch(tmp_path / "videos" / name)
    for name in AUDIO_NAMES:
        touch(tmp_path / "audios" / name)
    clips = {clip.name: clip.audio for clip in find_clips(settings_in(tmp_path).data)}
    expected = zip(VIDEO_NAMES, AUDIO_NAMES, strict=True)
    assert clips == {video: tmp_path / "audios" / audio for video, audio in expected}


def test_of_several_audio_files_of_a_name_the_uncompressed_one_is_taken(tmp_path):
    for name in ("videos/a.mp4", "audios/a.mp3", "audios/a.wav", "audios/a.mp4"):
        touch(tmp_path / name)
    (clip,) = find_clips(settings_in(tmp_path).data)
    assert clip.audio == tmp_path / "audios/a.wav"


def test_a_video_is_not_the_audio_of_itself(tmp_path):
    touch(tmp_path / "both" / "a.mp4")
    settings = settings_in(tmp_path, video_dir=tmp_path / "both", audio_dir=tmp_path / "both").data
    assert [clip.audio for clip in find_clips(settings)] == [None]


def test_files_that_belong_to_no_clip_are_listed(tmp_path):
    for name in ("videos/a.mp4", "videos/notes.txt", "videos/anna/b.lrv", "videos/.hidden",
                 "audios/a.wav", "audios/other.wav", "audios/a.srt"):  # fmt: skip
        touch(tmp_path / name)
    settings = settings_in(tmp_path).data
    unused = {
        Path(name).relative_to(tmp_path).as_posix(): reason
        for name, reason in find_unused(settings, find_clips(settings))
    }
    assert unused == {
        "videos/notes.txt": "not the name of a video file",
        "videos/anna/b.lrv": "not the name of a video file",
        "audios/other.wav": "no video has this name",
        "audios/a.srt": "not the name of an audio file",
    }


def test_no_video_says_what_to_put_where(tmp_path, caplog):
    message = (
        rf"^no video in {tmp_path}/videos: put talking-head videos there "
        r"\(mp4, avi, mov, mkv, webm, …\), "
        rf"and audio files of the same names, if any, into {tmp_path}/audios$"
    )
    for make in (lambda: None, lambda: touch(tmp_path / "videos" / "readme.txt")):
        make()
        with pytest.raises(DatasetError, match=message):
            find_clips(settings_in(tmp_path).data)
    assert not caplog.messages, "the error is enough"


def test_what_is_only_named_like_a_video_is_found_too(tmp_path):
    """Processing says why it cannot be used; nothing is skipped silently."""
    touch(tmp_path / "videos" / "a.mp4")
    (tmp_path / "videos" / "folder.mp4").mkdir()
    if os.name != "nt":
        os.symlink("nowhere.mp4", tmp_path / "videos" / "link.mp4")
    assert names_in(tmp_path) == ["a.mp4", "folder.mp4", "link.mp4"][: 2 + (os.name != "nt")]


def test_hidden_folders_are_ignored(tmp_path):
    for name in ("a.mp4", ".trash/b.mp4", "anna/.cache/c.mp4", "anna/d.mp4"):
        touch(tmp_path / "videos" / name)
    assert names_in(tmp_path) == ["a.mp4", "anna/d.mp4"]


# ---------------------------------------------------------------------------- links

needs_links = pytest.mark.skipif(os.name == "nt", reason="links need special rights on Windows")


@needs_links
def test_links_are_followed(tmp_path):
    touch(tmp_path / "elsewhere" / "deep" / "c.mp4")
    touch(tmp_path / "alone.mp4")
    (tmp_path / "videos").mkdir()
    os.symlink(tmp_path / "elsewhere", tmp_path / "videos" / "anna")
    os.symlink("../alone.mp4", tmp_path / "videos" / "b.mp4")
    assert names_in(tmp_path) == ["anna/deep/c.mp4", "b.mp4"]
    os.symlink(tmp_path / "videos", tmp_path / "other")
    clips = find_clips(settings_in(tmp_path, video_dir=tmp_path / "other").data)
    assert [clip.name for clip in clips] == ["anna/deep/c.mp4", "b.mp4"]
    assert clips[0].video == tmp_path / "other" / "anna" / "deep" / "c.mp4"


@needs_links
def test_link_loops_end_and_no_clip_is_found_twice(tmp_path):
    videos = tmp_path / "videos"
    for name in ("a.mp4", "anna/b.mp4", "anna/deep/c.mp4"):
        touch(videos / name)
    expected = ["a.mp4", "anna/b.mp4", "anna/deep/c.mp4"]
    os.symlink(".", videos / "loop")
    os.symlink("..", videos / "anna" / "up")
    os.symlink("../..", videos / "anna" / "deep" / "higher")
    assert names_in(tmp_path) == expected
    os.symlink(tmp_path, videos / "above")  # the parent of the video folder
    assert names_in(tmp_path) == expected


@needs_links
def test_a_folder_has_its_own_name_and_not_that_of_a_link(tmp_path):
    """In whatever order the disk lists them: machines must agree on names and speakers."""
    videos = tmp_path / "videos"
    touch(videos / "bob" / "deep" / "c.mp4")
    os.symlink("bob", videos / "anna")
    os.symlink("bob/deep", videos / "a")
    os.symlink("bob", videos / "zoe")
    assert names_in(tmp_path) == ["bob/deep/c.mp4"]


@needs_links
def test_two_links_to_one_folder_count_once(tmp_path):
    touch(tmp_path / "elsewhere" / "c.mp4")
    (tmp_path / "videos").mkdir()
    for name in ("zoe", "anna", "bob"):
        os.symlink(tmp_path / "elsewhere", tmp_path / "videos" / name)
    assert names_in(tmp_path) == ["anna/c.mp4"]


def test_a_folder_that_cannot_be_listed_is_logged(tmp_path, caplog, monkeypatch):
    for name in ("a.mp4", "closed/b.mp4"):
        touch(tmp_path / "videos" / name)
    closed, scandir = str(tmp_path / "videos" / "closed"), os.scandir

    def restricted(path):
        if os.fspath(path) == closed:
            raise PermissionError(13, "Permission denied", closed)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", restricted)  # root may list everything
    assert names_in(tmp_path) == ["a.mp4"]
    assert caplog.messages == [f"cannot list {closed}: Permission denied"]
    assert caplog.records[0].levelname == "WARNING"


# ---------------------------------------------------------------------------- shards


def clips_named(names) -> list[Clip]:
    return [Clip(name, Path(name), None) for name in names]


@pytest.mark.parametrize("shards", [1, 2, 3, 7, 100])
def test_every_clip_is_in_one_shard(shards):
    clips = clips_named([f"speaker{n % 9}/口播 {n}.mp4" for n in range(300)])
    parts = [shard_of(clips, number, shards) for number in range(shards)]
    assert sorted(clip.name for part in parts for clip in part) == sorted(c.name for c in clips)
    for part in parts:
        assert part == [clip for clip in clips if clip in part], "in their order"
    if shards <= 7:
        assert max(map(len, parts)) < 2 * 300 / shards, "about evenly"


def test_a_clip_stays_in_its_shard_when_others_are_added():
    few = clips_named([f"{n}.mp4" for n in range(40)])
    others = clips_named([f"new {n}.mp4" for n in range(60)])
    for number in range(3):
        alone = shard_of(few, number, 3)
        assert shard_of(few[::2], number, 3) == [clip for clip in few[::2] if clip in alone]
        assert [clip for clip in shard_of(others + few, number, 3) if clip in few] == alone


def test_shards_are_the_same_on_every_machine_and_in_every_version():
    """Otherwise shards made by two of them could not be merged."""
    clips = clips_named(["a.mp4", "b.mp4", "c.mp4", "anna/one.mp4", "口播.mp4"])
    # By sha256sum: the first 8 bytes modulo 4.
    assert [[clip.name for clip in shard_of(clips, number, 4)] for number in range(4)] == [
        ["a.mp4", "b.mp4", "anna/one.mp4"], ["c.mp4"], [], ["口播.mp4"]
    ]  # fmt: skip


def test_names_that_are_not_unicode_are_split_too():
    """Old archives hold names in the encodings of their time."""
    clips = clips_named([os.fsdecode("口播.mp4".encode("gbk")), "a\udcff.mp4"])
    assert sum(len(shard_of(clips, number, 3)) for number in range(3)) == 2

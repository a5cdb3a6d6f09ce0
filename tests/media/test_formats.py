"""What is opened: media, whatever it is called, and no list that leads elsewhere."""

import os
from pathlib import Path

import av
import pytest

from src.core.errors import UnreadableMediaError
from src.media.container import probe
from src.media.formats import AUDIO_FORMATS, VIDEO_FORMATS
from src.media.reader import read_frames
from tests.support.media_files import ffmpeg, make_video


@pytest.mark.parametrize("name", VIDEO_FORMATS + AUDIO_FORMATS)
def test_every_allowed_format_exists(name):
    assert av.format.ContainerFormat(name, "r").is_input


@pytest.fixture
def hls(tmp_path) -> Path:
    """An HLS list with its segments, in a folder of its own."""
    video = make_video(tmp_path / "talk.mp4")
    folder = tmp_path / "hls"
    folder.mkdir()
    ffmpeg("-i", video, "-c", "copy", "-f", "hls", "-hls_time", 1, "-hls_list_size", 0,
           folder / "list.m3u8")  # fmt: skip
    return folder / "list.m3u8"


def refused(path: Path, *words: str) -> None:
    with pytest.raises(UnreadableMediaError) as caught:
        probe(path)
    text = str(caught.value)
    assert str(path) in text and len(text.splitlines()) == 1
    for word in words:
        assert word in text


@pytest.mark.parametrize("suffix", [".mp4", ".ffconcat", ".m3u8", ".txt"])
def test_a_list_of_files_is_not_opened_whatever_it_is_called(tmp_path, suffix):
    make_video(tmp_path / "neighbour.mp4")
    path = tmp_path / f"x{suffix}"
    path.write_text("ffconcat version 1.0\nfile neighbour.mp4\n")
    refused(path)


def test_an_hls_list_under_another_name_is_not_opened(hls):
    refused(hls.rename(hls.with_suffix(".mp4")), "it is a list of files, not a media file")


def test_lists_of_lists_end_at_once(tmp_path):
    """31 tiny texts that claim 2³⁰ clips."""
    make_video(tmp_path / "0.mp4")
    for number in range(1, 31):
        (tmp_path / f"{number}.mp4").write_text(
            "ffconcat version 1.0\n" + 2 * f"file {number - 1}.mp4\n"
        )
    refused(tmp_path / "30.mp4", "it is a list of files")


def test_an_hls_list_is_read_where_it_is_named(hls):
    assert len(list(read_frames(hls))) == 90
    main = hls.with_name("main.m3u8")
    main.write_text("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=100000\nlist.m3u8\n")
    assert len(list(read_frames(main))) == 90


@pytest.mark.parametrize("line", [
    "{outside}", "../talk.mp4", "sub/../../talk.mp4", "http://127.0.0.1:9/x.ts", "file:{outside}",
    "data:video/mp4;base64,AAAA", "link.ts", "concat:a.ts|b.ts", "..\\talk.mp4",
    '#EXT-X-MAP:URI="{outside}"', "#EXT-X-MAP:URI=../talk.mp4",
    '#EXT-X-KEY:METHOD=AES-128,URI="{outside}"',
    "other.m3u8",
])  # fmt: skip
@pytest.mark.parametrize("end", ["\n", "\r", "\0"])
def test_an_hls_list_may_not_leave_its_folder(hls, tmp_path, line, end):
    outside = tmp_path / "talk.mp4"
    os.symlink(outside, hls.with_name("link.ts"))
    hls.with_name("other.m3u8").write_text(f"#EXTM3U\n#EXTINF:1,\n{outside}\n")
    content = hls.read_text()
    added = line.format(outside=outside)
    hls.write_text(content.replace("#EXT-X-ENDLIST", f"#EXTINF:1,{end}{added}{end}#EXT-X-ENDLIST"))
    refused(hls.with_name("other.m3u8") if line == "other.m3u8" else hls, "outside its folder")


def test_an_hls_list_that_lists_itself_is_not_opened(hls):
    hls.write_text("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlist.m3u8\n")
    refused(hls, "too many lists")

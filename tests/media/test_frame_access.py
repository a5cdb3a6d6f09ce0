"""Frames in any order are those of one reading, bit by bit."""

import hashlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from src.core.errors import UnreadableMediaError
from src.media import frame_access
from src.media.frame_access import frames_in_order
from src.media.reader import source_frames
from tests.support.clock_videos import VIDEOS, cfr, coded

LONG_GOP = coded("-g", "250", "-bf", "3")
OPEN_GOP = coded("-g", "25", "-x264-params", "open-gop=1:bframes=3")
MAKERS = {
    "mp4, one key frame": cfr("mp4", **LONG_GOP),
    "mp4, open groups of pictures": cfr("mp4", **OPEN_GOP),
    "mkv, one key frame": cfr("mkv", **LONG_GOP),
    "ts": cfr("ts", **coded("-g", "20")),
    **{
        name: VIDEOS[name][0]
        for name in (
            "29.97 fps, avi", "h264 with B-frames + pcm, avi", "variable frame rate, mp4",
            "variable frame rate, mkv", "video 400 ms late, mkv", "video 400 ms late, mp4",
            "mp4 cut at 0.25 s, between frames", "59.94 fps, mp4", "interlaced h264, mkv",
            "1 s of frames missing, mp4", "rotated by 90 degrees, mp4", "29.97 fps, webm",
        )
    },
}  # fmt: skip


def digest(frame) -> str:
    planes = (np.ascontiguousarray(plane) for plane in frame.planes_420())
    return hashlib.md5(b"".join(plane.tobytes() for plane in planes)).hexdigest()


@pytest.fixture(scope="module")
def read_all(tmp_path_factory):
    """``read_all(name)``: a video, the times of its frames, and what they show."""

    @cache
    def read(name: str) -> tuple[Path, np.ndarray, list[str]]:
        path = MAKERS[name](tmp_path_factory.mktemp("video")).path
        frames = [(time_s, digest(frame)) for time_s, frame, _ in source_frames(path)]
        times, digests = zip(*frames, strict=True)
        assert len(set(digests)) > 0.9 * len(digests), "frames differ"
        return path, np.array(times), list(digests)

    return read


def orders(n_frames: int) -> dict[str, np.ndarray]:
    every = np.arange(n_frames)
    return {
        "backward": every[::-1],
        "there and back": np.concatenate([
            every[: n_frames - 5], every[n_frames - 7 : 7 : -1], every[9 : n_frames // 2],
        ]),
        "some": np.array([n_frames - 1, 0, n_frames // 2, n_frames // 2, n_frames // 3, 1]),
    }  # fmt: skip


@pytest.mark.parametrize("name", MAKERS)
def test_frames_in_any_order(read_all, name):
    path, times, digests = read_all(name)
    for order, numbers in orders(len(times)).items():
        shown = [digest(frame) for frame in frames_in_order(path, times, numbers)]
        assert shown == [digests[number] for number in numbers], order


def test_from_the_beginning_each_frame_is_read_once(read_all, monkeypatch):
    path, times, digests = read_all("mp4, one key frame")
    read = []

    def count(*arguments, **options):
        for item in source_frames(*arguments, **options):
            read.append(item[0])
            yield item

    monkeypatch.setattr(frame_access, "source_frames", count)
    shown = [digest(frame) for frame in frames_in_order(path, times, np.arange(len(times)))]
    assert shown == digests and len(read) == len(times)


def test_a_video_played_backwards_is_not_held_in_memory(read_all, monkeypatch):
    path, times, digests = read_all("mp4, open groups of pictures")
    monkeypatch.setattr(frame_access, "BACKWARD_FRAMES", 8)
    starts = []

    def count(*arguments, start_s=0.0, **options):
        starts.append(start_s)
        return source_frames(*arguments, start_s=start_s, **options)

    monkeypatch.setattr(frame_access, "source_frames", count)
    shown = [digest(frame) for frame in frames_in_order(path, times, np.arange(40)[::-1])]
    assert shown == digests[39::-1]
    assert len(starts) == 5 and starts == sorted(starts, reverse=True)


def test_no_frame_is_asked_for(read_all):
    path, times, _ = read_all("ts")
    assert list(frames_in_order(path, times, np.zeros(0, int))) == []


@pytest.mark.parametrize("change", [0.5, 100.0])
def test_frames_at_other_times_are_an_error(read_all, change):
    """The file was replaced since its times were measured."""
    path, times, _ = read_all("mp4, one key frame")
    with pytest.raises(UnreadableMediaError) as error:
        list(frames_in_order(path, times + change * (times > 1), np.arange(len(times))))
    assert "cannot be found again" in str(error.value) and "\n" not in str(error.value)

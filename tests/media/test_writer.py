"""Frames written as planes: their values, colours and times are those that were given."""

import os
from fractions import Fraction

import numpy as np
import pytest

from src.core.errors import NoAudioError, OutputError
from src.media.frame import ColourTags
from src.media.reader import source_frames
from src.media.writer import open_video_writer, write_clip
from tests.support.made_presenters import make_planes, psnr
from tests.support.media_files import make_video, write_audio

HEIGHT, WIDTH = 96, 128
BT709 = ColourTags()


def write(path, frames, times, audio, colour=BT709, fps=25.0):
    with open_video_writer(path, path, audio) as writer:
        writer.time_base, writer.colour = Fraction(1, 90_000), colour
        for time_s, planes in zip(times, frames, strict=True):
            writer.add_planes(float(time_s), planes, fps)
        writer.finish(1 / fps)


@pytest.fixture
def audio(tmp_path):
    return write_audio(tmp_path / "sound.wav")


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("colour", [
    ColourTags(), ColourTags(5, 5, 6), ColourTags(9, 9, 16), ColourTags(2, 2, 2),
    ColourTags(1, 1, 1, is_full_range=True),
], ids=["BT.709", "BT.601", "BT.2020", "unspecified", "full range"])  # fmt: skip
def test_planes_and_their_colours_come_back(tmp_path, audio, suffix, colour):
    frames = [make_planes(HEIGHT, WIDTH, 10 * k, 4) for k in range(4)]
    path = tmp_path / f"out.{suffix}"
    write(path, frames, np.arange(4) / 25, audio, colour)
    read = [frame for _, frame, _ in source_frames(path)]
    assert len(read) == 4
    for frame, planes in zip(read, frames, strict=True):
        assert frame.colour_tags == colour
        for own, plane in zip(frame.planes_420(), planes, strict=True):
            assert psnr(own, plane) > 36, "no conversion, only the encoder"
            assert abs(own.mean() - plane.mean()) < 0.5


def test_times_are_kept(tmp_path, audio):
    steps = np.random.default_rng(1).choice([0.017, 0.04, 0.1, 0.21], 24)
    times = np.concatenate([[0.0], np.cumsum(steps)])
    planes = [make_planes(HEIGHT, WIDTH, k, 6) for k in range(25)]
    write(tmp_path / "out.mp4", planes, times, audio)
    read = np.array([time_s for time_s, _, _ in source_frames(tmp_path / "out.mp4")])
    assert np.abs(read - times).max() < 1e-4


def test_planes_that_are_views_are_written(tmp_path, audio):
    wide = make_planes(2 * HEIGHT, 2 * WIDTH, 3, 8)
    views = [plane[: len(plane) // 2, : plane.shape[1] // 2] for plane in wide]
    write(tmp_path / "out.mp4", [views], [0.0], audio)
    _, frame, _ = next(source_frames(tmp_path / "out.mp4"))
    assert psnr(frame.planes_420()[0], views[0]) > 36


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="no other number of cores to try",
)
def test_the_pixels_do_not_depend_on_the_number_of_cores(tmp_path):
    """x264 alone takes as many threads as there are cores, and writes other pixels with each."""
    rng, before = np.random.default_rng(3), os.sched_getaffinity(0)
    noise = rng.integers(0, 255, (HEIGHT * 2, WIDTH * 2, 3), np.uint8)
    frames = [np.roll(noise, 3 * k, 1) // (1 + k % 3) for k in range(30)]
    try:
        for path, own_cores in (("many.mp4", before), ("one.mp4", {min(before)})):
            os.sched_setaffinity(0, own_cores)
            write_clip(tmp_path / path, frames, 25, None)
    finally:
        os.sched_setaffinity(0, before)
    assert (tmp_path / "many.mp4").read_bytes() == (tmp_path / "one.mp4").read_bytes()


def test_a_file_without_audio_is_refused(tmp_path):
    silent = make_video(tmp_path / "silent.mp4", options=("-an",))
    with pytest.raises(NoAudioError) as error:
        write(tmp_path / "out.mp4", [make_planes(HEIGHT, WIDTH, 1)], [0.0], silent)
    assert "\n" not in str(error.value)


def test_a_place_that_cannot_be_written_is_one_line(tmp_path, audio):
    with pytest.raises(OutputError) as error:
        write(tmp_path / "no folder" / "out.mp4", [make_planes(HEIGHT, WIDTH, 1)], [0.0], audio)
    assert "\n" not in str(error.value)

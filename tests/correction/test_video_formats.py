"""What the corrected video says of its frames: codec tags, fields, dynamic range."""

import math
from itertools import islice

import av
import numpy as np
import pytest

from src.correction.remux import retime_audio
from src.media.reader import read_frames
from src.scoring.timeline import Segment, Timeline
from tests.support.media_files import (
    MPEG2,
    PCM,
    count_frames,
    field_number,
    make_video,
    read_code,
    read_frame_numbers,
    video_packets,
)

HEVC = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none")
N_INTERLACED = 20  # frames
DV = ("-vf", "scale=720:576:flags=neighbor,tinterlace=interleave_bottom,setfield=bff", "-c:v",
      "dvvideo", "-pix_fmt", "yuv420p", *PCM)  # fmt: skip


def corrected(tmp_path, source, suffix: str):
    """The output, and the notes."""
    output = tmp_path / f"out.{suffix}"
    timeline = Timeline("constant", (Segment(0.0, math.inf, 40.0),))
    return output, retime_audio(source, None, output, timeline)


def first_frames(path, n: int = 10) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(islice(container.decode(video=0), n))


def codec_tag(path) -> str:
    with av.open(str(path)) as container:
        return container.streams.video[0].codec_context.codec_tag


@pytest.mark.parametrize(("source", "target"), [("mkv", "mp4"), ("ts", "mov")])
def test_copied_hevc_has_the_tag_that_apple_plays(tmp_path, source, target):
    path = make_video(tmp_path / f"source.{source}", options=HEVC)
    output, notes = corrected(tmp_path, path, target)
    assert codec_tag(output) == "hvc1" and notes == []
    assert read_frame_numbers(output).tolist() == list(range(90))


@pytest.mark.parametrize(
    ("suffix", "fields", "options", "target"),
    [("avi", "bottom", DV, "mp4"), ("mpg", "top", MPEG2, "mp4")],
)
def test_interlaced_video_is_deinterlaced_where_it_is_encoded(
    tmp_path, suffix, fields, options, target
):
    options = (*options, "-t", N_INTERLACED / 25)
    source = make_video(tmp_path / f"source.{suffix}", fields=fields, options=options)
    assert any(frame.interlaced_frame for frame in first_frames(source))
    output, notes = corrected(tmp_path, source, target)
    assert "the video was deinterlaced" in notes
    assert not any(frame.interlaced_frame for frame in first_frames(output))
    # Each frame is the first field of its own, and no comb of two: the reader, which deinterlaces
    # what is flagged, sees the same in both.
    expected, frames = (list(read_frames(path)) for path in (source, output))
    numbers = [read_code(frame.gray) for frame in frames]
    assert numbers == [field_number(2 * k) for k in range(N_INTERLACED)]
    for frame, deinterlaced in zip(frames[4::5], expected[4::5], strict=True):
        assert np.abs(frame.gray.astype(int) - deinterlaced.gray).mean() < 2


def test_interlaced_video_that_is_copied_stays_as_it_is(tmp_path):
    source = make_video(tmp_path / "source.ts", fields="top", options=tuple(MPEG2))
    output, notes = corrected(tmp_path, source, "ts")
    assert video_packets(output) == video_packets(source) and notes == []


@pytest.fixture
def hlg(tmp_path):
    tags = "color_primaries=bt2020:color_trc=arib-std-b67:colorspace=bt2020nc"
    options = ("-vf", f"format=yuv420p10le,setparams={tags}", *HEVC, "-t", 0.8)
    return make_video(tmp_path / "hlg.mkv", options=options)


@pytest.mark.parametrize("target", ["mp4", "webm"])
def test_hdr_keeps_its_transfer(tmp_path, hlg, target):
    output, notes = corrected(tmp_path, hlg, target)
    (frame,) = first_frames(output, 1)
    assert (frame.color_trc, frame.color_primaries, frame.colorspace) == (18, 9, 9)
    assert frame.format.name == "yuv420p10le"
    assert ("the video stays HDR (HLG)" in notes) == (target == "webm")  # mp4 is a copy


def test_a_container_without_hdr_is_noted(tmp_path, hlg):
    output, notes = corrected(tmp_path, hlg, "wmv")
    assert any("the video is HDR (HLG), which .wmv files cannot signal" in note for note in notes)
    assert count_frames(output) == 20

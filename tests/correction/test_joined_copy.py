"""Recordings joined byte by byte are corrected as a whole."""

import math

import pytest

from src.correction.remux import retime_audio, shift_audio
from src.media import reader
from src.media.stream_choice import StreamChoice
from src.media.streams import read_source
from src.scoring.timeline import Segment, Timeline
from tests.support.joined_videos import FIRST, HALF, SECOND, join, span
from tests.support.media_files import (
    BURSTS,
    burst_delays,
    count_frames,
    make_video,
    read_frame_numbers,
)


@pytest.mark.parametrize(
    ("suffix", "target", "options"),
    [
        ("ts", "mp4", ()),
        ("ts", "ts", ("-output_ts_offset", 94)),
        ("flv", "mp4", ()),
        ("mpg", "mp4", ("-output_ts_offset", 94)),
        ("mpg", "mpg", ()),
        ("mkv", "mkv", ()),
    ],
)
def test_all_of_it_is_corrected(tmp_path, suffix, target, options):
    path, output = join(tmp_path, suffix, FIRST, SECOND + options), tmp_path / f"out.{target}"
    shift_audio(path, None, output, 100)
    assert count_frames(output) == 90
    assert read_frame_numbers(output).tolist() == list(range(90))
    assert burst_delays(reader.read_audio(output)) == pytest.approx(0.1, abs=0.003)
    source = read_source(output)
    assert source.is_constant_rate and source.duration_s == pytest.approx(3.6, abs=0.002)
    assert sorted(tmp_path.iterdir()) == sorted([path, output])


def test_of_several_tracks_the_one_that_is_asked_for(tmp_path):
    """It comes first in the output; the other one is silent."""
    tracks = ("-filter_complex", "[0:a]volume=0[silent]",
              "-map", "0:v", "-map", "[silent]", "-map", "0:a")  # fmt: skip
    path, output = join(tmp_path, "ts", FIRST + tracks, SECOND + tracks), tmp_path / "out.mp4"
    timeline = Timeline("constant", (Segment(0.0, math.inf, 100.0),))
    retime_audio(path, None, output, timeline, streams=StreamChoice(audio=2))
    assert count_frames(output) == 90
    assert burst_delays(reader.read_audio(output)) == pytest.approx(0.1, abs=0.003)
    other = reader.read_audio(output, StreamChoice(audio=2))
    assert abs(other).max() < 0.01


def test_with_an_audio_file(tmp_path):
    """That of the whole recording."""
    path = join(tmp_path, "flv", FIRST, span(HALF, 3.6, "-output_ts_offset", 40))
    audio, output = make_video(tmp_path / "audio.mp4"), tmp_path / "out.mp4"
    shift_audio(path, audio, output, -100)
    assert read_frame_numbers(output).tolist() == list(range(90))
    delays = burst_delays(reader.read_audio(output), BURSTS)
    assert delays == pytest.approx(-0.1, abs=0.003)

"""A written video is decoded and compared with what went in."""

from dataclasses import replace
from pathlib import Path

import av
import pytest

from src.core.errors import OutputError
from src.correction import joined_copy
from src.correction.duration import match_duration, measure_audio
from src.correction.remux import shift_audio
from src.correction.verify_output import SourceContent, verify_output
from src.media import container
from src.media.joined_clock import JoinedClock
from src.media.reader import FrameCount, count_frames
from src.media.streams import read_source
from tests.support.joined_videos import FIRST, SECOND, join
from tests.support.media_files import make_video


@pytest.fixture
def video(tmp_path):
    return make_video(tmp_path / "video.mp4", options=("-bf", "0"))


def content_of(path: Path) -> SourceContent:
    return SourceContent(read_source(path), count_frames(path), measure_audio(path, 48000))


def verify(path: Path, content: SourceContent) -> list[str]:
    target = match_duration(content.video, "pad", 3.6, copied=True)
    return verify_output(path, "named.mkv", content, target, copied=True)


def damage(path: Path, kind: str, first: int) -> Path:
    """A copy whose packets of a kind hold zeros from one of them on."""
    damaged = path.with_name("damaged.mkv")
    with av.open(str(path)) as source, av.open(str(damaged), "w") as target:
        streams = {s.index: target.add_stream_from_template(s) for s in source.streams}
        n_packets = 0
        for packet in source.demux():
            if not packet.size:
                continue
            if packet.stream.type == kind:
                n_packets += 1
                if n_packets > first:
                    zeros = av.Packet(bytes(packet.size))
                    zeros.pts, zeros.dts, zeros.duration = packet.pts, packet.dts, packet.duration
                    zeros.time_base, zeros.stream = packet.time_base, packet.stream
                    packet = zeros
            packet.stream = streams[packet.stream.index]
            target.mux(packet)
    return damaged


def test_a_complete_output_passes(video):
    assert verify(video, content_of(video)) == []


def test_frames_that_cannot_be_decoded_are_missing(video):
    content, damaged = content_of(video), damage(video, "video", 45)
    assert read_source(damaged).n_frames == 90  # as many packets
    with pytest.raises(OutputError, match=r"named\.mkv: \d+ frames of the output can be decoded "):
        verify(damaged, content)


def test_audio_that_cannot_be_decoded_is_missing(video):
    content, damaged = content_of(video), damage(video, "audio", 80)
    expected = r"named\.mkv: 1\.\d+ s of audio of the output can be decoded instead of 3\.60 s"
    with pytest.raises(OutputError, match=expected):
        verify(damaged, content)


def test_what_is_due_at_the_same_time_would_be_lost(video):
    content = content_of(video)
    with pytest.raises(OutputError, match="45 of 90 frames would be lost: their timestamps"):
        verify(video, replace(content, frames=FrameCount(90, 45)))
    twice = replace(content.audio, decoded_s=7.2, overlap_s=3.6)
    with pytest.raises(OutputError, match=r"3\.6 of 7\.2 s of audio would be lost"):
        verify(video, replace(content, audio=twice))


def test_a_clock_that_goes_back_unnoticed(tmp_path, monkeypatch):
    """What was written before such clocks were joined: all frames, half of them a tick apart."""
    path, output = join(tmp_path, "ts", FIRST, SECOND), tmp_path / "out.mp4"
    for module in (container, joined_copy):
        monkeypatch.setattr(module, "joined_clock", lambda path: JoinedClock())
    with pytest.raises(OutputError, match="would be lost: their timestamps go back"):
        shift_audio(path, None, output, 100)
    assert list(tmp_path.iterdir()) == [path]


def test_frames_are_counted_once(video, monkeypatch):
    assert count_frames(video) == FrameCount(90, 90)
    monkeypatch.setattr("src.media.reader.read_frames", None)
    assert count_frames(video) == FrameCount(90, 90)

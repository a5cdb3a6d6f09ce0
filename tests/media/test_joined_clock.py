"""Recordings joined byte by byte are read to their end, in the order of the file, in sync."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from src.core.errors import UnreadableMediaError
from src.media import reader
from src.media.container import joined_clock, probe
from src.media.frame_access import frames_in_order
from src.media.streams import read_source
from tests.support.joined_videos import (
    FIRST,
    FRAGMENTS,
    HALF,
    KINDS,
    SECOND,
    join,
    make_part,
    span,
)
from tests.support.media_files import (
    BURSTS,
    burst_delays,
    ffmpeg,
    make_video,
    read_code,
    read_frame_numbers,
    write_audio,
)


def check_halves(path: Path) -> None:
    """All of both halves, video and audio together."""
    assert read_frame_numbers(path).tolist() == list(range(90))
    assert burst_delays(reader.read_audio(path)) == pytest.approx(0, abs=0.003)
    assert joined_clock(path).breaks_s == pytest.approx([HALF], abs=0.002)
    assert probe(path).video_s == pytest.approx(3.6, abs=0.002)


@pytest.mark.parametrize("suffix", KINDS)
def test_a_clock_that_goes_back(tmp_path, suffix):
    path = join(tmp_path, suffix, FIRST, SECOND)
    check_halves(path)
    source = read_source(path)
    assert (source.n_frames, source.is_constant_rate) == (90, True)
    assert source.duration_s == pytest.approx(3.6, abs=0.002)


@pytest.mark.parametrize("suffix", ["ts", "flv", "mpg"])
def test_a_clock_that_jumps_ahead(tmp_path, suffix):
    check_halves(join(tmp_path, suffix, FIRST, (*SECOND, "-output_ts_offset", 94)))


def test_a_clock_that_starts_again_before_its_beginning(tmp_path):
    """ffmpeg takes it for an overflow of the counter, a day later."""
    check_halves(join(tmp_path, "ts", (*FIRST, "-output_ts_offset", 94), SECOND))


@pytest.mark.parametrize("suffix", ["ts", "flv", "mpg"])
def test_an_overlap_is_kept(tmp_path, suffix):
    """The second recording begins 1.2 s before the first one ends: each is played."""
    path = join(tmp_path, suffix, span(0, 2.4), span(1.2, 3.6, "-output_ts_offset", 1.2))
    expected = [*range(60), *range(30, 90)]
    assert read_frame_numbers(path).tolist() == expected
    audio = reader.read_audio(path)
    times = [*BURSTS[:2], *(time + 1.2 for time in BURSTS[2:])]
    assert burst_delays(audio, times) == pytest.approx(0, abs=0.003)


def test_several_breaks(tmp_path):
    thirds = [span(0, 1.2), span(1.2, 2.4, "-output_ts_offset", 50), span(2.4, 3.6)]
    path = join(tmp_path, "ts", *thirds)
    assert read_frame_numbers(path).tolist() == list(range(90))
    assert joined_clock(path).breaks_s == pytest.approx([1.2, 2.4], abs=0.002)
    assert burst_delays(reader.read_audio(path)) == pytest.approx(0, abs=0.003)


def test_other_stream_numbers_in_the_second_recording(tmp_path):
    """As of another recorder: they are the same streams."""
    path = join(tmp_path, "ts", FIRST, (*SECOND, "-mpegts_start_pid", 0x200))
    numbers = read_frame_numbers(path)
    assert numbers[:40].tolist() == list(range(40)) and 89 in numbers[-2:]
    assert len(numbers) >= 89  # the demuxer may drop the last frame before the change


def test_a_long_end_of_the_audio_is_not_lost(tmp_path):
    """The first recording's audio goes on for 0.6 s after its last frame."""
    path = join(tmp_path, "ts", span(0, HALF, "-filter:v", "trim=0:1.2"), SECOND)
    assert joined_clock(path).breaks_s == pytest.approx([HALF], abs=0.05)
    delays = burst_delays(reader.read_audio(path))
    assert delays[:2] == pytest.approx(0, abs=0.003)  # 1.53 s is after the last frame
    numbers = read_frame_numbers(path)
    start = int(np.flatnonzero(numbers == 45)[0])
    assert delays[2:] == pytest.approx(start / 25 - HALF, abs=0.025)


def test_only_the_audio_goes_back(tmp_path):
    """Which video belongs to which audio is not sure."""
    video = make_video(tmp_path / "video.ts")
    joined = join(tmp_path, "ts", FIRST, SECOND)
    path = tmp_path / "mixed.ts"
    path.write_bytes(b"".join(_packets_of(video, 0) + _packets_of(joined, 1)))
    with pytest.raises(UnreadableMediaError, match=r"in .*mixed\.ts restart at different"):
        next(iter(reader.read_frames(path)))


def _packets_of(path: Path, index: int) -> list[bytes]:
    """The packets of a transport stream that belong to a stream, and its tables."""
    content = path.read_bytes()
    packets = [content[start : start + 188] for start in range(0, len(content), 188)]
    wanted = {0x100 + index, 0x1000, 0, 0x11}
    return [packet for packet in packets if int.from_bytes(packet[1:3], "big") & 0x1FFF in wanted]


def test_another_size_and_rate_in_the_second_recording(tmp_path):
    options = ("-vf", "scale=256:192:flags=neighbor", "-ac", "2")
    check_halves(join(tmp_path, "flv", FIRST, SECOND + options))


@pytest.mark.parametrize(
    ("suffix", "options", "read"),
    [
        ("ts", ("-c:v", "mpeg2video"), read_frame_numbers),
        ("ts", ("-c:a", "libmp3lame"), reader.read_audio),
        ("flv", ("-c:a", "libmp3lame"), reader.read_audio),
    ],
)
def test_another_codec_in_the_second_recording_is_rejected(tmp_path, suffix, options, read):
    path = join(tmp_path, suffix, FIRST, SECOND + options)
    with pytest.raises(UnreadableMediaError, match=r"holds recordings of different formats"):
        read(path)


def test_a_gap_is_no_break(tmp_path):
    """Of 4 s, in both streams: it keeps its length."""
    path = join(tmp_path, "ts", FIRST, (*SECOND, "-output_ts_offset", HALF + 4))
    assert not joined_clock(path).breaks_s
    assert len(read_frame_numbers(path)) == pytest.approx(90 + 100, abs=2)


def test_a_damaged_time_is_no_break(tmp_path):
    """One frame that is due hours later."""
    path = join(tmp_path, "ts", FIRST, SECOND)
    content = bytearray(path.read_bytes())
    frames = [found.start() for found in re.finditer(b"\0\0\1\xe0", content)]
    for position in (frames[20] + 9, frames[20] + 14):  # presentation and decoding time
        content[position] |= 0b10
    path.write_bytes(content)
    check_halves(path)


def test_a_separate_audio_file(tmp_path):
    source = write_audio(tmp_path / "source.wav")
    content = b""
    for number, (start, stop) in enumerate(((0, HALF), (HALF, 3.6))):
        part = tmp_path / f"{number}.ogg"
        ffmpeg("-ss", start, "-to", stop, "-i", source, "-c:a", "libopus", part)
        content += part.read_bytes()
    path = tmp_path / "joined.ogg"
    path.write_bytes(content)
    assert burst_delays(reader.read_audio(path)) == pytest.approx(0, abs=0.01)
    assert joined_clock(path).breaks_s == pytest.approx([HALF], abs=0.03)


def test_frames_are_found_again_behind_a_break(tmp_path):
    path = join(tmp_path, "mkv", FIRST, SECOND)
    times = np.array([time for time, _, _ in reader.source_frames(path)])
    numbers = np.array([70, 69, 68, 20, 21])
    found = [read_code(frame.gray) for frame in frames_in_order(path, times, numbers)]
    assert found == numbers.tolist()


def test_a_list_with_a_discontinuity(tmp_path):
    for number, part in enumerate((FIRST, SECOND)):
        (tmp_path / f"part{number}.ts").write_bytes(make_part("ts", *part))
    playlist = tmp_path / "list.m3u8"
    playlist.write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.8,\npart0.ts\n#EXT-X-DISCONTINUITY\n"
        "#EXTINF:1.8,\npart1.ts\n#EXT-X-ENDLIST\n"
    )
    check_halves(playlist)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [("mp4", ()), ("mp4", FRAGMENTS), ("wmv", ()), ("mxf", ("-c:v", "mpeg2video"))],
)
def test_what_no_decoder_reads_to_its_end_is_rejected(tmp_path, suffix, options):
    path = join(tmp_path, suffix, FIRST + options)
    assert probe(path).has_video and not joined_clock(path).breaks_s
    path = join(tmp_path, suffix, FIRST + options, SECOND + options)
    for read in (probe, reader.read_audio, read_frame_numbers):
        with pytest.raises(UnreadableMediaError, match=r"joined\.\w+ holds two recordings"):
            read(path)


def test_a_copy_of_the_index_is_no_second_recording(tmp_path):
    content = make_part("mp4", 0, 3.6)
    index = content.index(b"moov") - 4
    size = int.from_bytes(content[index : index + 4], "big")
    path = tmp_path / "recorded.mp4"
    path.write_bytes(content + content[index : index + size])
    assert read_frame_numbers(path).tolist() == list(range(90))


def test_a_repeated_index_is_no_second_recording(tmp_path):
    """As some recorders write it before each fragment."""
    content = make_part("mp4", 0, 3.6, "-g", "15", *FRAGMENTS)
    header, *fragments = _fragments(content)
    assert len(fragments) > 4
    path = tmp_path / "recorded.mp4"
    path.write_bytes(b"".join(header + fragment for fragment in fragments))
    assert not joined_clock(path).breaks_s
    assert read_frame_numbers(path).tolist() == list(range(90))


def _fragments(content: bytes) -> list[bytes]:
    """What is before the first fragment of an mp4, and each fragment."""
    starts = [0, *(found.start() - 4 for found in re.finditer(b"moof", content))]
    return [content[start:stop] for start, stop in pairwise([*starts, len(content)])]

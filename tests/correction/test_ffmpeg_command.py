"""The argument lists that ffmpeg-python composes for typical jobs, and special file names."""

import errno
import os
from itertools import pairwise
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from src.core.errors import OutputError
from src.correction import remux
from src.correction.duration import DurationMatch, match_duration
from src.correction.ffmpeg_command import GLOBAL_OPTIONS, NO_STREAM, OutputCommand
from src.correction.stream_mapping import find_container
from src.media.formats import CONTAINERS
from src.media.streams import VideoSource, read_source
from src.scoring.timeline import Segment, Timeline
from tests.support.media_files import (
    count_frames,
    ffmpeg,
    make_video,
    read_frame_numbers,
    write_audio,
)

START = [imageio_ffmpeg.get_ffmpeg_exe(), *GLOBAL_OPTIONS]
FROM_SOURCE = ["-map", f"0:{NO_STREAM}"]  # keeps the source as input 0 and maps nothing


def open_command(path: Path, target: Path) -> tuple[OutputCommand, VideoSource]:
    """An empty command from a video to a target, whose container is found as in a real run."""
    source = read_source(path)
    target.touch()
    container = find_container(target, target)
    return OutputCommand(path, source, container, target, path.parent), source


def all_of(source: VideoSource) -> DurationMatch:
    return match_duration(source, "pad", source.duration_s, copied=True)


def options_of(arguments: list[str]) -> dict[str, list[str]]:
    """The values of each option, in order."""
    values: dict[str, list[str]] = {}
    for option, value in pairwise(arguments):
        if option.startswith("-"):
            values.setdefault(option, []).append(value)
    return values


def test_copied_video_with_corrected_audio(tmp_path):
    path, target = make_video(tmp_path / "video.mp4"), tmp_path / "target.mp4"
    command, source = open_command(path, target)
    command.add_video(all_of(source), copied=True)
    command.add_audio(source.audio_streams[0], source.audio_streams[0])
    command.add_other_streams()
    bit_rate = options_of(command.compile(target))["-b:1"][0]
    assert command.compile(target) == [
        *START, "-format_whitelist", CONTAINERS, "-itsoffset", "-0.000000",
        "-protocol_whitelist", "file", "-i", str(path),
        "-f", "f32le", "-ar", "48000", "-ch_layout", "mono", "-i", "pipe:",
        *FROM_SOURCE, "-map", "0:0", "-map", "1:0",
        "-ar:1", "48000", "-b:1", bit_rate, "-c:0", "copy", "-c:1", "aac",
        "-disposition:1", "default", "-map_chapters", "0", "-map_metadata", "0", str(target),
    ]  # fmt: skip
    assert int(bit_rate) >= 128_000 and command.notes == []


def test_the_first_frame_is_moved_to_zero(tmp_path):
    path, target = make_video(tmp_path / "late.ts", video_start=0.4), tmp_path / "target.ts"
    command, source = open_command(path, target)
    command.add_video(all_of(source), copied=True)
    assert source.first_frame_s > 1.4  # the muxer adds 1.4 s
    offset = options_of(command.compile(target))["-itsoffset"]
    assert offset == [f"{-source.first_frame_s:.6f}"]


def test_video_that_is_re_encoded(tmp_path):
    path, target = make_video(tmp_path / "video.mp4"), tmp_path / "target.webm"
    command, source = open_command(path, target)
    command.add_video(all_of(source), copied=False)
    command.add_audio(source.audio_streams[0], None)
    options = options_of(command.compile(target))
    assert options["-c:0"] == ["libvpx-vp9"] and options["-crf:0"] == ["24"]
    assert options["-filter:0"] == ["pad=ceil(iw/2)*2:ceil(ih/2)*2"]
    assert options["-fps_mode:0"] == ["passthrough"] and options["-pix_fmt:0"] == ["yuv420p"]
    assert options["-c:1"] == ["libopus"] and options["-vbr:1"] == ["off"]
    assert "-frames:0" not in options and "-t" not in options


def test_video_that_is_cut_ends_with_everything_else(tmp_path):
    path, target = make_video(tmp_path / "video.mp4"), tmp_path / "target.mp4"
    command, _ = open_command(path, target)
    command.add_video(DurationMatch(1.52, 38, is_cut=True), copied=True)
    options = options_of(command.compile(target))
    assert (options["-frames:0"], options["-t"]) == (["38"], ["1.521000"])


def test_looped_video_comes_from_a_list_and_tags_from_the_source(tmp_path):
    path, target = make_video(tmp_path / "it's.mp4"), tmp_path / "target.mp4"
    command, source = open_command(path, target)
    command.add_video(DurationMatch(2.5 * source.duration_s, 225, n_plays=3), copied=True)
    arguments = command.compile(target)
    options = options_of(arguments)
    assert options["-i"] == [str(path), "looped.txt"]
    assert options["-map"] == [f"0:{NO_STREAM}", "1:0"]
    assert options["-map_metadata"] == options["-map_chapters"] == ["0"]
    assert options["-f"] == ["concat"] and options["-safe"] == ["1"]
    assert options["-frames:0"] == ["225"] and "-t" not in options
    script = (tmp_path / "looped.txt").read_text(encoding="ascii")
    entry = f"file source.mp4\nduration {source.duration_s:.6f}\n"
    assert script == "ffconcat version 1.0\n" + 3 * entry
    assert (tmp_path / "source.mp4").samefile(path)


def test_a_looped_video_is_quoted_where_no_link_can_be_made(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "symlink", refuse)
    monkeypatch.setattr(os, "link", refuse)
    path, target = make_video(tmp_path / "it's.mp4"), tmp_path / "target.mp4"
    audio = write_audio(tmp_path / "audio.wav", seconds=5.0)
    timeline = Timeline("constant", (Segment(0.0, float("inf"), 0.0),))
    remux.retime_audio(path, audio, target, timeline, "loop")
    assert 125 <= count_frames(target) <= 129
    path = path.rename(tmp_path / "two\nlines.mp4")
    target.unlink()
    with pytest.raises(OutputError, match="line break in its name cannot be repeated; rename it"):
        remux.retime_audio(path, audio, target, timeline, "loop")
    assert not target.exists()


def test_a_name_adds_no_entry_to_the_list_of_a_looped_video(tmp_path):
    """Frames of another file must not get into the output, whatever a video is called."""
    make_video(tmp_path / "first.mp4").rename(tmp_path / "a")
    secret = tmp_path / "secret.mp4"
    ffmpeg("-f", "lavfi", "-i", "color=red:s=128x96:r=25:d=3.6", "-pix_fmt", "yuv420p", secret)
    path = Path(f"{tmp_path}/a\nfile {secret}")  # its first line is a file, its second an entry
    path.parent.mkdir(parents=True)
    make_video(tmp_path / "talk.mp4").rename(path)
    audio = write_audio(tmp_path / "audio.wav", seconds=9.0)
    target = tmp_path / "target.mp4"
    timeline = Timeline("constant", (Segment(0.0, float("inf"), 0.0),))
    remux.retime_audio(path, audio, target, timeline, "loop")
    numbers = read_frame_numbers(target)
    assert 223 <= len(numbers) <= 229 and (numbers == np.arange(len(numbers)) % 90).all()


def test_every_stream_has_its_own_options_and_tags(tmp_path):
    plain, path = make_video(tmp_path / "plain.mp4"), tmp_path / "video.mkv"
    (tmp_path / "s.srt").write_text("1\n00:00:00,500 --> 00:00:01,500\nhello\n\n")
    ffmpeg("-f", "lavfi", "-i", "color=red:s=64x64", "-frames:v", 1, tmp_path / "cover.png")
    ffmpeg("-i", plain, "-i", plain, "-i", tmp_path / "s.srt", "-map", 0, "-map", "1:a", "-map", 2,
           "-c:v", "copy", "-c:a", "aac", "-metadata:s:a:0", "language=chi", "-metadata:s:a:0",
           "title=A = b; c", "-metadata:s:a:1", "language=eng", "-metadata:s:s:0", "language=fra",
           "-attach", tmp_path / "cover.png", "-metadata:s:4", "mimetype=image/png",
           path)  # fmt: skip
    target = tmp_path / "target.mkv"
    command, source = open_command(path, target)
    command.add_video(all_of(source), copied=True)
    first, second = source.audio_streams
    command.add_audio(first, first)
    shift = Timeline("constant", (Segment(0.0, float("inf"), 100.0),))
    command.add_further_audio(second, shift, source.duration_s)
    command.add_other_streams()
    options = options_of(command.compile(target))
    assert options["-i"] == [str(path), "pipe:", str(tmp_path / "2.f32")]
    assert options["-map"] == [f"0:{NO_STREAM}", "0:0", "1:0", "2:0", "0:3"]
    codecs = [options[f"-c:{number}"] for number in range(4)]
    assert codecs == [["copy"], ["aac"], ["aac"], ["copy"]]
    assert options["-metadata:s:1"] == ["language=chi", "title=A = b; c"]
    assert options["-metadata:s:2"] == ["language=eng"]
    assert options["-metadata:s:3"] == ["language=fra"]
    assert options["-attach"] == [str(tmp_path / "cover.png")]
    assert options["-metadata:s:4"] == ["mimetype=image/png"]


SPECIAL_NAMES = [
    "two words",
    "-y",
    "50%d",
    "%03d",
    "口播",
    "it's",
    "a;b&c",
    "$HOME",
    "a=b,c[0]",
    "#{x}",
]
if os.name != "nt":
    SPECIAL_NAMES += ["a|b", "pipe:", "concat:a|b", 'a "quote"', "a\\b", "*?", "a\nb"]


@pytest.mark.parametrize("name", SPECIAL_NAMES)
def test_special_names_are_single_arguments(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    make_video(tmp_path / "plain.mp4").rename(tmp_path / f"{name}.mp4")
    path, target = Path(f"{name}.mp4"), Path(f"{name}.out.mp4")
    command, source = open_command(path, target)
    command.add_video(all_of(source), copied=True)
    arguments = command.compile(target)
    assert arguments.count(str(tmp_path / path)) == arguments.count(str(tmp_path / target)) == 1
    assert options_of(arguments)["-i"] == [str(tmp_path / path)]
    assert arguments[-1] == str(tmp_path / target)


@pytest.mark.parametrize("name", SPECIAL_NAMES)
def test_special_names_can_be_read_looped_and_written(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    make_video(tmp_path / "plain.mp4").rename(tmp_path / f"{name}.mp4")
    audio = write_audio(tmp_path / f"{name}.wav", seconds=5.0)
    timeline = Timeline("constant", (Segment(0.0, float("inf"), 0.0),))
    target = Path(f"{name}.out.mp4")
    remux.retime_audio(f"{name}.mp4", audio, target, timeline, "loop")
    assert 125 <= count_frames(tmp_path / target) <= 129
    numbers = read_frame_numbers(target)
    assert (numbers == np.arange(len(numbers)) % 90).all()
    assert {file.name for file in tmp_path.iterdir()} == {
        f"{name}.mp4", f"{name}.wav", f"{name}.out.mp4",
    }  # fmt: skip


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
@pytest.mark.parametrize("fit", ["pad", "loop"])
def test_names_that_are_not_utf8_can_be_read_and_written(tmp_path, fit):
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    make_video(tmp_path / "plain.mp4").rename(path)
    audio = write_audio(tmp_path / "audio.wav", seconds=5.0)
    target = path.with_suffix(".out.mp4")
    remux.retime_audio(path, audio, target, Timeline("constant", (Segment(0.0, 9.0, 0.0),)), fit)
    assert count_frames(target) == 90 if fit == "pad" else 125 <= count_frames(target) <= 129

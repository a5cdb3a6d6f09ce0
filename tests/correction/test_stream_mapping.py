"""What correction preserves: streams, their tags, and the quality of the audio."""

import contextlib
import os
import subprocess
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest

from src.core.errors import OutputError
from src.correction import remux
from src.media import reader
from src.media.stream_choice import StreamChoice
from tests.support.media_files import (
    BURSTS,
    HEIGHT,
    RATE,
    SECONDS,
    WIDTH,
    burst_delays,
    ffmpeg,
    make_video,
    video_packets,
    write_audio,
)

METADATA = """;FFMETADATA1
title=My Film
artist=Somebody
[CHAPTER]
TIMEBASE=1/1000
START=0
END=2000
title=One
[CHAPTER]
TIMEBASE=1/1000
START=2000
END=3600
title=Two
"""
SUBTITLES = """1
00:00:00,500 --> 00:00:01,500
hello

2
00:00:02,000 --> 00:00:03,000
world

"""


@pytest.fixture(scope="module")
def rich(tmp_path_factory) -> Path:
    """A video with all that a container can hold: two audio streams (the second one 200 ms later),
    subtitles, chapters, a title, languages, rotation, a font and cover art."""
    folder = tmp_path_factory.mktemp("rich")
    plain, path = make_video(folder / "plain.mp4"), folder / "rich.mkv"
    second = write_audio(folder / "second.wav", 44100, 2, np.array(BURSTS) + 0.2, SECONDS)
    (folder / "metadata.txt").write_text(METADATA)
    (folder / "subtitles.srt").write_text(SUBTITLES)
    (folder / "font.ttf").write_bytes(b"letters")
    ffmpeg("-f", "lavfi", "-i", "color=red:s=64x64", "-frames:v", 1, folder / "cover.png")
    ffmpeg(
        "-display_rotation", 90, "-i", plain, "-i", second, "-i", folder / "subtitles.srt",
        "-i", folder / "metadata.txt", "-map", "0:v", "-map", "0:a", "-map", 1, "-map", 2,
        "-map_metadata", 3, "-map_chapters", 3, "-c:v", "copy", "-c:a", "aac", "-c:s", "srt",
        "-metadata:s:a:0", "language=chi", "-metadata:s:a:0", "title=Voice",
        "-metadata:s:a:1", "language=eng", "-metadata:s:a:1", "title=Room",
        "-metadata:s:s:0", "language=fra", "-disposition:a:1", 0,
        "-attach", folder / "font.ttf", "-metadata:s:4", "mimetype=application/x-truetype-font",
        "-attach", folder / "cover.png", "-metadata:s:5", "mimetype=image/png", path,
    )  # fmt: skip
    return path


def shift(source: Path, audio: Path | None, target: Path, delay_ms: float = 120) -> list[str]:
    segment = remux.Segment(0.0, float("inf"), delay_ms)
    return remux.retime_audio(source, audio, target, remux.Timeline("constant", (segment,)))


def read_stream(path: Path, number: int, folder: Path) -> np.ndarray:
    """One audio stream of a file: 16 kHz, mono."""
    ffmpeg("-i", path, "-map", f"0:a:{number}", "-ac", 1, "-ar", RATE, folder / "stream.wav")
    return reader.read_audio(folder / "stream.wav")


def read_subtitles(path: Path) -> str:
    """The subtitles of any codec, as SubRip."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", str(path), "-map",
               "0:s", "-f", "srt", "-"]  # fmt: skip
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def list_streams(path: Path) -> list[tuple[str, str]]:
    """Kind and codec of each stream."""
    with av.open(str(path)) as container:
        streams = []
        for stream in container.streams:
            context = getattr(stream, "codec_context", None)
            streams.append((stream.type, context.codec.canonical_name if context else ""))
        return streams


def audio_packets(path: Path, number: int) -> list[bytes]:
    with av.open(str(path)) as container:
        stream = container.streams.audio[number]
        return [bytes(packet) for packet in container.demux(stream) if packet.size]


# ---------------------------------------------------------------------------- streams and tags


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_the_streams_that_are_used_come_first_as_the_default_ones(rich, tmp_path, suffix):
    """The second audio track was asked for: it is what is corrected, and what players play."""
    target = tmp_path / f"target.{suffix}"
    timeline = remux.Timeline("constant", (remux.Segment(0.0, float("inf"), 120),))
    streams = StreamChoice(audio=2)
    notes = remux.retime_audio(rich, None, target, timeline, streams=streams)
    assert "audio track 1 (aac, chi) shifted with the corrected audio track" in notes
    with av.open(str(target)) as container:
        room, voice = container.streams.audio
        assert (room.language, voice.language) == ("eng", "chi")
        assert room.disposition & av.stream.Disposition.default
        assert not voice.disposition & av.stream.Disposition.default
    for number, delay_s in enumerate((0.32, 0.12)):
        audio = read_stream(target, number, tmp_path)
        assert np.abs(burst_delays(audio, np.array(BURSTS[:-1]) + delay_s)).max() <= 0.002


def test_the_video_that_is_used_comes_first(tmp_path):
    """A screen recording as the first stream, and the camera, whose clock counts."""
    plain, screen = make_video(tmp_path / "plain.mp4"), tmp_path / "screen.mp4"
    ffmpeg("-f", "lavfi", "-i", "color=red:s=64x64:r=25", "-t", SECONDS, screen)
    both, target = tmp_path / "both.mp4", tmp_path / "target.mp4"
    ffmpeg("-i", screen, "-i", plain, "-map", "0:v", "-map", "1:v", "-map", "1:a", "-c", "copy",
           "-disposition:v:0", "default", "-disposition:v:1", "0", both)  # fmt: skip
    timeline = remux.Timeline("constant", (remux.Segment(0.0, float("inf"), 120),))
    remux.retime_audio(both, None, target, timeline, streams=StreamChoice(video=2))
    assert video_packets(target) == video_packets(plain)
    with av.open(str(target)) as container:
        camera, other = container.streams.video
        assert (camera.width, other.width) == (WIDTH, 64)
        assert camera.disposition & av.stream.Disposition.default
        assert not other.disposition & av.stream.Disposition.default


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_all_streams_and_tags_are_preserved(rich, tmp_path, suffix):
    target = tmp_path / f"target.{suffix}"
    notes = shift(rich, None, target)
    with av.open(str(target)) as container:
        assert container.metadata["title"] == "My Film"
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["One", "Two"]
        starts = [chapter["start"] * chapter["time_base"] for chapter in container.chapters()]
        assert starts == [0, 2]
        voice, room = container.streams.audio
        assert (voice.language, room.language) == ("chi", "eng")
        titles = [stream.metadata.get("title", stream.metadata.get("name"))
                  for stream in (voice, room)]  # fmt: skip
        assert titles == ["Voice", "Room"]
        assert voice.disposition & av.stream.Disposition.default
        assert not room.disposition & av.stream.Disposition.default
        assert container.streams.subtitles[0].language == "fra"
        cover = container.streams.video[1]
        assert cover.disposition & av.stream.Disposition.attached_pic
        frame = next(container.decode(container.streams.video[0]))
        assert frame.rotation % 360 == 90
    assert read_subtitles(target) == SUBTITLES
    assert video_packets(target) == video_packets(rich)
    for number, delay_s in enumerate((0.12, 0.32)):
        audio = read_stream(target, number, tmp_path)
        assert np.abs(burst_delays(audio, np.array(BURSTS[:-1]) + delay_s)).max() <= 0.002
    kinds = list_streams(target)
    if suffix == "mkv":
        assert kinds[:4] == [("video", "h264"), ("audio", "aac"), ("audio", "aac"),
                             ("subtitle", "subrip")]  # fmt: skip
        assert ("attachment", "") in kinds
        assert notes == ["audio track 2 (aac, eng) shifted with the corrected audio track"]
    else:
        assert ("subtitle", "mov_text") in kinds
        assert notes == [
            "audio track 2 (aac, eng) shifted with the corrected audio track",
            "subtitle track 1 (subrip, fra) converted to mov_text",
            "attachment 1 dropped: not supported by the output container",
        ]
    assert [path.name for path in tmp_path.iterdir() if path != target] == ["stream.wav"]


def test_streams_survive_mp4_and_back_to_mkv(rich, tmp_path):
    shift(rich, None, tmp_path / "first.mp4", 0)
    notes = shift(tmp_path / "first.mp4", None, tmp_path / "second.mkv", 0)
    kinds = list_streams(tmp_path / "second.mkv")
    assert [kind for kind, _ in kinds] == ["video", "audio", "audio", "subtitle", "video"]
    assert read_subtitles(tmp_path / "second.mkv") == SUBTITLES
    with av.open(str(tmp_path / "second.mkv")) as container:
        assert len(container.chapters()) == 2
        assert container.streams.audio[1].metadata["title"] == "Room"
    assert "subtitle track 1 (mov_text, fra) converted to srt" in notes


def test_webm_holds_what_it_can(rich, tmp_path):
    target = tmp_path / "target.webm"
    notes = shift(rich, None, target)
    assert list_streams(target) == [("video", "vp9"), ("audio", "opus"), ("audio", "opus"),
                              ("subtitle", "webvtt")]  # fmt: skip
    assert read_subtitles(target) == SUBTITLES
    assert notes[0] == "the video was re-encoded: .webm cannot hold h264 without re-encoding"
    assert "cover art 1 (png) dropped: not supported by the output container" in notes


def test_video_is_rotated_where_the_container_cannot_signal_it(rich, tmp_path):
    target = tmp_path / "target.avi"
    notes = shift(rich, None, target)
    with av.open(str(target)) as container:
        video = container.streams.video[0]
        assert (video.width, video.height) == (HEIGHT, WIDTH)
        assert video.average_rate == 25
    assert notes[0] == "the video was re-encoded: .avi cannot hold h264 without re-encoding"
    assert "chapters dropped: not supported by the output container" in notes


@pytest.mark.parametrize("source_suffix", ["mp4", "mkv"])
def test_video_copied_to_avi_keeps_its_frame_rate(tmp_path, source_suffix):
    source, target = make_video(tmp_path / "video.mp4"), tmp_path / "target.avi"
    if source_suffix == "mkv":
        ffmpeg("-i", source, "-c", "copy", tmp_path / "video.mkv")
        source = tmp_path / "video.mkv"
    assert shift(source, None, target) == []
    with av.open(str(target)) as container:
        video = container.streams.video[0]
        assert (video.average_rate, video.frames) == (25, 90)


def test_other_audio_replaces_only_the_first_stream(rich, tmp_path):
    audio = write_audio(tmp_path / "audio.wav", 48000, 1)
    for suffix in ("mkv", "mp4"):
        target = tmp_path / f"target.{suffix}"
        notes = shift(rich, audio, target)
        assert notes[0] == "audio track 2 (aac, eng) copied unchanged"
        assert audio_packets(target, 1) == audio_packets(rich, 1)
        second = read_stream(target, 1, tmp_path)
        assert np.abs(burst_delays(second, np.array(BURSTS[:-1]) + 0.2)).max() <= 0.002
        first = read_stream(target, 0, tmp_path)
        assert np.abs(burst_delays(first, np.array(BURSTS[:-1]) + 0.12)).max() <= 0.002
        with av.open(str(target)) as container:
            assert container.streams.audio[0].language == "chi"  # of the stream it replaces


def test_a_further_audio_stream_that_cannot_be_copied_is_not_shifted(rich, tmp_path):
    audio, target = write_audio(tmp_path / "audio.wav", 48000, 1), tmp_path / "target.webm"
    notes = shift(rich, audio, target)
    assert "audio track 2 (aac, eng) re-encoded: not supported by the output container" in notes
    second = read_stream(target, 1, tmp_path)
    assert np.abs(burst_delays(second, np.array(BURSTS[:-1]) + 0.2)).max() <= 0.002


def test_custom_tags_in_mp4_are_preserved(tmp_path):
    source = make_video(tmp_path / "plain.mp4")
    tags = ["-metadata", "com.apple.quicktime.model=Phone 9", "-metadata", "title=Trip"]
    ffmpeg("-i", source, "-c", "copy", *tags, "-movflags", "use_metadata_tags",
           tmp_path / "phone.mp4")  # fmt: skip
    shift(tmp_path / "phone.mp4", None, tmp_path / "target.mp4")
    with av.open(str(tmp_path / "target.mp4")) as container:
        assert container.metadata["com.apple.quicktime.model"] == "Phone 9"
        assert container.metadata["title"] == "Trip"


# ---------------------------------------------------------------------------- quality of the audio


def bit_rate(path: Path) -> float:
    """Of the first audio stream, from the sizes of its packets and its decoded duration."""
    with av.open(str(path)) as container:
        size = sum(packet.size for packet in container.demux(container.streams.audio[0]))
    with av.open(str(path)) as container:
        frames = list(container.decode(container.streams.audio[0]))
    return 8 * size / sum(frame.samples / frame.sample_rate for frame in frames)


def write_noise(path: Path, rate: int, layout: str, *options) -> Path:
    """Two seconds of noise, different in each channel: encoders need all their bits."""
    channels = av.AudioLayout(layout).nb_channels
    noise = "|".join(f"1.9*(random({2 * n})-0.5)" for n in range(channels))
    video = ["-f", "lavfi", "-i", "testsrc=s=64x64:r=25:d=2"] if path.suffix != ".wav" else []
    ffmpeg("-f", "lavfi", "-i", f"aevalsrc={noise}:c={layout}:s={rate}:d=2", *video, *options,
           path)  # fmt: skip
    return path


AUDIO_CASES = {  # source suffix, rate, layout, options -> suffix, codec
    "aac 192 to mp4": (("mp4", 48000, "stereo", "-c:a", "aac", "-b:a", "192k"), "mp4", "aac"),
    "aac 5.1 to mp4": (("mp4", 48000, "5.1", "-c:a", "aac", "-b:a", "448k"), "mp4", "aac"),
    "aac mono to mov": (("mp4", 44100, "mono", "-c:a", "aac", "-b:a", "96k"), "mov", "aac"),
    "ac3 5.1 to mkv": (("mkv", 48000, "5.1(side)", "-c:a", "ac3", "-b:a", "448k"), "mkv", "aac"),
    "ac3 5.1 to mpg": (("mkv", 48000, "5.1(side)", "-c:a", "ac3", "-b:a", "448k"), "mpg", "ac3"),
    "opus to mkv": (("mkv", 48000, "stereo", "-c:a", "libopus", "-b:a", "160k"), "mkv", "opus"),
    "opus to mp4": (("mkv", 48000, "stereo", "-c:a", "libopus", "-b:a", "160k"), "mp4", "aac"),
    "opus 5.1 to webm": (("mkv", 48000, "5.1", "-c:a", "libopus", "-b:a", "256k"), "webm", "opus"),
    "ac3 5.1 to webm": (("mkv", 48000, "5.1(side)", "-c:a", "ac3", "-b:a", "384k"), "webm", "opus"),
    "mp3 to mkv": (("mkv", 44100, "stereo", "-c:a", "libmp3lame", "-b:a", "192k"), "mkv", "aac"),
    "mp3 to mp4": (("mp4", 44100, "mono", "-c:a", "libmp3lame", "-b:a", "160k"), "mp4", "aac"),
    "mp3 to mpg": (("mp4", 44100, "stereo", "-c:a", "libmp3lame", "-b:a", "192k"), "mpg", "mp2"),
    "pcm to avi": (("mkv", 44100, "stereo", "-c:a", "pcm_s16le"), "avi", "pcm_s16le"),
    "flac 24 bit to mkv": (("mkv", 96000, "5.1", "-c:a", "flac", "-sample_fmt", "s32"), "mkv",
                           "flac"),
}  # fmt: skip


@pytest.mark.parametrize("name", AUDIO_CASES)
def test_sample_rate_channels_and_bitrate_are_preserved(tmp_path, name):
    (suffix, rate, layout, *options), target_suffix, codec = AUDIO_CASES[name]
    source = write_noise(tmp_path / f"source.{suffix}", rate, layout, *options)
    target = tmp_path / f"target.{target_suffix}"
    shift(source, None, target, 40)
    with av.open(str(target)) as container:
        audio = container.streams.audio[0].codec_context
        assert audio.codec.canonical_name == codec
        assert (audio.sample_rate, audio.channels) == (rate, av.AudioLayout(layout).nb_channels)
    # The bitrate of FLAC depends on the signal, and the first 40 ms are silence now.
    min_ratio = 0.97 if codec == "flac" else 0.995
    print(f"BITRATE {name}: {bit_rate(source) / 1000:.0f} -> {bit_rate(target) / 1000:.0f} kbit/s")
    assert bit_rate(target) >= min_ratio * bit_rate(source)


@pytest.mark.parametrize(
    ("suffix", "codec", "depth"),
    [("mkv", "pcm_s16le", 16), ("mov", "pcm_s16le", 16), ("avi", "pcm_s16le", 16),
     ("mkv", "pcm_s24le", 24), ("mov", "pcm_s24le", 24), ("mkv", "flac", 16)],
)  # fmt: skip
def test_lossless_audio_stays_lossless(tmp_path, suffix, codec, depth):
    audio = tmp_path / ("audio.flac" if codec == "flac" else "audio.wav")
    write_noise(
        tmp_path / "audio.wav", 48000, "stereo", "-c:a", codec if depth == 24 else "pcm_s16le"
    )
    if codec == "flac":
        ffmpeg("-i", tmp_path / "audio.wav", audio)
    target = tmp_path / f"target.{suffix}"
    shift(make_video(tmp_path / "video.mp4"), audio, target, 10)
    before, after = samples(audio), samples(target)
    assert np.abs(before).max() > 0
    delay = 480
    np.testing.assert_array_equal(after[:, delay : delay + before.shape[1]], before)
    assert not after[:, :delay].any() and not after[:, delay + before.shape[1] :].any()
    if suffix != "mkv":
        with av.open(str(target)) as container:
            assert container.streams.audio[0].codec_context.format.bytes * 8 >= depth


def samples(path: Path) -> np.ndarray:
    """int32 [channels, n] of the first audio stream, as ffmpeg decodes it."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", str(path), "-map",
               "0:a:0", "-f", "s32le", "-"]  # fmt: skip
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(raw, "<i4").reshape(-1, 2).T


@pytest.mark.parametrize("codec", ["libopus", "aac", "libmp3lame", "flac", "pcm_s16le"])
def test_audio_of_all_codecs_is_at_its_time(tmp_path, codec):
    suffix = {"libopus": "ogg", "aac": "m4a", "libmp3lame": "mp3", "flac": "flac"}.get(codec, "wav")
    audio = tmp_path / f"audio.{suffix}"
    ffmpeg("-i", write_audio(tmp_path / "plain.wav", 48000, 2), "-c:a", codec, audio)
    for target in ("target.mkv", "target.mp4", "target.mov", "target.webm"):
        shift(make_video(tmp_path / "video.mp4"), audio, tmp_path / target, 90)
        corrected = reader.read_audio(tmp_path / target)
        assert np.abs(burst_delays(corrected, np.array(BURSTS) + 0.09)).max() <= 0.002, target


# ---------------------------------------------------------------------------- errors


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")

    @contextlib.contextmanager
    def full(path, name=None):
        temporary = Path(path).with_name(".temporary.mp4")
        temporary.symlink_to("/dev/full")
        try:
            yield temporary
        finally:
            temporary.unlink()

    source = make_video(tmp_path / "video.mp4")
    before = source.read_bytes()
    monkeypatch.setattr(remux, "written_atomically", full)
    with pytest.raises(OutputError) as error:
        shift(source, None, tmp_path / "target.mp4")
    reason = os.strerror(28)
    assert str(error.value) == f"cannot write {tmp_path / 'target.mp4'}: {reason}"
    assert list(tmp_path.iterdir()) == [source] and source.read_bytes() == before


def test_a_full_disk_while_a_further_audio_stream_is_retimed(rich, tmp_path, monkeypatch):
    def full(blocks):
        yield from ()
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("src.correction.ffmpeg_command.interleave", full)
    with pytest.raises(OutputError, match=os.strerror(28)):
        shift(rich, None, tmp_path / "target.mp4")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("lost", ["frames", "audio"])
def test_an_incomplete_output_is_rejected(tmp_path, monkeypatch, lost):
    source, target = make_video(tmp_path / "video.mp4"), tmp_path / "target.mp4"
    target.write_bytes(b"precious")
    run = remux._run

    def run_incompletely(command, audio, *rest):
        if lost == "frames":
            command = [*command[:-1], "-frames:v", "60", command[-1]]
        else:
            audio = [next(audio)]
        run(command, audio, *rest)

    monkeypatch.setattr(remux, "_run", run_incompletely)
    fault = {
        "frames": "the output has 60 frames instead of 90",
        "audio": r"0\.\d\d s of audio of the output can be decoded instead of 3\.60 s",
    }[lost]
    with pytest.raises(OutputError, match=rf"target\.mp4: {fault}"):
        shift(source, None, target)
    assert target.read_bytes() == b"precious"
    assert {path.name for path in tmp_path.iterdir()} == {"video.mp4", "target.mp4"}


def test_outputs_in_folders_that_are_not_writable_are_rejected(tmp_path):
    source = make_video(tmp_path / "video.mp4")
    with pytest.raises(OutputError, match=r"cannot write /proc/target\.mp4"):
        shift(source, None, Path("/proc/target.mp4"))

"""What a mended film keeps: its tracks, what is said about them, and the quality of its sound."""

import contextlib
import os
import subprocess
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest

from src.core.errors import OutputError
from src.correction import remux as muxing
from src.media import reader as media
from tests.support.films import (
    BURSTS,
    HEIGHT,
    RATE,
    SECONDS,
    WIDTH,
    burst_errors,
    ffmpeg,
    film,
    packets,
    write_sound,
)

ABOUT = """;FFMETADATA1
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
    """A film with all a container can hold: two sounds (the second one 200 ms later), subtitles,
    chapters, a title, languages, a rotation, a font and a cover."""
    folder = tmp_path_factory.mktemp("rich")
    plain, path = film(folder / "plain.mp4"), folder / "rich.mkv"
    second = write_sound(folder / "second.wav", 44100, 2, np.array(BURSTS) + 0.2, SECONDS)
    (folder / "about.txt").write_text(ABOUT)
    (folder / "words.srt").write_text(SUBTITLES)
    (folder / "font.ttf").write_bytes(b"letters")
    ffmpeg("-f", "lavfi", "-i", "color=red:s=64x64", "-frames:v", 1, folder / "cover.png")
    ffmpeg(
        "-display_rotation", 90, "-i", plain, "-i", second, "-i", folder / "words.srt",
        "-i", folder / "about.txt", "-map", "0:v", "-map", "0:a", "-map", 1, "-map", 2,
        "-map_metadata", 3, "-map_chapters", 3, "-c:v", "copy", "-c:a", "aac", "-c:s", "srt",
        "-metadata:s:a:0", "language=chi", "-metadata:s:a:0", "title=Voice",
        "-metadata:s:a:1", "language=eng", "-metadata:s:a:1", "title=Room",
        "-metadata:s:s:0", "language=fra", "-disposition:a:1", 0,
        "-attach", folder / "font.ttf", "-metadata:s:4", "mimetype=application/x-truetype-font",
        "-attach", folder / "cover.png", "-metadata:s:5", "mimetype=image/png", path,
    )  # fmt: skip
    return path


def lay(source: Path, sound: Path | None, target: Path, delay_ms: float = 120) -> list[str]:
    piece = muxing.Segment(0.0, float("inf"), delay_ms)
    return muxing.retime_audio(source, sound, target, muxing.Timeline("constant", (piece,)))


def heard(path: Path, number: int, folder: Path) -> np.ndarray:
    """A sound track by itself, as it lies in the file: 16 kHz, mono."""
    ffmpeg("-i", path, "-map", f"0:a:{number}", "-ac", 1, "-ar", RATE, folder / "heard.wav")
    return media.read_audio(folder / "heard.wav")


def words(path: Path) -> str:
    """The subtitles, whatever they are written in."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", str(path), "-map",
               "0:s", "-f", "srt", "-"]  # fmt: skip
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def inside(path: Path) -> list[tuple[str, str]]:
    """Kind and codec of each track."""
    with av.open(str(path)) as container:
        found = []
        for stream in container.streams:
            context = getattr(stream, "codec_context", None)
            found.append((stream.type, context.codec.canonical_name if context else ""))
        return found


def sound_packets(path: Path, number: int) -> list[bytes]:
    with av.open(str(path)) as container:
        stream = container.streams.audio[number]
        return [bytes(packet) for packet in container.demux(stream) if packet.size]


# ---------------------------------------------------------------------------- tracks and tags


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_everything_goes_along(rich, tmp_path, suffix):
    target = tmp_path / f"target.{suffix}"
    notes = lay(rich, None, target)
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
        picture = next(container.decode(container.streams.video[0]))
        assert picture.rotation % 360 == 90
    assert words(target) == SUBTITLES
    assert packets(target) == packets(rich)
    for number, late in enumerate((0.12, 0.32)):
        sound = heard(target, number, tmp_path)
        assert np.abs(burst_errors(sound, np.array(BURSTS[:-1]) + late)).max() <= 0.002
    kinds = inside(target)
    if suffix == "mkv":
        assert kinds[:4] == [("video", "h264"), ("audio", "aac"), ("audio", "aac"),
                             ("subtitle", "subrip")]  # fmt: skip
        assert ("attachment", "") in kinds
        assert notes == ["sound track 2 (aac, eng) is moved like the first one"]
    else:
        assert ("subtitle", "mov_text") in kinds
        assert notes == [
            "sound track 2 (aac, eng) is moved like the first one",
            "subtitle track 1 (subrip, fra) is converted to mov_text",
            "attached file 1 is left out: the output cannot hold it",
        ]
    assert [path.name for path in tmp_path.iterdir() if path != target] == ["heard.wav"]


def test_mp4_gives_back_what_it_took(rich, tmp_path):
    lay(rich, None, tmp_path / "there.mp4", 0)
    notes = lay(tmp_path / "there.mp4", None, tmp_path / "back.mkv", 0)
    kinds = inside(tmp_path / "back.mkv")
    assert [kind for kind, _ in kinds] == ["video", "audio", "audio", "subtitle", "video"]
    assert words(tmp_path / "back.mkv") == SUBTITLES
    with av.open(str(tmp_path / "back.mkv")) as container:
        assert len(container.chapters()) == 2
        assert container.streams.audio[1].metadata["title"] == "Room"
    assert "subtitle track 1 (mov_text, fra) is converted to srt" in notes


def test_a_webm_holds_what_it_can(rich, tmp_path):
    target = tmp_path / "target.webm"
    notes = lay(rich, None, target)
    assert inside(target) == [("video", "vp9"), ("audio", "opus"), ("audio", "opus"),
                              ("subtitle", "webvtt")]  # fmt: skip
    assert words(target) == SUBTITLES
    assert notes[0].startswith("the picture was encoded anew: a .webm file")
    assert "cover picture 1 (png) is left out: the output cannot hold it" in notes


def test_containers_that_know_no_rotation_get_turned_pictures(rich, tmp_path):
    target = tmp_path / "target.avi"
    notes = lay(rich, None, target)
    with av.open(str(target)) as container:
        video = container.streams.video[0]
        assert (video.width, video.height) == (HEIGHT, WIDTH)
        assert video.average_rate == 25
    assert notes[0].startswith("the picture was encoded anew: a .avi file")
    assert "the chapters are left out: the output cannot hold them" in notes


@pytest.mark.parametrize("source_suffix", ["mp4", "mkv"])
def test_pictures_copied_into_avi_keep_their_rate(tmp_path, source_suffix):
    source, target = film(tmp_path / "film.mp4"), tmp_path / "target.avi"
    if source_suffix == "mkv":
        ffmpeg("-i", source, "-c", "copy", tmp_path / "film.mkv")
        source = tmp_path / "film.mkv"
    assert lay(source, None, target) == []
    with av.open(str(target)) as container:
        video = container.streams.video[0]
        assert (video.average_rate, video.frames) == (25, 90)


def test_another_sound_takes_the_place_of_the_first_one_only(rich, tmp_path):
    sound = write_sound(tmp_path / "sound.wav", 48000, 1)
    for suffix in ("mkv", "mp4"):
        target = tmp_path / f"target.{suffix}"
        notes = lay(rich, sound, target)
        assert notes[0] == "sound track 2 (aac, eng) is kept as it is"
        assert sound_packets(target, 1) == sound_packets(rich, 1)
        found = heard(target, 1, tmp_path)
        assert np.abs(burst_errors(found, np.array(BURSTS[:-1]) + 0.2)).max() <= 0.002
        found = heard(target, 0, tmp_path)
        assert np.abs(burst_errors(found, np.array(BURSTS[:-1]) + 0.12)).max() <= 0.002
        with av.open(str(target)) as container:
            assert container.streams.audio[0].language == "chi"  # of what it replaces


def test_a_further_sound_that_cannot_be_copied_stays_in_its_place(rich, tmp_path):
    sound, target = write_sound(tmp_path / "sound.wav", 48000, 1), tmp_path / "target.webm"
    notes = lay(rich, sound, target)
    assert "sound track 2 (aac, eng) is encoded anew: the output cannot hold it" in notes
    found = heard(target, 1, tmp_path)
    assert np.abs(burst_errors(found, np.array(BURSTS[:-1]) + 0.2)).max() <= 0.002


def test_tags_mp4_has_no_name_for_are_kept(tmp_path):
    source = film(tmp_path / "plain.mp4")
    tags = ["-metadata", "com.apple.quicktime.model=Phone 9", "-metadata", "title=Trip"]
    ffmpeg("-i", source, "-c", "copy", *tags, "-movflags", "use_metadata_tags",
           tmp_path / "phone.mp4")  # fmt: skip
    lay(tmp_path / "phone.mp4", None, tmp_path / "target.mp4")
    with av.open(str(tmp_path / "target.mp4")) as container:
        assert container.metadata["com.apple.quicktime.model"] == "Phone 9"
        assert container.metadata["title"] == "Trip"


# ---------------------------------------------------------------------------- the sound's quality


def bit_rate(path: Path) -> float:
    """Of the first sound, from the sizes of its packets and the length of what they decode to."""
    with av.open(str(path)) as container:
        size = sum(packet.size for packet in container.demux(container.streams.audio[0]))
    with av.open(str(path)) as container:
        frames = list(container.decode(container.streams.audio[0]))
    return 8 * size / sum(frame.samples / frame.sample_rate for frame in frames)


def noisy(path: Path, rate: int, layout: str, *options) -> Path:
    """Two seconds of noise, different in each channel: encoders need all their bits."""
    channels = av.AudioLayout(layout).nb_channels
    noise = "|".join(f"1.9*(random({2 * n})-0.5)" for n in range(channels))
    picture = ["-f", "lavfi", "-i", "testsrc=s=64x64:r=25:d=2"] if path.suffix != ".wav" else []
    ffmpeg("-f", "lavfi", "-i", f"aevalsrc={noise}:c={layout}:s={rate}:d=2", *picture, *options,
           path)  # fmt: skip
    return path


SOUNDS = {  # source suffix, rate, layout, options -> suffix, codec
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


@pytest.mark.parametrize("name", SOUNDS)
def test_rate_channels_and_bitrate_are_kept(tmp_path, name):
    (suffix, rate, layout, *options), target_suffix, codec = SOUNDS[name]
    source = noisy(tmp_path / f"source.{suffix}", rate, layout, *options)
    target = tmp_path / f"target.{target_suffix}"
    lay(source, None, target, 40)
    with av.open(str(target)) as container:
        audio = container.streams.audio[0].codec_context
        assert audio.codec.canonical_name == codec
        assert (audio.sample_rate, audio.channels) == (rate, av.AudioLayout(layout).nb_channels)
    # A flac's bitrate is what its content needs, and the first 40 ms are silence now.
    floor = 0.97 if codec == "flac" else 0.995
    print(f"BITRATE {name}: {bit_rate(source) / 1000:.0f} -> {bit_rate(target) / 1000:.0f} kbit/s")
    assert bit_rate(target) >= floor * bit_rate(source)


@pytest.mark.parametrize(
    ("suffix", "codec", "depth"),
    [("mkv", "pcm_s16le", 16), ("mov", "pcm_s16le", 16), ("avi", "pcm_s16le", 16),
     ("mkv", "pcm_s24le", 24), ("mov", "pcm_s24le", 24), ("mkv", "flac", 16)],
)  # fmt: skip
def test_what_came_without_loss_goes_without_loss(tmp_path, suffix, codec, depth):
    sound = tmp_path / ("sound.flac" if codec == "flac" else "sound.wav")
    noisy(tmp_path / "sound.wav", 48000, "stereo", "-c:a", codec if depth == 24 else "pcm_s16le")
    if codec == "flac":
        ffmpeg("-i", tmp_path / "sound.wav", sound)
    target = tmp_path / f"target.{suffix}"
    lay(film(tmp_path / "film.mp4"), sound, target, 10)
    before, after = samples(sound), samples(target)
    assert np.abs(before).max() > 0
    delay = 480
    np.testing.assert_array_equal(after[:, delay : delay + before.shape[1]], before)
    assert not after[:, :delay].any() and not after[:, delay + before.shape[1] :].any()
    if suffix != "mkv":
        with av.open(str(target)) as container:
            assert container.streams.audio[0].codec_context.format.bytes * 8 >= depth


def samples(path: Path) -> np.ndarray:
    """int32 [channels, n] of the first sound, as ffmpeg decodes it."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", str(path), "-map",
               "0:a:0", "-f", "s32le", "-"]  # fmt: skip
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(raw, "<i4").reshape(-1, 2).T


@pytest.mark.parametrize("codec", ["libopus", "aac", "libmp3lame", "flac", "pcm_s16le"])
def test_sounds_of_all_kinds_are_in_their_place(tmp_path, codec):
    suffix = {"libopus": "ogg", "aac": "m4a", "libmp3lame": "mp3", "flac": "flac"}.get(codec, "wav")
    sound = tmp_path / f"sound.{suffix}"
    ffmpeg("-i", write_sound(tmp_path / "plain.wav", 48000, 2), "-c:a", codec, sound)
    for target in ("target.mkv", "target.mp4", "target.mov", "target.webm"):
        lay(film(tmp_path / "film.mp4"), sound, tmp_path / target, 90)
        found = media.read_audio(tmp_path / target)
        assert np.abs(burst_errors(found, np.array(BURSTS) + 0.09)).max() <= 0.002, target


# ---------------------------------------------------------------------------- what goes wrong


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")

    @contextlib.contextmanager
    def full(path, name=None):
        aside = Path(path).with_name(".aside.mp4")
        aside.symlink_to("/dev/full")
        try:
            yield aside
        finally:
            aside.unlink()

    source = film(tmp_path / "film.mp4")
    before = source.read_bytes()
    monkeypatch.setattr(muxing, "written_atomically", full)
    with pytest.raises(OutputError) as error:
        lay(source, None, tmp_path / "target.mp4")
    why = os.strerror(28)
    assert str(error.value) == f"cannot write {tmp_path / 'target.mp4'}: {why}"
    assert list(tmp_path.iterdir()) == [source] and source.read_bytes() == before


def test_a_full_disk_while_a_further_sound_is_laid(rich, tmp_path, monkeypatch):
    def full(blocks):
        yield from ()
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("src.correction.ffmpeg_command.interleaved", full)
    with pytest.raises(OutputError, match=os.strerror(28)):
        lay(rich, None, tmp_path / "target.mp4")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("lost", ["pictures", "sound"])
def test_an_output_that_is_not_whole_is_refused(tmp_path, monkeypatch, lost):
    source, target = film(tmp_path / "film.mp4"), tmp_path / "target.mp4"
    target.write_bytes(b"precious")
    real = muxing._run

    def careless(command, sound, output_path):
        if lost == "pictures":
            command = [*command[:-1], "-frames:v", "60", command[-1]]
        else:
            sound = [next(sound)]
        real(command, sound, output_path)

    monkeypatch.setattr(muxing, "_run", careless)
    found = "60 pictures instead of 90" if lost == "pictures" else r"\d\.\d\d s long instead"
    with pytest.raises(OutputError, match=rf"target\.mp4: it came out (with )?{found}"):
        lay(source, None, target)
    assert target.read_bytes() == b"precious"
    assert {path.name for path in tmp_path.iterdir()} == {"film.mp4", "target.mp4"}


def test_outputs_in_places_where_nothing_can_be_written(tmp_path):
    source = film(tmp_path / "film.mp4")
    with pytest.raises(OutputError, match=r"cannot write /proc/target\.mp4"):
        lay(source, None, Path("/proc/target.mp4"))

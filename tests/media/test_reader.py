"""Reading films and sounds; how picture and sound stay together is in ``test_clocks``."""

import itertools
import os
import struct
import wave
from pathlib import Path

import av
import numpy as np
import pytest
from scipy.signal import resample_poly

from src.core.errors import MissingFileError, NoAudioError, NoVideoError, UnreadableMediaError
from src.correction import remux
from src.media import container as containers
from src.media import reader as media
from src.media import writer
from tests.support.films import (
    BURSTS,
    RATE,
    SECONDS,
    burst_errors,
    bursts,
    corner_picture,
    ffmpeg,
    film,
    packets,
    write_sound,
)


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "m4a", "aac", "ogg", "opus"])
@pytest.mark.parametrize(("rate", "channels"), [(48000, 2), (44100, 1), (8000, 1)])
def test_sound_files(tmp_path, suffix, rate, channels):
    source = write_sound(tmp_path / "source.wav", rate, channels)
    path = tmp_path / f"sound.{suffix}"
    ffmpeg("-i", source, "-map_metadata", "-1", *(["-c:a", "libvorbis"] if suffix == "ogg" else []),
           path)  # fmt: skip
    sound = media.read_audio(path)
    assert sound.dtype == np.float32 and sound.ndim == 1
    errors = burst_errors(sound)
    print(f"SKEW {suffix} {rate}: {1000 * errors.mean():+.2f} ms")
    assert np.abs(errors).max() <= 0.005
    assert len(sound) == pytest.approx(SECONDS * RATE, abs=0.14 * RATE)
    if suffix in ("wav", "flac"):
        assert np.corrcoef(sound, bursts(RATE)[: len(sound)])[0, 1] > 0.999


@pytest.mark.parametrize("damage", [np.nan, np.inf, -np.inf, 1e20])
def test_samples_that_are_no_numbers_are_silence(tmp_path, damage):
    sound = bursts(RATE)
    sound[1000] = damage
    path = write_floats(tmp_path / "damaged.wav", sound)
    found = media.read_audio(path)
    sound[1000] = 0
    assert np.isfinite(found).all() and np.array_equal(found, sound)


def test_floats_on_the_scale_of_whole_numbers_are_kept(tmp_path):
    sound = 32767 * bursts(RATE)
    assert np.array_equal(media.read_audio(write_floats(tmp_path / "loud.wav", sound)), sound)


def write_floats(path: Path, samples: np.ndarray) -> Path:
    """A wav of 32-bit floats, whatever they are."""
    content = samples.astype("<f4").tobytes()
    head = struct.pack("<IHHIIHH", 16, 3, 1, RATE, 4 * RATE, 4, 32)
    sizes = [struct.pack("<I", size) for size in (36 + len(content), len(content))]
    path.write_bytes(b"RIFF" + sizes[0] + b"WAVEfmt " + head + b"data" + sizes[1] + content)
    return path


def test_two_channels_are_averaged(tmp_path):
    left = bursts(RATE)
    path = tmp_path / "stereo.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        both = np.stack([left, np.zeros_like(left)], 1)
        file.writeframes((both * 32767).astype("<i2").tobytes())
    assert np.allclose(media.read_audio(path), left / 2, atol=1e-4)


@pytest.mark.parametrize("channels", [3, 4, 6, 8])
def test_many_channels(tmp_path, channels):
    source = film(tmp_path / "film.mp4")
    sound = write_sound(tmp_path / "many.wav", 48000, channels)
    assert np.abs(burst_errors(media.read_audio(sound))).max() < 0.001
    remux.shift_audio(source, sound, tmp_path / "out.mkv", 40)
    heard = media.read_audio(tmp_path / "out.mkv")
    assert np.abs(burst_errors(heard, np.array(BURSTS) + 0.04)).max() < 0.002


def test_sound_before_the_first_picture_is_left_out(tmp_path):
    path = film(tmp_path / "early.mp4", late=-0.7)
    sound = media.read_audio(path)
    assert np.abs(burst_errors(sound)).max() < 0.002
    assert len(sound) <= (SECONDS + 0.1) * RATE


@pytest.mark.parametrize(("fps", "count"), [(25, 50), (50, 50), (12.5, 50), (30, 50)])
def test_number_of_pictures(tmp_path, fps, count):
    path = tmp_path / "clip.mp4"
    writer.write_clip(path, [corner_picture()] * round(2 * fps), fps, None)
    assert sum(1 for _ in media.read_frames(path)) == count


def test_a_standing_picture_is_one_object(tmp_path):
    path = tmp_path / "slow.mp4"
    writer.write_clip(path, [corner_picture(), corner_picture()[::-1]], 5, None)
    pictures = list(media.read_frames(path))
    assert len(pictures) == 10
    assert len({id(picture) for picture in pictures}) == 2


def test_resampling_follows_the_sine(tmp_path):
    """A tone of 440 Hz at 48 kHz stays that tone, in phase, at 16 kHz."""
    at = np.arange(48000) / 48000
    writer.write_wav(tmp_path / "tone.wav", 0.5 * np.sin(2 * np.pi * 440 * at), 48000)
    sound = media.read_audio(tmp_path / "tone.wav")
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(len(sound)) / RATE)
    assert len(sound) == pytest.approx(RATE, abs=2)
    assert np.abs(sound - expected)[200:-200].max() < 2e-3
    reference = resample_poly(0.5 * np.sin(2 * np.pi * 440 * at), 1, 3)
    assert np.abs(sound[200:15800] - reference[200:15800]).max() < 2e-3


# ---------------------------------------------------------------------------- sound in pieces


def with_silence(path: Path, seconds: float) -> None:
    """A copy of a film, its sound interrupted after 2 s; the packets say so, nothing else does."""
    whole = film(path.with_name("whole.mkv"), options=["-c:a", "flac"])
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        streams = {s.index: target.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.size == 0:
                continue
            if packet.stream.type == "audio" and packet.pts * packet.time_base >= 2:
                packet.pts += round(seconds / packet.time_base)
                packet.dts = packet.pts
            packet.stream = streams[packet.stream.index]
            target.mux(packet)


@pytest.mark.parametrize("gap", [0, 0.5, 100])
def test_pieces_of_sound_are_small_and_make_the_whole(tmp_path, gap):
    path = tmp_path / "film.mkv"
    with_silence(path, gap)
    pieces = list(media.stream_audio(path))
    assert max(map(len, pieces)) <= 2 * RATE and min(map(len, pieces)) > 0
    sound = media.read_audio(path)
    assert np.array_equal(np.concatenate(pieces), sound) and sound.dtype == np.float32
    assert len(sound) == pytest.approx((SECONDS + gap) * RATE, abs=0.15 * RATE)
    at = [b + gap * (b > 2) for b in BURSTS]
    assert np.abs(burst_errors(sound[: 2 * RATE], at[:2])).max() < 0.002
    later = sound[round((2.1 + gap) * RATE) :]
    assert np.abs(burst_errors(later, [b - 2.1 for b in BURSTS[2:]])).max() < 0.002
    if gap:
        assert not sound[round(2.15 * RATE) : round((2 + gap - 0.05) * RATE)].any()


@pytest.mark.parametrize("suffix", ["wav", "m4a", "mp3"])
def test_pieces_of_a_sound_file_are_small(tmp_path, suffix):
    path = tmp_path / f"long.{suffix}"
    ffmpeg("-i", write_sound(tmp_path / "source.wav", seconds=8.0), path)
    pieces = list(media.stream_audio(path))
    assert len(pieces) > 4 and max(map(len, pieces)) <= 2 * RATE
    assert np.array_equal(np.concatenate(pieces), media.read_audio(path))


# ---------------------------------------------------------------------------- bad files


def bad_file(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.mp4"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("this is no film\n" * 500)
    elif kind == "noise":
        path.write_bytes(np.random.default_rng(1).bytes(50_000))
    elif kind == "folder":
        path.mkdir()
    elif kind == "truncated":
        whole = film(folder / "whole.mp4")
        path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    return path


BAD = {
    "missing": MissingFileError,
    "folder": MissingFileError,
    "empty": UnreadableMediaError,
    "text": UnreadableMediaError,
    "noise": UnreadableMediaError,
    "truncated": UnreadableMediaError,
}
READERS = {
    "probe": containers.probe,
    "read_audio": media.read_audio,
    "read_frames": lambda path: list(media.read_frames(path)),
    "first_frame_s": media.first_frame_s,
    "shift_audio": lambda path: remux.shift_audio(path, None, path.with_name("out.mp4"), 0),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_named_in_one_line(tmp_path, kind):
    path = bad_file(tmp_path, kind)
    for name, reader in READERS.items():
        with pytest.raises(BAD[kind]) as caught:
            reader(path)
        text = str(caught.value)
        assert path.name in text and "\n" not in text, name
    assert not path.with_name("out.mp4").exists()


def test_sound_files_have_no_pictures(tmp_path):
    path = write_sound(tmp_path / "only.wav")
    for name in ("read_frames", "first_frame_s", "shift_audio"):
        with pytest.raises(NoVideoError, match=r"only\.wav"):
            READERS[name](path)
    assert not containers.probe(path).has_video


def test_cover_art_is_no_video(tmp_path):
    cover, path = tmp_path / "cover.png", tmp_path / "song.mp3"
    ffmpeg("-f", "lavfi", "-i", "color=red:s=64x64", "-frames:v", 1, cover)
    ffmpeg("-i", write_sound(tmp_path / "s.wav"), "-i", cover, "-map", 0, "-map", 1,
           "-disposition:v", "attached_pic", path)  # fmt: skip
    with pytest.raises(NoVideoError, match=r"song\.mp3"):
        list(media.read_frames(path))
    assert np.abs(burst_errors(media.read_audio(path))).max() < 0.002


def test_silent_films_have_no_sound(tmp_path):
    path = tmp_path / "mute.mp4"
    writer.write_clip(path, [corner_picture()] * 5, 25, None)
    for reader in (READERS["read_audio"], READERS["shift_audio"]):
        with pytest.raises(NoAudioError, match=r"mute\.mp4"):
            reader(path)
    assert not (tmp_path / "out.mp4").exists()


def test_damage_in_the_middle_is_passed_over(tmp_path):
    path = film(tmp_path / "film.ts")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2 // 188 * 188
    data[middle : middle + 188 * 6] = np.random.default_rng(3).bytes(188 * 6)
    path.write_bytes(data)
    assert sum(1 for _ in media.read_frames(path)) == pytest.approx(90, abs=2)
    assert np.abs(burst_errors(media.read_audio(path), [BURSTS[0], BURSTS[3]])).max() < 0.002


ODD_NAMES = ["two words.mp4", "口播.mp4", "mañana.mp4", "it's.mp4", "-dash.mp4", "50%d.mp4"]


@pytest.mark.parametrize("name", ODD_NAMES if os.name == "nt" else [*ODD_NAMES, "a:b.mp4"])
def test_odd_names(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    film(tmp_path / "plain.mp4").rename(tmp_path / name)
    source, target = Path(name), Path("-out " + name)
    assert containers.probe(source).has_video
    assert sum(1 for _ in media.read_frames(source)) == 90
    assert np.abs(burst_errors(media.read_audio(source))).max() < 0.002
    remux.shift_audio(source, source, target, 25)
    assert packets(target) == packets(source)
    assert not list(tmp_path.glob(".*")), "nothing half-written stays"


def test_same_pictures_and_sound_twice(tmp_path):
    path = film(tmp_path / "film.mp4", fps=30)
    one, two = ([p.gray.tobytes() for p in media.read_frames(path, t)] for t in (1, 2))
    assert one == two
    assert all(a.tobytes() == b.tobytes() for a, b in itertools.repeat(
        (media.read_audio(path), media.read_audio(path)), 1))  # fmt: skip


def test_a_jump_of_the_clock_is_refused(tmp_path):
    """Two recordings in one file, hours apart, must not become hours of a standing picture."""
    first, second = film(tmp_path / "a.ts"), tmp_path / "b.ts"
    ffmpeg("-itsoffset", 7200, "-i", first, "-c", "copy", "-copyts", second)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    with pytest.raises(UnreadableMediaError, match=r"joined\.ts.*jump by 7\d\d\d s after 3\.\d s"):
        list(media.read_frames(joined))
    with pytest.raises(UnreadableMediaError, match=r"joined\.ts.*jump by 7\d\d\d s"):
        media.read_audio(joined)


def test_the_header_promises_a_length(tmp_path):
    for suffix in ("mp4", "mkv"):
        info = containers.probe(film(tmp_path / f"film.{suffix}"))
        assert info.video_s == pytest.approx(SECONDS, abs=0.05)
    assert containers.probe(write_sound(tmp_path / "sound.wav")).video_s == 0

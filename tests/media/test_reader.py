"""Reading video and audio; how they stay in sync is tested in ``test_clocks``."""

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
from src.media import container, reader, writer
from tests.support.media_files import (
    BURSTS,
    RATE,
    SECONDS,
    burst_audio,
    burst_delays,
    corner_image,
    ffmpeg,
    make_video,
    video_packets,
    write_audio,
)


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "m4a", "aac", "ogg", "opus"])
@pytest.mark.parametrize(("rate", "channels"), [(48000, 2), (44100, 1), (8000, 1)])
def test_audio_files(tmp_path, suffix, rate, channels):
    source = write_audio(tmp_path / "source.wav", rate, channels)
    path = tmp_path / f"audio.{suffix}"
    ffmpeg("-i", source, "-map_metadata", "-1", *(["-c:a", "libvorbis"] if suffix == "ogg" else []),
           path)  # fmt: skip
    audio = reader.read_audio(path)
    assert audio.dtype == np.float32 and audio.ndim == 1
    delays = burst_delays(audio)
    print(f"SKEW {suffix} {rate}: {1000 * delays.mean():+.2f} ms")
    assert np.abs(delays).max() <= 0.005
    assert len(audio) == pytest.approx(SECONDS * RATE, abs=0.14 * RATE)
    if suffix in ("wav", "flac"):
        assert np.corrcoef(audio, burst_audio(RATE)[: len(audio)])[0, 1] > 0.999


@pytest.mark.parametrize("damage", [np.nan, np.inf, -np.inf, 1e20])
def test_invalid_samples_become_silence(tmp_path, damage):
    audio = burst_audio(RATE)
    audio[1000] = damage
    path = write_floats(tmp_path / "damaged.wav", audio)
    samples = reader.read_audio(path)
    audio[1000] = 0
    assert np.isfinite(samples).all() and np.array_equal(samples, audio)


def test_floats_in_the_range_of_16_bit_integers_are_unchanged(tmp_path):
    audio = 32767 * burst_audio(RATE)
    assert np.array_equal(reader.read_audio(write_floats(tmp_path / "loud.wav", audio)), audio)


def write_floats(path: Path, samples: np.ndarray) -> Path:
    """A wav file of 32-bit floats, valid or not."""
    payload = samples.astype("<f4").tobytes()
    header = struct.pack("<IHHIIHH", 16, 3, 1, RATE, 4 * RATE, 4, 32)
    sizes = [struct.pack("<I", size) for size in (36 + len(payload), len(payload))]
    path.write_bytes(b"RIFF" + sizes[0] + b"WAVEfmt " + header + b"data" + sizes[1] + payload)
    return path


def test_two_channels_are_averaged(tmp_path):
    channel = burst_audio(RATE)
    path = tmp_path / "stereo.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        frames = np.stack([channel, np.zeros_like(channel)], 1)
        file.writeframes((frames * 32767).astype("<i2").tobytes())
    assert np.allclose(reader.read_audio(path), channel / 2, atol=1e-4)


@pytest.mark.parametrize("channels", [3, 4, 6, 8])
def test_many_channels(tmp_path, channels):
    source = make_video(tmp_path / "video.mp4")
    audio = write_audio(tmp_path / "many.wav", 48000, channels)
    assert np.abs(burst_delays(reader.read_audio(audio))).max() < 0.001
    remux.shift_audio(source, audio, tmp_path / "out.mkv", 40)
    corrected = reader.read_audio(tmp_path / "out.mkv")
    assert np.abs(burst_delays(corrected, np.array(BURSTS) + 0.04)).max() < 0.002


def test_audio_before_the_first_frame_is_skipped(tmp_path):
    path = make_video(tmp_path / "early.mp4", audio_start=-0.7)
    audio = reader.read_audio(path)
    assert np.abs(burst_delays(audio)).max() < 0.002
    assert len(audio) <= (SECONDS + 0.1) * RATE


@pytest.mark.parametrize(("fps", "count"), [(25, 50), (50, 50), (12.5, 50), (30, 50)])
def test_number_of_frames(tmp_path, fps, count):
    path = tmp_path / "clip.mp4"
    writer.write_clip(path, [corner_image()] * round(2 * fps), fps, None)
    assert sum(1 for _ in reader.read_frames(path)) == count


def test_a_repeated_frame_is_one_object(tmp_path):
    path = tmp_path / "slow.mp4"
    writer.write_clip(path, [corner_image(), corner_image()[::-1]], 5, None)
    frames = list(reader.read_frames(path))
    assert len(frames) == 10
    assert len({id(frame) for frame in frames}) == 2


def test_resampling_preserves_a_sine(tmp_path):
    """A tone of 440 Hz at 48 kHz stays that tone, in phase, at 16 kHz."""
    times = np.arange(48000) / 48000
    writer.write_wav(tmp_path / "tone.wav", 0.5 * np.sin(2 * np.pi * 440 * times), 48000)
    audio = reader.read_audio(tmp_path / "tone.wav")
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(len(audio)) / RATE)
    assert len(audio) == pytest.approx(RATE, abs=2)
    assert np.abs(audio - expected)[200:-200].max() < 2e-3
    reference = resample_poly(0.5 * np.sin(2 * np.pi * 440 * times), 1, 3)
    assert np.abs(audio[200:15800] - reference[200:15800]).max() < 2e-3


# ---------------------------------------------------------------------------- streamed audio


def write_with_gap(path: Path, seconds: float) -> None:
    """A copy of a video with a gap in its audio at 2 s, visible only in packet timestamps."""
    whole = make_video(path.with_name("whole.mkv"), options=["-c:a", "flac"])
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
def test_audio_blocks_are_small_and_make_up_the_whole(tmp_path, gap):
    path = tmp_path / "video.mkv"
    write_with_gap(path, gap)
    blocks = list(reader.stream_audio(path))
    assert max(map(len, blocks)) <= 2 * RATE and min(map(len, blocks)) > 0
    audio = reader.read_audio(path)
    assert np.array_equal(np.concatenate(blocks), audio) and audio.dtype == np.float32
    assert len(audio) == pytest.approx((SECONDS + gap) * RATE, abs=0.15 * RATE)
    times = [b + gap * (b > 2) for b in BURSTS]
    assert np.abs(burst_delays(audio[: 2 * RATE], times[:2])).max() < 0.002
    later = audio[round((2.1 + gap) * RATE) :]
    assert np.abs(burst_delays(later, [b - 2.1 for b in BURSTS[2:]])).max() < 0.002
    if gap:
        assert not audio[round(2.15 * RATE) : round((2 + gap - 0.05) * RATE)].any()


@pytest.mark.parametrize("suffix", ["wav", "m4a", "mp3"])
def test_blocks_of_an_audio_file_are_small(tmp_path, suffix):
    path = tmp_path / f"long.{suffix}"
    ffmpeg("-i", write_audio(tmp_path / "source.wav", seconds=8.0), path)
    blocks = list(reader.stream_audio(path))
    assert len(blocks) > 4 and max(map(len, blocks)) <= 2 * RATE
    assert min(map(len, blocks[:-1])) >= reader.BLOCK_S * RATE, "some 20 ms take too long"
    assert np.array_equal(np.concatenate(blocks), reader.read_audio(path))


# ---------------------------------------------------------------------------- bad files


def bad_file(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.mp4"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("this is not a video\n" * 500)
    elif kind == "noise":
        path.write_bytes(np.random.default_rng(1).bytes(50_000))
    elif kind == "folder":
        path.mkdir()
    elif kind == "truncated":
        whole = make_video(folder / "whole.mp4")
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
    "probe": container.probe,
    "read_audio": reader.read_audio,
    "read_frames": lambda path: list(reader.read_frames(path)),
    "first_frame_s": reader.first_frame_s,
    "shift_audio": lambda path: remux.shift_audio(path, None, path.with_name("out.mp4"), 0),
}


@pytest.mark.parametrize("kind", BAD)
def test_errors_name_the_file_in_one_line(tmp_path, kind):
    path = bad_file(tmp_path, kind)
    for name, read in READERS.items():
        with pytest.raises(BAD[kind]) as caught:
            read(path)
        message = str(caught.value)
        assert path.name in message and "\n" not in message, name
    assert not path.with_name("out.mp4").exists()


def test_audio_files_have_no_video(tmp_path):
    path = write_audio(tmp_path / "only.wav")
    for name in ("read_frames", "first_frame_s", "shift_audio"):
        with pytest.raises(NoVideoError, match=r"only\.wav"):
            READERS[name](path)
    assert not container.probe(path).has_video


def test_cover_art_is_not_video(tmp_path):
    cover, path = tmp_path / "cover.png", tmp_path / "song.mp3"
    ffmpeg("-f", "lavfi", "-i", "color=red:s=64x64", "-frames:v", 1, cover)
    ffmpeg("-i", write_audio(tmp_path / "s.wav"), "-i", cover, "-map", 0, "-map", 1,
           "-disposition:v", "attached_pic", path)  # fmt: skip
    with pytest.raises(NoVideoError, match=r"song\.mp3"):
        list(reader.read_frames(path))
    assert np.abs(burst_delays(reader.read_audio(path))).max() < 0.002


def test_a_video_without_audio_is_rejected(tmp_path):
    path = tmp_path / "mute.mp4"
    writer.write_clip(path, [corner_image()] * 5, 25, None)
    for read in (READERS["read_audio"], READERS["shift_audio"]):
        with pytest.raises(NoAudioError, match=r"mute\.mp4"):
            read(path)
    assert not (tmp_path / "out.mp4").exists()


def test_damage_in_the_middle_is_skipped(tmp_path):
    path = make_video(tmp_path / "video.ts")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2 // 188 * 188
    data[middle : middle + 188 * 6] = np.random.default_rng(3).bytes(188 * 6)
    path.write_bytes(data)
    assert sum(1 for _ in reader.read_frames(path)) == pytest.approx(90, abs=2)
    assert np.abs(burst_delays(reader.read_audio(path), [BURSTS[0], BURSTS[3]])).max() < 0.002


SPECIAL_NAMES = ["two words.mp4", "口播.mp4", "mañana.mp4", "it's.mp4", "-dash.mp4", "50%d.mp4"]


@pytest.mark.parametrize("name", SPECIAL_NAMES if os.name == "nt" else [*SPECIAL_NAMES, "a:b.mp4"])
def test_special_characters_in_names(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    make_video(tmp_path / "plain.mp4").rename(tmp_path / name)
    source, target = Path(name), Path("-out " + name)
    assert container.probe(source).has_video
    assert sum(1 for _ in reader.read_frames(source)) == 90
    assert np.abs(burst_delays(reader.read_audio(source))).max() < 0.002
    remux.shift_audio(source, source, target, 25)
    assert video_packets(target) == video_packets(source)
    assert not list(tmp_path.glob(".*")), "no temporary file remains"


def test_reading_is_deterministic(tmp_path):
    path = make_video(tmp_path / "video.mp4", fps=30)
    first, second = ([p.gray.tobytes() for p in reader.read_frames(path, t)] for t in (1, 2))
    assert first == second
    assert all(a.tobytes() == b.tobytes() for a, b in itertools.repeat(
        (reader.read_audio(path), reader.read_audio(path)), 1))  # fmt: skip


def test_a_jump_of_the_timestamps_is_rejected(tmp_path):
    """Hours without content must not become hours of a frozen frame. With a single stream it is
    not sure that another recording begins."""
    whole = make_video(tmp_path / "whole.ts")
    for kind, other, read in (
        ("video", "-an", reader.read_frames),
        ("audio", "-vn", reader.stream_audio),
    ):
        first, second = tmp_path / "a.ts", tmp_path / "b.ts"
        ffmpeg("-i", whole, "-c", "copy", other, first)
        ffmpeg("-itsoffset", 7200, "-i", first, "-c", "copy", "-copyts", second)
        joined = tmp_path / f"{kind}.ts"
        joined.write_bytes(first.read_bytes() + second.read_bytes())
        with pytest.raises(
            UnreadableMediaError, match=rf"{kind}\.ts.*jump by 7\d\d\d s at 3\.\d s"
        ):
            list(read(joined))


def test_the_header_declares_a_duration(tmp_path):
    for suffix in ("mp4", "mkv"):
        info = container.probe(make_video(tmp_path / f"video.{suffix}"))
        assert info.video_s == pytest.approx(SECONDS, abs=0.05)
    assert container.probe(write_audio(tmp_path / "audio.wav")).video_s == 0

"""Containers and clocks: films carry a binary timecode in the picture and bursts in the sound."""

import itertools
import os
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from scipy.signal import resample_poly

from src import media, muxing
from src.errors import (
    MissingFileError,
    NoAudioError,
    NoVideoError,
    UnreadableMediaError,
)
from tests.films import (
    BURSTS,
    HEIGHT,
    PCM,
    PS,
    RATE,
    SECONDS,
    VP9,
    WIDTH,
    burst_errors,
    bursts,
    code_picture,
    corner_picture,
    count_pictures,
    ffmpeg,
    film,
    packets,
    picture_errors,
    skew_ms,
    write_sound,
)

FILMS = {
    "25 mp4": ("mp4", {}, 5),
    "24 mp4": ("mp4", {"fps": 24}, 5),
    "29.97 mp4": ("mp4", {"fps": Fraction(30000, 1001)}, 5),
    "30 mp4": ("mp4", {"fps": 30}, 5),
    "60 mp4": ("mp4", {"fps": 60}, 5),
    "50 mov": ("mov", {"fps": 50}, 5),
    "sound 400 ms late mp4": ("mp4", {"late": 0.4}, 5),
    "sound 400 ms late ts": ("ts", {"late": 0.4}, 5),
    "sound 400 ms late mkv": ("mkv", {"late": 0.4}, 5),
    "sound 300 ms early mp4": ("mp4", {"late": -0.3}, 5),
    "mpeg-ps": ("mpg", {"options": PS, "rate": 44100}, 5),
    "mkv": ("mkv", {}, 5),
    "mkv flac": ("mkv", {"options": ["-c:a", "flac"]}, 5),
    "mkv mp3": ("mkv", {"options": ["-c:a", "libmp3lame"]}, 5),
    "webm vp9 opus": ("webm", {"options": VP9}, 10),
    "avi mpeg4": ("avi", {"options": ["-c:v", "mpeg4", *PCM]}, 5),
    "avi mpeg4 B-frames": ("avi", {"options": ["-c:v", "mpeg4", "-bf", "2", *PCM]}, 5),
    "avi h264 B-frames": ("avi", {"options": ["-c:v", "libx264", *PCM]}, 5),
    "flv": ("flv", {"rate": 44100}, 5),
    "44.1 kHz stereo": ("mp4", {"rate": 44100, "channels": 2}, 5),
    "8 kHz mono": ("mp4", {"rate": 8000}, 5),
    "no B-frames": ("mp4", {"options": ["-bf", "0"]}, 5),
    "fragmented mp4": ("mp4", {"options": ["-movflags", "frag_keyframe+empty_moov"]}, 5),
}


@pytest.mark.parametrize("name", FILMS)
def test_picture_and_sound_stay_together(tmp_path, name):
    suffix, arguments, limit = FILMS[name]
    path = film(tmp_path / f"film.{suffix}", **arguments)
    skew = skew_ms(path, arguments.get("fps", 25))
    print(f"SKEW {name}: {skew:+.2f} ms")
    assert abs(skew) <= limit


def test_variable_frame_rate(tmp_path):
    path = tmp_path / "vfr.mp4"
    rng = np.random.default_rng(5)
    times = np.cumsum(rng.choice([17, 33, 40, 50, 120, 300], 60)) / 1000
    times -= times[0]
    total = float(times[-1]) + 0.3
    silent, sound = tmp_path / "silent.mp4", tmp_path / "sound.wav"
    with av.open(str(silent), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(code_picture(number), format="bgr24")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    at = (0.5, 1.7, total - 0.7)
    write_sound(sound, 48000, 1, at, total)
    ffmpeg("-i", silent, "-i", sound, "-c:v", "copy", path)
    errors = picture_errors(path, times)
    assert len(errors) == pytest.approx(times[-1] * 25 + 1, abs=3)
    heard = burst_errors(media.read_audio(path), at)
    skew = 1000 * (heard.mean() - np.median(errors))
    print(f"SKEW VFR: {skew:+.2f} ms")
    assert np.abs(heard).max() < 0.002


def test_gap_in_the_sound_is_silence(tmp_path):
    whole, path = film(tmp_path / "whole.mkv", options=["-c:a", "flac"]), tmp_path / "gap.mkv"
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        streams = {s.index: target.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.size == 0:
                continue
            if packet.stream.type == "audio" and 1.0 < float(packet.pts * packet.time_base) < 2.0:
                continue
            packet.stream = streams[packet.stream.index]
            target.mux(packet)
    sound = media.read_audio(path)
    kept = (BURSTS[0], BURSTS[2], BURSTS[3])
    assert np.abs(burst_errors(sound, kept)).max() < 0.002
    assert np.abs(sound[round(1.2 * RATE) : round(1.9 * RATE)]).max() == 0


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
    muxing.move_sound(source, sound, tmp_path / "out.mkv", 40)
    heard = media.read_audio(tmp_path / "out.mkv")
    assert np.abs(burst_errors(heard, np.array(BURSTS) + 0.04)).max() < 0.002


def test_sound_before_the_first_picture_is_left_out(tmp_path):
    path = film(tmp_path / "early.mp4", late=-0.7)
    sound = media.read_audio(path)
    assert np.abs(burst_errors(sound)).max() < 0.002
    assert len(sound) <= (SECONDS + 0.1) * RATE


# ---------------------------------------------------------------------------- what pictures show


def corners(gray: np.ndarray) -> list[bool]:
    """Which corners are white: top left, top right, bottom left, bottom right."""
    height, width = gray.shape
    places = [(y, x) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)]
    return [bool(gray[place] > 128) for place in places]


@pytest.mark.parametrize(
    ("turn", "expected"),
    [(0, (1, 0, 0, 0)), (90, (0, 0, 1, 0)), (180, (0, 0, 0, 1)), (270, (0, 1, 0, 0))],
)
def test_rotated_films_are_upright(tmp_path, turn, expected):
    """ffmpeg's -display_rotation turns the picture counterclockwise for the viewer."""
    plain, turned = tmp_path / "plain.mp4", tmp_path / "turned.mp4"
    muxing.write_clip(plain, [corner_picture()] * 5, 25, None)
    ffmpeg("-display_rotation", turn, "-i", plain, "-c", "copy", turned)
    upright = tmp_path / "upright.png"
    ffmpeg("-i", turned, "-frames:v", 1, upright)  # turned by ffmpeg itself: the reference
    picture = next(media.read_pictures(turned))
    assert picture.gray.shape == (picture.height, picture.width)
    assert picture.bgr.shape == (picture.height, picture.width, 3)
    assert (picture.width, picture.height) == ((160, 90) if turn % 180 == 0 else (90, 160))
    assert corners(picture.gray) == [bool(corner) for corner in expected]
    assert corners(picture.bgr[..., 1]) == corners(picture.small_bgr(80)[..., 1])
    assert max(picture.small_bgr(80).shape) == 80
    import cv2

    assert corners(cv2.imread(str(upright), cv2.IMREAD_GRAYSCALE)) == corners(picture.gray)


@pytest.mark.parametrize("aspect", [Fraction(4, 3), Fraction(1, 2)])
def test_pixels_that_are_not_square_are_stretched(tmp_path, aspect):
    path = tmp_path / "wide.mp4"
    ffmpeg("-f", "lavfi", "-i", "color=gray:s=120x90:d=0.2",
           "-vf", f"setsar={aspect.numerator}/{aspect.denominator}", path)  # fmt: skip
    picture = next(media.read_pictures(path))
    assert (picture.width, picture.height) == (round(120 * aspect), 90)
    assert picture.gray.shape == (90, round(120 * aspect))


def test_odd_sizes(tmp_path):
    path = tmp_path / "odd.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=101x67:d=0.4:r=25", "-f", "lavfi", "-i",
           "sine=d=0.4", "-pix_fmt", "yuv444p", path)  # fmt: skip
    pictures = list(media.read_pictures(path))
    assert len(pictures) == 10
    assert pictures[0].gray.shape == (67, 101)
    muxing.move_sound(path, None, tmp_path / "odd.webm", 0)
    assert count_pictures(tmp_path / "odd.webm") == 10


@pytest.mark.parametrize(("fps", "count"), [(25, 50), (50, 50), (12.5, 50), (30, 50)])
def test_number_of_pictures(tmp_path, fps, count):
    path = tmp_path / "clip.mp4"
    muxing.write_clip(path, [corner_picture()] * round(2 * fps), fps, None)
    assert sum(1 for _ in media.read_pictures(path)) == count


def test_a_standing_picture_is_one_object(tmp_path):
    path = tmp_path / "slow.mp4"
    muxing.write_clip(path, [corner_picture(), corner_picture()[::-1]], 5, None)
    pictures = list(media.read_pictures(path))
    assert len(pictures) == 10
    assert len({id(picture) for picture in pictures}) == 2


def test_resampling_follows_the_sine(tmp_path):
    """A tone of 440 Hz at 48 kHz stays that tone, in phase, at 16 kHz."""
    at = np.arange(48000) / 48000
    muxing.write_wav(tmp_path / "tone.wav", 0.5 * np.sin(2 * np.pi * 440 * at), 48000)
    sound = media.read_audio(tmp_path / "tone.wav")
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(len(sound)) / RATE)
    assert len(sound) == pytest.approx(RATE, abs=2)
    assert np.abs(sound - expected)[200:-200].max() < 2e-3
    reference = resample_poly(0.5 * np.sin(2 * np.pi * 440 * at), 1, 3)
    assert np.abs(sound[200:15800] - reference[200:15800]).max() < 2e-3


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
    "probe": media.probe,
    "read_audio": media.read_audio,
    "read_pictures": lambda path: list(media.read_pictures(path)),
    "first_picture_s": media.first_picture_s,
    "move_sound": lambda path: muxing.move_sound(path, None, path.with_name("out.mp4"), 0),
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
    for name in ("read_pictures", "first_picture_s", "move_sound"):
        with pytest.raises(NoVideoError, match=r"only\.wav"):
            READERS[name](path)
    assert not media.probe(path).has_video


def test_cover_art_is_no_video(tmp_path):
    cover, path = tmp_path / "cover.png", tmp_path / "song.mp3"
    ffmpeg("-f", "lavfi", "-i", "color=red:s=64x64", "-frames:v", 1, cover)
    ffmpeg("-i", write_sound(tmp_path / "s.wav"), "-i", cover, "-map", 0, "-map", 1,
           "-disposition:v", "attached_pic", path)  # fmt: skip
    with pytest.raises(NoVideoError, match=r"song\.mp3"):
        list(media.read_pictures(path))
    assert np.abs(burst_errors(media.read_audio(path))).max() < 0.002


def test_silent_films_have_no_sound(tmp_path):
    path = tmp_path / "mute.mp4"
    muxing.write_clip(path, [corner_picture()] * 5, 25, None)
    for reader in (READERS["read_audio"], READERS["move_sound"]):
        with pytest.raises(NoAudioError, match=r"mute\.mp4"):
            reader(path)
    assert not (tmp_path / "out.mp4").exists()


def test_damage_in_the_middle_is_passed_over(tmp_path):
    path = film(tmp_path / "film.ts")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2 // 188 * 188
    data[middle : middle + 188 * 6] = np.random.default_rng(3).bytes(188 * 6)
    path.write_bytes(data)
    assert sum(1 for _ in media.read_pictures(path)) == pytest.approx(90, abs=2)
    assert np.abs(burst_errors(media.read_audio(path), [BURSTS[0], BURSTS[3]])).max() < 0.002


ODD_NAMES = ["two words.mp4", "口播.mp4", "mañana.mp4", "it's.mp4", "-dash.mp4", "50%d.mp4"]


@pytest.mark.parametrize("name", ODD_NAMES if os.name == "nt" else [*ODD_NAMES, "a:b.mp4"])
def test_odd_names(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    film(tmp_path / "plain.mp4").rename(tmp_path / name)
    source, target = Path(name), Path("-out " + name)
    assert media.probe(source).has_video
    assert sum(1 for _ in media.read_pictures(source)) == 90
    assert np.abs(burst_errors(media.read_audio(source))).max() < 0.002
    muxing.move_sound(source, source, target, 25)
    assert packets(target) == packets(source)
    assert not list(tmp_path.glob(".*")), "nothing half-written stays"


def test_same_pictures_and_sound_twice(tmp_path):
    path = film(tmp_path / "film.mp4", fps=30)
    one, two = ([p.gray.tobytes() for p in media.read_pictures(path, t)] for t in (1, 2))
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
        list(media.read_pictures(joined))
    with pytest.raises(UnreadableMediaError, match=r"joined\.ts.*jump by 7\d\d\d s"):
        media.read_audio(joined)


def test_the_header_promises_a_length(tmp_path):
    for suffix in ("mp4", "mkv"):
        info = media.probe(film(tmp_path / f"film.{suffix}"))
        assert info.picture_s == pytest.approx(SECONDS, abs=0.05)
    assert media.probe(write_sound(tmp_path / "sound.wav")).picture_s == 0

"""Films of every kind, made on the spot, and what is known of the times in them."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from src.media import reader as media
from tests.support.films import (
    BURSTS,
    HEIGHT,
    MPEG2,
    PCM,
    PS,
    SECONDS,
    VP9,
    WIDTH,
    code_picture,
    ffmpeg,
    field_number,
    film,
    write_sound,
)


@dataclass
class Film:
    """A film and what is known of it, on one clock.

    Attributes:
        path: the file.
        times: when each of its pictures is due, in seconds.
        numbers: what each of these shows.
        sound: the file with the sound, where it is another one.
        bursts: when the bursts are loudest.
    """

    path: Path
    times: np.ndarray
    numbers: np.ndarray | None = None
    sound: Path | None = None
    bursts: tuple[float, ...] = field(default=BURSTS)


def every(fps: float | Fraction = 25, start: float = 0.0) -> np.ndarray:
    rate = float(Fraction(fps).limit_denominator(1001))
    return start + np.arange(int(SECONDS * rate)) / rate


# ---------------------------------------------------------------------------- kinds of films

Maker = Callable[[Path], Film]  # makes the film in a folder


def plain(suffix: str, **arguments) -> Maker:
    """Pictures at a steady rate."""

    def make(folder: Path) -> Film:
        path = film(folder / f"film.{suffix}", **arguments)
        return Film(path, every(arguments.get("fps", 25), arguments.get("picture_late", 0)))

    return make


def interlaced(suffix: str, fields: str, *options) -> Maker:
    """50 fields a second; the first one of a picture is the one to show."""

    def make(folder: Path) -> Film:
        path = film(folder / f"film.{suffix}", fields=fields, options=options)
        numbers = np.array([field_number(2 * k) for k in range(int(SECONDS * 25))])
        return Film(path, every(25), numbers)

    return make


def variable(suffix: str) -> Maker:
    """Pictures that stand for 17 to 300 ms."""

    def make(folder: Path) -> Film:
        steps = np.random.default_rng(5).choice([17, 33, 40, 50, 120, 300], 60)
        stamps = np.concatenate([[0], np.cumsum(steps)])
        stamps = stamps[stamps < 1000 * SECONDS]
        silent, path = folder / "silent.mkv", folder / f"film.{suffix}"
        with av.open(str(silent), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"crf": "18"})
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
            for number, stamp in enumerate(stamps):
                frame = av.VideoFrame.from_ndarray(code_picture(number), format="bgr24")
                frame.pts, frame.time_base = int(stamp), Fraction(1, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        ffmpeg("-i", silent, "-i", write_sound(folder / "sound.wav"), "-c:v", "copy", path)
        return Film(path, stamps / 1000)

    return make


def with_gap(suffix: str, kind: str, **arguments) -> Maker:
    """The packets of one second are missing."""

    def make(folder: Path) -> Film:
        whole, path = film(folder / f"whole.{suffix}", **arguments), folder / f"film.{suffix}"
        times, start, n = every(), media.first_frame_s(whole), 0
        kept = []
        with av.open(str(whole)) as source, av.open(str(path), "w") as target:
            streams = {s.index: target.add_stream_from_template(s) for s in source.streams}
            for packet in source.demux():
                if packet.size == 0:
                    continue
                lost = 1.01 < float(packet.pts * packet.time_base) - start < 2.01
                if packet.stream.type == "video":
                    kept.append(not (lost and kind == "video"))
                if not (lost and packet.stream.type == kind):
                    packet.stream = streams[packet.stream.index]
                    target.mux(packet)
                    n += 1
        assert n < 0.9 * len(kept) * 3
        left = np.flatnonzero(kept)
        if kind == "video":
            return Film(path, times[left], left)
        return Film(path, times, bursts=tuple(b for b in BURSTS if not 0.9 < b < 2.1))

    return make


def late_in_avi(kind: bytes, *options) -> Maker:
    """A stream whose header says that it starts late; ffmpeg reads such files, but writes none."""

    def make(folder: Path) -> Film:
        late = 0.4 if kind == b"auds" else 0.0
        path = film(folder / "film.avi", late=late, **video("-c:v", "mpeg4", *PCM, *options))
        data = bytearray(path.read_bytes())
        header = data.index(b"strh\x38\0\0\0" + kind) + 8
        scale, rate, start = struct.unpack_from("<3I", data, header + 20)
        assert start == 0
        struct.pack_into("<I", data, header + 28, round(0.4 * rate / scale))
        path.write_bytes(data)
        return Film(path, every(start=0.4 - late))

    return make


def cut(suffix: str, start: float, *options, source: dict | None = None) -> Maker:
    """Cut without decoding: an edit list says where to begin."""

    def make(folder: Path) -> Film:
        whole = film(folder / "whole.mp4", **(source or {"options": ["-g", "12"]}))
        path = folder / f"film.{suffix}"
        ffmpeg("-ss", start, "-i", whole, "-c", "copy", *options, path)
        known = source or {}
        return Film(path, every(known.get("fps", 25), known.get("picture_late", 0)))

    return make


def shifted(suffix: str, stream: str, by: float, *options) -> Maker:
    """One stream moved without decoding."""

    def make(folder: Path) -> Film:
        whole, path = film(folder / "whole.mp4"), folder / f"film.{suffix}"
        streams = ("0:v", "1:a") if stream == "a" else ("1:v", "0:a")
        ffmpeg("-i", whole, "-itsoffset", by, "-i", whole, "-map", streams[0], "-map", streams[1],
               "-c", "copy", *options, path)  # fmt: skip
        if stream == "v":
            return Film(path, every(start=by))
        return Film(path, every(), bursts=tuple(b + by for b in BURSTS))

    return make


def with_sound_file(suffix: str, *options, rate=48000) -> Maker:
    """The sound in a file of its own, beside a film whose own sound comes late."""

    def make(folder: Path) -> Film:
        path, sound = film(folder / "film.mp4", late=0.4), folder / f"sound.{suffix}"
        ffmpeg("-i", write_sound(folder / "source.wav", rate), *options, sound)
        return Film(path, every(), sound=sound)

    return make


def turned(suffix: str, turn: int) -> Maker:
    """Stored lying, and a note in the file that says so."""

    def make(folder: Path) -> Film:
        way = {90: "transpose=1", 180: "hflip,vflip", 270: "transpose=2"}[turn]
        lying = film(folder / f"lying.{suffix}", options=["-vf", way])
        path = folder / f"film.{suffix}"
        ffmpeg("-display_rotation", turn, "-i", lying, "-c", "copy", path)
        return Film(path, every())

    return make


def video(*options) -> dict:
    return {"options": list(options)}


INTRA = ["-g", "1", "-bf", "0"]
DV = ["-vf", "scale=720:576:flags=neighbor,tinterlace=interleave_bottom,setfield=bff", "-c:v",
      "dvvideo", "-pix_fmt", "yuv420p", *PCM]  # fmt: skip
FRAGMENTS = ["-movflags", "frag_keyframe+empty_moov"]
NTSC, FILM = Fraction(30000, 1001), Fraction(24000, 1001)

FILMS: dict[str, tuple[Maker, float]] = {
    # rates
    "23.976 fps, mp4": (plain("mp4", fps=FILM), 5),
    "24 fps, mp4": (plain("mp4", fps=24), 5),
    "25 fps, mp4": (plain("mp4"), 5),
    "29.97 fps, mp4": (plain("mp4", fps=NTSC), 5),
    "30 fps, mp4": (plain("mp4", fps=30), 5),
    "50 fps, mp4": (plain("mp4", fps=50), 5),
    "59.94 fps, mp4": (plain("mp4", fps=Fraction(60000, 1001)), 5),
    "60 fps, mp4": (plain("mp4", fps=60), 5),
    "12.5 fps, mp4": (plain("mp4", fps=12.5), 5),
    "23.976 fps, mkv": (plain("mkv", fps=FILM), 5),
    "29.97 fps, ts": (plain("ts", fps=NTSC), 5),
    "29.97 fps, mpg": (plain("mpg", fps=NTSC, **video(*MPEG2)), 5),
    "29.97 fps, avi": (plain("avi", fps=NTSC, **video("-c:v", "mpeg4", *PCM)), 5),
    "29.97 fps, webm": (plain("webm", fps=NTSC, **video(*VP9)), 10),
    "variable rate, mp4": (variable("mp4"), 5),
    "variable rate, mkv": (variable("mkv"), 5),
    "variable rate, ts": (variable("ts"), 5),
    # late starts
    "picture 400 ms late, mp4": (plain("mp4", picture_late=0.4), 5),
    "picture 400 ms late, ts": (plain("ts", picture_late=0.4), 5),
    "picture 400 ms late, mkv": (plain("mkv", picture_late=0.4), 5),
    "picture 400 ms late, webm": (plain("webm", picture_late=0.4, **video(*VP9)), 10),
    "picture 400 ms late, flv": (plain("flv", picture_late=0.4, rate=44100), 5),
    "sound 400 ms late, mp4": (plain("mp4", late=0.4), 5),
    "sound 400 ms late, ts": (plain("ts", late=0.4), 5),
    "sound 400 ms late, mkv": (plain("mkv", late=0.4), 5),
    "sound 400 ms late, webm": (plain("webm", late=0.4, **video(*VP9)), 10),
    "sound 400 ms late, flv": (plain("flv", late=0.4, rate=44100), 5),
    "sound 400 ms late, mpg": (plain("mpg", late=0.4, **video(*PS[:-2])), 5),
    "picture 400 ms late, avi": (late_in_avi(b"vids"), 5),
    "picture with B-frames 400 ms late, avi": (late_in_avi(b"vids", "-bf", "2"), 5),
    "sound 400 ms late, avi": (late_in_avi(b"auds"), 5),
    "sound 300 ms early, mp4": (plain("mp4", late=-0.3), 5),
    # gaps
    "1 s of pictures missing, mkv": (with_gap("mkv", "video", **video(*INTRA)), 5),
    "1 s of pictures missing, ts": (with_gap("ts", "video", **video(*INTRA)), 5),
    "1 s of pictures missing, mp4": (with_gap("mp4", "video", **video(*INTRA)), 5),
    "1 s of sound missing, mkv flac": (with_gap("mkv", "audio", **video("-c:a", "flac")), 5),
    "1 s of sound missing, mkv aac": (with_gap("mkv", "audio"), 5),
    "1 s of sound missing, ts": (with_gap("ts", "audio"), 5),
    # containers and codecs
    "B-frames, mp4": (plain("mp4", **video("-bf", "3", "-b_strategy", "0")), 5),
    "no B-frames, mp4": (plain("mp4", **video("-bf", "0")), 5),
    "44.1 kHz stereo, mp4": (plain("mp4", rate=44100, channels=2), 5),
    "8 kHz mono, mp4": (plain("mp4", rate=8000), 5),
    "hevc, mp4": (plain("mp4", **video("-c:v", "libx265", "-preset", "ultrafast")), 5),
    "mpeg4 + mp3, mp4": (plain("mp4", **video("-c:v", "mpeg4", "-c:a", "libmp3lame")), 5),
    "opus, mp4": (plain("mp4", **video("-c:a", "libopus")), 10),
    "fragmented mp4": (plain("mp4", **video(*FRAGMENTS)), 5),
    "fragmented mp4, sound 400 ms late": (plain("mp4", late=0.4, **video(*FRAGMENTS)), 5),
    "h264 + aac, mov": (plain("mov", fps=50), 5),
    "prores + pcm, mov": (plain("mov", **video("-c:v", "prores_ks", *PCM)), 5),
    "mjpeg + pcm, mov": (plain("mov", **video("-c:v", "mjpeg", "-q:v", "3", *PCM)), 5),
    "mpeg1 + mp2, mpeg-ps": (plain("mpg", rate=44100, **video(*PS)), 5),
    "mpeg2 + ac3, mpeg-ps": (plain("mpg", **video("-c:v", "mpeg2video", "-c:a", "ac3")), 5),
    "h264 + aac, mpeg-ts": (plain("ts"), 5),
    "mpeg2 + mp2, mpeg-ts": (plain("ts", **video(*MPEG2)), 5),
    "hevc, mpeg-ts": (plain("ts", **video("-c:v", "libx265", "-preset", "ultrafast")), 5),
    "h264 + aac, mkv": (plain("mkv"), 5),
    "flac, mkv": (plain("mkv", **video("-c:a", "flac")), 5),
    "mp3, mkv": (plain("mkv", **video("-c:a", "libmp3lame")), 5),
    "vorbis, mkv": (plain("mkv", **video("-c:a", "libvorbis")), 5),
    "pcm, mkv": (plain("mkv", **video(*PCM)), 5),
    "vp9 + opus, webm": (plain("webm", **video(*VP9)), 10),
    "vp8 + vorbis, webm": (plain("webm", **video("-c:v", "libvpx", "-deadline", "realtime",
                                                 "-b:v", "1M", "-c:a", "libvorbis")), 10),
    "av1 + opus, webm": (plain("webm", **video("-c:v", "libsvtav1", "-preset", "12", "-crf", "10",
                                               "-c:a", "libopus")), 10),
    "mpeg4 + pcm, avi": (plain("avi", **video("-c:v", "mpeg4", *PCM)), 5),
    "mpeg4 with B-frames + pcm, avi": (plain("avi", **video("-c:v", "mpeg4", "-bf", "2", *PCM)), 5),
    "h264 with B-frames + pcm, avi": (plain("avi", **video("-c:v", "libx264", *PCM)), 5),
    "mjpeg + pcm, avi": (plain("avi", **video("-c:v", "mjpeg", "-q:v", "3", *PCM)), 5),
    "huffyuv + pcm, avi": (plain("avi", **video("-c:v", "huffyuv", *PCM)), 5),
    "h264 + aac, flv": (plain("flv", rate=44100), 5),
    "flv1 + mp3, flv": (plain("flv", rate=44100, **video("-c:v", "flv1", "-q:v", "3",
                                                         "-c:a", "libmp3lame")), 5),
    "wmv2 + wma, wmv": (plain("wmv", **video("-c:v", "wmv2", "-q:v", "3")), 5),
    "h264 + aac, 3gp": (plain("3gp", **video("-c:v", "libx264", "-c:a", "aac")), 5),
    # edit lists
    "mp4 cut at 0.20 s, on a picture": (cut("mp4", 0.2), 5),
    "mp4 cut at 0.25 s, between pictures": (cut("mp4", 0.25), 5),
    "mp4 cut at 0.30 s, between pictures": (cut("mp4", 0.3), 5),
    "mp4 cut at 0.48 s, on a key picture": (cut("mp4", 0.48), 5),
    "mp4 cut at 0.485 s, after a key picture": (cut("mp4", 0.485), 5),
    "mp4 cut at 1.003 s, between pictures": (cut("mp4", 1.003), 5),
    "mov cut at 0.25 s": (cut("mov", 0.25), 5),
    "29.97 fps mp4 cut at 0.25 s": (cut("mp4", 0.25, source={"fps": NTSC}), 5),
    "mp4 without B-frames cut at 0.5 s": (cut("mp4", 0.5, source=video("-bf", "0")), 5),
    "mp4 with late sound cut at 0.25 s": (cut("mp4", 0.25, source={"late": 0.4}), 5),
    "mp4 with late picture cut at 0.25 s": (cut("mp4", 0.25, source={"picture_late": 0.4}), 5),
    "mp4 cut at 0.25 s, negative offsets": (cut("mp4", 0.25, "-movflags", "negative_cts_offsets"),
                                            5),
    "mp4 cut at 0.25 s, sound encoded anew": (cut("mp4", 0.25, "-c:a", "aac"), 5),
    "mp4 cut at 0.25 s, fragmented": (cut("mp4", 0.25, "-movflags", "frag_keyframe+delay_moov"), 5),
    "mp4 cut at 0.5 s to mkv": (cut("mkv", 0.5), 5),
    "mp4 cut at 0.5 s to ts": (cut("ts", 0.5), 5),
    "mp4, picture moved by +250 ms": (shifted("mp4", "v", 0.25), 5),
    "mp4, picture moved by -250 ms": (shifted("mp4", "v", -0.25), 5),
    "mp4, sound moved by +250 ms": (shifted("mp4", "a", 0.25), 5),
    "mp4, sound moved by -250 ms": (shifted("mp4", "a", -0.25), 5),
    # sound in a file of its own
    "mp4 and wav": (with_sound_file("wav"), 5),
    "mp4 and mp3": (with_sound_file("mp3"), 5),
    "mp4 and m4a": (with_sound_file("m4a"), 5),
    "mp4 and flac": (with_sound_file("flac"), 5),
    "mp4 and ogg": (with_sound_file("ogg", "-c:a", "libvorbis", rate=44100), 5),
    "mp4 and opus": (with_sound_file("opus"), 5),
    "mp4 and aac": (with_sound_file("aac", rate=44100), 5),
    # pictures
    "10-bit h264, mp4": (plain("mp4", **video("-pix_fmt", "yuv420p10le")), 5),
    "10-bit hevc, mp4": (plain("mp4", **video("-c:v", "libx265", "-preset", "ultrafast",
                                              "-pix_fmt", "yuv420p10le")), 5),
    "10-bit vp9, webm": (plain("webm", **video(*VP9, "-pix_fmt", "yuv420p10le")), 10),
    "interlaced mpeg2, top first, ts": (interlaced("ts", "top", *MPEG2), 5),
    "interlaced mpeg2, bottom first, ts": (interlaced("ts", "bottom", *MPEG2), 5),
    "interlaced mpeg2, top first, mpg": (interlaced("mpg", "top", *MPEG2), 5),
    "interlaced mpeg2, bottom first, mpg": (interlaced("mpg", "bottom", *MPEG2), 5),
    "interlaced h264, mkv": (interlaced("mkv", "top", "-x264opts", "tff=1"), 5),
    "interlaced mpeg4 with B-frames, avi": (interlaced("avi", "top", "-c:v", "mpeg4", "-bf", "2",
                                                       "-q:v", "2", *PCM), 5),
    "interlaced DV, avi": (interlaced("avi", "bottom", *DV), 5),
    "interlaced DV, mov": (interlaced("mov", "bottom", *DV), 5),
    "131x97 pixels, mkv": (plain("mkv", **video("-vf", "scale=131:97:flags=neighbor",
                                                "-pix_fmt", "yuv444p")), 5),
    "turned by 90 degrees, mp4": (turned("mp4", 90), 5),
    "turned by 180 degrees, mov": (turned("mov", 180), 5),
    "turned by 270 degrees, mkv": (turned("mkv", 270), 5),
    "pixels twice as wide as high, mp4": (plain("mp4", **video("-vf", "scale=64:96,setsar=2")), 5),
}  # fmt: skip

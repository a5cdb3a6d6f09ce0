"""Synthetic videos of every container, codec and frame rate, with the true times in them."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from src.media import reader
from tests.support.media_files import (
    BURSTS,
    HEIGHT,
    MPEG2,
    PCM,
    PS,
    SECONDS,
    VP9,
    WIDTH,
    code_image,
    ffmpeg,
    field_number,
    make_video,
    write_audio,
)


@dataclass
class TimedVideo:
    """A video and the true times in it, on one clock.

    Attributes:
        path: the file.
        times: when each frame is due, in seconds.
        numbers: what each frame shows.
        audio_path: the file with the audio, if it is another one.
        bursts: when the bursts are loudest.
    """

    path: Path
    times: np.ndarray
    numbers: np.ndarray | None = None
    audio_path: Path | None = None
    bursts: tuple[float, ...] = field(default=BURSTS)


def frame_times(fps: float | Fraction = 25, start: float = 0.0) -> np.ndarray:
    rate = float(Fraction(fps).limit_denominator(1001))
    return start + np.arange(int(SECONDS * rate)) / rate


# ---------------------------------------------------------------------------- kinds of videos

Maker = Callable[[Path], TimedVideo]  # makes the video in a folder


def cfr(suffix: str, **arguments) -> Maker:
    """Constant frame rate."""

    def make(folder: Path) -> TimedVideo:
        path = make_video(folder / f"video.{suffix}", **arguments)
        return TimedVideo(
            path, frame_times(arguments.get("fps", 25), arguments.get("video_start", 0))
        )

    return make


def interlaced(suffix: str, fields: str, *options) -> Maker:
    """50 fields per second; the first field of each frame is the one to output."""

    def make(folder: Path) -> TimedVideo:
        path = make_video(folder / f"video.{suffix}", fields=fields, options=options)
        numbers = np.array([field_number(2 * k) for k in range(int(SECONDS * 25))])
        return TimedVideo(path, frame_times(25), numbers)

    return make


def vfr(suffix: str) -> Maker:
    """Frames displayed for 17 to 300 ms."""

    def make(folder: Path) -> TimedVideo:
        intervals = np.random.default_rng(5).choice([17, 33, 40, 50, 120, 300], 60)
        times_ms = np.concatenate([[0], np.cumsum(intervals)])
        times_ms = times_ms[times_ms < 1000 * SECONDS]
        silent, path = folder / "silent.mkv", folder / f"video.{suffix}"
        with av.open(str(silent), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"crf": "18"})
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
            for number, time_ms in enumerate(times_ms):
                frame = av.VideoFrame.from_ndarray(code_image(number), format="bgr24")
                frame.pts, frame.time_base = int(time_ms), Fraction(1, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        ffmpeg("-i", silent, "-i", write_audio(folder / "sound.wav"), "-c:v", "copy", path)
        return TimedVideo(path, times_ms / 1000)

    return make


def with_gap(suffix: str, kind: str, **arguments) -> Maker:
    """One second of packets is missing."""

    def make(folder: Path) -> TimedVideo:
        whole = make_video(folder / f"whole.{suffix}", **arguments)
        path = folder / f"video.{suffix}"
        times, start, n = frame_times(), reader.first_frame_s(whole), 0
        is_kept = []
        with av.open(str(whole)) as source, av.open(str(path), "w") as target:
            streams = {s.index: target.add_stream_from_template(s) for s in source.streams}
            for packet in source.demux():
                if packet.size == 0:
                    continue
                is_missing = 1.01 < float(packet.pts * packet.time_base) - start < 2.01
                if packet.stream.type == "video":
                    is_kept.append(not (is_missing and kind == "video"))
                if not (is_missing and packet.stream.type == kind):
                    packet.stream = streams[packet.stream.index]
                    target.mux(packet)
                    n += 1
        assert n < 0.9 * len(is_kept) * 3
        numbers = np.flatnonzero(is_kept)
        if kind == "video":
            return TimedVideo(path, times[numbers], numbers)
        return TimedVideo(path, times, bursts=tuple(b for b in BURSTS if not 0.9 < b < 2.1))

    return make


def late_in_avi(kind: bytes, *options) -> Maker:
    """A stream that starts late by its header; ffmpeg reads such files, but does not write them."""

    def make(folder: Path) -> TimedVideo:
        start_s = 0.4 if kind == b"auds" else 0.0
        path = make_video(
            folder / "video.avi", audio_start=start_s, **coded("-c:v", "mpeg4", *PCM, *options)
        )
        data = bytearray(path.read_bytes())
        header = data.index(b"strh\x38\0\0\0" + kind) + 8
        scale, rate, start = struct.unpack_from("<3I", data, header + 20)
        assert start == 0
        struct.pack_into("<I", data, header + 28, round(0.4 * rate / scale))
        path.write_bytes(data)
        return TimedVideo(path, frame_times(start=0.4 - start_s))

    return make


def cut(suffix: str, start: float, *options, source: dict | None = None) -> Maker:
    """Cut without re-encoding: an edit list says where to start."""

    def make(folder: Path) -> TimedVideo:
        whole = make_video(folder / "whole.mp4", **(source or {"options": ["-g", "12"]}))
        path = folder / f"video.{suffix}"
        ffmpeg("-ss", start, "-i", whole, "-c", "copy", *options, path)
        arguments = source or {}
        return TimedVideo(
            path, frame_times(arguments.get("fps", 25), arguments.get("video_start", 0))
        )

    return make


def shifted(suffix: str, stream: str, by: float, *options) -> Maker:
    """One stream shifted without re-encoding."""

    def make(folder: Path) -> TimedVideo:
        whole, path = make_video(folder / "whole.mp4"), folder / f"video.{suffix}"
        streams = ("0:v", "1:a") if stream == "a" else ("1:v", "0:a")
        ffmpeg("-i", whole, "-itsoffset", by, "-i", whole, "-map", streams[0], "-map", streams[1],
               "-c", "copy", *options, path)  # fmt: skip
        if stream == "v":
            return TimedVideo(path, frame_times(start=by))
        return TimedVideo(path, frame_times(), bursts=tuple(b + by for b in BURSTS))

    return make


def with_audio_file(suffix: str, *options, rate=48000) -> Maker:
    """The audio in a file of its own; the audio of the video itself is late."""

    def make(folder: Path) -> TimedVideo:
        path, audio = make_video(folder / "video.mp4", audio_start=0.4), folder / f"audio.{suffix}"
        ffmpeg("-i", write_audio(folder / "source.wav", rate), *options, audio)
        return TimedVideo(path, frame_times(), audio_path=audio)

    return make


def rotated(suffix: str, turn: int) -> Maker:
    """Stored rotated, with rotation metadata."""

    def make(folder: Path) -> TimedVideo:
        filters = {90: "transpose=1", 180: "hflip,vflip", 270: "transpose=2"}[turn]
        stored = make_video(folder / f"stored.{suffix}", options=["-vf", filters])
        path = folder / f"video.{suffix}"
        ffmpeg("-display_rotation", turn, "-i", stored, "-c", "copy", path)
        return TimedVideo(path, frame_times())

    return make


def coded(*options) -> dict:
    return {"options": list(options)}


INTRA = ["-g", "1", "-bf", "0"]
DV = ["-vf", "scale=720:576:flags=neighbor,tinterlace=interleave_bottom,setfield=bff", "-c:v",
      "dvvideo", "-pix_fmt", "yuv420p", *PCM]  # fmt: skip
FRAGMENTS = ["-movflags", "frag_keyframe+empty_moov"]
NTSC, FILM_RATE = Fraction(30000, 1001), Fraction(24000, 1001)

VIDEOS: dict[str, tuple[Maker, float]] = {
    # rates
    "23.976 fps, mp4": (cfr("mp4", fps=FILM_RATE), 5),
    "24 fps, mp4": (cfr("mp4", fps=24), 5),
    "25 fps, mp4": (cfr("mp4"), 5),
    "29.97 fps, mp4": (cfr("mp4", fps=NTSC), 5),
    "30 fps, mp4": (cfr("mp4", fps=30), 5),
    "50 fps, mp4": (cfr("mp4", fps=50), 5),
    "59.94 fps, mp4": (cfr("mp4", fps=Fraction(60000, 1001)), 5),
    "60 fps, mp4": (cfr("mp4", fps=60), 5),
    "12.5 fps, mp4": (cfr("mp4", fps=12.5), 5),
    "23.976 fps, mkv": (cfr("mkv", fps=FILM_RATE), 5),
    "29.97 fps, ts": (cfr("ts", fps=NTSC), 5),
    "29.97 fps, mpg": (cfr("mpg", fps=NTSC, **coded(*MPEG2)), 5),
    "29.97 fps, avi": (cfr("avi", fps=NTSC, **coded("-c:v", "mpeg4", *PCM)), 5),
    "29.97 fps, webm": (cfr("webm", fps=NTSC, **coded(*VP9)), 10),
    "variable frame rate, mp4": (vfr("mp4"), 5),
    "variable frame rate, mkv": (vfr("mkv"), 5),
    "variable frame rate, ts": (vfr("ts"), 5),
    # late starts
    "video 400 ms late, mp4": (cfr("mp4", video_start=0.4), 5),
    "video 400 ms late, ts": (cfr("ts", video_start=0.4), 5),
    "video 400 ms late, mkv": (cfr("mkv", video_start=0.4), 5),
    "video 400 ms late, webm": (cfr("webm", video_start=0.4, **coded(*VP9)), 10),
    "video 400 ms late, flv": (cfr("flv", video_start=0.4, rate=44100), 5),
    "audio 400 ms late, mp4": (cfr("mp4", audio_start=0.4), 5),
    "audio 400 ms late, ts": (cfr("ts", audio_start=0.4), 5),
    "audio 400 ms late, mkv": (cfr("mkv", audio_start=0.4), 5),
    "audio 400 ms late, webm": (cfr("webm", audio_start=0.4, **coded(*VP9)), 10),
    "audio 400 ms late, flv": (cfr("flv", audio_start=0.4, rate=44100), 5),
    "audio 400 ms late, mpg": (cfr("mpg", audio_start=0.4, **coded(*PS[:-2])), 5),
    "video 400 ms late, avi": (late_in_avi(b"vids"), 5),
    "video with B-frames 400 ms late, avi": (late_in_avi(b"vids", "-bf", "2"), 5),
    "audio 400 ms late, avi": (late_in_avi(b"auds"), 5),
    "audio 300 ms early, mp4": (cfr("mp4", audio_start=-0.3), 5),
    # gaps
    "1 s of frames missing, mkv": (with_gap("mkv", "video", **coded(*INTRA)), 5),
    "1 s of frames missing, ts": (with_gap("ts", "video", **coded(*INTRA)), 5),
    "1 s of frames missing, mp4": (with_gap("mp4", "video", **coded(*INTRA)), 5),
    "1 s of audio missing, mkv flac": (with_gap("mkv", "audio", **coded("-c:a", "flac")), 5),
    "1 s of audio missing, mkv aac": (with_gap("mkv", "audio"), 5),
    "1 s of audio missing, ts": (with_gap("ts", "audio"), 5),
    # containers and codecs
    "B-frames, mp4": (cfr("mp4", **coded("-bf", "3", "-b_strategy", "0")), 5),
    "no B-frames, mp4": (cfr("mp4", **coded("-bf", "0")), 5),
    "44.1 kHz stereo, mp4": (cfr("mp4", rate=44100, channels=2), 5),
    "8 kHz mono, mp4": (cfr("mp4", rate=8000), 5),
    "hevc, mp4": (cfr("mp4", **coded("-c:v", "libx265", "-preset", "ultrafast")), 5),
    "mpeg4 + mp3, mp4": (cfr("mp4", **coded("-c:v", "mpeg4", "-c:a", "libmp3lame")), 5),
    "opus, mp4": (cfr("mp4", **coded("-c:a", "libopus")), 10),
    "fragmented mp4": (cfr("mp4", **coded(*FRAGMENTS)), 5),
    "fragmented mp4, audio 400 ms late": (cfr("mp4", audio_start=0.4, **coded(*FRAGMENTS)), 5),
    "h264 + aac, mov": (cfr("mov", fps=50), 5),
    "prores + pcm, mov": (cfr("mov", **coded("-c:v", "prores_ks", *PCM)), 5),
    "mjpeg + pcm, mov": (cfr("mov", **coded("-c:v", "mjpeg", "-q:v", "3", *PCM)), 5),
    "mpeg1 + mp2, mpeg-ps": (cfr("mpg", rate=44100, **coded(*PS)), 5),
    "mpeg2 + ac3, mpeg-ps": (cfr("mpg", **coded("-c:v", "mpeg2video", "-c:a", "ac3")), 5),
    "h264 + aac, mpeg-ts": (cfr("ts"), 5),
    "mpeg2 + mp2, mpeg-ts": (cfr("ts", **coded(*MPEG2)), 5),
    "hevc, mpeg-ts": (cfr("ts", **coded("-c:v", "libx265", "-preset", "ultrafast")), 5),
    "h264 + aac, mkv": (cfr("mkv"), 5),
    "flac, mkv": (cfr("mkv", **coded("-c:a", "flac")), 5),
    "mp3, mkv": (cfr("mkv", **coded("-c:a", "libmp3lame")), 5),
    "vorbis, mkv": (cfr("mkv", **coded("-c:a", "libvorbis")), 5),
    "pcm, mkv": (cfr("mkv", **coded(*PCM)), 5),
    "vp9 + opus, webm": (cfr("webm", **coded(*VP9)), 10),
    "vp8 + vorbis, webm": (cfr("webm", **coded("-c:v", "libvpx", "-deadline", "realtime",
                                                 "-b:v", "1M", "-c:a", "libvorbis")), 10),
    "av1 + opus, webm": (cfr("webm", **coded("-c:v", "libsvtav1", "-preset", "12", "-crf", "10",
                                               "-c:a", "libopus")), 10),
    "mpeg4 + pcm, avi": (cfr("avi", **coded("-c:v", "mpeg4", *PCM)), 5),
    "mpeg4 with B-frames + pcm, avi": (cfr("avi", **coded("-c:v", "mpeg4", "-bf", "2", *PCM)), 5),
    "h264 with B-frames + pcm, avi": (cfr("avi", **coded("-c:v", "libx264", *PCM)), 5),
    "mjpeg + pcm, avi": (cfr("avi", **coded("-c:v", "mjpeg", "-q:v", "3", *PCM)), 5),
    "huffyuv + pcm, avi": (cfr("avi", **coded("-c:v", "huffyuv", *PCM)), 5),
    "h264 + aac, flv": (cfr("flv", rate=44100), 5),
    "flv1 + mp3, flv": (cfr("flv", rate=44100, **coded("-c:v", "flv1", "-q:v", "3",
                                                         "-c:a", "libmp3lame")), 5),
    "wmv2 + wma, wmv": (cfr("wmv", **coded("-c:v", "wmv2", "-q:v", "3")), 5),
    "h264 + aac, 3gp": (cfr("3gp", **coded("-c:v", "libx264", "-c:a", "aac")), 5),
    # edit lists
    "mp4 cut at 0.20 s, on a frame": (cut("mp4", 0.2), 5),
    "mp4 cut at 0.25 s, between frames": (cut("mp4", 0.25), 5),
    "mp4 cut at 0.30 s, between frames": (cut("mp4", 0.3), 5),
    "mp4 cut at 0.48 s, on a keyframe": (cut("mp4", 0.48), 5),
    "mp4 cut at 0.485 s, after a keyframe": (cut("mp4", 0.485), 5),
    "mp4 cut at 1.003 s, between frames": (cut("mp4", 1.003), 5),
    "mov cut at 0.25 s": (cut("mov", 0.25), 5),
    "29.97 fps mp4 cut at 0.25 s": (cut("mp4", 0.25, source={"fps": NTSC}), 5),
    "mp4 without B-frames cut at 0.5 s": (cut("mp4", 0.5, source=coded("-bf", "0")), 5),
    "mp4 with late audio cut at 0.25 s": (cut("mp4", 0.25, source={"audio_start": 0.4}), 5),
    "mp4 with late video cut at 0.25 s": (cut("mp4", 0.25, source={"video_start": 0.4}), 5),
    "mp4 cut at 0.25 s, negative offsets": (cut("mp4", 0.25, "-movflags", "negative_cts_offsets"),
                                            5),
    "mp4 cut at 0.25 s, audio re-encoded": (cut("mp4", 0.25, "-c:a", "aac"), 5),
    "mp4 cut at 0.25 s, fragmented": (cut("mp4", 0.25, "-movflags", "frag_keyframe+delay_moov"), 5),
    "mp4 cut at 0.5 s to mkv": (cut("mkv", 0.5), 5),
    "mp4 cut at 0.5 s to ts": (cut("ts", 0.5), 5),
    "mp4, video shifted by +250 ms": (shifted("mp4", "v", 0.25), 5),
    "mp4, video shifted by -250 ms": (shifted("mp4", "v", -0.25), 5),
    "mp4, audio shifted by +250 ms": (shifted("mp4", "a", 0.25), 5),
    "mp4, audio shifted by -250 ms": (shifted("mp4", "a", -0.25), 5),
    # audio in a file of its own
    "mp4 and wav": (with_audio_file("wav"), 5),
    "mp4 and mp3": (with_audio_file("mp3"), 5),
    "mp4 and m4a": (with_audio_file("m4a"), 5),
    "mp4 and flac": (with_audio_file("flac"), 5),
    "mp4 and ogg": (with_audio_file("ogg", "-c:a", "libvorbis", rate=44100), 5),
    "mp4 and opus": (with_audio_file("opus"), 5),
    "mp4 and aac": (with_audio_file("aac", rate=44100), 5),
    # pixel formats, fields, sizes
    "10-bit h264, mp4": (cfr("mp4", **coded("-pix_fmt", "yuv420p10le")), 5),
    "10-bit hevc, mp4": (cfr("mp4", **coded("-c:v", "libx265", "-preset", "ultrafast",
                                              "-pix_fmt", "yuv420p10le")), 5),
    "10-bit vp9, webm": (cfr("webm", **coded(*VP9, "-pix_fmt", "yuv420p10le")), 10),
    "interlaced mpeg2, top first, ts": (interlaced("ts", "top", *MPEG2), 5),
    "interlaced mpeg2, bottom first, ts": (interlaced("ts", "bottom", *MPEG2), 5),
    "interlaced mpeg2, top first, mpg": (interlaced("mpg", "top", *MPEG2), 5),
    "interlaced mpeg2, bottom first, mpg": (interlaced("mpg", "bottom", *MPEG2), 5),
    "interlaced h264, mkv": (interlaced("mkv", "top", "-x264opts", "tff=1"), 5),
    "interlaced mpeg4 with B-frames, avi": (interlaced("avi", "top", "-c:v", "mpeg4", "-bf", "2",
                                                       "-q:v", "2", *PCM), 5),
    "interlaced DV, avi": (interlaced("avi", "bottom", *DV), 5),
    "interlaced DV, mov": (interlaced("mov", "bottom", *DV), 5),
    "131x97 pixels, mkv": (cfr("mkv", **coded("-vf", "scale=131:97:flags=neighbor",
                                                "-pix_fmt", "yuv444p")), 5),
    "rotated by 90 degrees, mp4": (rotated("mp4", 90), 5),
    "rotated by 180 degrees, mov": (rotated("mov", 180), 5),
    "rotated by 270 degrees, mkv": (rotated("mkv", 270), 5),
    "pixels twice as wide as high, mp4": (cfr("mp4", **coded("-vf", "scale=64:96,setsar=2")), 5),
}  # fmt: skip

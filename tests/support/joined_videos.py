"""Videos made of several recordings, one after the other, joined byte by byte."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.media_files import VP9, ffmpeg, make_video

H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-c:a", "aac", "-ar", "44100"]
KINDS = {
    "ts": H264, "flv": H264, "mkv": H264, "webm": VP9,
    "mpg": ["-c:v", "mpeg1video", "-q:v", "2", "-c:a", "mp2"],
    "vob": ["-c:v", "mpeg2video", "-q:v", "2", "-c:a", "ac3"],
}  # fmt: skip
FLV_HEADER = 13  # bytes, without which live-stream recorders append
HALF = 1.8  # s


def join(folder: Path, suffix: str, *parts: tuple) -> Path:
    """Parts of one video, each made with other options of ffmpeg, one behind the other."""
    path = folder / f"joined.{suffix}"
    first, *others = (make_part(suffix, *options) for options in parts)
    path.write_bytes(first + b"".join(o[FLV_HEADER if suffix == "flv" else 0 :] for o in others))
    return path


@cache
def make_part(suffix: str, start: float, stop: float, *options) -> bytes:
    with TemporaryDirectory() as folder:
        whole, part = make_video(Path(folder) / "whole.mp4"), Path(folder) / f"part.{suffix}"
        ffmpeg("-ss", start, "-to", stop, "-i", whole, *KINDS.get(suffix, ()), *options, part)
        return part.read_bytes()


def span(start: float, stop: float, *options) -> tuple:
    return (start, stop, *options)


FIRST, SECOND = span(0, HALF), span(HALF, 3.6)
FRAGMENTS = ("-movflags", "frag_keyframe+empty_moov+default_base_moof")

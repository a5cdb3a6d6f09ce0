"""Videos that no browser plays: what phones and cameras record, and old files."""

import subprocess
from pathlib import Path

import imageio_ffmpeg
import pytest

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
# (encoder, further options of ffmpeg) by the name of the file.
KINDS = {
    "hevc.mov": ("libx265", ["-tag:v", "hvc1", "-x265-params", "log-level=error", "-c:a", "aac"]),
    "prores.mov": ("prores_ks", ["-c:a", "pcm_s16le"]),
    "old.avi": ("mpeg4", ["-c:a", "pcm_s16le"]),
}


def unplayable_copy(clip: Path, name: str, folder: Path) -> Path:
    """A copy of a clip as one of the ``KINDS``; where ffmpeg lacks that, the test is skipped."""
    encoder, options = KINDS[name]
    encoders = subprocess.run([FFMPEG, "-hide_banner", "-encoders"], capture_output=True, text=True)
    if f" {encoder} " not in encoders.stdout:
        pytest.skip(f"ffmpeg has no encoder {encoder}")
    path = folder / name
    subprocess.run([FFMPEG, "-v", "error", "-i", clip, "-c:v", encoder, *options, path], check=True)
    return path

"""Encrypted media is said to be encrypted, not silent, damaged or incomplete."""

from pathlib import Path

import pytest

from src.core.errors import UnreadableMediaError
from src.media.reader import read_audio, read_frames
from tests.support.media_files import ffmpeg, make_video


def common_encryption(folder: Path) -> Path:
    """As streaming services encrypt (CENC): video and audio."""
    path = folder / "encrypted.mp4"
    ffmpeg(
        "-i", make_video(folder / "plain.mp4"), "-c", "copy",
        "-encryption_scheme", "cenc-aes-ctr", "-encryption_kid", "a7e61c373e219033c21091fa607bf3b8",
        "-encryption_key", "76a6c65c5ea762046bd749a2e632ccbb", path,
    )  # fmt: skip
    return path


def fairplay(folder: Path) -> Path:
    """Audio that is marked as shops mark theirs."""
    content = make_video(folder / "plain.mp4").read_bytes()
    assert content.count(b"mp4a") == 1
    path = folder / "bought.m4v"
    path.write_bytes(content.replace(b"mp4a", b"drms"))
    return path


def test_encrypted_video_and_audio_are_said(tmp_path):
    path = common_encryption(tmp_path)
    for read in (read_audio, lambda path: next(read_frames(path))):
        with pytest.raises(UnreadableMediaError, match=r"encrypted\.mp4 is encrypted \(DRM\)"):
            read(path)


def test_encrypted_audio_is_said(tmp_path):
    path = fairplay(tmp_path)
    with pytest.raises(
        UnreadableMediaError,
        match=r"^the audio of .*bought\.m4v is encrypted \(DRM\): use a copy without it$",
    ):
        read_audio(path)
    assert sum(1 for _ in read_frames(path)) == 90

"""Previews: what no browser plays becomes H.264 and AAC."""

import subprocess
from types import SimpleNamespace

import av
import imageio_ffmpeg
import pytest

from src.web.previews import is_playable, make_preview
from tools.synthetic_talker import make_clip

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
SECONDS = 1.0
# What phones and cameras record, and old files.
KINDS = {
    "hevc.mov": ("libx265", ["-tag:v", "hvc1", "-c:a", "aac"]),
    "prores.mov": ("prores_ks", ["-c:a", "pcm_s16le"]),
    "old.avi": ("mpeg4", ["-c:a", "pcm_s16le"]),
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    make_clip(path, 1, SECONDS)
    return path


@pytest.mark.parametrize("name", KINDS)
def test_what_no_browser_plays_is_re_encoded(clip, name, tmp_path):
    encoder, options = KINDS[name]
    encoders = subprocess.run([FFMPEG, "-hide_banner", "-encoders"], capture_output=True, text=True)
    if f" {encoder} " not in encoders.stdout:
        pytest.skip(f"ffmpeg has no encoder {encoder}")
    path = tmp_path / name
    subprocess.run([FFMPEG, "-v", "error", "-i", clip, "-c:v", encoder, *options, path], check=True)
    assert not is_playable(path)
    work = SimpleNamespace(folder=tmp_path, report=lambda *_: None)
    preview = make_preview(work, path, None, "before")
    assert preview != path and is_playable(preview)
    with av.open(preview) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert abs(container.duration / av.time_base - SECONDS) < 0.2
        assert len(list(container.decode(video=0))) == round(25 * SECONDS)


def test_what_browsers_play_is_its_own_preview(clip, tmp_path):
    work = SimpleNamespace(folder=tmp_path)
    assert make_preview(work, clip, None, "before") == clip

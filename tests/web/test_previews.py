"""Previews: what no browser plays becomes H.264 and AAC."""

from types import SimpleNamespace

import av
import pytest

from src.web.previews import is_playable, make_preview
from tests.support.unplayable import KINDS, unplayable_copy
from tools.synthetic_talker import make_clip

SECONDS = 1.0


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    make_clip(path, 1, SECONDS)
    return path


@pytest.mark.parametrize("name", KINDS)
def test_what_no_browser_plays_is_re_encoded(clip, name, tmp_path):
    path = unplayable_copy(clip, name, tmp_path)
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

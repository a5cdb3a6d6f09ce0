"""What several tests share: the language of the messages and clips of a drawn talker."""

import os
import signal

os.environ["LIPSYNC_LANG"] = "en"  # before anything asks for it; commands inherit it
# The processes of pytest-xdist ignore Ctrl+C, and commands inherit that; some tests send it them.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest


@pytest.fixture(scope="session")
def talking_clip(tmp_path_factory):
    """2 s of a drawn face that speaks, 25 fps, in sync."""
    from tools.synthetic_talker import make_clip

    path = tmp_path_factory.mktemp("talker") / "anna.mp4"
    make_clip(path, 1, 2.0)
    return path


@pytest.fixture(scope="session")
def retinaface():
    from src.config import DataConfig
    from src.face_detectors import make_detector

    return make_detector(DataConfig())

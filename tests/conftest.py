"""What several tests share: the language of the messages and clips of a drawn talker."""

import os
import signal
from pathlib import Path

os.environ["LIPSYNC_LANG"] = "en"  # before anything asks for it; commands inherit it
# The processes of pytest-xdist ignore Ctrl+C, and commands inherit that; some tests send it them.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# As many test at a time as there are cores: threads would only wait for each other.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

# What takes minutes begins first, or one process would be left with it in the end. The first needs
# no corpus: the process that has the second makes it meanwhile.
LONGEST = (
    "real/test_one_speaker.py",
    "training/test_resume.py",
    "real/test_corrected_offsets.py",
    "real/test_unseen_speakers.py",
    "cleaning/test_cross_fitting.py",
    "training/test_killed_trainings.py",
    "preprocessing/test_length.py",
    "training/test_loop.py",
    "real/test_two_people.py",
    "tools/test_demo.py",
    "preprocessing/test_bad_clips.py",
    "pipeline/test_fuzz.py",
    "real/test_live.py",
)


def pytest_collection_modifyitems(items):
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(autouse=True)
def console():
    """What packages log is printed, as in a command."""
    from src.core.console import console_logging

    with console_logging():
        yield


@pytest.fixture(scope="session")
def talking_clip(tmp_path_factory):
    """2 s of a drawn face that speaks, 25 fps, in sync."""
    from tools.synthetic_talker import make_clip

    path = tmp_path_factory.mktemp("talker") / "anna.mp4"
    make_clip(path, 1, 2.0)
    return path


@pytest.fixture(scope="session")
def retinaface():
    from src.core.config import DataConfig
    from src.faces.detection import make_detector

    return make_detector(DataConfig())

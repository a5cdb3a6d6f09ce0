"""Fixtures of small clips, and of processing them without processes."""

import shutil
from pathlib import Path

import pytest

from src.dataset import build
from tests.support.processing_helpers import processed, run_here, variant, work_here
from tools.synthetic_talker import make_clip


@pytest.fixture
def here(monkeypatch):
    """Clips are processed in this process."""
    monkeypatch.setattr(build, "map_in_processes", work_here)


@pytest.fixture
def command_here(here, monkeypatch, capsys):
    """``command_here(folder, …)``: status, output and errors of the command, run here."""
    return lambda folder, *more, **changes: run_here(monkeypatch, capsys, folder, *more, **changes)


@pytest.fixture(scope="session")
def short_clip(tmp_path_factory) -> Path:
    """0.8 s of a drawn face that speaks."""
    path = tmp_path_factory.mktemp("short") / "clip.mp4"
    make_clip(path, 3, 0.8)
    return path


@pytest.fixture(scope="session")
def two(tmp_path_factory, short_clip) -> Path:
    """A folder with two clips, processed."""
    folder = tmp_path_factory.mktemp("two")
    for number in (1, 2):
        variant(short_clip, folder / "videos" / f"{number}.mp4", number)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "map_in_processes", work_here)
        assert len(processed(folder).samples) == 2
    return folder


@pytest.fixture
def done(two, tmp_path) -> Path:
    """A copy of it."""
    shutil.copytree(two, tmp_path / "done")
    return tmp_path / "done"

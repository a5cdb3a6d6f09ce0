"""Fixtures: small clips, and processing them in this process."""

import shutil
from functools import partial
from pathlib import Path

import pytest

from src.dataset import build
from tests.support.processing_helpers import (
    map_in_this_process,
    process_folder,
    run_in_process,
    write_variant,
)
from tools.synthetic_talker import make_clip


@pytest.fixture
def in_process(monkeypatch):
    """Clips are processed in this process."""
    monkeypatch.setattr(build, "map_in_processes", map_in_this_process)


@pytest.fixture
def run_script(in_process, monkeypatch, capsys):
    """``run_script(folder, …)``: status, stdout and stderr of the command, run in this process."""
    return partial(run_in_process, monkeypatch, capsys)


@pytest.fixture(scope="session")
def short_clip(tmp_path_factory) -> Path:
    """0.8 s of a synthetic talking head."""
    path = tmp_path_factory.mktemp("short") / "clip.mp4"
    make_clip(path, 3, 0.8)
    return path


@pytest.fixture(scope="session")
def two_clips(tmp_path_factory, short_clip) -> Path:
    """A folder with two processed clips; not to be changed."""
    folder = tmp_path_factory.mktemp("two_clips")
    for number in (1, 2):
        write_variant(short_clip, folder / "videos" / f"{number}.mp4", number)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "map_in_processes", map_in_this_process)
        assert len(process_folder(folder).samples) == 2
    return folder


@pytest.fixture
def clip_folder(two_clips, tmp_path) -> Path:
    """A copy of ``two_clips``."""
    shutil.copytree(two_clips, tmp_path / "clips")
    return tmp_path / "clips"

"""Running data_processing on folders of small clips."""

import csv
import os
import struct
import subprocess
import sys
from pathlib import Path

from src import data_processing
from src.core import cli
from src.core.config import DEFAULT_CONFIG, Config, load_config
from src.dataset import build
from src.dataset.clips import find_clips
from src.dataset.index import INDEX_NAME, read_index
from src.preprocessing.track_file import read_sample

SCRIPT = Path(data_processing.__file__)
ROOT = SCRIPT.parents[1]


def data_settings(folder: Path, **changes) -> list[str]:
    """``data.key=value``: all folders under ``folder``, one worker."""
    data = {
        "video_dir": folder / "videos",
        "audio_dir": folder / "audios",
        "processed_dir": folder / "processed",
        "num_workers": 1,
    } | changes
    return [f"data.{key}={value}" for key, value in data.items()]


def settings_in(folder: Path, **changes) -> Config:
    return load_config(None, data_settings(folder, **changes))


def arguments(folder: Path, *more: str, **changes) -> list[str]:
    """What stands after the script's name."""
    pairs = [part for text in data_settings(folder, **changes) for part in ("--set", text)]
    return ["--config", str(DEFAULT_CONFIG), *pairs, *more]


def command(folder: Path, *more: str, **changes) -> list[str]:
    return [sys.executable, str(SCRIPT), *arguments(folder, *more, **changes)]


def run_command(folder: Path, *more: str, **changes) -> subprocess.CompletedProcess:
    """As a user would, in a process of its own."""
    return subprocess.run(
        command(folder, *more, **changes), capture_output=True, encoding="utf-8", timeout=120,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def run_here(monkeypatch, capsys, folder: Path, *more: str, **changes) -> tuple[int, str, str]:
    """The command in this process: its status, what it printed, its errors."""
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments(folder, *more, **changes)])
    try:
        cli.run(data_processing.main)
    except SystemExit as end:
        said = capsys.readouterr()
        return end.code, said.out, said.err
    raise AssertionError("a command ends with a status")


def work_here(work, context, jobs, _n_workers):
    """Stands for ``map_in_processes``, without processes: they take seconds to start."""
    for job in jobs:
        yield job, work(context, job)


def processed(folder: Path, *more, **changes) -> build.ProcessingReport:
    config = settings_in(folder, **changes)
    return build.process_clips(config, find_clips(config.data), *more)


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def variant(source: Path, target: Path, number: int) -> Path:
    """An mp4 with other bytes that decodes to the same: a box is added that players pass over."""
    target.parent.mkdir(parents=True, exist_ok=True)
    extra = str(number).encode()
    target.write_bytes(source.read_bytes() + struct.pack(">I4s", 8 + len(extra), b"free") + extra)
    return target


def records_of(folder: Path, index_name: str = INDEX_NAME) -> list[dict]:
    """Records of an index, after each was seen to lead to a whole sample of its length."""
    records = read_index(folder / "processed" / index_name)["samples"]
    for record in records:
        sample = read_sample(folder / "processed" / record["file"])
        assert len(sample) == record["n_frames"]
    return records


def by_clip(folder: Path, index_name: str = INDEX_NAME) -> dict[str, dict]:
    """The first record of each clip."""
    first = {}
    for record in records_of(folder, index_name):
        first.setdefault(record["clip"], record)
    return first


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under a folder."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def sample_names(folder: Path) -> set[str]:
    """What lies in the folder of the samples, hidden or not."""
    return {path.name for path in (folder / "processed" / "samples").iterdir()}


def files_of(folder: Path) -> set[str]:
    """Names of the samples the index names."""
    return {Path(record["file"]).name for record in records_of(folder)}


def table(path: Path) -> list[list[str]]:
    """A table without its head; it begins with the mark that spreadsheets know UTF-8 by."""
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))[1:]

"""Run data_processing on folders of small clips."""

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
from src.preprocessing.sample_file import read_sample
from tests.support.limits import HANG_S

SCRIPT = Path(data_processing.__file__)
ROOT = SCRIPT.parents[1]


def data_settings(folder: Path, **changes) -> list[str]:
    """Settings ``data.key=value``: all folders under ``folder``, one worker."""
    data = {
        "video_dir": folder / "videos",
        "audio_dir": folder / "audios",
        "processed_dir": folder / "processed",
        "num_workers": 1,
    } | changes
    return [f"data.{key}={value}" for key, value in data.items()]


def settings_in(folder: Path, **changes) -> Config:
    return load_config(None, data_settings(folder, **changes))


def arguments(folder: Path, *options: str, **changes) -> list[str]:
    """Command-line arguments after the script's name."""
    pairs = [part for text in data_settings(folder, **changes) for part in ("--set", text)]
    return ["--config", str(DEFAULT_CONFIG), *pairs, *options]


def command(folder: Path, *options: str, **changes) -> list[str]:
    return [sys.executable, str(SCRIPT), *arguments(folder, *options, **changes)]


def run_command(folder: Path, *options: str, **changes) -> subprocess.CompletedProcess:
    """As a user would, in a process of its own."""
    return subprocess.run(
        command(folder, *options, **changes), capture_output=True, encoding="utf-8", timeout=HANG_S,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def run_in_process(
    monkeypatch, capsys, folder: Path, *options: str, **changes
) -> tuple[int, str, str]:
    """Run the command in this process: its status, stdout and stderr."""
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments(folder, *options, **changes)])
    try:
        cli.run(data_processing.main)
    except SystemExit as end:
        captured = capsys.readouterr()
        return end.code, captured.out, captured.err
    raise AssertionError("a command ends with a status")


def map_in_this_process(work, context, jobs, _n_workers, _timeout_s):
    """Replaces ``map_in_processes``: processes take seconds to start."""
    for job in jobs:
        yield job, work(context, job)


def process_folder(folder: Path, *arguments, **changes) -> build.ProcessingReport:
    config = settings_in(folder, **changes)
    return build.process_clips(config, find_clips(config.data), *arguments)


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def write_variant(source: Path, target: Path, number: int) -> Path:
    """Write a copy of an mp4 that decodes to the same, with an extra box that players ignore."""
    target.parent.mkdir(parents=True, exist_ok=True)
    extra = str(number).encode()
    target.write_bytes(source.read_bytes() + struct.pack(">I4s", 8 + len(extra), b"free") + extra)
    return target


def records_of(folder: Path, index_name: str = INDEX_NAME) -> list[dict]:
    """Records of an index; each must lead to a complete sample of its length."""
    records = read_index(folder / "processed" / index_name)["samples"]
    for record in records:
        sample = read_sample(folder / "processed" / record["file"])
        assert len(sample) == record["n_frames"]
    return records


def by_clip(folder: Path, index_name: str = INDEX_NAME) -> dict[str, dict]:
    """The first record of each clip."""
    record_by_clip = {}
    for record in records_of(folder, index_name):
        record_by_clip.setdefault(record["clip"], record)
    return record_by_clip


def contents(folder: Path) -> dict[str, bytes]:
    """Content of every file under a folder, by path."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def sample_names(folder: Path) -> set[str]:
    """Names in the folder of the samples, hidden ones included."""
    return {path.name for path in (folder / "processed" / "samples").iterdir()}


def files_of(folder: Path) -> set[str]:
    """File names of the samples in the index."""
    return {Path(record["file"]).name for record in records_of(folder)}


def read_rows(path: Path) -> list[list[str]]:
    """A table without its header; it begins with a byte order mark for spreadsheets."""
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))[1:]

"""Running the commands on a small corpus with a small network."""

import importlib
import io
import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import torch

from src.core.cli import make_parser, run, settings_of
from src.core.config import Config

ROOT = Path(__file__).resolve().parents[2]
# A small network on small crops learns one drawn talker in seconds.
SMALL = {
    "data.input_size": 48,
    "model.view": "lower_face",
    "model.hidden_dim": 64,
    "model.dropout": 0.2,
    "training.device": "cpu",
    "training.batch_size": 4,
    "training.clip_frames": 48,
    "training.learning_rate": 0.003,
    "training.warmup_epochs": 2,
    "training.num_epochs": 16,
    "training.augment": False,
}


def settings_for(folder: Path, **changes) -> list[str]:
    """``--set`` arguments: the small settings, all folders under ``folder``."""
    folders = {
        "data.video_dir": folder / "videos",
        "data.audio_dir": folder / "audios",
        "data.processed_dir": folder / "processed",
        "paths.checkpoint_dir": folder / "checkpoints",
        "paths.log_dir": folder / "logs",
        "paths.output_dir": folder / "outputs",
    }
    settings = SMALL | folders | {key.replace("__", "."): value for key, value in changes.items()}
    return [
        part
        for key, value in settings.items()
        for part in ("--set", f"{key}={json.dumps(value, default=str)}")
    ]


def config_of(arguments: list[str]) -> Config:
    return settings_of(make_parser("", "").parse_args(arguments))


def run_script(script: str, *arguments, language: str = "en", **options):
    """Run a command of the project as a user would, in a process of its own."""
    # One thread: on cores that others use, too, the threads of torch wait for each other.
    environment = os.environ | {
        "LIPSYNC_LANG": language, "PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, str(ROOT / script), *map(str, arguments)],
        capture_output=True, text=True, encoding="utf-8", env=environment, cwd=ROOT,
        timeout=280, **options,
    )  # fmt: skip


def call_script(script: str, *arguments, language: str = "en") -> subprocess.CompletedProcess:
    """The same in this process, which need not start and import torch first."""
    main = importlib.import_module(script.removesuffix(".py").replace("/", ".")).main
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", [script, *map(str, arguments)])
        patch.setenv("LIPSYNC_LANG", language)
        with pytest.raises(SystemExit) as end:
            run(main)
    said = (stream.buffer.getvalue().decode("utf-8") for stream in (out, err))
    return subprocess.CompletedProcess(arguments, end.value.code, *said)


def assert_one_line(done, *words: str) -> None:
    """The command failed as a user's mistake should: status 2 and one line that says what."""
    assert done.returncode == 2, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and "Traceback" not in done.stderr, done.stderr
    for word in words:
        assert word in lines[0]


def losses(said: str) -> list[tuple[float, ...]]:
    """(train loss, accuracy, validation loss, accuracy) of each epoch."""
    numbers = re.findall(r"(?:loss|accuracy): (\d+\.\d{4})", said)
    return [tuple(map(float, numbers[i : i + 4])) for i in range(0, len(numbers), 4)]


def differences(one, other, place: str = "") -> list[str]:
    """Where two checkpoints differ in any bit; settings and names of files apart."""
    if isinstance(one, dict) and isinstance(other, dict) and set(one) == set(other):
        inside = [(one[key], other[key], f"{place}/{key}") for key in one
                  if key not in ("config", "periodic")]  # fmt: skip
    elif isinstance(one, (list, tuple)) and len(one) == len(other):
        inside = [(a, b, f"{place}/{n}") for n, (a, b) in enumerate(zip(one, other, strict=True))]
    else:
        tensors = isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor)
        same = torch.equal(one, other) if tensors else one == other
        return [] if same else [place]
    return [found for pair in inside for found in differences(*pair)]

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
from tests.support.limits import HANG_S

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
        timeout=HANG_S, **options,
    )  # fmt: skip


def call_script(script: str, *arguments, language: str = "en") -> subprocess.CompletedProcess:
    """The same in this process, which saves starting Python and importing torch."""
    main = importlib.import_module(script.removesuffix(".py").replace("/", ".")).main
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", [script, *map(str, arguments)])
        patch.setenv("LIPSYNC_LANG", language)
        with pytest.raises(SystemExit) as end:
            run(main)
    outputs = (stream.buffer.getvalue().decode("utf-8") for stream in (out, err))
    return subprocess.CompletedProcess(arguments, end.value.code, *outputs)


def assert_one_line(done, *words: str) -> None:
    """The command failed as for any invalid input: status 2 and one line with these words."""
    assert done.returncode == 2, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and "Traceback" not in done.stderr, done.stderr
    for word in words:
        assert word in lines[0]


def losses(stdout: str) -> list[tuple[float, ...]]:
    """(train loss, accuracy, validation loss, accuracy) of each epoch."""
    numbers = re.findall(r"(?:loss|accuracy): (\d+\.\d{4})", stdout)
    return [tuple(map(float, numbers[i : i + 4])) for i in range(0, len(numbers), 4)]


def differences(first, second, key: str = "") -> list[str]:
    """The keys in which two checkpoints differ in any bit; settings and file names are ignored."""
    if isinstance(first, dict) and isinstance(second, dict) and set(first) == set(second):
        pairs = [(first[name], second[name], f"{key}/{name}") for name in first
                 if name not in ("config", "periodic")]  # fmt: skip
    elif isinstance(first, (list, tuple)) and len(first) == len(second):
        pairs = [
            (a, b, f"{key}/{index}") for index, (a, b) in enumerate(zip(first, second, strict=True))
        ]
    else:
        are_tensors = isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor)
        is_equal = torch.equal(first, second) if are_tensors else first == second
        return [] if is_equal else [key]
    return [difference for pair in pairs for difference in differences(*pair)]

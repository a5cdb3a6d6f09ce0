"""Several processes train together: as one would, with one writer, and they end together."""

import json
import multiprocessing
import os
import signal
import socket
from pathlib import Path

import pytest
import torch

from src.core.config import Config, load_config
from src.core.errors import ConfigError
from src.dataset.index import INDEX_NAME
from src.dataset.samples import load_samples
from src.training import loop
from src.training import team as team_module
from src.training.loop import train_epoch, validate
from src.training.state import new_model, new_state
from src.training.team import Team, team_joined
from tests.support.noise_samples import write_noise

STEPS = 12


def settings(folder, **changes) -> Config:
    training = {"batch_size": 8, "clip_frames": 32, "device": "cpu", "augment": "false",
                "speaker_balance": 0.0, "num_epochs": 600, "warmup_epochs": 300.0,
                "learning_rate": 0.0003}  # fmt: skip
    return load_config(
        None,
        ["data.input_size=48", "model.hidden_dim=32", "model.embedding_dim=32", "model.dropout=0.0",
         f"data.processed_dir={folder}",
         *(f"training.{name}={value}" for name, value in (training | changes).items())],
    )  # fmt: skip


def train_steps(config: Config, team: Team, is_double: bool = False) -> dict:
    """The losses of some steps, those of validation after each epoch, and the last weights.

    Args:
        is_double: the network computes with 64 bits: what is rounded is too small to grow.
    """
    torch.set_num_threads(1)
    samples = load_samples(Path(config.data.processed_dir) / INDEX_NAME, config.data)
    model = new_model(config, torch.device("cpu"))
    if is_double:
        model = model.double()
    state = new_state(config, model, samples, samples[:5], team=team)
    steps, validation, check, prepare = [], [], loop.check_step, loop.prepare_input

    def recording(state, mean_loss, n_total):
        steps.append(mean_loss)
        check(state, mean_loss, n_total)

    loop.check_step = recording
    if is_double:
        loop.prepare_input = lambda *args: tuple(part.double() for part in prepare(*args))
    try:
        while len(steps) < STEPS:
            train_epoch(state, should_stop=lambda: len(steps) >= STEPS)
            validation.append(validate(state).mean_loss)
            state.end_epoch(0.0)
    finally:
        loop.check_step, loop.prepare_input = check, prepare
    totals = [state.train_meter.n_total, state.train_meter.n_correct]
    weights = [float(value.double().sum()) for value in state.model.state_dict().values()]
    return {"steps": steps, "validation": validation, "totals": totals, "weights": weights}


def member(rank: int, size: int, port: int, folder: str, is_double: bool, changes: dict) -> None:
    """One of several processes; each writes what it has seen."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size),
                   "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}  # fmt: skip
    config = settings(folder, **changes)
    with team_joined("cpu", config.training.batch_size) as team:
        result = train_steps(config, team, is_double)
    (Path(folder) / f"{rank}.json").write_text(json.dumps(result))


@pytest.fixture
def run_team(tmp_path, monkeypatch):
    """``run_team(size, …)``: what each process has seen."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["src.training.loop", "src.training.team"])

    def run(size: int, is_double: bool, **changes) -> list[dict]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        processes = [
            context.Process(
                target=member, args=(rank, size, port, str(tmp_path), is_double, changes)
            )
            for rank in range(size)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
            assert process.exitcode == 0
        return [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(size)]

    return run


USUAL_RATE = {"learning_rate": 0.001, "warmup_epochs": 5.0, "num_epochs": 100}


@pytest.mark.slow
@pytest.mark.parametrize("negatives", ["clip", "batch"])
@pytest.mark.parametrize(
    ("is_double", "sizes", "changes"), [(True, (2, 4), USUAL_RATE), (False, (4,), {})]
)
def test_processes_have_the_losses_of_one(tmp_path, run_team, negatives, is_double, sizes, changes):
    """With 64 bits at the usual learning rate: the gradients are those of one process.

    With 32 bits, the same sums in another order differ in their last digits. AdamW divides each
    gradient by its size, so that one of rounding alone (of a bias before a batch norm) makes as
    large a step as any, in any direction. On noise, where nothing is learned, that grows from step
    to step: there the losses are compared in the first, small steps of a long warm-up.
    """
    write_noise(tmp_path)
    changes = changes | {"negatives": negatives}
    alone = train_steps(settings(tmp_path, **changes), Team(), is_double)
    for size in sizes:
        members = run_team(size, is_double, **changes)
        for seen in members:
            assert seen["steps"] == pytest.approx(alone["steps"], abs=1e-5)
            assert seen["validation"] == pytest.approx(alone["validation"], abs=1e-4)
            assert seen["totals"][0] == alone["totals"][0]
            assert seen["weights"] == members[0]["weights"]


def test_a_share_of_each_process_is_all_together():
    for size in (1, 2, 3, 4):
        for count in (0, 1, 5, 16):
            parts = [list(range(count))[Team(rank, size).share_of(count)] for rank in range(size)]
            assert [item for part in parts for item in part] == list(range(count))


def test_a_step_must_have_a_segment_for_each_process(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with (
        pytest.raises(ConfigError, match="at least 4, their number"),
        team_joined("cpu", batch_size=3),
    ):
        pass


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP here")
def test_signals_are_noted_and_ignored_ones_stay_ignored(monkeypatch):
    """``nohup torchrun …`` goes on when the terminal is closed."""
    monkeypatch.setattr(team_module, "LEAVE_S", 1e6)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with team_module._stopped_together():
            signal.raise_signal(signal.SIGHUP)
            assert not team_module._stop.is_set()
            signal.raise_signal(signal.SIGINT)
            assert team_module._stop.is_set()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    finally:
        signal.signal(signal.SIGHUP, before)
        signal.signal(signal.SIGINT, interrupt)
        team_module._stop.clear()

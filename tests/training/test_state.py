"""The state of a training: schedule, initial weights, averages and checkpoints."""

from types import SimpleNamespace

import pytest
import torch

from src.checkpoints.checkpoint import load_checkpoint_or_weights, save_checkpoint
from src.core.config import Config, load_config
from src.core.console import console_logging
from src.core.errors import CheckpointError, MissingFileError
from src.training.loop import save_periodic
from src.training.optim import make_ema, make_schedule
from src.training.resume import init_checkpoint, load_pretrained, resume_state
from src.training.state import AverageMeter, TrainingState, new_model, new_state


def test_schedule_warms_up_and_falls_to_zero():
    factor = make_schedule(10, 5, 100)
    values = [factor(step) for step in range(1001)]
    assert values[0] == pytest.approx(1 / 50) and max(values) == 1
    assert values[49] == values[50] == 1 and values[1000] == pytest.approx(0, abs=1e-9)
    assert values[:50] == sorted(values[:50]) and values[50:] == sorted(values[50:])[::-1]
    assert values[525] == pytest.approx(0.5, abs=1e-6)  # the middle of the cosine
    short = make_schedule(1, 5, 1)
    assert short(0) == 1
    partial = make_schedule(10, 0.5, 3)  # five steps of thirty
    assert [partial(step) for step in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])


def test_the_same_seed_gives_the_same_network():
    def weights(seed):
        config = load_config(None, [f"training.seed={seed}", "model.hidden_dim=16"])
        model = new_model(config, torch.device("cpu"))
        state = new_state(config, model, [], [])
        assert state.epoch == 0 and state.model is model
        return torch.cat([parameter.flatten() for parameter in model.parameters()])

    assert torch.equal(weights(1), weights(1)) and not torch.equal(weights(1), weights(2))


def test_training_is_initialised_from_a_checkpoint(tmp_path, monkeypatch, capsys):
    def fresh(seed: int, embedding: int = 16):
        settings = [f"training.seed={seed}", f"model.embedding_dim={embedding}"]
        return new_model(load_config(None, settings), torch.device("cpu"))

    def is_equal(first, second) -> bool:
        weights = second.state_dict()
        return all(
            torch.equal(tensor, weights[name]) for name, tensor in first.state_dict().items()
        )

    earlier, model = fresh(1), fresh(2)
    path = tmp_path / "earlier.pth"
    state = new_state(load_config(None, ["model.embedding_dim=16"]), earlier, [], [])
    state.trained_on = ["a", "b"]
    save_checkpoint(path, state.checkpoint())
    assert not is_equal(model, earlier)
    source = load_checkpoint_or_weights(path)
    with console_logging():
        assert load_pretrained(model, source) == ["a", "b"]
    assert capsys.readouterr().out.startswith("weights initialised from ")
    assert is_equal(model, earlier)
    monkeypatch.setattr("src.training.resume.PRETRAINED", path)
    fine_tuning = load_config(None, ["training.init_from=pretrained"])
    assert init_checkpoint(fine_tuning.training) == path
    assert init_checkpoint(load_config(None, []).training) is None
    with pytest.raises(CheckpointError, match="do not fit"):
        load_pretrained(fresh(1, embedding=32), source)
    with pytest.raises(MissingFileError, match=r"none\.pth"):
        load_checkpoint_or_weights(tmp_path / "none.pth")


def test_resuming_keeps_the_fingerprints_of_earlier_runs(tmp_path):
    def fresh(names: list[str]):
        config = load_config(None, ["model.hidden_dim=16"])
        state = new_state(config, new_model(config, torch.device("cpu")), [], [])
        state.trained_on = names
        return state

    path = tmp_path / "last.pth"
    save_checkpoint(path, fresh(["a", "b"]).checkpoint())
    state = fresh(["b", "c"])
    resume_state(state, load_checkpoint_or_weights(path))
    assert state.trained_on == ["a", "b", "c"]


def test_a_resumed_training_deletes_only_checkpoints_of_its_folder(tmp_path):
    """The file names those that are deleted next: one from elsewhere may name anything."""
    folder, outside = tmp_path / "checkpoints", tmp_path / "victim.txt"
    own = ["checkpoint_epoch_1.pth", "checkpoint_epoch_1_step_5.pth"]
    others = ["best_model.pth", "checkpoint_epoch_x.pth", "checkpoint_epoch_3.pth.txt"]
    folder.mkdir()
    for path in (outside, *(folder / name for name in [*own, *others])):
        path.write_text("mine")
    (folder / "checkpoint_epoch_2.pth").mkdir()  # cannot be deleted: no reason to end a training
    named = ["../victim.txt", str(outside), *others, "../checkpoints/best_model.pth", None, 3,
             "checkpoint_epoch_2.pth", *own]  # fmt: skip
    config = load_config(None, ["model.hidden_dim=16", "training.keep_checkpoint_max=1"])
    state = new_state(config, new_model(config, torch.device("cpu")), [], [])
    path = folder / "last.pth"
    save_checkpoint(path, state.checkpoint() | {"periodic": named})
    state = new_state(config, new_model(config, torch.device("cpu")), [], [])
    resume_state(state, load_checkpoint_or_weights(path))
    assert state.periodic == ["checkpoint_epoch_2.pth", *own]
    save_periodic(state, folder / "checkpoint_epoch_4.pth")
    assert outside.read_text() == "mine"
    assert sorted(each.name for each in folder.iterdir()) == sorted(
        [*others, "checkpoint_epoch_2.pth", "checkpoint_epoch_4.pth", "last.pth"]
    )


def set_in(tree: dict, path: str, value) -> dict:
    """A copy of nested dicts with one value replaced."""
    key, _, rest = path.partition("/")
    key = int(key) if key.isdigit() else key
    return tree | {key: set_in(tree[key], rest, value) if rest else value}


@pytest.fixture(scope="module")
def resumable(tmp_path_factory) -> tuple[Config, dict]:
    """Settings, and what a checkpoint of a training with them holds after a step."""
    config = load_config(None, ["model.hidden_dim=16"])
    model = new_model(config, torch.device("cpu"))
    state = new_state(config, model, [], [])
    model.log_scale.sum().backward()
    state.optimizer.step()
    return config, state.checkpoint()


NAN = float("nan")


@pytest.mark.parametrize(("key", "value", "words"), [
    ("epoch", 10**30, "epoch = 1e+30"), ("epoch", -1, "epoch = -1"), ("epoch", True, "epoch"),
    ("step", 10**20, "step = 1e+20"), ("sampler/batch", None, "batch = None"),
    ("sampler/tally/loss", NAN, "loss = nan"), ("sampler/tally", [], "training state"),
    ("val_loss", NAN, "val_loss = nan"), ("best_value", "0", "best_value = 0"),
    ("zero_ms", NAN, "zero_ms = nan"), ("periodic", 3, "training state"),
    ("trained_on", [[1]], "training state"), ("random_states/numpy", [1, 2], "training state"),
    ("random_states/python", None, "training state"),
    ("optimizer_state_dict/state/0/exp_avg", torch.zeros(7), "exp_avg of the optimizer"),
    ("optimizer_state_dict/state/0/exp_avg_sq", torch.tensor(NAN), "exp_avg_sq of the optimizer"),
    ("optimizer_state_dict/state/0", {}, "training state"),
    ("optimizer_state_dict/param_groups", [], "training state"),
    ("calibration/peak/bias", NAN, "the calibration of peak is invalid"),
])  # fmt: skip
def test_numbers_that_are_none_do_not_resume(resumable, tmp_path, key, value, words):
    config, checkpoint = resumable
    state = new_state(config, new_model(config, torch.device("cpu")), [], [])
    save_checkpoint(tmp_path / "last.pth", set_in(checkpoint, key, value))
    with pytest.raises(CheckpointError) as caught:
        resume_state(state, load_checkpoint_or_weights(tmp_path / "last.pth"))
    line = str(caught.value)
    assert words in line and "last.pth" in line and "\n" not in line


def test_how_steps_are_made_is_not_read_from_a_checkpoint(resumable, tmp_path):
    config, checkpoint = resumable
    (group,) = checkpoint["optimizer_state_dict"]["param_groups"]
    changed = [group | {"eps": NAN, "betas": (NAN, NAN), "amsgrad": True}]
    save_checkpoint(
        tmp_path / "last.pth", set_in(checkpoint, "optimizer_state_dict/param_groups", changed)
    )
    state = new_state(config, new_model(config, torch.device("cpu")), [], [])
    resume_state(state, load_checkpoint_or_weights(tmp_path / "last.pth"))
    (restored,) = state.optimizer.param_groups
    assert (restored["eps"], restored["betas"], restored["amsgrad"]) == (1e-8, (0.9, 0.999), False)
    assert state.optimizer.state[state.model.log_scale]["step"] == 1


def test_averages_are_weighted_by_the_number_of_choices():
    meter = AverageMeter()
    assert meter.mean_loss == float("inf") and meter.accuracy == 0
    meter.update(2.0, 1, 10)
    meter.update(5.0, 9, 20)
    assert meter.mean_loss == pytest.approx(4.0) and meter.accuracy == pytest.approx(1 / 3)
    assert meter.state_dict() == {"loss": 120.0, "right": 10, "asked": 30}, "keys of checkpoints"
    assert AverageMeter.from_state_dict(meter.state_dict()) == meter


def test_the_moving_average_follows_its_recursion():
    model = torch.nn.BatchNorm1d(3)
    ema = make_ema(model, 0.9)
    expected = None
    for step in range(40):
        with torch.no_grad():
            model.weight.fill_(step**0.5)
        model(torch.randn(8, 3) + step)
        ema.update_parameters(model)
        decay = min(0.9, (1 + step) / (10 + step))
        current = (float(model.weight[0].detach()), float(model.running_mean[0]))
        expected = current if step == 0 else [
            decay * old + (1 - decay) * new for old, new in zip(expected, current, strict=True)
        ]  # fmt: skip
    assert float(ema.module.weight[0].detach()) == pytest.approx(expected[0], rel=1e-5)
    assert float(ema.module.running_mean[0]) == pytest.approx(expected[1], rel=1e-4)
    assert ema.module.num_batches_tracked == 40


def test_the_moving_average_is_evaluated_and_saved():
    config = load_config(None, ["training.ema=0.9", "model.hidden_dim=16"])
    state = new_state(config, new_model(config, torch.device("cpu")), [], [])
    assert state.eval_model is state.ema.module
    with torch.no_grad():
        state.model.log_scale.fill_(1.0)
    state.update_ema()
    assert state.eval_model.log_scale.item() == 1
    checkpoint = state.checkpoint()
    assert set(checkpoint["model_state_dict"]) == set(state.model.state_dict())
    assert checkpoint["averaged_steps"] == 1 and checkpoint["trained_state_dict"]
    without = load_config(None, ["model.hidden_dim=16"])
    state = new_state(without, new_model(without, torch.device("cpu")), [], [])
    assert state.eval_model is state.model and state.checkpoint()["trained_state_dict"] is None


def test_an_average_that_begins_anew_keeps_the_weights_it_begins_with():
    """As far as its decay allows: the first update adds to them and does not replace them."""
    model = torch.nn.Linear(1, 1)
    state = SimpleNamespace(model=model, ema=make_ema(model, 0.9))
    model.weight.data.fill_(5.0)
    TrainingState.restart_ema(state)
    assert float(state.ema.module.weight) == 5
    model.weight.data.fill_(9.0)
    state.ema.update_parameters(model)
    assert float(state.ema.module.weight) == pytest.approx(5 + 4 * (1 - 2 / 11))

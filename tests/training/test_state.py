"""How a training begins: the schedule of its rate, the same network for the same seed."""

import pytest
import torch

from src.checkpoints.checkpoint import save_checkpoint
from src.core.config import load_config
from src.core.errors import CheckpointError, MissingFileError
from src.training.optim import make_ema, make_schedule
from src.training.resume import init_checkpoint, load_pretrained, resume_state
from src.training.state import AverageMeter, new_model, new_state


def test_schedule_warms_up_and_falls_to_zero():
    factor = make_schedule(10, 5, 100)
    values = [factor(step) for step in range(1001)]
    assert values[0] == pytest.approx(1 / 50) and max(values) == 1
    assert values[49] == values[50] == 1 and values[1000] == pytest.approx(0, abs=1e-9)
    assert values[:50] == sorted(values[:50]) and values[50:] == sorted(values[50:])[::-1]
    assert values[525] == pytest.approx(0.5, abs=1e-6)  # the middle of the cosine
    short = make_schedule(1, 5, 1)
    assert short(0) == 1
    part = make_schedule(10, 0.5, 3)  # five steps of thirty
    assert [part(step) for step in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])


def test_a_seed_makes_a_network():
    def weights(seed):
        config = load_config(None, [f"training.seed={seed}", "model.hidden_dim=16"])
        model = new_model(config, torch.device("cpu"))
        state = new_state(config, model, [], [])
        assert state.epoch == 0 and state.model is model
        return torch.cat([parameter.flatten() for parameter in model.parameters()])

    assert torch.equal(weights(1), weights(1)) and not torch.equal(weights(1), weights(2))


def test_weights_to_begin_with(tmp_path, monkeypatch, capsys):
    def fresh(seed: int, hidden: int = 16):
        settings = [f"training.seed={seed}", f"model.hidden_dim={hidden}"]
        return new_model(load_config(None, settings), torch.device("cpu"))

    def same(one, other) -> bool:
        others = other.state_dict()
        return all(torch.equal(tensor, others[name]) for name, tensor in one.state_dict().items())

    earlier, model = fresh(1), fresh(2)
    path = tmp_path / "earlier.pth"
    state = new_state(load_config(None, ["model.hidden_dim=16"]), earlier, [], [])
    state.trained_on = ["a", "b"]
    save_checkpoint(path, state.content())
    assert not same(model, earlier)
    assert load_pretrained(model, path) == ["a", "b"]
    assert same(model, earlier) and "earlier.pth" in capsys.readouterr().out
    monkeypatch.setattr("src.training.resume.PRETRAINED", path)
    asked = load_config(None, ["training.init_from=pretrained"])
    assert (
        init_checkpoint(asked.training) == path
        and init_checkpoint(load_config(None, []).training) is None
    )
    with pytest.raises(CheckpointError, match="do not fit"):
        load_pretrained(fresh(1, hidden=32), path)
    with pytest.raises(MissingFileError, match=r"none\.pth"):
        load_pretrained(fresh(1), tmp_path / "none.pth")


def test_what_was_trained_on_grows_when_a_training_goes_on(tmp_path):
    def fresh(names: list[str]):
        config = load_config(None, ["model.hidden_dim=16"])
        state = new_state(config, new_model(config, torch.device("cpu")), [], [])
        state.trained_on = names
        return state

    path = tmp_path / "last.pth"
    save_checkpoint(path, fresh(["a", "b"]).content())
    state = fresh(["b", "c"])
    resume_state(state, path)
    assert state.trained_on == ["a", "b", "c"]


def test_a_tally_weighs_by_questions():
    tally = AverageMeter()
    assert tally.mean_loss == float("inf") and tally.accuracy == 0
    tally.add(2.0, 1, 10)
    tally.add(5.0, 9, 20)
    assert tally.mean_loss == pytest.approx(4.0) and tally.accuracy == pytest.approx(1 / 3)


def test_the_running_mean_is_the_recursion():
    model = torch.nn.BatchNorm1d(3)
    mean = make_ema(model, 0.9)
    expected = None
    for step in range(40):
        with torch.no_grad():
            model.weight.fill_(step**0.5)
        model(torch.randn(8, 3) + step)
        mean.update_parameters(model)
        decay = min(0.9, (1 + step) / (10 + step))
        now = (float(model.weight[0].detach()), float(model.running_mean[0]))
        expected = now if step == 0 else [
            decay * old + (1 - decay) * new for old, new in zip(expected, now, strict=True)
        ]  # fmt: skip
    assert float(mean.module.weight[0].detach()) == pytest.approx(expected[0], rel=1e-5)
    assert float(mean.module.running_mean[0]) == pytest.approx(expected[1], rel=1e-4)
    assert mean.module.num_batches_tracked == 40


def test_what_is_judged_is_the_mean():
    config = load_config(None, ["training.ema=0.9", "model.hidden_dim=16"])
    state = new_state(config, new_model(config, torch.device("cpu")), [], [])
    assert state.judged is state.average.module
    with torch.no_grad():
        state.model.log_scale.fill_(1.0)
    state.note_step()
    assert state.judged.log_scale.item() == 1
    content = state.content()
    assert set(content["model_state_dict"]) == set(state.model.state_dict())
    assert content["averaged_steps"] == 1 and content["trained_state_dict"]
    without = load_config(None, ["model.hidden_dim=16"])
    state = new_state(without, new_model(without, torch.device("cpu")), [], [])
    assert state.judged is state.model and state.content()["trained_state_dict"] is None

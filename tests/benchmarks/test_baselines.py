"""The comparison of baselines: its training, its losses and its table."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks import baselines
from benchmarks.baselines import PairLoss, TimeBudget, make_loss, train_for
from benchmarks.networks import contrastive_loss, syncnet
from src.core.config import load_config
from src.core.errors import ConfigError
from src.dataset.samples import load_samples
from src.models.spec import ModelSpec
from src.models.sync_model import SyncModel
from src.training import loop
from src.training.state import sync_loss
from tests.support.dataset_helpers import write_set
from tests.support.training_helpers import settings_for

pytest_plugins = ("tests.support.training_fixtures", "tests.support.dataset_fixtures")


def test_the_table(corpus, tmp_path, monkeypatch, capsys):
    names = ("ours", "SyncNet, ¼ of the channels")
    networks = {name: baselines.NETWORKS[name] for name in names}
    monkeypatch.setattr(baselines, "NETWORKS", networks)
    monkeypatch.setattr(baselines, "UNTRAINED", {})
    monkeypatch.setattr(baselines, "CLIP_FRAMES", 20)
    index = corpus / "processed" / "dataset_index.pkl"
    command = ["baselines.py", *settings_for(corpus), "--index", str(index), "--minutes", "0.08",
               "--output", str(tmp_path / "out")]  # fmt: skip
    monkeypatch.setattr("sys.argv", command)
    assert baselines.main() == 0
    stdout = capsys.readouterr().out
    rows = [line for line in stdout.splitlines() if line.startswith("| ")]
    assert len(rows) == 3 and rows[1].startswith("| ours") and "%" in rows[1]
    for name in ("ours", "SyncNet-¼_of_the_channels"):
        result = json.loads((tmp_path / "out" / f"{name}.json").read_text(encoding="utf-8"))
        assert result["frames"] > 0 and result["figures"]["K = 5"]["value"] is not None
    monkeypatch.setattr(baselines, "train_for", None)
    assert baselines.main() == 0  # finished networks are not trained again
    monkeypatch.setattr("sys.argv", [*command, "--rows", "ours"])
    capsys.readouterr()
    assert baselines.main() == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 and rows[1].startswith("| ours |")
    monkeypatch.setattr("sys.argv", [*command, "--minutes", "0.3"])
    with pytest.raises(ConfigError, match="other settings"):
        baselines.main()
    monkeypatch.setattr("sys.argv", [*command, "--minutes", "0"])
    with pytest.raises(SystemExit):
        baselines.main()


# --- training with the loop of src/train.py

SPEC = ModelSpec(48, 40, 16, 16, 1, 0.0)


@pytest.mark.parametrize("view", ["mouth", "lower_face"])
def test_a_wider_network_sees_the_same_face_region(view):
    spec = replace(SPEC, view=view)
    plain, wide = SyncModel(spec), baselines.scale_channels(spec, 2.0)
    assert (wide.video.rows, wide.video.columns) == (plain.video.rows, plain.video.columns)
    assert wide.video.stem[1][0].out_channels == 2 * plain.video.stem[1][0].out_channels


@pytest.fixture
def embeddings():
    torch.manual_seed(0)
    return [torch.nn.functional.normalize(torch.randn(2, 12, 8), dim=-1) for _ in range(2)]


def test_each_network_has_its_own_loss():
    assert make_loss(SyncModel(SPEC), 0) is sync_loss
    model = syncnet(SPEC, 0.1)
    assert model.pair_loss is contrastive_loss and isinstance(make_loss(model, 0), PairLoss)


def test_pair_loss_is_the_loss_of_positives_and_drawn_negatives(embeddings):
    video, audio = embeddings
    candidates = torch.ones(2, 12, dtype=torch.bool)
    anchors = candidates.clone()
    anchors[0, :5] = False
    loss, n_correct, n_total = PairLoss(contrastive_loss, 3)(
        None, video, audio, anchors, candidates, None
    )
    negatives = baselines.draw_negatives(candidates, torch.Generator().manual_seed(3))
    assert float(loss) == float(contrastive_loss(video, audio, anchors, negatives))
    assert n_total == 7 + 12
    expected = sum(
        float(video[b, w] @ audio[b, w]) > float(video[b, w] @ audio[b, negatives[b, w]])
        for b, w in anchors.nonzero().tolist()
    )
    assert int(n_correct) == expected


def test_pair_loss_without_anchors_is_zero_with_a_zero_gradient(embeddings):
    video, audio = embeddings
    video.requires_grad_()
    none = torch.zeros(2, 12, dtype=torch.bool)
    loss, n_correct, n_total = PairLoss(contrastive_loss, 0)(None, video, audio, none, ~none, None)
    loss.backward()
    assert (loss.item(), int(n_correct), n_total) == (0, 0, 0)
    assert torch.equal(video.grad, torch.zeros_like(video))


def test_the_time_budget_sets_the_learning_rate(monkeypatch):
    clock = {"now": 100.0}
    monkeypatch.setattr(time, "process_time", lambda: clock["now"] * torch.get_num_threads())
    budget = TimeBudget(torch.device("cpu"), minutes=1)
    factors = []
    for second in (0, 0.03 * 60, 0.06 * 60, 30, 59.99):
        clock["now"] = 100 + second
        assert not budget.is_used_up()
        factors.append(budget.learning_rate_factor(0))
    assert factors[0] == 0 and factors[1] == pytest.approx(0.5, abs=0.01)
    assert factors[2] == max(factors) > 0.98
    assert factors[3] == pytest.approx(0.5) and factors[4] < 1e-3
    clock["now"] = 161
    assert budget.is_used_up() and budget.share == 1


@pytest.fixture
def samples(tmp_path, data):
    """Samples of noise: the numbers of the usual ones are no values that can be learned from."""
    index = write_set(tmp_path, [100, 70, 64, 20, 7])
    rng = np.random.default_rng(0)
    for path in tmp_path.glob("*.npy"):
        records = np.load(path)
        records["mfcc"] = rng.normal(0, 10, records["mfcc"].shape)
        records["crop"] = rng.integers(0, 256, records["crop"].shape)
        np.save(path, records)
    return load_samples(index, data)


@pytest.mark.parametrize("make", [SyncModel, lambda spec: syncnet(spec, 0.1)])
def test_baselines_train_with_the_steps_of_the_training_loop(
    monkeypatch, tmp_path, data, samples, make
):
    """Every step changes the weights, and training stops when the time is used up."""
    settings = ["data.input_size=48", "training.batch_size=4", "training.negatives=batch",
                "training.ema=0.9", "training.device=cpu"]  # fmt: skip
    steps, step = [], loop.train_step

    def recording_step(state, batch, augmentation):
        assert state.ema is None and state.config.training.negatives == "clip"
        step(state, batch, augmentation)
        steps.append(batch.crops.shape[0] * batch.crops.shape[1])

    monkeypatch.setattr(loop, "train_step", recording_step)
    monkeypatch.setattr(TimeBudget, "share", property(lambda self: len(steps) / 5))
    torch.manual_seed(0)
    model = make(SPEC)
    before = {name: value.clone() for name, value in model.named_parameters()}
    n_frames, _ = train_for(1, model, samples, load_config(None, settings))
    assert len(steps) == 5 and n_frames == sum(steps)
    unchanged = [
        name for name, value in model.named_parameters() if torch.equal(value, before[name])
    ]
    assert not unchanged

"""Trainings initialised from the weights of an earlier one."""

import re

import pytest
import torch

from src.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from src.models.ensemble import merge_into_ensemble
from src.training import loop
from tests.support.training_helpers import losses

pytest_plugins = ("tests.support.training_fixtures",)


@pytest.fixture
def earlier(trainer, arguments, tmp_path):
    """A checkpoint trained for two epochs."""
    trainer(*arguments(training__num_epochs=2, training__save_interval=1))
    return tmp_path / "checkpoints" / "best_model.pth"


@pytest.fixture
def following(arguments, earlier, tmp_path):
    """Arguments of a training initialised from it, in another folder."""

    def make(**settings):
        return arguments(training__init_from=earlier, paths__checkpoint_dir=tmp_path / "next",
                         **settings)  # fmt: skip

    return make


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_initial_weights_are_validated_before_training(trainer, earlier, following, tmp_path, ema):
    _, stdout, _ = trainer(*following(training__num_epochs=1, training__ema=ema))
    assert "weights initialised from " in stdout
    before = float(re.search(r"before training: validation loss ([\d.]+)", stdout)[1])
    stored = load_checkpoint(earlier)
    assert before == pytest.approx(stored["best_val_loss"], abs=2e-4)
    assert "used to train the initial weights" not in stdout, "the same split"
    assert "choose another seed" in stdout, "training.seed is that of the earlier training"
    best = load_checkpoint(tmp_path / "next" / "best_model.pth")
    assert best["best_val_loss"] == pytest.approx(min(before, losses(stdout)[0][2]), abs=2e-4)
    assert best["trained_on"] == stored["trained_on"]


def test_another_seed_is_not_warned_of(trainer, following):
    status, stdout, _ = trainer(*following(training__num_epochs=1, training__seed=7))
    assert status == 0 and "choose another seed" not in stdout


def test_an_ensemble_keeps_its_number_of_members(trainer, earlier, following, arguments, tmp_path):
    """The weights decide, whatever model.members is."""
    content = load_checkpoint(earlier)
    weights = content["model_state_dict"]
    content["model_state_dict"] = merge_into_ensemble([weights, weights])
    content["config"]["model"] |= {"members": 2, "view": "lower_face"}
    save_checkpoint(earlier, content)
    _, stdout, _ = trainer(*following(training__num_epochs=1, model__view="mouth"))
    assert "model.members: 2, as in" in stdout and "model.view: lower_face, as in" in stdout
    assert float(
        re.search(r"before training: validation loss ([\d.]+)", stdout)[1]
    ) == pytest.approx(content["best_val_loss"], abs=2e-4), "two equal members score like one"
    last = tmp_path / "next" / "last.pth"
    assert load_checkpoint(last)["config"]["model"]["members"] == 2
    again = arguments(training__num_epochs=2, paths__checkpoint_dir=tmp_path / "next")
    status, stdout, _ = trainer(*again, "--resume", last)
    assert status == 0 and "model.members: 2, as in" in stdout and "Epoch 2/2" in stdout


def test_samples_used_for_the_initial_weights_are_reported(trainer, earlier, following, tmp_path):
    _, stdout, _ = trainer(*following(training__num_epochs=1, training__split_seed=5))
    assert "choose another seed" not in stdout, "the same seed on other clips is another training"
    assert re.search(
        r"[1-9]\d* validation and test samples were used to train the initial weights", stdout
    )
    both = load_checkpoint(tmp_path / "next" / "last.pth")["trained_on"]
    assert set(both) > set(load_checkpoint(earlier)["trained_on"])


def test_resuming_from_the_first_epoch_in_another_folder_keeps_the_initial_best(
    trainer, following, arguments, tmp_path, monkeypatch
):
    """The initial weights remain the best where no epoch is better."""
    trainer(*following(training__num_epochs=1, training__save_steps=1))
    (first, *_) = sorted((tmp_path / "next").glob("checkpoint_epoch_1_step_*.pth"))
    worse = loop.AverageMeter(loss=99.0, n_correct=0, n_total=1)
    monkeypatch.setattr(loop, "validate", lambda state: worse)
    again = arguments(training__num_epochs=1, paths__checkpoint_dir=tmp_path / "again")
    status, stdout, _ = trainer(*again, "--resume", first)
    assert status == 0 and "whole clips" in stdout
    assert (tmp_path / "again" / "best_model.pth").is_file()


def test_bare_weights_keep_their_temporal_block(trainer, arguments, tmp_path):
    """Whatever model.temporal is: older files have convolutions, which were the default."""
    trainer(*arguments(training__num_epochs=1, model__temporal="tcn"))
    bare = tmp_path / "bare.pth"
    torch.save(
        load_checkpoint(tmp_path / "checkpoints" / "best_model.pth")["model_state_dict"], bare
    )
    following = arguments(
        training__num_epochs=1, training__init_from=bare, paths__checkpoint_dir=tmp_path / "next"
    )
    status, stdout, _ = trainer(*following)
    assert status == 0 and "model.temporal: tcn, as in" in stdout
    assert "choose another seed" not in stdout, "bare weights do not tell theirs"
    stored = load_checkpoint(tmp_path / "next" / "last.pth")["config"]["model"]
    assert stored["temporal"] == "tcn"

"""A loss that is not finite ends a training, but for the overflows that a scaler repairs."""

import math
from types import SimpleNamespace

import pytest

from src.checkpoints.location import BEST, LAST
from src.core.errors import TrainingError
from src.training.divergence import MAX_FAILED_STEPS, check_step, check_validation
from src.training.own_files import save_state
from src.training.state import AverageMeter
from src.training.team import ALONE


def state_of(scaled: bool = False, own_files: tuple = ()) -> SimpleNamespace:
    scaler = SimpleNamespace(is_enabled=lambda: scaled)
    settings = SimpleNamespace(learning_rate=0.5)
    return SimpleNamespace(epoch=2, failed_steps=0, scaler=scaler, own_files=set(own_files),
                           config=SimpleNamespace(training=settings))  # fmt: skip


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_without_a_scaler_the_first_step_ends_it(loss):
    state = state_of()
    check_step(state, 3.0, 10)
    check_step(state, loss, 0)  # without choices a loss says nothing
    with pytest.raises(TrainingError) as caught:
        check_step(state, loss, 10)
    text = str(caught.value)
    assert "in epoch 3" in text and text.endswith(
        "training.learning_rate (now 0.5) and start again"
    )


def test_a_scaler_may_skip_some_steps_in_a_row():
    state = state_of(scaled=True)
    for _ in range(3):
        for _ in range(MAX_FAILED_STEPS):
            check_step(state, math.nan, 10)
        check_step(state, 3.0, 10)
    with pytest.raises(TrainingError):
        for _ in range(MAX_FAILED_STEPS + 1):
            check_step(state, math.nan, 10)


def test_the_validation_loss_ends_it_and_the_last_epoch_is_named():
    state = state_of(own_files=(BEST, LAST))
    check_validation(state, AverageMeter(30.0, 5, 10))
    check_validation(state, AverageMeter(math.nan, 0, 0))
    with pytest.raises(TrainingError, match="--resume auto --change-rate"):
        check_validation(state, AverageMeter(math.nan, 5, 10))


def test_snapshots_on_the_way_are_not_kept(tmp_path):
    """Nor files that this training has written itself."""
    state = SimpleNamespace(own_files=set(), team=ALONE, checkpoint=lambda: {"epoch": 1})
    names = [BEST, "checkpoint_epoch_1.pth"]
    for name in names:
        (tmp_path / name).write_text("earlier")
    for _ in range(2):
        for name in names:
            save_state(state, tmp_path / name)
    (kept,) = {path.name for path in tmp_path.iterdir()} - set(names)
    assert kept.startswith("best_model_") and (tmp_path / kept).read_text() == "earlier"

"""A training that has diverged ends: a network does not recover from losses that are not finite."""

import math

from ..checkpoints.location import LAST
from ..core.errors import TrainingError
from ..i18n.messages import tr
from .state import AverageMeter, TrainingState

MAX_FAILED_STEPS = 10  # in a row, with 16-bit numbers: the scaler skips steps that overflow


def check_step(state: TrainingState, mean_loss: float, n_total: int) -> None:
    """Check the loss of a step before the weights are updated by it.

    Args:
        n_total: number of choices; without any, the loss says nothing.

    Raises:
        TrainingError: it is not finite.
    """
    if not n_total or math.isfinite(mean_loss):
        state.failed_steps = 0
        return
    state.failed_steps += 1
    if not state.scaler.is_enabled() or state.failed_steps > MAX_FAILED_STEPS:
        raise _diverged_error(state)


def check_validation(state: TrainingState, val: AverageMeter) -> None:
    """Check the validation loss. Raises TrainingError: it is not finite."""
    if val.n_total and not math.isfinite(val.mean_loss):
        raise _diverged_error(state)


def _diverged_error(state: TrainingState) -> TrainingError:
    epoch, rate = state.epoch + 1, state.config.training.learning_rate
    if LAST in state.own_files:
        return TrainingError(
            tr("the training has diverged in epoch {epoch}: the loss is no longer a finite number; "
               "lower training.learning_rate (now {rate}) and start again, or continue from the "
               "last finished epoch with --resume auto --change-rate", epoch=epoch, rate=rate)
        )  # fmt: skip
    return TrainingError(
        tr("the training has diverged in epoch {epoch}: the loss is no longer a finite number; "
           "lower training.learning_rate (now {rate}) and start again", epoch=epoch, rate=rate)
    )  # fmt: skip

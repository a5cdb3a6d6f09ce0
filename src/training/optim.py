"""The learning rate schedule and the moving average of the weights."""

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel


def make_ema(model: nn.Module, decay: float) -> AveragedModel:
    """The exponential moving average of a network's weights (Polyak & Juditsky 1992).

    The decay of update n is min(decay, (1 + n) / (10 + n)), so that the initial weights are soon
    forgotten.
    """

    @torch.no_grad()
    def update(averages, weights, n_averaged):
        current_decay = min(decay, (1 + int(n_averaged)) / (10 + int(n_averaged)))
        for average, weight in zip(averages, weights, strict=True):
            if average.is_floating_point():
                average.lerp_(weight, 1 - current_decay)
            else:
                average.copy_(weight)  # the batch counters of the batch norms

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)


def make_schedule(
    steps_per_epoch: int, warmup_epochs: float, num_epochs: int
) -> Callable[[int], float]:
    """The factor of the learning rate by step: linear warm-up, then a cosine to 0 at the end.

    The warm-up takes at most half of all epochs.
    """
    total_steps = steps_per_epoch * num_epochs
    warmup_steps = round(steps_per_epoch * min(warmup_epochs, num_epochs / 2))

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    return factor

"""The learning rate's schedule and the running mean of weights."""

import math

import torch
from torch.optim.swa_utils import AveragedModel

from ..models.sync_model import SyncModel


def make_ema(model: SyncModel, decay: float) -> AveragedModel:
    """The exponential moving average of a network's weights (Polyak & Juditsky 1992), quicker
    in its first steps so that where it began is soon forgotten."""

    @torch.no_grad()
    def average(means, weights, seen):
        now = min(decay, (1 + int(seen)) / (10 + int(seen)))
        for mean, weight in zip(means, weights, strict=True):
            if mean.is_floating_point():
                mean.lerp_(weight, 1 - now)
            else:
                mean.copy_(weight)  # the number of batches seen

    return AveragedModel(model, multi_avg_fn=average, use_buffers=True)


def make_schedule(steps_per_epoch: int, warmup_epochs: float, num_epochs: int):
    """Factor of the learning rate by step: linear warm-up, then a cosine to zero at the end."""
    total = steps_per_epoch * num_epochs
    warmup = round(steps_per_epoch * min(warmup_epochs, num_epochs / 2))

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        done = (step - warmup) / max(1, total - warmup)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    return factor

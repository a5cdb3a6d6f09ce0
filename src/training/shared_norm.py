"""Batch norms over the segments of all processes that train together.

Formulas: Ioffe & Szegedy 2015, "Batch normalization"; moments of several parts are joined as in
Chan, Golub & LeVeque 1983.
"""

import torch
import torch.distributed as dist
from torch import nn


def share_norms(model: nn.Module) -> nn.Module:
    """The network with batch norms over the segments of all processes; its weights are the same
    objects, with the same names."""
    if next(model.parameters()).device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    classes = {nn.BatchNorm1d: _SharedNorm1d, nn.BatchNorm2d: _SharedNorm2d}
    for module in model.modules():
        module.__class__ = classes.get(type(module), type(module))
    return model


class _SharedNorm:
    """One on the CPU (PyTorch's is for GPUs)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return super().forward(x)
        normalised, mean, variance, count = _Normalised.apply(x, self.weight, self.bias, self.eps)
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1).clamp(min=1), self.momentum)
        return normalised


class _SharedNorm1d(_SharedNorm, nn.BatchNorm1d):
    pass


class _SharedNorm2d(_SharedNorm, nn.BatchNorm2d):
    pass


class _Normalised(torch.autograd.Function):
    """The normalised values, with the mean, the variance and the number of those of all processes.

    In few passes over the values, by PyTorch's own kernels: written as plain tensor operations,
    batch norm took as long as the rest of the network.
    """

    @staticmethod
    def forward(ctx, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float):
        dims = [0, *range(2, x.dim())]
        n_own = x.new_full((1,), x.numel() / x.shape[1])
        if len(x):
            own_variance, own_mean = torch.var_mean(x, dims, correction=0)
        else:
            own_variance, own_mean = torch.zeros_like(weight), torch.zeros_like(weight)
        sums = torch.cat([own_mean * n_own, n_own])
        dist.all_reduce(sums)
        count = sums[-1]
        mean = sums[:-1] / count
        squares = (own_variance + (own_mean - mean).square()) * n_own
        dist.all_reduce(squares)
        variance = squares / count
        ctx.save_for_backward(x, weight, mean, variance, count)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, variance, count)
        normalised = nn.functional.batch_norm(x, mean, variance, weight, bias, False, 0.0, eps)
        return normalised, mean, variance, count

    @staticmethod
    def backward(ctx, gradient: torch.Tensor, *_):
        x, weight, mean, variance, count = ctx.saved_tensors
        # As if mean and variance were constants; what they add follows.
        own, weight_gradient, bias_gradient = torch.ops.aten.native_batch_norm_backward(
            gradient, x, weight, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        sums = torch.stack([weight_gradient, bias_gradient])
        dist.all_reduce(sums)
        deviation = (variance + ctx.eps).rsqrt()
        by_count = weight * deviation / count
        slope = by_count * deviation * sums[0]
        level = by_count * sums[1] - slope * mean
        shape = [1, -1, *[1] * (x.dim() - 2)]
        own = own.addcmul_(x, slope.view(shape), value=-1).sub_(level.view(shape))
        return own, weight_gradient, bias_gradient, None

"""Temporal blocks: from what a front end gives for 3 frames each to the embedding of a window of 5.

All take [B, channels, T − 2] and give [B, embedding_dim, T − 4], one embedding for each window, and
none sees further than its window. docs/recipe.md compares them.
"""

import math

import torch
from torch import nn

from .spec import N_JOINED, ModelSpec


def conv1d(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """A convolution over time without padding, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv1d(inputs, outputs, kernel, stride, bias=False),
        nn.BatchNorm1d(outputs),
        nn.ReLU(inplace=True),
    )


class ConvolutionBlock(nn.Module):
    """``num_layers`` convolutions over time, ``hidden_dim`` wide, then a linear layer."""

    def __init__(self, channels: int, spec: ModelSpec):
        super().__init__()
        layers = []
        for kernel in spec.block_kernels:
            layers += [conv1d(channels, spec.hidden_dim, kernel), nn.Dropout(spec.dropout)]
            channels = spec.hidden_dim
        self.layers = nn.Sequential(*layers, nn.Conv1d(channels, spec.embedding_dim, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class LinearBlock(nn.Module):
    """One linear layer from the three outputs of the front end; ``hidden_dim`` and ``num_layers``
    have no effect."""

    def __init__(self, channels: int, spec: ModelSpec):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Dropout(spec.dropout), nn.Conv1d(channels, spec.embedding_dim, N_JOINED)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class _WindowBlock(nn.Module):
    """Looks at each window by itself: ``join`` takes [N, N_JOINED, channels]."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, channels = x.shape[:2]
        windows = x.unfold(2, N_JOINED, 1).permute(0, 2, 3, 1).reshape(-1, N_JOINED, channels)
        return self.join(windows).reshape(batch, -1, self.dim).transpose(1, 2)


class GruBlock(_WindowBlock):
    """A bidirectional GRU of ``hidden_dim`` / 2 units (Cho et al. 2014), ``num_layers`` deep."""

    def __init__(self, channels: int, spec: ModelSpec):
        super().__init__()
        self.dim = spec.embedding_dim
        self.gru = nn.GRU(
            channels, spec.hidden_dim // 2, spec.num_layers, batch_first=True, bidirectional=True
        )
        self.drop = nn.Dropout(spec.dropout)
        self.out = nn.Linear(spec.hidden_dim // 2 * 2, self.dim)

    def join(self, windows: torch.Tensor) -> torch.Tensor:
        return self.out(self.drop(self.gru(self.drop(windows))[0].mean(1)))


class TransformerBlock(_WindowBlock):
    """``num_layers`` transformer layers (Vaswani et al. 2017) with learned positions."""

    def __init__(self, channels: int, spec: ModelSpec):
        super().__init__()
        self.dim = width = spec.embedding_dim
        self.enter = nn.Linear(channels, width)
        self.position = nn.Parameter(torch.randn(N_JOINED, width) / math.sqrt(width))
        n_heads = next(heads for heads in (4, 2, 1) if not width % heads)
        self.layers = nn.Sequential(*(
            nn.TransformerEncoderLayer(
                width, n_heads, spec.hidden_dim, spec.dropout / 2, batch_first=True,
                norm_first=True,
            )
            for _ in range(spec.num_layers)
        ))  # fmt: skip
        self.out = nn.Linear(N_JOINED * width, self.dim)

    def join(self, windows: torch.Tensor) -> torch.Tensor:
        return self.out(self.layers(self.enter(windows) + self.position).flatten(1))


BLOCKS = {
    "none": LinearBlock, "tcn": ConvolutionBlock, "gru": GruBlock, "transformer": TransformerBlock,
}  # fmt: skip


def temporal_block(channels: int, spec: ModelSpec) -> nn.Module:
    """The block of ``spec.temporal`` for a front end with so many channels."""
    return BLOCKS[spec.temporal](channels, spec)

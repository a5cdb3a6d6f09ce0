"""Published baseline networks, implemented from their papers, with the interface of ``SyncModel``.

Both process windows of 5 frames one at a time: a clip of T frames has T − 4 windows, and each goes
through the whole network. Their input is that of our network (grey face regions, mel bands), so
that crops, timing and training data are the same for all, and so is the optimiser. Only networks
and losses are theirs.

``width`` multiplies all numbers of channels: at the published width (1) training on the CPU
processes only tens of windows per second.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from src.core.constants import HOPS_PER_FRAME, N_MELS, WINDOW_FRAMES
from src.models.spec import ModelSpec

WINDOW_HOPS = WINDOW_FRAMES * HOPS_PER_FRAME
SYNCNET_MFCC = 13  # coefficients that SyncNet uses


def _conv(inputs: int, outputs: int, kernel, stride=1, padding=0) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class _Residual(nn.Module):
    """x + conv(x), then ReLU."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(x + self.norm(self.conv(x)))


class _WindowEncoder(nn.Module):
    """A network for single windows, applied to all windows of a clip.

    Args:
        net: [N, channels, rows, columns] -> [N, D, 1, 1].
    """

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def embed(self, windows: torch.Tensor) -> torch.Tensor:
        """[B, W, channels, rows, columns] -> [B, W, D], length 1."""
        batch = windows.shape[:2]
        x = windows.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        x = self.net(x).flatten(1)
        return F.normalize(x, dim=-1).reshape(*batch, -1)


class VideoWindowEncoder(_WindowEncoder):
    """Face regions [B, T, height, width] -> [B, T − 4, D]."""

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        return self.embed(views.unfold(1, WINDOW_FRAMES, 1).permute(0, 1, 4, 2, 3))


class BandWindowEncoder(_WindowEncoder):
    """Bands [B, 4 T, 40] -> [B, T − 4, D]."""

    def forward(self, bands: torch.Tensor) -> torch.Tensor:
        return self.embed(bands.unfold(1, WINDOW_HOPS, HOPS_PER_FRAME)[:, :, None])


class MfccWindowEncoder(BandWindowEncoder):
    """The same with the first 13 MFCC as input."""

    def forward(self, bands: torch.Tensor) -> torch.Tensor:
        from torchaudio.functional import create_dct

        dct = create_dct(SYNCNET_MFCC, N_MELS, norm="ortho").to(bands)
        return super().forward(bands @ dct)


class TwoStreamNetwork(nn.Module):
    """Two encoders with the attributes that training and measuring use.

    Args:
        pair_loss: (video, audio, anchors, negatives) -> loss, as ``contrastive_loss``.
    """

    def __init__(self, spec: ModelSpec, video: nn.Module, audio: nn.Module, pair_loss: Callable):
        super().__init__()
        self.spec, self.video, self.audio, self.pair_loss = spec, video, audio, pair_loss
        self.register_buffer("log_scale", torch.zeros(()))

    def forward(self, views: torch.Tensor, bands: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Embeddings of both streams, each [B, T − 4, D], length 1."""
        return self.video(views), self.audio(bands)


def _output_shape(net: nn.Module, channels: int, rows: int, columns: int) -> tuple[int, int]:
    """Rows and columns of a network's output."""
    with torch.no_grad():
        return tuple(net.eval()(torch.zeros(1, channels, rows, columns)).shape[2:])


def syncnet(spec: ModelSpec, width: float = 1.0) -> TwoStreamNetwork:
    """SyncNet (Chung & Zisserman 2016): VGG-M on 5 grey frames, and similarly
    on 13 × 20 MFCC."""
    c1, c2, c3, c4 = (round(n * width) for n in (96, 256, 256, 512))
    lips = nn.Sequential(
        _conv(WINDOW_FRAMES, c1, 7, 2), nn.MaxPool2d(3, 2),
        _conv(c1, c2, 5, 2, 1), nn.MaxPool2d(3, 2, 1),
        _conv(c2, c3, 3, 1, 1), _conv(c3, c3, 3, 1, 1), _conv(c3, c3, 3, 1, 1),
    )  # fmt: skip
    remaining = _output_shape(lips, WINDOW_FRAMES, *spec.region_shape)
    lips.extend([_conv(c3, c4, remaining), nn.Conv2d(c4, spec.embedding_dim, 1)])
    a1, a2, a3, a4, a5 = (round(n * width) for n in (64, 192, 384, 256, 512))
    audio = nn.Sequential(
        _conv(1, a1, 3, 1, 1), _conv(a1, a2, 3, 1, 1), nn.MaxPool2d(3, (1, 2)),
        _conv(a2, a3, 3, 1, 1), _conv(a3, a4, 3, 1, 1), _conv(a4, a4, 3, 1, 1), nn.MaxPool2d(3, 2),
    )  # fmt: skip
    remaining = _output_shape(audio, 1, SYNCNET_MFCC, WINDOW_HOPS)
    audio.extend([_conv(a4, a5, remaining), nn.Conv2d(a5, spec.embedding_dim, 1)])
    return TwoStreamNetwork(
        spec, VideoWindowEncoder(lips), MfccWindowEncoder(audio), contrastive_loss
    )


def wav2lip_expert(spec: ModelSpec, width: float = 1.0) -> TwoStreamNetwork:
    """The lip-sync expert of Wav2Lip (Prajwal et al. 2020): residual networks on the lower
    half of 5 frames and on mel bands; embeddings are ReLU outputs."""
    c1, c2, c3, c4, c5 = (max(8, round(n * width)) for n in (32, 64, 128, 256, 512))
    lips = nn.Sequential(
        _conv(WINDOW_FRAMES, c1, 7, 1, 3),
        _conv(c1, c2, 5, (1, 2), 1), _Residual(c2), _Residual(c2),
        _conv(c2, c3, 3, 2, 1), _Residual(c3), _Residual(c3), _Residual(c3),
        _conv(c3, c4, 3, 2, 1), _Residual(c4), _Residual(c4),
        _conv(c4, c5, 3, 2, 1), _Residual(c5), _Residual(c5),
        _conv(c5, c5, 3, 2, 1),
    )  # fmt: skip
    remaining = _output_shape(lips, WINDOW_FRAMES, *spec.region_shape)
    lips.extend([_conv(c5, c5, remaining), _conv(c5, spec.embedding_dim, 1)])
    audio = nn.Sequential(
        _conv(1, c1, 3, 1, 1), _Residual(c1), _Residual(c1),
        _conv(c1, c2, 3, (2, 1), 1), _Residual(c2), _Residual(c2),
        _conv(c2, c3, 3, 2, 1), _Residual(c3), _Residual(c3),
        _conv(c3, c4, 3, 2, 1), _Residual(c4), _Residual(c4),
    )  # fmt: skip
    remaining = _output_shape(audio, 1, N_MELS, WINDOW_HOPS)
    audio.extend([_conv(c4, c5, remaining), _conv(c5, spec.embedding_dim, 1)])
    return TwoStreamNetwork(spec, VideoWindowEncoder(lips), BandWindowEncoder(audio), cosine_bce)


def contrastive_loss(
    video: torch.Tensor, audio: torch.Tensor, anchors: torch.Tensor, negatives: torch.Tensor,
    margin: float = 1.0,
) -> torch.Tensor:  # fmt: skip
    """SyncNet's loss: pulls positive pairs together and pushes negative ones ``margin`` apart.

    E = ½ mean(d²) over positives + ½ mean(max(margin − d, 0)²) over negatives, d Euclidean.

    Args:
        video, audio: float [B, W, D], length 1.
        anchors: bool [B, W], windows that count.
        negatives: int [B, W], the mismatched audio window for each video window.
    """
    positive = (video - audio)[anchors].norm(dim=-1)
    negative = (video - gather_windows(audio, negatives))[anchors].norm(dim=-1)
    return (positive.square().mean() + (margin - negative).clamp(min=0).square().mean()) / 2


def cosine_bce(
    video: torch.Tensor, audio: torch.Tensor, anchors: torch.Tensor, negatives: torch.Tensor
) -> torch.Tensor:
    """Wav2Lip's loss: binary cross-entropy with the cosine as the probability, half negatives.

    Args: as of ``contrastive_loss``; embeddings without negative parts, so cosines are 0…1.
    """
    positive = (video * audio)[anchors].sum(-1)
    negative = (video * gather_windows(audio, negatives))[anchors].sum(-1)
    probability = torch.cat([positive, negative]).clamp(1e-6, 1 - 1e-6)
    label = torch.cat([torch.ones_like(positive), torch.zeros_like(negative)])
    return F.binary_cross_entropy(probability, label)


def gather_windows(audio: torch.Tensor, windows: torch.Tensor) -> torch.Tensor:
    """The embeddings of the given windows: [B, W, D] at int [B, W] -> [B, W, D]."""
    return audio.gather(1, windows[..., None].expand_as(audio))

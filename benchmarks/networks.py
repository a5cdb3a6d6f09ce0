"""The field's own networks, written from their papers, behind the interface of ``SyncModel``.

Both look at windows of 5 frames one by one: a clip of T frames is cut into its T − 4 windows, each
goes through the whole network. They get what our network gets (grey views of the lower face,
mel bands), so the crops, the clock and the training data are the same for all; the optimiser is
ours, too. Only networks and losses are theirs.

``width`` multiplies all numbers of channels: at the published width (1) a training on the CPU would
see some tens of windows a second.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from src.core.constants import HOPS_PER_FRAME, N_MELS, WINDOW_FRAMES
from src.models.spec import ModelSize

WINDOW_STEPS = WINDOW_FRAMES * HOPS_PER_FRAME
SYNCNET_MFCC = 13  # coefficients SyncNet hears


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


class _Windows(nn.Module):
    """A network that sees one window at a time, applied to all windows of a clip.

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


class VideoWindows(_Windows):
    """Views [B, T, height, width] -> [B, T − 4, D]."""

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        return self.embed(views.unfold(1, WINDOW_FRAMES, 1).permute(0, 1, 4, 2, 3))


class BandWindows(_Windows):
    """Bands [B, 4 T, 40] -> [B, T − 4, D]."""

    def forward(self, bands: torch.Tensor) -> torch.Tensor:
        return self.embed(bands.unfold(1, WINDOW_STEPS, HOPS_PER_FRAME)[:, :, None])


class MfccWindows(BandWindows):
    """The same from the first 13 MFCC."""

    def forward(self, bands: torch.Tensor) -> torch.Tensor:
        from torchaudio.functional import create_dct

        dct = create_dct(SYNCNET_MFCC, N_MELS, norm="ortho").to(bands)
        return super().forward(bands @ dct)


class TwoStreams(nn.Module):
    """Two encoders with the attributes measuring and training look for."""

    def __init__(self, size: ModelSize, video: nn.Module, audio: nn.Module, loss: Callable):
        super().__init__()
        self.size, self.video, self.audio, self.loss = size, video, audio, loss
        self.register_buffer("log_scale", torch.zeros(()))

    def forward(self, views: torch.Tensor, bands: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Embeddings of both streams, each [B, T − 4, D], length 1."""
        return self.video(views), self.audio(bands)


def _spatial(net: nn.Module, channels: int, rows: int, columns: int) -> tuple[int, int]:
    """Rows and columns that a network leaves of its input."""
    with torch.no_grad():
        return tuple(net.eval()(torch.zeros(1, channels, rows, columns)).shape[2:])


def syncnet(size: ModelSize, width: float = 1.0) -> TwoStreams:
    """SyncNet (Chung & Zisserman 2016): VGG-M over 5 grey frames, the like over 13 × 20 MFCC."""
    c1, c2, c3, c4 = (round(n * width) for n in (96, 256, 256, 512))
    lips = nn.Sequential(
        _conv(WINDOW_FRAMES, c1, 7, 2), nn.MaxPool2d(3, 2),
        _conv(c1, c2, 5, 2, 1), nn.MaxPool2d(3, 2, 1),
        _conv(c2, c3, 3, 1, 1), _conv(c3, c3, 3, 1, 1), _conv(c3, c3, 3, 1, 1),
    )  # fmt: skip
    left = _spatial(lips, WINDOW_FRAMES, *size.view)
    lips.extend([_conv(c3, c4, left), nn.Conv2d(c4, size.embedding_dim, 1)])
    a1, a2, a3, a4, a5 = (round(n * width) for n in (64, 192, 384, 256, 512))
    sound = nn.Sequential(
        _conv(1, a1, 3, 1, 1), _conv(a1, a2, 3, 1, 1), nn.MaxPool2d(3, (1, 2)),
        _conv(a2, a3, 3, 1, 1), _conv(a3, a4, 3, 1, 1), _conv(a4, a4, 3, 1, 1), nn.MaxPool2d(3, 2),
    )  # fmt: skip
    left = _spatial(sound, 1, SYNCNET_MFCC, WINDOW_STEPS)
    sound.extend([_conv(a4, a5, left), nn.Conv2d(a5, size.embedding_dim, 1)])
    return TwoStreams(size, VideoWindows(lips), MfccWindows(sound), contrastive_loss)


def wav2lip_expert(size: ModelSize, width: float = 1.0) -> TwoStreams:
    """The lip-sync expert of Wav2Lip (Prajwal et al. 2020): residual networks over the lower half
    of 5 frames and over mel bands; embeddings are ReLU outputs."""
    c1, c2, c3, c4, c5 = (max(8, round(n * width)) for n in (32, 64, 128, 256, 512))
    lips = nn.Sequential(
        _conv(WINDOW_FRAMES, c1, 7, 1, 3),
        _conv(c1, c2, 5, (1, 2), 1), _Residual(c2), _Residual(c2),
        _conv(c2, c3, 3, 2, 1), _Residual(c3), _Residual(c3), _Residual(c3),
        _conv(c3, c4, 3, 2, 1), _Residual(c4), _Residual(c4),
        _conv(c4, c5, 3, 2, 1), _Residual(c5), _Residual(c5),
        _conv(c5, c5, 3, 2, 1),
    )  # fmt: skip
    left = _spatial(lips, WINDOW_FRAMES, *size.view)
    lips.extend([_conv(c5, c5, left), _conv(c5, size.embedding_dim, 1)])
    sound = nn.Sequential(
        _conv(1, c1, 3, 1, 1), _Residual(c1), _Residual(c1),
        _conv(c1, c2, 3, (2, 1), 1), _Residual(c2), _Residual(c2),
        _conv(c2, c3, 3, 2, 1), _Residual(c3), _Residual(c3),
        _conv(c3, c4, 3, 2, 1), _Residual(c4), _Residual(c4),
    )  # fmt: skip
    left = _spatial(sound, 1, N_MELS, WINDOW_STEPS)
    sound.extend([_conv(c4, c5, left), _conv(c5, size.embedding_dim, 1)])
    return TwoStreams(size, VideoWindows(lips), BandWindows(sound), cosine_bce)


def contrastive_loss(
    video: torch.Tensor, audio: torch.Tensor, usable: torch.Tensor, wrong: torch.Tensor,
    margin: float = 1.0,
) -> torch.Tensor:  # fmt: skip
    """SyncNet's: true pairs are pulled together, false ones pushed ``margin`` apart.

    E = ½ mean(d²) over true pairs + ½ mean(max(margin − d, 0)²) over false ones, d Euclidean.

    Args:
        video, audio: float [B, W, D], length 1.
        usable: bool [B, W], windows that count.
        wrong: int [B, W], a false window of sound for each window of video.
    """
    true = (video - audio)[usable].norm(dim=-1)
    false = (video - _taken(audio, wrong))[usable].norm(dim=-1)
    return (true.square().mean() + (margin - false).clamp(min=0).square().mean()) / 2


def cosine_bce(
    video: torch.Tensor, audio: torch.Tensor, usable: torch.Tensor, wrong: torch.Tensor
) -> torch.Tensor:
    """Wav2Lip's: binary cross-entropy with the cosine as the probability, half of it false pairs.

    Args: as of ``contrastive_loss``; embeddings without negative parts, so cosines are 0…1.
    """
    true = (video * audio)[usable].sum(-1)
    false = (video * _taken(audio, wrong))[usable].sum(-1)
    chance = torch.cat([true, false]).clamp(1e-6, 1 - 1e-6)
    label = torch.cat([torch.ones_like(true), torch.zeros_like(false)])
    return F.binary_cross_entropy(chance, label)


def _taken(audio: torch.Tensor, wrong: torch.Tensor) -> torch.Tensor:
    return audio.gather(1, wrong[..., None].expand_as(audio))

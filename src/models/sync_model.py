"""The sync model: two encoders and one similarity.

Both encoders are fully convolutional in time. A clip of T frames (4 T audio steps) gives T − 4
embeddings, each at the middle of a window of 5 frames and the 20 steps under them: a front end
sees 3 frames (12 steps), and the temporal part of ``num_layers`` layers, ``hidden_dim`` wide,
the rest of the window. The objective follows SyncNet's two streams (Chung & Zisserman 2016)
with PerfectMatch's N-way matching (Chung et al. 2019). Of several networks side by side
(``members``) the similarity is the mean (deep ensembles, Lakshminarayanan et al. 2017).
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from ..core.constants import HOPS_PER_FRAME, N_MELS, WINDOW_FRAMES
from .ensemble import Ensemble
from .spec import ModelSize

FRONT_FRAMES = 3  # what a front end sees; the temporal part sees the rest of the window
EDGE = WINDOW_FRAMES // 2  # frames lost at either end of a clip


def _conv2d(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _conv1d(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(inputs, outputs, kernel, stride, bias=False),
        nn.BatchNorm1d(outputs),
        nn.ReLU(inplace=True),
    )


class TemporalPart(nn.Module):
    """Convolutions over time that widen 3 frames to the window of 5, then the embedding.

    [B, channels, T − 2] -> [B, embedding_dim, T − 4].
    """

    def __init__(self, channels: int, size: ModelSize):
        super().__init__()
        growth = WINDOW_FRAMES - FRONT_FRAMES
        layers = []
        for left in range(size.num_layers, 0, -1):
            step = math.ceil(growth / left)
            growth -= step
            layers += [_conv1d(channels, size.hidden_dim, step + 1), nn.Dropout(size.dropout)]
            channels = size.hidden_dim
        self.layers = nn.Sequential(*layers, nn.Conv1d(channels, size.embedding_dim, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class VideoEncoder(nn.Module):
    """Normalised grey views [B, T, height, width] -> embeddings [B, T − 4, D], length 1."""

    CHANNELS = (32, 64, 128)
    GATHERED = 192  # what a picture comes to

    def __init__(self, size: ModelSize, part: str = "lower_face"):
        super().__init__()
        c1, c2, c3 = self.CHANNELS
        self.rows, self.columns = size.within_view(part)
        # The first layer sees three frames: how lips move shows best in small differences. It
        # goes from pixels to a quarter of their grid in one step (squares of 2 × 2 pixels become
        # channels): layers with few channels on fine grids would take most of the time.
        self.stem = nn.Sequential(nn.PixelUnshuffle(2), _conv2d(4 * FRONT_FRAMES, c1, 2))
        self.body = nn.Sequential(
            _conv2d(c1, c2, 2),
            _conv2d(c2, c2, 1),
            _conv2d(c2, c3, 2),
            nn.Dropout2d(size.dropout / 2),
        )
        height, width = ((side.stop - side.start) // 16 for side in (self.rows, self.columns))
        self.gather = nn.Sequential(
            nn.Conv2d(c3, self.GATHERED, (height, width), bias=False),
            nn.BatchNorm2d(self.GATHERED),
            nn.ReLU(inplace=True),
        )
        self.temporal = TemporalPart(self.GATHERED, size)

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        views = views[..., self.rows, self.columns]
        batch, windows = views.shape[0], views.shape[1] - FRONT_FRAMES + 1
        # Squares become channels before the three frames are put together: a third of the work.
        # (As single pictures: the exporter to ONNX knows squares in 4 dimensions only.)
        squares = self.stem[0](views.flatten(0, 1)[:, None])
        x = squares.reshape(batch, -1, *squares.shape[1:])
        x = torch.cat([x[:, i : i + windows] for i in range(FRONT_FRAMES)], 2).flatten(0, 1)
        x = x.contiguous(memory_format=torch.channels_last)
        x = self.gather(self.body(self.stem[1](x))).flatten(1)
        x = self.temporal(x.reshape(batch, -1, x.shape[1]).transpose(1, 2))
        return F.normalize(x.transpose(1, 2), dim=-1)


class AudioEncoder(nn.Module):
    """Normalised bands [B, 4 T, 40] -> embeddings [B, T − 4, D], length 1."""

    CHANNELS = (128, 192, 256)

    def __init__(self, size: ModelSize):
        super().__init__()
        c1, c2, c3 = self.CHANNELS
        # Kernels of 3, 3, 3, 3 and 4 see 12 steps, as the video's front end sees 3 frames.
        self.front = nn.Sequential(
            _conv1d(N_MELS, c1, 3),
            _conv1d(c1, c1, 3),
            _conv1d(c1, c2, 3),
            _conv1d(c2, c2, 3),
            _conv1d(c2, c3, HOPS_PER_FRAME, HOPS_PER_FRAME),
        )
        self.temporal = TemporalPart(c3, size)

    def forward(self, bands: torch.Tensor) -> torch.Tensor:
        return self.of_steps(self.steps(bands))

    def steps(self, bands: torch.Tensor) -> torch.Tensor:
        """The layers that go from step to step: [B, 4 T, 40] -> [B, 4 T − 8, channels]."""
        return self.front[:-1](bands.transpose(1, 2)).transpose(1, 2)

    def of_steps(self, steps: torch.Tensor) -> torch.Tensor:
        """The others, from frame to frame: [B, 4 T − 8, channels] -> [B, T − 4, D], length 1."""
        x = self.temporal(self.front[-1](steps.transpose(1, 2)))
        return F.normalize(x.transpose(1, 2), dim=-1)


class SyncModel(nn.Module):
    """Video and audio encoder with a learned scale of their similarity."""

    MAX_SCALE = 50.0

    def __init__(self, size: ModelSize):
        super().__init__()
        self.size = size
        videos = [VideoEncoder(size, part) for part in size.looked_at]
        audios = [AudioEncoder(size) for _ in videos]
        if size.members == 1:
            (self.video,), (self.audio,) = videos, audios
        else:
            self.video, self.audio = Ensemble(videos), Ensemble(audios)
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))

    @property
    def scale(self) -> torch.Tensor:
        """Factor between cosine similarity and the logits of the N-way choice."""
        return self.log_scale.exp().clamp(max=self.MAX_SCALE)

    def forward(self, views: torch.Tensor, bands: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Embeddings of both streams, each [B, T − 4, D]; D is ``size.length``."""
        return self.video(views), self.audio(bands)


def made_input(size: ModelSize, frames: int, clips: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise in the place of clips, to try a network on, the same for the same numbers.

    Returns:
        (views, bands), float [clips, frames, height, width] and [clips, 4 · frames, 40].
    """
    generator = torch.Generator().manual_seed(0)
    views = torch.randn(clips, frames, *size.view, generator=generator)
    return views, torch.randn(clips, frames * HOPS_PER_FRAME, N_MELS, generator=generator)


def fine_audio_embeddings(encoder: nn.Module, bands: torch.Tensor) -> torch.Tensor:
    """Audio embeddings at every 10 ms step instead of every frame.

    The encoder runs at four phases; row ``4 t + p`` is the window that begins ``p`` steps after
    frame ``t``. What ours does from step to step is the same for all of them, and is done once.
    [B, 4 T, 40] -> [B, 4 (T − 4) − 3, D] (the last window of 20 steps ends the clip).
    """
    if isinstance(encoder, Ensemble):
        return encoder.joined([fine_audio_embeddings(one, bands) for one in encoder.members])
    if isinstance(encoder, AudioEncoder):
        steps, encoder = encoder.steps(bands), encoder.of_steps
    else:
        steps = bands
    whole = encoder(steps)
    fine = whole.new_zeros(whole.shape[0], whole.shape[1] * HOPS_PER_FRAME, whole.shape[2])
    fine[:, ::HOPS_PER_FRAME] = whole
    for phase in range(1, HOPS_PER_FRAME):
        shifted = steps[:, phase : steps.shape[1] - HOPS_PER_FRAME + phase]
        if whole.shape[1] > 1:
            fine[:, phase:-HOPS_PER_FRAME:HOPS_PER_FRAME] = encoder(shifted)
    return fine[:, : -HOPS_PER_FRAME + 1]


def count_parameters(model: nn.Module) -> int:
    """Number of trained parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)

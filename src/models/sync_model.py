"""The sync model: two encoders and one similarity.

Both encoders are fully convolutional in time. A clip of T frames (4 T hops of audio) gives T − 4
embeddings, each at the centre of a window of 5 frames and the 20 hops under them: a front end sees
3 frames (12 hops), and the temporal block (``model.temporal``) widens that to the window. The
objective follows SyncNet's two streams (Chung & Zisserman 2016) with PerfectMatch's N-way matching
(Chung et al. 2019). The similarity of an ensemble (``members``) is the mean of its networks' (deep
ensembles, Lakshminarayanan et al. 2017).
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from ..core.constants import HOPS_PER_FRAME, N_MELS
from .ensemble import Ensemble
from .spec import (
    AUDIO_CHANNELS,
    FRAME_FEATURES,
    FRONT_FRAMES,
    GRID_PX,
    VIDEO_CHANNELS,
    ModelSpec,
)
from .temporal_blocks import conv1d, temporal_block


def _conv2d(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class GridSum(nn.Conv2d):
    """A convolution whose kernel covers its input: [B, C, h, w] -> [B, outputs, 1, 1].

    Computed as the matrix product that it is, which takes half of the time of ``nn.Conv2d``.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # Channels last, as they lie in memory: nothing is copied.
        pixels, weight = (tensor.permute(0, 2, 3, 1).flatten(1) for tensor in (x, self.weight))
        return F.linear(pixels, weight, self.bias)[..., None, None]


class VideoEncoder(nn.Module):
    """Normalised grey face regions [B, T, height, width] -> embeddings [B, T − 4, D], length 1."""

    CHANNELS, FRAME_FEATURES = VIDEO_CHANNELS, FRAME_FEATURES

    def __init__(self, spec: ModelSpec):
        super().__init__()
        c1, c2, c3 = self.CHANNELS
        self.rows, self.columns = spec.region_slices(spec.view)
        # The first layer sees three frames: small differences show best how lips move. It reduces
        # the grid of pixels by four at once (squares of 2 × 2 pixels become channels): layers with
        # few channels on fine grids would take most of the time.
        self.stem = nn.Sequential(nn.PixelUnshuffle(2), _conv2d(4 * FRONT_FRAMES, c1, 2))
        self.body = nn.Sequential(
            _conv2d(c1, c2, 2),
            _conv2d(c2, c2, 1),
            _conv2d(c2, c3, 2),
            nn.Dropout2d(spec.dropout / 2),
        )
        height, width = ((side.stop - side.start) // GRID_PX for side in (self.rows, self.columns))
        self.gather = nn.Sequential(
            GridSum(c3, self.FRAME_FEATURES, (height, width), bias=False),
            nn.BatchNorm2d(self.FRAME_FEATURES),
            nn.ReLU(inplace=True),
        )
        self.temporal = temporal_block(self.FRAME_FEATURES, spec)

    def forward(self, regions: torch.Tensor) -> torch.Tensor:
        regions = regions[..., self.rows, self.columns]
        batch, n_outputs = regions.shape[0], regions.shape[1] - FRONT_FRAMES + 1
        # Squares become channels before the three frames are stacked: a third of the work.
        # (Frame by frame: the ONNX exporter knows pixel_unshuffle in 4 dimensions only.)
        squares = self.stem[0](regions.flatten(0, 1)[:, None])
        x = squares.reshape(batch, -1, *squares.shape[1:])
        x = torch.cat([x[:, i : i + n_outputs] for i in range(FRONT_FRAMES)], 2).flatten(0, 1)
        x = x.contiguous(memory_format=torch.channels_last)
        x = self.gather(self.body(self.stem[1](x))).flatten(1)
        x = self.temporal(x.reshape(batch, -1, x.shape[1]).transpose(1, 2))
        return F.normalize(x.transpose(1, 2), dim=-1)


class AudioEncoder(nn.Module):
    """Normalised bands [B, 4 T, 40] -> embeddings [B, T − 4, D], length 1."""

    CHANNELS = AUDIO_CHANNELS

    def __init__(self, spec: ModelSpec):
        super().__init__()
        c1, c2, c3 = self.CHANNELS
        # Kernels of 3, 3, 3, 3 and 4 see 12 hops, as the video's front end sees 3 frames.
        self.front = nn.Sequential(
            conv1d(N_MELS, c1, 3),
            conv1d(c1, c1, 3),
            conv1d(c1, c2, 3),
            conv1d(c2, c2, 3),
            conv1d(c2, c3, HOPS_PER_FRAME, HOPS_PER_FRAME),
        )
        self.temporal = temporal_block(c3, spec)

    def forward(self, bands: torch.Tensor) -> torch.Tensor:
        return self.embed_hops(self.hop_features(bands))

    def hop_features(self, bands: torch.Tensor) -> torch.Tensor:
        """The layers with a stride of one hop: [B, 4 T, 40] -> [B, 4 T − 8, channels]."""
        return self.front[:-1](bands.transpose(1, 2)).transpose(1, 2)

    def embed_hops(self, features: torch.Tensor) -> torch.Tensor:
        """Those with a stride of one frame: [B, 4 T − 8, channels] -> [B, T − 4, D], length 1."""
        x = self.temporal(self.front[-1](features.transpose(1, 2)))
        return F.normalize(x.transpose(1, 2), dim=-1)


class SyncModel(nn.Module):
    """Video and audio encoder with a learned scale of their similarity."""

    MAX_SCALE = 50.0

    def __init__(self, spec: ModelSpec):
        super().__init__()
        self.spec = spec
        video_encoders = [VideoEncoder(member) for member in spec.member_specs]
        audio_encoders = [AudioEncoder(member) for member in spec.member_specs]
        if spec.members == 1:
            (self.video,), (self.audio,) = video_encoders, audio_encoders
        else:
            self.video, self.audio = Ensemble(video_encoders), Ensemble(audio_encoders)
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))

    @property
    def scale(self) -> torch.Tensor:
        """Factor between cosine similarity and the logits of the N-way choice."""
        return self.log_scale.exp().clamp(max=self.MAX_SCALE)

    def forward(self, regions: torch.Tensor, bands: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Embeddings of both streams, each [B, T − 4, D]; D is ``spec.output_dim``."""
        return self.video(regions), self.audio(bands)


def example_input(
    spec: ModelSpec, n_frames: int, n_clips: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise to try a network on, the same for the same arguments.

    Returns:
        (regions, bands), float [n_clips, n_frames, height, width] and [n_clips, 4 n_frames, 40].
    """
    generator = torch.Generator().manual_seed(0)
    regions = torch.randn(n_clips, n_frames, *spec.region_shape, generator=generator)
    return regions, torch.randn(n_clips, n_frames * HOPS_PER_FRAME, N_MELS, generator=generator)


def embed_every_hop(encoder: nn.Module, bands: torch.Tensor) -> torch.Tensor:
    """Audio embeddings at every hop (10 ms) instead of every frame.

    The encoder runs at four phases; row ``4 t + p`` is the window that begins ``p`` hops after
    frame ``t``. Our encoder's layers with a stride of one hop are shared by all phases.
    [B, 4 T, 40] -> [B, 4 (T − 4) − 3, D] (the last window of 20 hops ends the clip).
    """
    if isinstance(encoder, Ensemble):
        return encoder.concatenate([embed_every_hop(member, bands) for member in encoder.members])
    if isinstance(encoder, AudioEncoder):
        hops, encoder = encoder.hop_features(bands), encoder.embed_hops
    else:
        hops = bands
    n_late = HOPS_PER_FRAME - 1  # windows of the last frame would begin, and end, too late
    padded = F.pad(hops, (0, 0, 0, n_late))
    by_phase = [
        encoder(padded[:, phase : padded.shape[1] - n_late + phase])
        for phase in range(HOPS_PER_FRAME)
    ]
    return torch.stack(by_phase, 2).flatten(1, 2)[:, :-n_late]


class AudioHopEncoder(nn.Module):
    """An audio encoder that gives an embedding at every hop, as ``embed_every_hop``."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder

    def forward(self, bands: torch.Tensor) -> torch.Tensor:
        return embed_every_hop(self.encoder, bands)


def count_parameters(model: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)

"""The sync model: two encoders and one similarity.

Both encoders are fully convolutional in time. A clip of T frames (4 T audio steps) gives T − 4
embeddings, each at the middle of a window of 5 frames and the 20 steps under them: a front end
sees 3 frames (12 steps), and the temporal part of ``num_layers`` layers, ``hidden_dim`` wide,
the rest of the window. The objective follows SyncNet's two streams (Chung & Zisserman 2016)
with PerfectMatch's N-way matching (Chung et al. 2019). Of several networks side by side
(``members``) the similarity is the mean (deep ensembles, Lakshminarayanan et al. 2017).
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from src.audio_features import N_MELS, STEPS_PER_FRAME
from src.clip_features import WINDOW_FRAMES
from src.config import Config

FRONT_FRAMES = 3  # what a front end sees; the temporal part sees the rest of the window
EDGE = WINDOW_FRAMES // 2  # frames lost at either end of a clip

# Parts of a crop: their top, height and width as shares of the crop's side. Views are cut out as
# ``lower_face``, which leaves room for the augmentation to turn and shift in, and lose its mean
# brightness and contrast; an encoder may look at less of them (model.view).
VIEWS = {"lower_face": (1 / 4, 2 / 3, 5 / 6), "mouth": (0.27, 1 / 2, 2 / 3)}


@dataclass(frozen=True)
class ModelSize:
    """All that fixes the shape of the network; travels in the checkpoint."""

    input_size: int
    n_mfcc: int
    embedding_dim: int
    hidden_dim: int
    num_layers: int
    dropout: float
    members: int = 1
    view_of: str = "lower_face"

    @classmethod
    def of(cls, config: Config) -> "ModelSize":
        settings = config.model.model_dump()
        view = settings.pop("view")
        return cls(config.data.input_size, config.data.n_mfcc, **settings, view_of=view)

    @property
    def length(self) -> int:
        """Numbers in an embedding: those of all members, one after the other."""
        return self.members * self.embedding_dim

    @property
    def view(self) -> tuple[int, int]:
        """Height and width in pixels of a view, multiples of 16."""
        return self._part("lower_face")[1:]

    @property
    def view_top(self) -> int:
        """The first row of the crop that is in the view."""
        return self._part("lower_face")[0]

    @property
    def looked_at(self) -> list[str]:
        """The part each member looks at; names of ``VIEWS``."""
        names = self.view_of.split("+")
        return names * self.members if len(names) == 1 else names

    def within_view(self, part: str) -> tuple[slice, slice]:
        """The rows and columns of a view that hold a part of it; the lower face is all of it."""
        view_height, view_width = self.view
        if part == "lower_face":
            return slice(0, view_height), slice(0, view_width)
        top, height, width = self._part(part)
        first = min(max(top - self.view_top, 0), view_height - height)
        left = (view_width - width) // 2
        return slice(first, first + height), slice(left, left + width)

    def _part(self, name: str) -> tuple[int, int, int]:
        top, *shares = VIEWS[name]
        sides = (max(16, int(self.input_size * share / 16 + 0.5) * 16) for share in shares)
        return round(self.input_size * top), *sides


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
            _conv1d(c2, c3, STEPS_PER_FRAME, STEPS_PER_FRAME),
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


class SideBySide(nn.Module):
    """Encoders of one stream whose embeddings are put one after the other, at length 1.

    The cosine of two such embeddings is the mean of the members' cosines.
    """

    def __init__(self, members: list[nn.Module]):
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.joined([member(x) for member in self.members])

    @staticmethod
    def joined(embeddings: list[torch.Tensor]) -> torch.Tensor:
        """Those of the members, [B, n, D] each, as one of length 1."""
        return torch.cat(embeddings, -1) / len(embeddings) ** 0.5


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
            self.video, self.audio = SideBySide(videos), SideBySide(audios)
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))

    @property
    def scale(self) -> torch.Tensor:
        """Factor between cosine similarity and the logits of the N-way choice."""
        return self.log_scale.exp().clamp(max=self.MAX_SCALE)

    def forward(self, views: torch.Tensor, bands: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Embeddings of both streams, each [B, T − 4, D]; D is ``size.length``."""
        return self.video(views), self.audio(bands)


def members_in(weights: Mapping[str, torch.Tensor]) -> int:
    """How many networks side by side these weights are of."""
    names = [re.match(r"video\.members\.(\d+)\.", name) for name in weights]
    return max((int(found[1]) + 1 for found in names if found), default=1)


def view_of(parts: Sequence[str]) -> str:
    """What members look at, as ``model.view`` has it: one name if all look at the same."""
    return parts[0] if len(set(parts)) == 1 else "+".join(parts)


def parts_in(weights: Mapping[str, torch.Tensor], size: ModelSize) -> list[str]:
    """What the members look at whose weights these are, by the grid their pictures come to; those
    of no known grid count as looking at the whole view."""
    grids = {}
    for part in VIEWS:
        rows, columns = size.within_view(part)
        grids[(rows.stop - rows.start) // 16, (columns.stop - columns.start) // 16] = part
    one = "gather.0.weight"
    names = [f"video.members.{i}.{one}" for i in range(members_in(weights))]
    names = [f"video.{one}"] if f"video.{one}" in weights else names
    found = (weights.get(name, torch.empty(0)).shape[2:] for name in names)
    return [grids.get(tuple(grid), "lower_face") for grid in found]


def side_by_side(weights: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The weights of networks as those of one with as many members; its scale is their mean."""
    joint = {}
    at = 0
    for one in weights:
        n = members_in(one)
        for name, tensor in one.items():
            stream, _, rest = name.partition(".")
            if stream not in ("video", "audio"):
                continue
            member = 0
            if n > 1:
                _, number, rest = rest.split(".", 2)
                member = int(number)
            joint[f"{stream}.members.{at + member}.{rest}"] = tensor
        at += n
    joint["log_scale"] = torch.stack([one["log_scale"] for one in weights]).mean()
    return joint


def made_input(size: ModelSize, frames: int, clips: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise in the place of clips, to try a network on, the same for the same numbers.

    Returns:
        (views, bands), float [clips, frames, height, width] and [clips, 4 · frames, 40].
    """
    generator = torch.Generator().manual_seed(0)
    views = torch.randn(clips, frames, *size.view, generator=generator)
    return views, torch.randn(clips, frames * STEPS_PER_FRAME, N_MELS, generator=generator)


def fine_audio_embeddings(encoder: nn.Module, bands: torch.Tensor) -> torch.Tensor:
    """Audio embeddings at every 10 ms step instead of every frame.

    The encoder runs at four phases; row ``4 t + p`` is the window that begins ``p`` steps after
    frame ``t``. What ours does from step to step is the same for all of them, and is done once.
    [B, 4 T, 40] -> [B, 4 (T − 4) − 3, D] (the last window of 20 steps ends the clip).
    """
    if isinstance(encoder, SideBySide):
        return encoder.joined([fine_audio_embeddings(one, bands) for one in encoder.members])
    if isinstance(encoder, AudioEncoder):
        steps, encoder = encoder.steps(bands), encoder.of_steps
    else:
        steps = bands
    whole = encoder(steps)
    fine = whole.new_zeros(whole.shape[0], whole.shape[1] * STEPS_PER_FRAME, whole.shape[2])
    fine[:, ::STEPS_PER_FRAME] = whole
    for phase in range(1, STEPS_PER_FRAME):
        shifted = steps[:, phase : steps.shape[1] - STEPS_PER_FRAME + phase]
        if whole.shape[1] > 1:
            fine[:, phase:-STEPS_PER_FRAME:STEPS_PER_FRAME] = encoder(shifted)
    return fine[:, : -STEPS_PER_FRAME + 1]


def central_view(crops: torch.Tensor, size: ModelSize) -> torch.Tensor:
    """Cut what is looked at out of the crops: [..., S, S] -> [..., height, width]."""
    height, width = size.view
    left = (size.input_size - width) // 2
    return crops[..., size.view_top : size.view_top + height, left : left + width]


def brightness(views: torch.Tensor, valid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of each clip's views, [B] each.

    Args:
        views: float [B, T, height, width].
        valid: bool [B, T], which frames count.
    """
    weight = valid.to(views.dtype)
    total = weight.sum(1).clamp(min=1)
    mean = (views.mean((2, 3)) * weight).sum(1) / total
    square = (views.square().mean((2, 3)) * weight).sum(1) / total
    return mean, (square - mean.square()).clamp(min=1e-6).sqrt()


def normalise_views(
    views: torch.Tensor, mean: torch.Tensor, deviation: torch.Tensor
) -> torch.Tensor:
    """Remove a clip's brightness and contrast: [B, T, height, width] with statistics [B]."""
    return (views - mean[:, None, None, None]) / deviation[:, None, None, None]


def spectrum(bands: torch.Tensor, counted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A clip's mean spectrum, [B, 1, 40], and its deviation from it, [B, 1, 1].

    Args:
        bands: float [B, S, 40], dB.
        counted: bool [B, S], steps with speech; where a clip has none, all its steps count.
    """
    weight = counted.to(bands.dtype)
    weight = torch.where(weight.sum(1, keepdim=True) > 0, weight, torch.ones_like(weight))[
        ..., None
    ]
    total = weight.sum(1, keepdim=True)
    mean = (bands * weight).sum(1, keepdim=True) / total
    variance = ((bands - mean).square() * weight).sum((1, 2), keepdim=True) / (total * N_MELS)
    return mean, deviation_of(variance)


def deviation_of(variance: torch.Tensor) -> torch.Tensor:
    """The deviation that bands are divided by: that of digital silence would be 0."""
    return variance.clamp(min=1e-3).sqrt()


def levelled_bands(
    bands: torch.Tensor, mean: torch.Tensor, deviation: torch.Tensor
) -> torch.Tensor:
    """Bands [B, S, 40] without a clip's spectrum and deviation, held within ±4."""
    return ((bands - mean) / deviation).clamp(-4, 4)


def normalise_bands(bands: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """Remove a clip's mean spectrum and its deviation (CMVN), measured where somebody speaks.

    Pauses, music or silence put before a clip so change nothing about how its speech looks.

    Args:
        bands, counted: as for ``spectrum``.
    """
    return levelled_bands(bands, *spectrum(bands, counted))


def bands_of(mfcc: torch.Tensor) -> torch.Tensor:
    """Undo the DCT: MFCC [..., n_mfcc] -> dB of 40 mel bands [..., 40] (smoothed if fewer)."""
    from torchaudio.functional import create_dct

    dct = create_dct(mfcc.shape[-1], N_MELS, norm="ortho").to(mfcc)  # [40, n_mfcc]
    return mfcc @ dct.T


def speech_steps(speech: torch.Tensor) -> torch.Tensor:
    """Speech by frame, bool [..., T], as speech by audio step, bool [..., 4 T]."""
    return speech.repeat_interleave(STEPS_PER_FRAME, dim=-1)


def count_parameters(model: nn.Module) -> int:
    """Number of trained parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)

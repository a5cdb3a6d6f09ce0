"""Other inputs and other temporal parts than those of our network, one training a row.

What settings can vary stands in ablations.yaml; this varies what they cannot: the part of the crop
that is looked at, what is heard, and what joins the frames of a window. Every row is trained for
the same minutes on the training samples of ``data.processed_dir`` and measured on the validation
samples; ``training.split_by=speaker`` makes these strangers. A row that is finished is not trained
again.
"""

import json
import math
import sys
from collections.abc import Callable
from dataclasses import astuple, replace
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from torch import nn
from torchaudio.functional import create_dct

from benchmarks.ablations import COLUMNS, line, same_settings
from benchmarks.baselines import asked, figures_of, train
from benchmarks.networks import SYNCNET_MFCC
from src.core.cli import make_parser, run
from src.core.constants import N_MELS, WINDOW_FRAMES
from src.core.device import choose_device
from src.core.files import ensure_folder, written_atomically
from src.i18n.messages import tr
from src.models.spec import ModelSize
from src.models.sync_model import FRONT_FRAMES, AudioEncoder, SyncModel, count_parameters
from src.training.reproducibility import seed_all

JOINED = WINDOW_FRAMES - FRONT_FRAMES + 1  # pictures, or stretches of sound, of a window


class CropSize(ModelSize):
    """Looks at the whole crop, from between the eyes to below the chin."""

    @property
    def view(self) -> tuple[int, int]:
        return self.input_size, self.input_size

    @property
    def view_top(self) -> int:
        return 0


class FewMfcc(AudioEncoder):
    """Hears the first 13 MFCC: bands smoothed to as much."""

    def steps(self, bands: torch.Tensor) -> torch.Tensor:
        dct = create_dct(SYNCNET_MFCC, N_MELS, norm="ortho").to(bands)
        return super().steps(bands @ dct @ dct.T)


class WithDeltas(AudioEncoder):
    """Hears how the bands change, too: the slope over ±2 steps (librosa's and HTK's formula)."""

    def __init__(self, size: ModelSize):
        super().__init__(size)
        first = self.front[0][0]
        self.front[0][0] = nn.Conv1d(2 * N_MELS, first.out_channels, 3, bias=False)

    def steps(self, bands: torch.Tensor) -> torch.Tensor:
        before = [torch.cat([bands[:, :1]] * n + [bands[:, :-n]], 1) for n in (1, 2)]
        after = [torch.cat([bands[:, n:]] + [bands[:, -1:]] * n, 1) for n in (1, 2)]
        slope = sum(n * (after[n - 1] - before[n - 1]) for n in (1, 2)) / 10
        return super().steps(torch.cat([bands, 3 * slope], 2))


class _OverWindows(nn.Module):
    """[B, channels, T − 2] -> [B, embedding_dim, T − 4], every window by itself."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, channels = x.shape[:2]
        windows = x.unfold(2, JOINED, 1).permute(0, 2, 3, 1).reshape(-1, JOINED, channels)
        return self.join(windows).reshape(batch, -1, self.dim).transpose(1, 2)


class Linear(_OverWindows):
    """No temporal part: one linear layer from the three to the embedding."""

    def __init__(self, channels: int, size: ModelSize):
        super().__init__()
        self.dim = size.embedding_dim
        self.join = nn.Sequential(
            nn.Flatten(), nn.Dropout(size.dropout), nn.Linear(JOINED * channels, self.dim)
        )


class Gru(_OverWindows):
    """A GRU in both directions."""

    def __init__(self, channels: int, size: ModelSize):
        super().__init__()
        self.dim = size.embedding_dim
        self.gru = nn.GRU(channels, size.hidden_dim // 2, batch_first=True, bidirectional=True)
        self.drop = nn.Dropout(size.dropout)
        self.out = nn.Linear(size.hidden_dim, self.dim)

    def join(self, windows: torch.Tensor) -> torch.Tensor:
        return self.out(self.drop(self.gru(self.drop(windows))[0].mean(1)))


class Attention(_OverWindows):
    """A layer of a transformer with learned places."""

    def __init__(self, channels: int, size: ModelSize):
        super().__init__()
        self.dim = width = size.embedding_dim
        self.enter = nn.Linear(channels, width)
        self.place = nn.Parameter(torch.randn(JOINED, width) / math.sqrt(width))
        self.layer = nn.TransformerEncoderLayer(
            width, 4, size.hidden_dim, size.dropout / 2, batch_first=True, norm_first=True
        )
        self.out = nn.Linear(JOINED * width, self.dim)

    def join(self, windows: torch.Tensor) -> torch.Tensor:
        return self.out(self.layer(self.enter(windows) + self.place).flatten(1))


def looking_at(kind: type[ModelSize]) -> Callable[[ModelSize], SyncModel]:
    """Our network with another view, all of it."""
    return lambda size: SyncModel(kind(*astuple(replace(size, view_of="lower_face"))))


def hearing(kind: type[AudioEncoder]) -> Callable[[ModelSize], SyncModel]:
    """Our network with another audio encoder."""

    def make(size: ModelSize) -> SyncModel:
        model = SyncModel(size)
        model.audio = kind(size)
        return model

    return make


def joining(kind: type[nn.Module]) -> Callable[[ModelSize], SyncModel]:
    """Our network with another temporal part in both encoders."""

    def make(size: ModelSize) -> SyncModel:
        model = SyncModel(size)
        model.video.temporal = kind(model.video.GATHERED, size)
        model.audio.temporal = kind(model.audio.CHANNELS[-1], size)
        return model

    return make


VARIANTS: dict[str, Callable[[ModelSize], SyncModel]] = {
    "as it is": SyncModel,
    "the lower face": lambda size: SyncModel(replace(size, view_of="lower_face")),
    "the whole crop": looking_at(CropSize),
    "13 MFCC": hearing(FewMfcc),
    "with deltas": hearing(WithDeltas),
    "no temporal part": joining(Linear),
    "GRU": joining(Gru),
    "transformer": joining(Attention),
}


def main() -> int:
    parser = make_parser(
        tr("Train our network with other inputs and other temporal parts and measure them."),
        "python benchmarks/variants.py --minutes 10 --output outputs/variants "
        "--set training.split_by=speaker",
    )
    args, config, (train_samples, val) = asked(parser, VARIANTS, 10)
    device = choose_device(config.training.device)
    folder = ensure_folder(args.output)
    same_settings(folder, json.dumps({"minutes": args.minutes}) + config.model_dump_json())
    lines = []
    for name in args.rows:
        note = folder / f"{name.replace(' ', '_')}.json"
        seed_all(config.training.seed)
        model = VARIANTS[name](ModelSize.of(config)).to(device, memory_format=torch.channels_last)
        if not note.exists():
            print(f"=== {name}", flush=True)
            frames = train(model, train_samples, config, device, args.minutes)
            figures = {"frames": frames, **figures_of(model, config, val, val)}
            with written_atomically(note) as aside:
                aside.write_text(json.dumps(figures), encoding="utf-8")
        figures = json.loads(note.read_text(encoding="utf-8"))
        label = f"{name} | {count_parameters(model) / 1e6:.2f} M | {figures['frames'] / 1e3:.0f} k"
        lines.append(line(label, figures))
    print(tr("{minutes:g} minutes each; validation: {clips} clips of {speakers} speakers",
             minutes=args.minutes, clips=figures["clips"],
             speakers=figures["speakers"]))  # fmt: skip
    heads = ("row", "parameters", "frames seen", *COLUMNS)
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    run(main)

"""Variants of our network with other inputs and temporal blocks, one training for each row.

ablations.yaml varies what can be set; this varies what cannot: the face region, the audio features,
and the temporal block that combines the frames of a window. Every row is trained for the same time
on the training samples of ``data.processed_dir`` and measured on the validation samples; with
``training.split_by=speaker`` these are held-out speakers. A finished row is not trained again.
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

from benchmarks.ablations import COLUMNS, check_settings, format_row
from benchmarks.baselines import measure_network, parse_comparison, train_for
from benchmarks.networks import SYNCNET_MFCC
from src.core.cli import make_parser, run
from src.core.constants import N_MELS, WINDOW_FRAMES
from src.core.device import choose_device
from src.core.files import ensure_folder, written_atomically
from src.i18n.messages import tr
from src.models.spec import ModelSpec
from src.models.sync_model import FRONT_FRAMES, AudioEncoder, SyncModel, count_parameters
from src.training.reproducibility import seed_all

N_JOINED = WINDOW_FRAMES - FRONT_FRAMES + 1  # outputs of the front end in a window


class WholeCropSpec(ModelSpec):
    """The whole crop as face region, from between the eyes to below the chin."""

    @property
    def region_shape(self) -> tuple[int, int]:
        return self.input_size, self.input_size

    @property
    def region_top(self) -> int:
        return 0


class MfccAudioEncoder(AudioEncoder):
    """Uses the first 13 MFCC: bands smoothed accordingly."""

    def hop_features(self, bands: torch.Tensor) -> torch.Tensor:
        dct = create_dct(SYNCNET_MFCC, N_MELS, norm="ortho").to(bands)
        return super().hop_features(bands @ dct @ dct.T)


class DeltaAudioEncoder(AudioEncoder):
    """Uses deltas too: the slope of each band over ±2 hops (the formula of librosa and HTK)."""

    def __init__(self, spec: ModelSpec):
        super().__init__(spec)
        first = self.front[0][0]
        self.front[0][0] = nn.Conv1d(2 * N_MELS, first.out_channels, 3, bias=False)

    def hop_features(self, bands: torch.Tensor) -> torch.Tensor:
        before = [torch.cat([bands[:, :1]] * n + [bands[:, :-n]], 1) for n in (1, 2)]
        after = [torch.cat([bands[:, n:]] + [bands[:, -1:]] * n, 1) for n in (1, 2)]
        slope = sum(n * (after[n - 1] - before[n - 1]) for n in (1, 2)) / 10
        return super().hop_features(torch.cat([bands, 3 * slope], 2))


class _WindowBlock(nn.Module):
    """A temporal block for single windows: [B, channels, T − 2] -> [B, embedding_dim, T − 4]."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, channels = x.shape[:2]
        windows = x.unfold(2, N_JOINED, 1).permute(0, 2, 3, 1).reshape(-1, N_JOINED, channels)
        return self.join(windows).reshape(batch, -1, self.dim).transpose(1, 2)


class LinearBlock(_WindowBlock):
    """One linear layer from the three outputs of the front end to the embedding."""

    def __init__(self, channels: int, spec: ModelSpec):
        super().__init__()
        self.dim = spec.embedding_dim
        self.join = nn.Sequential(
            nn.Flatten(), nn.Dropout(spec.dropout), nn.Linear(N_JOINED * channels, self.dim)
        )


class GruBlock(_WindowBlock):
    """A bidirectional GRU."""

    def __init__(self, channels: int, spec: ModelSpec):
        super().__init__()
        self.dim = spec.embedding_dim
        self.gru = nn.GRU(channels, spec.hidden_dim // 2, batch_first=True, bidirectional=True)
        self.drop = nn.Dropout(spec.dropout)
        self.out = nn.Linear(spec.hidden_dim, self.dim)

    def join(self, windows: torch.Tensor) -> torch.Tensor:
        return self.out(self.drop(self.gru(self.drop(windows))[0].mean(1)))


class AttentionBlock(_WindowBlock):
    """A transformer layer with learned positions."""

    def __init__(self, channels: int, spec: ModelSpec):
        super().__init__()
        self.dim = width = spec.embedding_dim
        self.enter = nn.Linear(channels, width)
        self.position = nn.Parameter(torch.randn(N_JOINED, width) / math.sqrt(width))
        self.layer = nn.TransformerEncoderLayer(
            width, 4, spec.hidden_dim, spec.dropout / 2, batch_first=True, norm_first=True
        )
        self.out = nn.Linear(N_JOINED * width, self.dim)

    def join(self, windows: torch.Tensor) -> torch.Tensor:
        return self.out(self.layer(self.enter(windows) + self.position).flatten(1))


def with_region(kind: type[ModelSpec]) -> Callable[[ModelSpec], SyncModel]:
    """Makes our network with another face region."""
    return lambda spec: SyncModel(kind(*astuple(replace(spec, view="lower_face"))))


def with_audio_encoder(kind: type[AudioEncoder]) -> Callable[[ModelSpec], SyncModel]:
    """Makes our network with another audio encoder."""

    def make(spec: ModelSpec) -> SyncModel:
        model = SyncModel(spec)
        model.audio = kind(spec)
        return model

    return make


def with_temporal_block(kind: type[nn.Module]) -> Callable[[ModelSpec], SyncModel]:
    """Makes our network with another temporal block in both encoders."""

    def make(spec: ModelSpec) -> SyncModel:
        model = SyncModel(spec)
        model.video.temporal = kind(model.video.FRAME_FEATURES, spec)
        model.audio.temporal = kind(model.audio.CHANNELS[-1], spec)
        return model

    return make


VARIANTS: dict[str, Callable[[ModelSpec], SyncModel]] = {
    "as it is": SyncModel,
    "the lower face": lambda spec: SyncModel(replace(spec, view="lower_face")),
    "the whole crop": with_region(WholeCropSpec),
    "13 MFCC": with_audio_encoder(MfccAudioEncoder),
    "with deltas": with_audio_encoder(DeltaAudioEncoder),
    "no temporal part": with_temporal_block(LinearBlock),
    "GRU": with_temporal_block(GruBlock),
    "transformer": with_temporal_block(AttentionBlock),
}


def main() -> int:
    parser = make_parser(
        tr("Train variants of our network with other inputs and temporal blocks and measure them."),
        "python benchmarks/variants.py --minutes 10 --output outputs/variants "
        "--set training.split_by=speaker",
    )
    args, config, (train_samples, val) = parse_comparison(parser, VARIANTS, 10)
    device = choose_device(config.training.device)
    folder = ensure_folder(args.output)
    check_settings(folder, json.dumps({"minutes": args.minutes}) + config.model_dump_json())
    lines = []
    for name in args.rows:
        result_path = folder / f"{name.replace(' ', '_')}.json"
        seed_all(config.training.seed)
        model = VARIANTS[name](ModelSpec.of(config)).to(device, memory_format=torch.channels_last)
        if not result_path.exists():
            print(f"=== {name}", flush=True)
            n_frames = train_for(args.minutes, model, train_samples, config)
            result = {"frames": n_frames, **measure_network(model, config, val, val)}
            with written_atomically(result_path) as temporary_path:
                temporary_path.write_text(json.dumps(result), encoding="utf-8")
        result = json.loads(result_path.read_text(encoding="utf-8"))
        label = f"{name} | {count_parameters(model) / 1e6:.2f} M | {result['frames'] / 1e3:.0f} k"
        lines.append(format_row(label, result))
    print(tr("{minutes:g} minutes each; validation: {clips} clips of {speakers} speakers",
             minutes=args.minutes, clips=result["clips"],
             speakers=result["speakers"]))  # fmt: skip
    header = ("row", "parameters", "frames seen", *COLUMNS)
    print(f"| {' | '.join(header)} |\n|{'---|' * len(header)}")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    run(main)

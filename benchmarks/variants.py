"""Variants of our network with other inputs and temporal blocks, one training for each row.

ablations.yaml varies what can be set; this varies the temporal block, and what cannot be set: the
face region and the audio features. Every row is trained for the same time
on the training samples of ``data.processed_dir`` and measured on the validation samples; with
``training.split_by=speaker`` these are held-out speakers. A finished row is not trained again.
"""

import sys
from collections.abc import Callable
from dataclasses import astuple, replace
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from torch import nn
from torchaudio.functional import create_dct

from benchmarks.methods import Method, compare
from benchmarks.networks import SYNCNET_MFCC
from src.core.cli import make_parser, run
from src.core.constants import N_MELS
from src.i18n.messages import tr
from src.models.spec import ModelSpec
from src.models.sync_model import AudioEncoder, SyncModel


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


def with_temporal_block(name: str) -> Callable[[ModelSpec], SyncModel]:
    """Makes our network with another ``model.temporal``."""
    return lambda spec: SyncModel(replace(spec, temporal=name))


VARIANTS: dict[str, Callable[[ModelSpec], SyncModel]] = {
    "as it is": SyncModel,
    "the lower face": lambda spec: SyncModel(replace(spec, view="lower_face")),
    "the whole crop": with_region(WholeCropSpec),
    "13 MFCC": with_audio_encoder(MfccAudioEncoder),
    "with deltas": with_audio_encoder(DeltaAudioEncoder),
    "convolutions over time": with_temporal_block("tcn"),
    "GRU": with_temporal_block("gru"),
    "transformer": with_temporal_block("transformer"),
}


def main() -> int:
    parser = make_parser(
        tr("Train variants of our network with other inputs and temporal blocks and measure them."),
        "python benchmarks/variants.py --minutes 10 --output outputs/variants "
        "--set training.split_by=speaker",
    )
    return compare(parser, {name: Method(make_model=make) for name, make in VARIANTS.items()})


if __name__ == "__main__":
    run(main)

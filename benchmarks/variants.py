"""Variants of our network with other inputs and temporal blocks, one training for each row.

ablations.yaml varies what can be set; this varies the temporal block, and what cannot be set: the
face region and the audio features. Every row is trained for the same time
on the training samples of ``data.processed_dir`` and measured on the validation samples; with
``training.split_by=speaker`` these are held-out speakers. A finished row is not trained again.
"""

import json
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
from src.core.constants import N_MELS
from src.core.device import choose_device
from src.core.files import ensure_folder, written_atomically
from src.i18n.messages import tr
from src.models.spec import ModelSpec
from src.models.sync_model import AudioEncoder, SyncModel, count_parameters
from src.training.reproducibility import seed_all


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
    "no temporal block": with_temporal_block("none"),
    "GRU": with_temporal_block("gru"),
    "transformer": with_temporal_block("transformer"),
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
            n_frames, _ = train_for(args.minutes, model, train_samples, config)
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

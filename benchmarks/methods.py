"""Ways to train our network, one training for each row, all for the same time.

variants.py varies the network; this varies what it is trained with: the loss, the clips, and what
is done to them. Every row is trained on the training samples of ``data.processed_dir`` and measured
on the validation samples; with ``training.split_by=speaker`` these are held-out speakers. A
finished row is not trained again. Two runs with other ``training.seed`` show what is chance.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.ablations import COLUMNS, check_settings, format_row
from benchmarks.baselines import TimeBudget, measure_network, parse_comparison, train_for
from src.checkpoints.checkpoint import load_trained
from src.core.cli import make_parser, run
from src.core.constants import HOP_MS
from src.core.device import choose_device
from src.core.files import ensure_folder, written_atomically
from src.dataset.samples import Sample
from src.i18n.counts import clips_of_speakers
from src.i18n.messages import tr
from src.models.limits import MAX_BAND
from src.models.spec import ModelSpec
from src.models.sync_model import AudioEncoder, SyncModel, VideoEncoder, count_parameters
from src.training.loss import n_way_loss
from src.training.reproducibility import seed_all
from src.training.state import LossFunction, sync_loss

LATE = 0.6  # share of the time after which late negatives begin
AVERAGE_DECAY = 0.998
LOW_FREQUENCIES = 8  # px: appearance is what is left of a region at so many times fewer pixels
MIXED_SHARE = 0.5  # of the segments get the appearance of another one
TEACHER = Path("pretrained/best_model.pth")
DISTILLATION_WEIGHT = 1.0
LOCAL_S = 3  # seconds over which the levels of the audio are measured, instead of the clip
SHARPNESS = 0.05  # radius of the neighbourhood of the weights, Foret et al. 2021
CONSISTENCY_WEIGHT = 1.0


@dataclass(frozen=True)
class Method:
    """What differs from our training.

    Attributes:
        choose: the training samples that are used.
        make_model: the network.
        make_loss: its loss, which may look at the share of the time that is used up; None: ours.
        ema: decay of the moving average of weights that is measured; 0: the weights themselves.
    """

    choose: Callable[[list[Sample]], list[Sample]] = list
    make_model: Callable[[ModelSpec], SyncModel] = SyncModel
    make_loss: Callable[[SyncModel, TimeBudget], LossFunction] | None = None
    ema: float = 0.0


def _by_speaker(samples: list[Sample]) -> dict[str, list[Sample]]:
    groups = defaultdict(list)
    for sample in samples:
        groups[sample.speaker_id].append(sample)
    return groups


def half_of_the_people(samples: list[Sample]) -> list[Sample]:
    """All clips of every second speaker, by the number of frames."""
    groups = sorted(_by_speaker(samples).values(), key=lambda group: -_frames(group))
    return [sample for group in groups[::2] for sample in group]


def half_of_the_clips(samples: list[Sample]) -> list[Sample]:
    """About half of the frames of each speaker; one clip at least."""
    chosen = []
    for group in _by_speaker(samples).values():
        budget, kept = _frames(group) / 2, []
        for sample in group:
            if kept and _frames(kept) + sample.n_frames > budget:
                break
            kept.append(sample)
        chosen += kept
    return chosen


def _frames(samples: list[Sample]) -> int:
    return sum(sample.n_frames for sample in samples)


def exchange_appearance(regions: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Give some segments the light, skin and contrast of another one: [B, T, height, width].

    The mean frame of a segment, blurred, is replaced by that of another segment.
    """
    mean = regions.mean(1, keepdim=True)
    size = [max(1, side // LOW_FREQUENCIES) for side in mean.shape[2:]]
    low = F.interpolate(F.adaptive_avg_pool2d(mean, size), mean.shape[2:], mode="bilinear")
    others = torch.randperm(len(regions), generator=generator)
    is_mixed = torch.rand(len(regions), generator=generator) < MIXED_SHARE
    return torch.where(is_mixed[:, None, None, None], regions - low + low[others], regions)


def with_exchanged_appearance(spec: ModelSpec) -> SyncModel:
    """Our network; in training, segments of a step exchange their appearance."""
    model, generator = SyncModel(spec), torch.Generator().manual_seed(0)

    def exchange(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple | None:
        regions, bands = inputs
        return (exchange_appearance(regions, generator), bands) if module.training else None

    model.register_forward_pre_hook(exchange)
    return model


def late_negatives(model: SyncModel, budget: TimeBudget) -> LossFunction:
    """Negatives come from the same clip at first, then from all clips of a step."""

    def loss(model, video, audio, anchors, candidates, sample_ids):
        used_ids = sample_ids if budget.share >= LATE else None
        return n_way_loss(video, audio, model.scale, anchors, candidates, used_ids)

    return loss


def with_kept_inputs(spec: ModelSpec) -> SyncModel:
    """Our network, which keeps the inputs of the latest step for a loss that computes it again."""
    model = SyncModel(spec)

    def keep_inputs(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        module.latest_inputs = inputs

    model.register_forward_pre_hook(keep_inputs)
    return model


def student(spec: ModelSpec) -> SyncModel:
    """The mouth's network alone, with the input of the teacher, which sees the lower face."""
    model = with_kept_inputs(replace(spec, view="lower_face+mouth", members=2))
    own = replace(spec, view="mouth")
    model.video, model.audio = VideoEncoder(own), AudioEncoder(own)
    return model


def distillation(model: SyncModel, budget: TimeBudget) -> LossFunction:
    """Our loss, and the choice of the teacher among all windows as a target for the student's
    (Hinton et al. 2015), in both directions."""
    teacher = load_trained(TEACHER, torch.device("cpu")).model.eval()

    def loss(model, video, audio, anchors, candidates, sample_ids):
        total, n_correct, n_total = sync_loss(model, video, audio, anchors, candidates, None)
        with torch.no_grad():
            teacher_video, teacher_audio = teacher(*model.latest_inputs)
            target = teacher.scale * teacher_video @ teacher_audio.transpose(1, 2)
        logits = model.scale * video @ audio.transpose(1, 2)
        for student_rows, teacher_rows in (
            (logits, target), (logits.transpose(1, 2), target.transpose(1, 2)),
        ):  # fmt: skip
            rows = student_rows.masked_fill(~candidates[:, None], -1e4)[anchors]
            wanted = teacher_rows.masked_fill(~candidates[:, None], -1e4)[anchors]
            divergence = F.kl_div(
                rows.log_softmax(1), wanted.log_softmax(1), reduction="batchmean", log_target=True
            )
            total = total + DISTILLATION_WEIGHT / 2 * divergence
        return total, n_correct, n_total

    return loss


def remove_local_levels(bands: torch.Tensor) -> torch.Tensor:
    """Bands normalised over ``LOCAL_S`` around each hop, less at the ends: [B, H, 40].

    What was normalised over the clip before gives the same as the bands themselves, as far as it
    was not clipped.
    """
    reach = LOCAL_S * 1000 // HOP_MS // 2

    def local_mean(rows: torch.Tensor) -> torch.Tensor:
        return F.avg_pool1d(
            rows.transpose(1, 2), 2 * reach + 1, 1, reach, count_include_pad=False
        ).transpose(1, 2)

    mean = local_mean(bands)
    variance = (local_mean(bands.square()) - mean.square()).mean(2, keepdim=True)
    return ((bands - mean) / variance.clamp(min=0.01).sqrt()).clamp(-MAX_BAND, MAX_BAND)


def with_local_levels(spec: ModelSpec) -> SyncModel:
    """Our network; the audio is normalised over three seconds (CMVN)."""
    model = SyncModel(spec)

    def normalise(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple:
        return (remove_local_levels(inputs[0]), *inputs[1:])

    model.audio.register_forward_pre_hook(normalise)
    return model


def without_mean_face(spec: ModelSpec) -> SyncModel:
    """Our network; the video encoder sees how each frame differs from the mean face of a segment
    (or of a chunk, where it is measured), as CMVN removes the mean spectrum."""
    model = SyncModel(spec)

    def remove_mean(module: nn.Module, inputs: tuple[torch.Tensor]) -> torch.Tensor:
        return inputs[0] - inputs[0].mean(1, keepdim=True)

    model.video.register_forward_pre_hook(remove_mean)
    return model


def sharpness_aware(model: SyncModel, budget: TimeBudget) -> LossFunction:
    """The gradient of our loss where it is largest near the weights (Foret et al. 2021, SAM). Each
    step takes two passes."""
    weights = list(model.parameters())

    def loss(model, video, audio, anchors, candidates, sample_ids):
        total, n_correct, n_total = sync_loss(model, video, audio, anchors, candidates, None)
        if not n_total:
            return total, n_correct, n_total
        steps = torch.autograd.grad(total, weights)
        norm = torch.stack([step.norm() for step in steps]).norm()
        steps = [step * (SHARPNESS / (norm + 1e-12)) for step in steps]
        with torch.no_grad():
            torch._foreach_add_(weights, steps)
        moved = sync_loss(model, *model(*model.latest_inputs), anchors, candidates, None)[0]
        gradients = torch.autograd.grad(moved, weights)
        with torch.no_grad():
            torch._foreach_sub_(weights, steps)
        # Linear in the weights, with that gradient and the value of our loss.
        linear = sum(
            ((weight - weight.detach()) * gradient).sum()
            for weight, gradient in zip(weights, gradients, strict=True)
        )
        return total.detach() + linear, n_correct, n_total

    return loss


def vary(
    regions: torch.Tensor, bands: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Another variant of each segment: contrast, noise and blur of the video; tilt of the spectrum
    and noise of the audio."""
    shape = (len(regions), 1, 1, 1)
    contrast = 1 + 0.3 * torch.randn(shape, generator=generator)
    grain = 0.2 * torch.rand(shape, generator=generator)
    coarse = F.interpolate(F.avg_pool2d(regions, 2), regions.shape[2:], mode="bilinear")
    is_coarse = torch.rand(shape, generator=generator) < 0.5
    varied = torch.where(is_coarse, coarse, regions) * contrast
    varied = varied + grain * torch.randn(regions.shape, generator=generator)
    tilt = torch.randn((len(bands), 1, 1), generator=generator)
    slope = torch.linspace(-0.5, 0.5, bands.shape[2])
    hiss = 0.3 * torch.rand((len(bands), 1, 1), generator=generator)
    return varied, bands + tilt * slope + hiss * torch.randn(bands.shape, generator=generator)


def consistency(model: SyncModel, budget: TimeBudget) -> LossFunction:
    """Our loss, and how far apart the embeddings of two variants of each segment are (1 − cosine).
    Each step takes two passes."""
    generator = torch.Generator().manual_seed(0)

    def loss(model, video, audio, anchors, candidates, sample_ids):
        total, n_correct, n_total = sync_loss(model, video, audio, anchors, candidates, None)
        varied = model(*vary(*model.latest_inputs, generator))
        for embedding, other in zip((video, audio), varied, strict=True):
            distance = 1 - (embedding * other).sum(-1)
            total = total + CONSISTENCY_WEIGHT / 2 * distance[candidates].mean()
        return total, n_correct, n_total

    return loss


METHODS = {
    "as it is": Method(),
    "moving average of the weights": Method(ema=AVERAGE_DECAY),
    "exchanged appearance": Method(make_model=with_exchanged_appearance),
    "negatives of all clips, late": Method(make_loss=late_negatives),
    "distilled from the pretrained file": Method(make_model=student, make_loss=distillation),
    "audio normalised over 3 s": Method(make_model=with_local_levels),
    "without the mean face": Method(make_model=without_mean_face),
    "sharpness-aware": Method(make_model=with_kept_inputs, make_loss=sharpness_aware),
    "consistency of two variants": Method(make_model=with_kept_inputs, make_loss=consistency),
    "half of the people": Method(choose=half_of_the_people),
    "half of the clips": Method(choose=half_of_the_clips),
}


def compare(parser: argparse.ArgumentParser, methods: dict[str, Method]) -> int:
    """Train each method for the same time, measure it and print the table: the whole command.

    Args:
        methods: by the name of the row.
    """
    args, config, (train_samples, val) = parse_comparison(parser, methods, 10)
    device = choose_device(config.training.device)
    folder = ensure_folder(args.output)
    check_settings(folder, json.dumps({"minutes": args.minutes}) + config.model_dump_json())
    lines = []
    for name in args.rows:
        method = methods[name]
        result_path = folder / f"{name.replace(', ', '-').replace(' ', '_')}.json"
        seed_all(config.training.seed)
        model = method.make_model(ModelSpec.of(config))
        model = model.to(device, memory_format=torch.channels_last)
        if not result_path.exists():
            print(f"=== {name}", flush=True)
            n_frames, trained = train_for(
                args.minutes, model, method.choose(train_samples), config, method.make_loss,
                method.ema,
            )  # fmt: skip
            result = {"frames": n_frames, **measure_network(trained, config, val, val)}
            with written_atomically(result_path) as temporary_path:
                temporary_path.write_text(json.dumps(result), encoding="utf-8")
        result = json.loads(result_path.read_text(encoding="utf-8"))
        label = f"{name} | {count_parameters(model) / 1e6:.2f} M | {result['frames'] / 1e3:.0f} k"
        lines.append(format_row(label, result))
    clips = clips_of_speakers(result["clips"], result["speakers"])
    print(tr("{minutes:g} minutes each; validation: {clips}", minutes=args.minutes, clips=clips))
    header = ("row", "parameters", "frames seen", *COLUMNS)
    print(f"| {' | '.join(header)} |\n|{'---|' * len(header)}")
    print("\n".join(lines))
    return 0


def main() -> int:
    parser = make_parser(
        tr("Train our network in several ways for the same time and measure them."),
        "python benchmarks/methods.py --minutes 10 --output outputs/methods "
        "--set training.split_by=speaker",
    )
    return compare(parser, METHODS)


if __name__ == "__main__":
    run(main)

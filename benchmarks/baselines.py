"""The field's networks and ours, trained on the same clips for the same time and measured alike.

Every network is trained on the training speakers of ``data.processed_dir`` for so many minutes
of this machine, with the same batches and augmentation and its own loss, and measured on another
index, which should hold other people, by the protocol of ``src/evaluate.py``. A network that is
finished is not trained again. Of the settings of training those of batches, rate, decay and
augmentation count; the rate's course is fixed by the time, and there is no running mean. Nothing
else should run on the machine meanwhile.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from tqdm import tqdm

from benchmarks.ablations import same_settings
from benchmarks.networks import syncnet, wav2lip_expert
from src.checkpoints.checkpoint import TrainedModel
from src.core.cli import make_parser, run, settings_of
from src.core.config import Config
from src.core.device import choose_device, reuse_freed_memory
from src.core.files import ensure_folder, written_atomically
from src.dataset.index import INDEX_NAME
from src.dataset.samples import Sample, load_samples
from src.dataset.splits import other_clip_partners, split_samples
from src.evaluation import summary
from src.evaluation.measure import measure_evidence, measure_mismatched
from src.i18n.messages import tr
from src.models.spec import ModelSize
from src.models.sync_model import (
    AudioEncoder,
    SyncModel,
    VideoEncoder,
    count_parameters,
    made_input,
)
from src.scoring.calibration import fit_calibration
from src.scoring.evidence import SEARCH_REACH
from src.training.augmentation import Augmentation
from src.training.batches import Batch, SegmentSampler, network_input, windows_of
from src.training.loss import NEIGHBOURS, n_way_loss
from src.training.reproducibility import seed_all

QUARTER = 0.25  # width of the others' networks that are trained
WARM_UP = 0.06  # share of the time
CLIP_FRAMES, TIMES = 250, 7  # for the speed: frames encoded at a time, and how often
COLUMNS = ("K = 5", "K = 9", "K = 15", "1 s", "3 s", "whole clip", "AUC shifted 1 s")


def scaled(size: ModelSize, factor: float) -> SyncModel:
    """Our network with so many times the channels."""

    class Video(VideoEncoder):
        CHANNELS = tuple(round(n * factor) for n in VideoEncoder.CHANNELS)
        GATHERED = round(VideoEncoder.GATHERED * factor)

    class Audio(AudioEncoder):
        CHANNELS = tuple(round(n * factor) for n in AudioEncoder.CHANNELS)

    model = SyncModel(replace(size, hidden_dim=round(size.hidden_dim * factor)))
    model.video, model.audio = Video(model.size), Audio(model.size)
    return model


NETWORKS: dict[str, Callable[[ModelSize], torch.nn.Module]] = {
    "ours": SyncModel,
    "ours, twice the channels": lambda size: scaled(size, 2.0),
    "ours, half the channels": lambda size: scaled(size, 0.5),
    "SyncNet, ¼ of the channels": lambda size: syncnet(size, QUARTER),
    "Wav2Lip expert, ¼ of the channels": lambda size: wav2lip_expert(size, QUARTER),
}
# At the published width only the cost is told.
UNTRAINED: dict[str, Callable[[ModelSize], torch.nn.Module]] = {
    "SyncNet": syncnet,
    "Wav2Lip expert": wav2lip_expert,
}


def wrong_windows(candidate: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """For each window another one of the clip, not its neighbour: int [B, W]."""
    place = torch.arange(candidate.shape[1])
    far = (place[:, None] - place).abs() > NEIGHBOURS
    weight = (far & candidate[:, None].cpu()).float() + 1e-9
    drawn = torch.multinomial(weight.flatten(0, 1), 1, generator=generator)
    return drawn.reshape(candidate.shape).to(candidate.device)


def loss_of(
    model: torch.nn.Module,
    batch: Batch,
    augmentation: Augmentation | None,
    generator: torch.Generator,
) -> torch.Tensor | None:
    """A network's own loss; None where nobody speaks."""
    views, bands = network_input(batch, model.size, augmentation)
    usable, candidate = windows_of(batch)
    if not usable.any():
        return None
    video, audio = model(views, bands)
    if isinstance(model, SyncModel):
        return n_way_loss(video, audio, model.scale, usable, candidate)[0]
    return model.loss(video, audio, usable, wrong_windows(candidate, generator))


def train(
    model: torch.nn.Module, samples: list[Sample], config: Config, device: torch.device,
    minutes: float,
) -> int:  # fmt: skip
    """Train for so many minutes; the rate rises, then falls to zero at the end (cosine).

    Minutes of all cores in use; on the CPU they are processor time, which other programs do not
    take part of.

    Returns:
        frames seen.
    """
    settings = config.training
    pieces = SegmentSampler(samples, settings.clip_frames, settings.batch_size, settings.seed,
                    balance=settings.speaker_balance)  # fmt: skip
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    generator = torch.Generator().manual_seed(settings.seed)
    augmentation = Augmentation(model.size, generator, settings.augment_without)
    if not settings.augment:
        augmentation = None
    model.train()
    began, frames, epoch, mean = spent(device), 0, 0, math.nan
    with tqdm(total=round(minutes * 60), unit="s") as bar:
        while True:
            for batch in pieces.shuffled(epoch):
                done = (spent(device) - began) / (minutes * 60)
                if done >= 1:
                    return frames
                rate = min(1, done / WARM_UP) * (1 + math.cos(math.pi * done)) / 2
                for group in optimizer.param_groups:
                    group["lr"] = settings.learning_rate * rate
                loss = loss_of(model, batch.to(device), augmentation, generator)
                if loss is None:
                    continue
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
                optimizer.step()
                frames += batch.crops.shape[0] * batch.crops.shape[1]
                mean = loss.item() if math.isnan(mean) else 0.99 * mean + 0.01 * loss.item()
                bar.n = round(done * minutes * 60)
                bar.set_postfix_str(f"loss={mean:.4f}, frames={frames}")
            epoch += 1


def spent(device: torch.device) -> float:
    """Seconds of a budget so far: on the CPU of processor time, shared by all its threads."""
    if device.type == "cpu":
        return time.process_time() / torch.get_num_threads()
    return time.monotonic()


def mflop_a_frame(model: torch.nn.Module) -> float:
    """Millions of multiplications and additions that both encoders take for a frame."""
    from torch.utils.flop_counter import FlopCounterMode

    views, bands = made_input(model.size, CLIP_FRAMES)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval()(views, bands)
    return counter.get_total_flops() / CLIP_FRAMES / 1e6


@torch.inference_mode()
def frames_a_second(models: dict[str, torch.nn.Module]) -> dict[str, float]:
    """Frames a second that each encodes (both streams, CPU): the median of turns."""
    taken: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(TIMES + 1):  # the first warms up
        for name, model in models.items():
            views, bands = made_input(model.size, CLIP_FRAMES)
            began = time.perf_counter()
            model.eval()(views, bands)
            taken[name] += [time.perf_counter() - began] if turn else []
    return {name: CLIP_FRAMES / sorted(times)[len(times) // 2] for name, times in taken.items()}


def figures_of(
    model: torch.nn.Module, config: Config, val: list[Sample], test: list[Sample]
) -> dict:
    """Figures on the test samples, with the score calibrated on validation samples."""
    reach = 2 * SEARCH_REACH
    strange = measure_mismatched(model, val, other_clip_partners(val), reach)
    calibration = fit_calibration(measure_evidence(model, val, reach), strange, SEARCH_REACH)
    trained = TrainedModel(model.eval(), config, calibration)
    least = config.inference.min_offset_probability
    return summary.summary_of(summary.evaluate(trained, test, least))


def asked(
    parser: argparse.ArgumentParser, rows: Iterable[str], minutes: float
) -> tuple[argparse.Namespace, Config, tuple[list[Sample], list[Sample]]]:
    """What a comparison for equal minutes is told: arguments, settings, and the training and
    validation samples.

    Args:
        rows: all there are.
        minutes: the usual number.
    """
    parser.add_argument("--minutes", type=float, default=minutes, help=tr("of training, for each"))
    parser.add_argument("--output", type=Path, required=True, help=tr("figures go here"))
    parser.add_argument(
        "--rows", nargs="+", choices=rows, default=list(rows), help=tr("only these")
    )
    args = parser.parse_args()
    if args.minutes <= 0:
        parser.error(tr("--minutes: more than 0"))
    config = settings_of(args)
    reuse_freed_memory()
    index = Path(config.data.processed_dir) / INDEX_NAME
    samples = load_samples(index, config.data, config.training.split_by)
    return args, config, split_samples(samples, config.training)[:2]


def main() -> int:
    parser = make_parser(
        tr("Train the field's networks and ours for the same time and measure them alike."),
        "python benchmarks/baselines.py --index data/test/dataset_index.pkl --minutes 20 "
        "--output outputs/baselines",
    )
    summary.add_measured(parser)
    args, config, (train_samples, val) = asked(parser, NETWORKS, 20)
    device = choose_device(config.training.device)
    test = summary.measured_samples(args, config.data)
    folder = ensure_folder(args.output)
    given = {"minutes": args.minutes, "index": str(args.index), "reference": str(args.reference)}
    same_settings(folder, json.dumps(given) + config.model_dump_json())
    size = ModelSize.of(config)
    rows, models = {}, {}
    for name in args.rows:
        seed_all(config.training.seed)
        models[name] = NETWORKS[name](size).to(memory_format=torch.channels_last)
        note = folder / f"{name.replace(', ', '-').replace(' ', '_')}.json"
        if not note.exists():
            print(f"=== {name}", flush=True)
            model = models[name].to(device)
            frames = train(model, train_samples, config, device, args.minutes)
            figures = {"frames": frames, **figures_of(model, config, val, test)}
            with written_atomically(note) as aside:
                aside.write_text(json.dumps(figures), encoding="utf-8")
            model.cpu()
        rows[name] = json.loads(note.read_text(encoding="utf-8"))
    for name, make in UNTRAINED.items():
        models[name] = make(size).to(memory_format=torch.channels_last)
    print_table(models, rows, args.minutes)
    return 0


def print_table(models: dict[str, torch.nn.Module], rows: dict[str, dict], minutes: float) -> None:
    """One row a network: its cost, and what it reached."""
    some = next(iter(rows.values()))
    print(tr("{minutes:g} minutes each; {clips} clips of {speakers} speakers",
             minutes=minutes, clips=some["clips"], speakers=some["speakers"]))  # fmt: skip
    heads = ("network", "parameters", "MFLOP a frame", "frames/s, CPU", "frames seen", *COLUMNS)
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    speeds = frames_a_second(models)
    for name, model in models.items():
        cells = [f"{count_parameters(model) / 1e6:.2f} M", f"{mflop_a_frame(model):.1f}",
                 f"{speeds[name]:.0f}"]  # fmt: skip
        if name in rows:
            cells.append(f"{rows[name]['frames'] / 1e3:.0f} k")
            figures = rows[name]["figures"]
            cells += [summary.value_text(column, figures[column]["value"]) for column in COLUMNS]
        else:
            cells += ["–"] * (1 + len(COLUMNS))
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    run(main)

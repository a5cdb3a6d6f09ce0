"""Published networks and ours, trained on the same clips for the same time and measured alike.

Every network is trained on the training speakers of ``data.processed_dir`` for a number of minutes
on this machine, with the batches, augmentation and training steps of ``src/train.py`` and with its
own loss, and measured on another index, which should hold other people, by the protocol of
``src/evaluate.py``. A network that is finished is not trained again. Of the training settings those
of batches, learning rate, weight decay and augmentation apply; the schedule follows the time,
negatives come from the same clip, and there is no moving average. Nothing else should run on the
machine meanwhile.
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

from benchmarks.ablations import check_settings
from benchmarks.networks import TwoStreamNetwork, gather_windows, syncnet, wav2lip_expert
from src.checkpoints.checkpoint import TrainedModel
from src.core.cli import make_parser, run, settings_of
from src.core.config import Config
from src.core.device import choose_device, reuse_freed_memory
from src.core.files import ensure_folder, written_atomically
from src.dataset.index import INDEX_NAME
from src.dataset.samples import Sample, load_samples
from src.dataset.splits import other_clip_partners, split_samples
from src.evaluation import options, summary, tables
from src.evaluation.measure import measure_evidence, measure_mismatched, speakers_of_evidence
from src.i18n.counts import clips_of_speakers
from src.i18n.messages import tr
from src.models.spec import ModelSpec
from src.models.sync_model import (
    AudioEncoder,
    SyncModel,
    VideoEncoder,
    count_parameters,
    example_input,
)
from src.scoring.calibration import fit_calibration
from src.scoring.evidence import SEARCH_REACH
from src.training.batches import Batch
from src.training.loop import train_epoch
from src.training.loss import IGNORED_NEIGHBOURS
from src.training.reproducibility import seed_all
from src.training.state import LossFunction, new_state, sync_loss

QUARTER = 0.25  # width at which the published networks are trained
WARM_UP = 0.06  # share of the time
CLIP_FRAMES, REPEATS = 250, 7  # for the speed: frames encoded at a time, and how often
COLUMNS = ("K = 5", "K = 9", "K = 15", "1 s", "3 s", "whole clip", "AUC shifted 1 s")


def scale_channels(spec: ModelSpec, factor: float) -> SyncModel:
    """Our network with its channels multiplied by a factor."""

    class ScaledVideoEncoder(VideoEncoder):
        CHANNELS = tuple(round(n * factor) for n in VideoEncoder.CHANNELS)
        FRAME_FEATURES = round(VideoEncoder.FRAME_FEATURES * factor)

    class ScaledAudioEncoder(AudioEncoder):
        CHANNELS = tuple(round(n * factor) for n in AudioEncoder.CHANNELS)

    model = SyncModel(replace(spec, hidden_dim=round(spec.hidden_dim * factor)))
    model.video, model.audio = ScaledVideoEncoder(model.spec), ScaledAudioEncoder(model.spec)
    return model


NETWORKS: dict[str, Callable[[ModelSpec], torch.nn.Module]] = {
    "ours": SyncModel,
    "ours, twice the channels": lambda spec: scale_channels(spec, 2.0),
    "ours, half the channels": lambda spec: scale_channels(spec, 0.5),
    "SyncNet, ¼ of the channels": lambda spec: syncnet(spec, QUARTER),
    "Wav2Lip expert, ¼ of the channels": lambda spec: wav2lip_expert(spec, QUARTER),
}
# At the published width only the cost is reported.
UNTRAINED: dict[str, Callable[[ModelSpec], torch.nn.Module]] = {
    "SyncNet": syncnet,
    "Wav2Lip expert": wav2lip_expert,
}


# --- training


def draw_negatives(candidates: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A random other window of the same clip for each window, never a neighbour: int [B, W].

    Args:
        candidates: bool [B, W], windows without padding.
    """
    position = torch.arange(candidates.shape[1])
    is_distant = (position[:, None] - position).abs() > IGNORED_NEIGHBOURS
    weights = (is_distant & candidates[:, None].cpu()).float() + 1e-9
    drawn = torch.multinomial(weights.flatten(0, 1), 1, generator=generator)
    return drawn.reshape(candidates.shape).to(candidates.device)


class PairLoss:
    """A loss over positive and negative pairs as a loss of the training loop.

    Each anchor gets one random negative of its clip. A choice is correct where the positive is more
    similar than this negative.

    Args:
        loss: (video, audio, anchors, negatives) -> mean loss, as ``networks.contrastive_loss``.
        seed: of the negatives.
    """

    def __init__(self, loss: Callable[..., torch.Tensor], seed: int):
        self._loss = loss
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(
        self, model: TwoStreamNetwork, video: torch.Tensor, audio: torch.Tensor,
        anchors: torch.Tensor, candidates: torch.Tensor, sample_ids: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor, int]:  # fmt: skip
        """(mean loss, number of correct choices, number of choices), of ``state.LossFunction``."""
        n_total = int(anchors.sum())
        if not n_total:
            return 0 * (video.sum() + audio.sum()), anchors.sum(), 0
        negatives = draw_negatives(candidates, self._generator)
        with torch.no_grad():
            positive = (video * audio)[anchors].sum(-1)
            negative = (video * gather_windows(audio, negatives))[anchors].sum(-1)
        loss = self._loss(video, audio, anchors, negatives)
        return loss, (positive > negative).sum(), n_total


def make_loss(model: torch.nn.Module, seed: int) -> LossFunction:
    """A network's own loss: N-way for ours, over pairs for the published ones."""
    return sync_loss if isinstance(model, SyncModel) else PairLoss(model.pair_loss, seed)


class TimeBudget:
    """A time to train in; on the CPU it is processor time, which other programs do not use up.

    Args:
        minutes: of all cores in use.
    """

    def __init__(self, device: torch.device, minutes: float):
        self._device, self._seconds = device, minutes * 60
        self.start()

    def start(self) -> None:
        """The time begins now."""
        self._start_s = self._now_s()

    def _now_s(self) -> float:
        if self._device.type == "cpu":
            return time.process_time() / torch.get_num_threads()
        return time.monotonic()

    @property
    def share(self) -> float:
        """The share that is used up, 0…1."""
        return min(1.0, (self._now_s() - self._start_s) / self._seconds)

    def is_used_up(self) -> bool:
        return self.share >= 1

    def learning_rate_factor(self, _: int) -> float:
        """Linear warm-up, then a cosine to 0 at the end, for a schedule that ignores the step."""
        share = self.share
        return min(1, share / WARM_UP) * (1 + math.cos(math.pi * share)) / 2


def train_for(
    minutes: float, model: torch.nn.Module, samples: list[Sample], config: Config,
    loss_of: Callable[[torch.nn.Module, TimeBudget], LossFunction] | None = None, ema: float = 0.0,
) -> tuple[int, torch.nn.Module]:  # fmt: skip
    """Train a network for a number of minutes, on the device it is on.

    Args:
        loss_of: makes the loss, which gets the samples of the segments; None: the network's own.
        ema: decay of the moving average of the weights; 0: none.

    Returns:
        the number of frames seen, and the network to measure: with ``ema`` the moving average.
    """
    settings = config.training.model_copy(
        update={"negatives": "batch" if loss_of else "clip", "ema": ema}
    )
    config = config.model_copy(update={"training": settings})
    budget = TimeBudget(model.log_scale.device, minutes)
    loss = loss_of(model, budget) if loss_of else make_loss(model, settings.seed)
    state = new_state(config, model, samples, [], loss, budget.learning_rate_factor)
    n_frames = 0

    def count_frames(batch: Batch) -> None:
        nonlocal n_frames
        n_frames += batch.crops.shape[0] * batch.crops.shape[1]

    budget.start()  # what has been prepared does not count
    while not budget.is_used_up():
        meter = train_epoch(state, count_frames, budget.is_used_up)
        state.end_epoch(meter.mean_loss)
    return n_frames, state.eval_model


# --- measuring


def mflop_per_frame(model: torch.nn.Module) -> float:
    """Millions of multiplications and additions of both encoders for a frame."""
    from torch.utils.flop_counter import FlopCounterMode

    regions, bands = example_input(model.spec, CLIP_FRAMES)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval()(regions, bands)
    return counter.get_total_flops() / CLIP_FRAMES / 1e6


@torch.inference_mode()
def measure_speed(models: dict[str, torch.nn.Module]) -> dict[str, float]:
    """Frames per second that each network encodes (both streams, CPU), the median of several
    runs in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for repeat in range(REPEATS + 1):  # the first warms up
        for name, model in models.items():
            regions, bands = example_input(model.spec, CLIP_FRAMES)
            start_s = time.perf_counter()
            model.eval()(regions, bands)
            seconds[name] += [time.perf_counter() - start_s] if repeat else []
    return {name: CLIP_FRAMES / sorted(times)[len(times) // 2] for name, times in seconds.items()}


def measure_network(
    model: torch.nn.Module, config: Config, val: list[Sample], test: list[Sample]
) -> dict:
    """Metrics on the test samples, with the score calibrated on the validation samples."""
    reach = 2 * SEARCH_REACH
    partners = other_clip_partners(val)
    mismatched = measure_mismatched(model, val, partners, reach)
    calibration = fit_calibration(
        measure_evidence(model, val, reach), mismatched, SEARCH_REACH,
        speakers_of_evidence(val, partners),
    )  # fmt: skip
    trained = TrainedModel(model.eval(), config, calibration)
    min_probability = config.inference.min_offset_probability
    return summary.summarise(summary.evaluate(trained, test, min_probability))


# --- the command


def parse_comparison(
    parser: argparse.ArgumentParser, rows: Iterable[str], minutes: float
) -> tuple[argparse.Namespace, Config, tuple[list[Sample], list[Sample]]]:
    """Arguments, settings, and training and validation samples of a comparison for equal time.

    Args:
        rows: the names of all rows.
        minutes: the default.
    """
    parser.add_argument(
        "--minutes", type=float, default=minutes, help=tr("training time of each network")
    )
    parser.add_argument("--output", type=Path, required=True, help=tr("folder for the results"))
    parser.add_argument(
        "--rows", nargs="+", choices=rows, default=list(rows), help=tr("run only these rows")
    )
    args = parser.parse_args()
    if args.minutes <= 0:
        parser.error(tr("--minutes must be greater than 0"))
    config = settings_of(args)
    reuse_freed_memory()
    index_path = Path(config.data.processed_dir) / INDEX_NAME
    samples = load_samples(index_path, config.data, config.training.split_by)
    return args, config, split_samples(samples, config.training)[:2]


def main() -> int:
    parser = make_parser(
        tr("Train published networks and ours for the same time and measure them alike."),
        "python benchmarks/baselines.py --index data/test/dataset_index.pkl --minutes 20 "
        "--output outputs/baselines",
    )
    options.add_sample_options(parser)
    args, config, (train_samples, val) = parse_comparison(parser, NETWORKS, 20)
    device = choose_device(config.training.device)
    test = options.load_chosen_samples(args, config.data)
    folder = ensure_folder(args.output)
    settings = {"minutes": args.minutes, "index": str(args.index), "reference": str(args.reference)}
    check_settings(folder, json.dumps(settings) + config.model_dump_json())
    spec = ModelSpec.of(config)
    rows, models = {}, {}
    for name in args.rows:
        seed_all(config.training.seed)
        models[name] = NETWORKS[name](spec).to(memory_format=torch.channels_last)
        result_path = folder / f"{name.replace(', ', '-').replace(' ', '_')}.json"
        if not result_path.exists():
            print(f"=== {name}", flush=True)
            model = models[name].to(device)
            n_frames, _ = train_for(args.minutes, model, train_samples, config)
            result = {"frames": n_frames, **measure_network(model, config, val, test)}
            with written_atomically(result_path) as temporary_path:
                temporary_path.write_text(json.dumps(result), encoding="utf-8")
            model.cpu()
        rows[name] = json.loads(result_path.read_text(encoding="utf-8"))
    for name, make in UNTRAINED.items():
        models[name] = make(spec).to(memory_format=torch.channels_last)
    print_table(models, rows, args.minutes)
    return 0


def print_table(models: dict[str, torch.nn.Module], rows: dict[str, dict], minutes: float) -> None:
    """One row for each network: its cost and its metrics."""
    any_row = next(iter(rows.values()))
    clips = clips_of_speakers(any_row["clips"], any_row["speakers"])
    print(tr("{minutes:g} minutes each; {clips}", minutes=minutes, clips=clips))
    header = ("network", "parameters", "MFLOP a frame", "frames/s, CPU", "frames seen", *COLUMNS)
    print(f"| {' | '.join(header)} |\n|{'---|' * len(header)}")
    speeds = measure_speed(models)
    for name, model in models.items():
        cells = [f"{count_parameters(model) / 1e6:.2f} M", f"{mflop_per_frame(model):.1f}",
                 f"{speeds[name]:.0f}"]  # fmt: skip
        if name in rows:
            cells.append(f"{rows[name]['frames'] / 1e3:.0f} k")
            figures = rows[name]["figures"]
            cells += [tables.format_metric(column, figures[column]["value"]) for column in COLUMNS]
        else:
            cells += ["–"] * (1 + len(COLUMNS))
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    run(main)

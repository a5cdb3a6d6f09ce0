"""What a few clips of an unseen person give, with the pretrained weights and without.

Three networks are measured on clips of a person that the pretrained model has not seen: the
pretrained model as it is, one trained from scratch on other clips of that person, and one
fine-tuned on the same clips (``training.init_from``). Clips and epochs are the same.
"""

import sys
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch

from src.checkpoints.checkpoint import TrainedModel, load_checkpoint_or_weights, load_trained
from src.checkpoints.location import PRETRAINED
from src.core.cli import make_parser, run, settings_of
from src.core.config import Config
from src.core.constants import WINDOW_FRAMES
from src.core.device import choose_device, reuse_freed_memory
from src.core.errors import DatasetError
from src.dataset.samples import Sample
from src.evaluation import options, summary, tables
from src.i18n.messages import tr
from src.scoring.calibration import UNFITTED
from src.training.loop import train_epoch
from src.training.resume import load_pretrained, match_network
from src.training.state import new_model, new_state

COLUMNS = ("K = 5", "K = 15", "1 s", "whole clip", "median error ms", "AUC shifted 1 s")


def split_clips(
    samples: list[Sample], person: str, n_clips: int
) -> tuple[list[Sample], list[Sample]]:
    """Samples of a person's first clips to train on, and of the remaining ones to measure on.

    Args:
        person: the speaker's name, or a part of it that no other speaker has.
        n_clips: to train on.

    Raises:
        DatasetError: there is not exactly one such person with more than ``n_clips`` clips.
    """
    any_known = any(sample.offset_known for sample in samples)
    usable = [
        sample for sample in samples
        if (sample.offset_known or not any_known) and sample.n_frames >= WINDOW_FRAMES
    ]  # fmt: skip
    chosen = [sample for sample in usable if sample.speaker_id == person]
    chosen = chosen or [sample for sample in usable if person in sample.speaker_id]
    speakers = {sample.speaker_id for sample in chosen}
    clips = sorted({sample.clip for sample in chosen})  # all shots of a clip, or none
    if len(speakers) != 1 or not 0 < n_clips < len(clips):
        raise DatasetError(
            tr("{name}: {people} speakers with {n} clips match; one speaker with more than {clips} "
               "clips is required",
               name=person, people=len(speakers), n=len(clips), clips=n_clips)
        )  # fmt: skip
    train_clips = set(clips[:n_clips])
    train = [sample for sample in chosen if sample.clip in train_clips]
    return train, [sample for sample in chosen if sample.clip not in train_clips]


def train_network(
    config: Config, samples: list[Sample], device: torch.device, init_path: Path | None
) -> torch.nn.Module:
    """A network trained on these samples.

    Args:
        init_path: the checkpoint it is initialised from; None: from scratch.
    """
    source = load_checkpoint_or_weights(init_path) if init_path else None
    config = match_network(config, source) if source else config
    model = new_model(config, device)
    if source:
        load_pretrained(model, source)
    state = new_state(config, model, samples, [])
    while state.epoch < config.training.num_epochs:
        meter = train_epoch(state)
        state.end_epoch(meter.mean_loss)
    print(tr("epoch {epoch}/{total}: loss {loss:.4f}, accuracy {acc:.4f}",
             epoch=state.epoch, total=state.epoch, loss=meter.mean_loss,
             acc=meter.accuracy), flush=True)  # fmt: skip
    return state.eval_model.eval()


def main() -> int:
    parser = make_parser(
        tr("Compare training on a few clips of a person with and without the pretrained weights."),
        "python benchmarks/new_person.py --index data/test/dataset_index.pkl --person anna "
        "--set training.num_epochs=40",
    )
    options.add_sample_options(parser)
    parser.add_argument("--person", required=True, help=tr("the speaker's name, or a part of it"))
    parser.add_argument("--clips", type=int, default=20, help=tr("number of clips to train on"))
    args = parser.parse_args()
    config = settings_of(args)
    reuse_freed_memory()
    device = choose_device(config.training.device)
    samples = options.load_chosen_samples(args, config.data)
    train, test = split_clips(samples, args.person, args.clips)
    models = {"pretrained": load_trained(PRETRAINED, device).model}
    for name, init_path in (("from scratch", None), ("from the pretrained", PRETRAINED)):
        network = train_network(config, train, device, init_path)
        models[f"{args.clips} clips, {name}"] = network
    print(tr("measured on {n} other clips of {name}", n=len(test), name=test[0].speaker_id))
    print(f"| network | {' | '.join(COLUMNS)} |\n|{'---|' * (len(COLUMNS) + 1)}")
    for name, model in models.items():
        trained = TrainedModel(model, config, UNFITTED)  # too few clips to fit a calibration
        clips = summary.evaluate(trained, test, config.inference.min_offset_probability)
        figures = summary.summarise(clips)["figures"]
        cells = [tables.format_metric(column, figures[column]["value"]) for column in COLUMNS]
        print(f"| {name} | {' | '.join(cells)} |")
    return 0


if __name__ == "__main__":
    run(main)

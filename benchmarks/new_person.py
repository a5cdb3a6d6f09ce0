"""What a few clips of a new person give: to the pretrained model, and to a network without one.

Three networks are measured on clips of a person none of them has seen before: the pretrained one as
it is, one trained on some of that person's clips from nothing, and one trained on the same clips

from the pretrained weights (``training.init_from``). Clips and epochs are the same.
"""

import sys
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch

from src.checkpoints.checkpoint import PRETRAINED, TrainedModel, load_trained
from src.core.cli import make_parser, run, settings_of
from src.core.config import Config
from src.core.constants import WINDOW_FRAMES
from src.core.device import choose_device, reuse_freed_memory
from src.core.errors import DatasetError
from src.dataset.samples import Sample
from src.evaluation import summary
from src.i18n.messages import tr
from src.scoring.calibration import UNFITTED
from src.training.loop import train_epoch
from src.training.resume import load_pretrained, with_network_of
from src.training.state import new_model, new_state

COLUMNS = ("K = 5", "K = 15", "1 s", "whole clip", "median error ms", "AUC shifted 1 s")


def clips_of(samples: list[Sample], person: str, clips: int) -> tuple[list[Sample], list[Sample]]:
    """Samples of a person's first clips to train on, and of the others to measure on.

    Args:
        person: the name, or a part of it that only one has.

    Raises:
        DatasetError: there is not one such person with more than ``clips`` clips.
    """
    known = any(sample.known for sample in samples)
    usable = [s for s in samples if (s.known or not known) and s.n_frames >= WINDOW_FRAMES]
    own = [s for s in usable if s.person == person] or [s for s in usable if person in s.person]
    people = {sample.person for sample in own}
    names = sorted({sample.clip for sample in own})  # of one clip all shots, or none
    if len(people) != 1 or not 0 < clips < len(names):
        raise DatasetError(
            tr("{name}: {people} speakers with {n} clips; one with more than {clips} is needed",
               name=person, people=len(people), n=len(names), clips=clips)
        )  # fmt: skip
    few = set(names[:clips])
    return [s for s in own if s.clip in few], [s for s in own if s.clip not in few]


def trained_on(
    config: Config, samples: list[Sample], device: torch.device, origin: Path | None
) -> torch.nn.Module:
    """A network trained on these samples, from nothing or from the weights of ``origin`` (as many
    networks side by side as there)."""
    config = with_network_of(config, origin) if origin else config
    model = new_model(config, device)
    if origin:
        load_pretrained(model, origin)
    state = new_state(config, model, samples, [])
    while state.epoch < config.training.num_epochs:
        tally = train_epoch(state)
        state.end_epoch(tally.mean_loss)
    print(tr("epoch {epoch}/{total}: loss {loss:.4f}, accuracy {acc:.4f}",
             epoch=state.epoch, total=state.epoch, loss=tally.mean_loss,
             acc=tally.accuracy), flush=True)  # fmt: skip
    return state.judged.eval()


def main() -> int:
    parser = make_parser(
        tr("Compare training on a few clips of a person with and without the pretrained weights."),
        "python benchmarks/new_person.py --index data/test/dataset_index.pkl --person anna "
        "--set training.num_epochs=40",
    )
    summary.add_measured(parser)
    parser.add_argument("--person", required=True, help=tr("the speaker, or part of the name"))
    parser.add_argument("--clips", type=int, default=20, help=tr("clips to train on"))
    args = parser.parse_args()
    config = settings_of(args)
    reuse_freed_memory()
    device = choose_device(config.training.device)
    few, rest = clips_of(summary.measured_samples(args, config.data), args.person, args.clips)
    models = {"pretrained": load_trained(PRETRAINED, device).model}
    for name, origin in (("from nothing", None), ("from the pretrained", PRETRAINED)):
        models[f"{args.clips} clips, {name}"] = trained_on(config, few, device, origin)
    print(tr("measured on {n} other clips of {name}", n=len(rest), name=rest[0].person))
    print(f"| network | {' | '.join(COLUMNS)} |\n|{'---|' * (len(COLUMNS) + 1)}")
    for name, model in models.items():
        measured = TrainedModel(model, config, UNFITTED)  # too few clips to fit another on
        clips = summary.evaluate(measured, rest, config.inference.min_offset_probability)
        figures = summary.summary_of(clips)["figures"]
        cells = [summary.value_text(column, figures[column]["value"]) for column in COLUMNS]
        print(f"| {name} | {' | '.join(cells)} |")
    return 0


if __name__ == "__main__":
    run(main)

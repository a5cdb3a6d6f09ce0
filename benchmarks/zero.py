"""Whether two trainings agree on what zero is: their offsets for the same clips, compared.

A model's zero is that of its training clips (docs/own_offsets.md). Each clip of an index is judged
by both checkpoints; how far zero has moved is the median, over speakers, of the median difference
in each one's clips to which both give an offset.
"""

import sys
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from tqdm import tqdm

from src.checkpoints.checkpoint import TrainedModel, load_trained
from src.cleaning.clip_offsets import median_by_speaker
from src.core.cli import make_parser, run, settings_of
from src.core.config import InferenceConfig
from src.core.constants import HOPS_PER_FRAME, WINDOW_FRAMES
from src.core.device import choose_device, reuse_freed_memory
from src.core.errors import DatasetError
from src.dataset.samples import Sample
from src.evaluation import summary
from src.i18n.messages import tr
from src.scoring.clip_evidence import evidence_of
from src.scoring.result import build_result


def offset_of(trained: TrainedModel, settings: InferenceConfig, sample: Sample) -> float | None:
    """The offset in ms that is told for a sample, counted from how it was recorded, or None."""
    track = sample.read()
    reach = settings.max_offset_frames * HOPS_PER_FRAME
    evidence = evidence_of(trained.model, *track, reach)
    _, details = build_result(
        [evidence], len(track.crop), trained.calibration, settings.min_offset_probability
    )
    found = details["offset_ms"]
    return None if found is None else sample.moved_ms + found


def main() -> int:
    parser = make_parser(
        tr("Compare the offsets that two models find in the same clips."),
        "python benchmarks/zero.py --index data/test/dataset_index.pkl "
        "--checkpoints checkpoints/best_model.pth pretrained/best_model.pth",
    )
    summary.add_measured(parser)
    parser.add_argument(
        "--checkpoints", type=Path, nargs=2, required=True, help=tr("the two models")
    )
    args = parser.parse_args()
    given = settings_of(args)
    reuse_freed_memory()
    device = choose_device(given.training.device)
    models = [load_trained(path, device) for path in args.checkpoints]
    for model in models:  # both must have been trained on what the index holds
        samples = summary.measured_samples(args, model.config.data)
    samples = [sample for sample in samples if sample.n_frames >= WINDOW_FRAMES]
    moved = {}
    for sample in tqdm(samples):
        first, second = (offset_of(model, given.inference, sample) for model in models)
        if first is not None and second is not None:
            moved[sample.id] = second - first
    if not moved:
        raise DatasetError(tr("there is no clip to which both models give an offset"))
    low, high = np.percentile(list(moved.values()), (5, 95))
    print(tr("{n} of {all} clips have an offset by both models", n=len(moved), all=len(samples)))
    print(tr("zero has moved by {ms:+.1f} ms (5 to 95 % of the clips: {low:+.1f} to {high:+.1f} "
             "ms)", ms=median_by_speaker(moved, samples), low=low, high=high))  # fmt: skip
    return 0


if __name__ == "__main__":
    run(main)

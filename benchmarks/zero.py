"""Whether two models have the same zero reference: their offsets for the same clips, compared.

A model's zero reference is that of its training clips (docs/clip_offsets.md). Both models score
each clip of an index; the shift between them is the median over speakers of the median difference
over the clips for which both report an offset.
"""

import sys
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from tqdm import tqdm

from src.checkpoints.checkpoint import TrainedModel, load_trained
from src.cleaning.clip_offsets import median_over_speakers
from src.core.cli import make_parser, run, settings_of
from src.core.config import InferenceConfig
from src.core.constants import HOPS_PER_FRAME, WINDOW_FRAMES
from src.core.device import choose_device, reuse_freed_memory
from src.core.errors import DatasetError
from src.dataset.samples import Sample
from src.evaluation import options
from src.i18n.messages import tr
from src.scoring.clip_evidence import compute_evidence
from src.scoring.result_builder import build_result


def measure_offset_ms(
    trained: TrainedModel, settings: InferenceConfig, sample: Sample
) -> float | None:
    """The offset in ms reported for a sample, relative to its recording; None: undetermined."""
    track = sample.read()
    reach = settings.max_offset_frames * HOPS_PER_FRAME
    evidence = compute_evidence(trained.model, *track, reach)
    offset_ms = build_result(
        [evidence], len(track.crop), trained.calibration, settings.min_offset_probability
    ).offset_ms
    return None if offset_ms is None else sample.shift_ms + offset_ms


def main() -> int:
    parser = make_parser(
        tr("Compare the offsets that two models measure in the same clips."),
        "python benchmarks/zero.py --index data/test/dataset_index.pkl "
        "--checkpoints checkpoints/best_model.pth pretrained/best_model.pth",
    )
    options.add_sample_options(parser)
    parser.add_argument(
        "--checkpoints", type=Path, nargs=2, required=True, help=tr("the two models")
    )
    args = parser.parse_args()
    config = settings_of(args)
    reuse_freed_memory()
    device = choose_device(config.training.device)
    models = [load_trained(path, device) for path in args.checkpoints]
    for model in models:  # the index must suit both: made with the settings of their training
        samples = options.load_chosen_samples(args, model.config.data)
    samples = [sample for sample in samples if sample.n_frames >= WINDOW_FRAMES]
    difference_by_id = {}
    for sample in tqdm(samples):
        first, second = (measure_offset_ms(model, config.inference, sample) for model in models)
        if first is not None and second is not None:
            difference_by_id[sample.id] = second - first
    if not difference_by_id:
        raise DatasetError(tr("there is no clip for which both models report an offset"))
    low, high = np.percentile(list(difference_by_id.values()), (5, 95))
    shift_ms = median_over_speakers(difference_by_id, samples)
    print(tr("both models report an offset for {n} of {all} clips",
             n=len(difference_by_id), all=len(samples)))  # fmt: skip
    print(tr("zero reference shifted by {ms:+.1f} ms (5th to 95th percentile of the clips: "
             "{low:+.1f} to {high:+.1f} ms)", ms=shift_ms, low=low, high=high))  # fmt: skip
    return 0


if __name__ == "__main__":
    run(main)

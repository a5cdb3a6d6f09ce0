"""CLI: fits the calibration of a checkpoint again: to its validation samples and to copies of them.

The sync score and the certainty of an offset are probabilities on clips like those they were fitted
to. Training fits them to its validation samples, of which few may be long, and none recorded under
all the conditions that a user's clips are. ``degrade_clips.py`` makes copies under each of them.
The weights do not change.
"""

import sys
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from src.core.cli import make_parser, run
from src.core.errors import DatasetError, OutputError
from src.i18n.messages import tr, tr_n


def load_calibration_samples(checkpoint: dict, config, index: Path, copies: Path) -> tuple:
    """What the calibration is fitted to.

    Args:
        index: of the training.
        copies: an index; of its samples those of validation speakers count.

    Returns:
        (validation samples, copies).

    Raises:
        CheckpointError: ``index`` holds other clips than the training had.
        DatasetError: an index cannot be used, or ``copies`` holds nobody of the validation.
    """
    from src.dataset.samples import load_samples
    from src.training.verification import load_original_splits

    train, val, held_out = load_original_splits(checkpoint, config, index)
    val_speakers = {sample.speaker for sample in val if sample.speaker}
    val_speakers -= {sample.speaker for sample in [*train, *held_out]}
    chosen = [
        sample
        for sample in load_samples(copies, config.data, config.training.split_by)
        if sample.speaker in val_speakers
    ]
    if not chosen:
        raise DatasetError(
            tr("{path} has no samples of speakers who are in the validation only: train with "
               "training.split_by=speaker, and put the copies into folders of the same names",
               path=copies)
        )  # fmt: skip
    return val, chosen


def calibrate(path: Path, index: Path, copies: Path) -> tuple[dict, int, int]:
    """Fit the calibration of a checkpoint again.

    Args:
        index, copies: as of ``load_calibration_samples``.

    Returns:
        (the checkpoint with it, number of validation samples, number of copies).

    Raises:
        MissingFileError, CheckpointError, DatasetError.
    """
    from src.checkpoints.checkpoint import load_checkpoint, load_trained, stored_config
    from src.core.device import choose_device
    from src.dataset.splits import other_clip_partners
    from src.evaluation.measure import (
        measure_evidence,
        measure_mismatched,
        speakers_of_evidence,
    )
    from src.scoring.calibration import fit_calibration
    from src.scoring.evidence import SEARCH_REACH
    from src.training.loop import CALIBRATION_REACH

    checkpoint = load_checkpoint(path)
    val, chosen = load_calibration_samples(
        checkpoint, stored_config(checkpoint, path), index, copies
    )
    samples, model = [*val, *chosen], load_trained(path, choose_device("auto")).model
    matched = measure_evidence(model, samples, CALIBRATION_REACH)
    partners = other_clip_partners(samples)
    mismatched = measure_mismatched(model, samples, partners, CALIBRATION_REACH)
    speakers = speakers_of_evidence(samples, partners)
    calibration = fit_calibration(matched, mismatched, SEARCH_REACH, speakers)
    return checkpoint | {"calibration": calibration}, len(val), len(chosen)


def main() -> int:
    parser = make_parser(
        tr("Fit the sync score and the certainty of offsets again, to the validation samples and "
           "to copies of them under more conditions."),
        "python tools/calibrate.py checkpoints/best_model.pth --index "
        "data/processed/dataset_index.pkl --copies data/degraded_samples/dataset_index.pkl "
        "-o checkpoints/calibrated.pth",
        settings=False,
    )  # fmt: skip
    parser.add_argument("checkpoint", type=Path, help=tr("the checkpoint"))
    parser.add_argument(
        "--index", type=Path, required=True, help=tr("dataset_index.pkl of its training")
    )
    parser.add_argument(
        "--copies", type=Path, required=True,
        help=tr("dataset_index.pkl of more samples, such as the copies of tools/degrade_clips.py; "
                "those of validation speakers are used"),
    )  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, required=True, help=tr("the new file"))
    args = parser.parse_args()
    if args.output.exists() and args.checkpoint.exists() and args.output.samefile(args.checkpoint):
        raise OutputError(
            tr("the output {path} is an input: choose another name", path=args.output)
        )
    from src.checkpoints.checkpoint import save_checkpoint

    checkpoint, n_val, n_copies = calibrate(args.checkpoint, args.index, args.copies)
    save_checkpoint(args.output, checkpoint)
    print(
        tr("fitted to {val} and {copies}",
           val=tr_n("{n} validation sample", "{n} validation samples", n_val),
           copies=tr_n("{n} copy", "{n} copies", n_copies))
    )  # fmt: skip
    print(tr("saved: {path}", path=args.output))
    return 0


if __name__ == "__main__":
    run(main)

"""CLI: plot windows that a model gets right and windows that it gets wrong."""

import sys
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from src.core.cli import checkpoint_of, make_checkpoint_parser, run
from src.core.errors import DatasetError
from src.i18n.messages import tr


def main() -> int:
    parser = make_checkpoint_parser(
        tr("Plot crops, audio and similarity of windows that a model gets right and wrong."),
        "python tools/visualize_samples.py --checkpoint checkpoints/best_model.pth "
        "--index data/processed/dataset_index.pkl --num-samples 6",
    )  # fmt: skip
    parser.add_argument("--index", type=Path, required=True, help=tr("dataset_index.pkl"))
    parser.add_argument("--num-samples", type=int, default=6, help=tr("number of windows"))
    parser.add_argument(
        "--seed", type=int, default=0, help=tr("random seed: another seed gives other windows")
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("outputs/samples.png"), help=tr("the plot (.png)")
    )
    path = checkpoint_of(parser, args := parser.parse_args())
    if args.num_samples < 1:
        parser.error(tr("--num-samples: at least 1"))

    from src.checkpoints.checkpoint import load_trained
    from src.core.device import choose_device
    from src.core.files import ensure_folder
    from src.dataset.samples import load_samples
    from src.evaluation.sample_plots import plot_windows, select_windows

    trained = load_trained(path, choose_device("cpu"))
    samples = load_samples(args.index, trained.config.data)
    windows = select_windows(trained.model, samples, args.num_samples, args.seed)
    if not windows:
        raise DatasetError(
            tr("{path}: no sample is long enough for a window and the whole search range",
               path=args.index)
        )  # fmt: skip
    ensure_folder(args.output.parent)
    plot_windows(windows, args.output)
    n_correct = sum(window.is_correct for window in windows)
    print(tr("{right} windows correct, {wrong} incorrect; image: {path}",
             right=n_correct, wrong=len(windows) - n_correct, path=args.output))  # fmt: skip
    return 0


if __name__ == "__main__":
    run(main)

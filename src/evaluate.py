"""CLI: the test protocol. Metrics of a checkpoint on an index, as a table, JSON and plots."""

import sys
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    __package__ = "src"

from .core.cli import add_checkpoint, make_parser, run, settings_of
from .core.console import print_json
from .core.files import ensure_folder
from .evaluation.sample_options import add_sample_options
from .i18n.messages import tr

# The test protocol is fixed: all else is that of the checkpoint.
USED_SETTINGS = ("paths.checkpoint_dir", "inference.min_offset_probability")


def main() -> int:
    parser = make_parser(
        tr("Evaluate a checkpoint on the samples of an index, by the standard test protocol."),
        "python src/evaluate.py --checkpoint checkpoints/best_model.pth "
        "--index data/test/dataset_index.pkl",
    )
    add_checkpoint(parser)
    add_sample_options(parser)
    parser.add_argument("--json", action="store_true", help=tr("print one JSON object"))
    parser.add_argument("--output", type=Path, metavar="FOLDER", help=tr("folder for the plots"))
    parser.add_argument("--device", help=tr("cpu, cuda or auto"))
    args = parser.parse_args()
    settings = settings_of(args, USED_SETTINGS)

    # Imported here: --help is quick without torch.
    from .checkpoints.checkpoint import load_trained
    from .checkpoints.location import resolve_checkpoint
    from .core.device import choose_device, reuse_freed_memory
    from .evaluation.options import load_chosen_samples
    from .evaluation.summary import evaluate, summarise
    from .evaluation.tables import format_summary

    reuse_freed_memory()
    path = resolve_checkpoint(args.checkpoint, settings.paths.checkpoint_dir)
    trained = load_trained(path, choose_device(args.device or "auto"))
    samples = load_chosen_samples(args, trained.config.data)
    clips = evaluate(trained, samples, settings.inference.min_offset_probability)
    summary = summarise(clips)
    if args.output:
        from .evaluation.plots import plot_summary

        plot_summary(summary, clips, ensure_folder(args.output))
    if args.json:
        print_json(summary)
    else:
        print("\n".join(format_summary(summary)))
    return 0


if __name__ == "__main__":
    run(main)

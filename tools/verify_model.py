"""CLI: is this checkpoint sound? Exit status 0: yes; 1: damaged or inconsistent; 2: it is none."""

import sys
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from src.core.cli import checkpoint_of, make_checkpoint_parser, run
from src.core.errors import CheckpointError, NotACheckpointError
from src.i18n.messages import tr


def main() -> int:
    parser = make_checkpoint_parser(
        tr("Check a checkpoint: format, weights, a trial run and, with an index, its figures."),
        "python tools/verify_model.py checkpoints/best_model.pth "
        "--index data/processed/dataset_index.pkl",
    )
    parser.add_argument("--index", type=Path, help=tr("dataset_index.pkl it was trained on"))
    path = checkpoint_of(parser, args := parser.parse_args())

    from src.checkpoints.checkpoint import config_of
    from src.training.verification import compare_figures, figures_of, inspect, training_samples

    try:
        found, content, model = inspect(path)
        if args.index and model:
            config = config_of(content, path)
            _, val = training_samples(content, config, args.index)
            figures = figures_of(model, config, val)
            found.problems += compare_figures(content, figures)
            found.facts.append((tr("measured"), tr(
                "validation loss {loss:.4f}, accuracy {acc:.4f}, whole clips {whole:.1%}",
                loss=figures.val.mean_loss, acc=figures.val.accuracy,
                whole=figures.report.whole_clip)))  # fmt: skip
    except NotACheckpointError:
        raise  # status 2, as any other mistake in the input
    except CheckpointError as error:
        print(tr("not sound: {why}", why=error))
        return 1
    width = max(len(name) for name, _ in found.facts)
    for name, value in found.facts:
        print(f"{name:{width}s}  {value}")
    for problem in found.problems:
        print(tr("not sound: {why}", why=problem))
    if not found.problems:
        print(tr("the checkpoint is sound"))
    return 1 if found.problems else 0


if __name__ == "__main__":
    run(main)

"""CLI: verifies a checkpoint. Exit status 0: valid; 1: damaged or inconsistent; 2: not one."""

import sys
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from src.core.cli import checkpoint_of, make_checkpoint_parser, run
from src.core.errors import CheckpointError, NotACheckpointError
from src.i18n.messages import tr


def main() -> int:
    parser = make_checkpoint_parser(
        tr("Check a checkpoint: format, weights, a trial run and, with an index, its metrics."),
        "python tools/verify_model.py checkpoints/best_model.pth "
        "--index data/processed/dataset_index.pkl",
    )
    parser.add_argument("--index", type=Path, help=tr("dataset_index.pkl it was trained on"))
    path = checkpoint_of(parser, args := parser.parse_args())

    from src.checkpoints.contents import stored_config
    from src.training.verification import (
        compare_metrics,
        inspect_checkpoint,
        load_original_splits,
        measure_validation,
    )

    try:
        report, checkpoint, model = inspect_checkpoint(path)
        if args.index and model:
            config = stored_config(checkpoint, path)
            _, val, _ = load_original_splits(checkpoint, config, args.index)
            metrics = measure_validation(model, config, val)
            report.problems += compare_metrics(checkpoint, metrics)
            report.facts.append((tr("measured"), tr(
                "validation loss {loss:.4f}, accuracy {acc:.4f}, whole clips {whole:.1%}",
                loss=metrics.val.mean_loss, acc=metrics.val.accuracy,
                whole=metrics.report.clip_accuracy)))  # fmt: skip
    except NotACheckpointError:
        raise  # status 2, as for any other invalid input
    except CheckpointError as error:
        print(tr("invalid: {why}", why=error))
        return 1
    width = max(len(name) for name, _ in report.facts)
    for name, value in report.facts:
        print(f"{name:{width}s}  {value}")
    for problem in report.problems:
        print(tr("invalid: {why}", why=problem))
    if not report.problems:
        print(tr("the checkpoint is valid"))
    return 1 if report.problems else 0


if __name__ == "__main__":
    run(main)

"""CLI: compares all checkpoints of a folder by their validation metrics: a table and a plot."""

import math
import sys
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from src.core.cli import make_parser, run, settings_of
from src.core.errors import LipSyncError, MissingFileError
from src.core.files import ensure_folder
from src.i18n.messages import tr
from src.plotting.figures import save_figure

COLUMNS = ("val_loss", "val_acc", "K = 5", "K = 15", "whole clips", "median error")


def measure_checkpoint(path: Path, index_path: Path) -> dict:
    """The metrics of one checkpoint on the validation samples of its training.

    Raises:
        LipSyncError: it cannot be read, or the index is not that of its training.
    """
    from src.checkpoints.contents import stored_config
    from src.training.verification import (
        inspect_checkpoint,
        load_original_splits,
        measure_validation,
    )

    inspection, checkpoint, model = inspect_checkpoint(path)
    if model is None:
        raise LipSyncError(inspection.problems[0])
    config = stored_config(checkpoint, path)
    _, val, _ = load_original_splits(checkpoint, config, index_path)
    metrics = measure_validation(model, config, val)
    report = metrics.report
    return {
        "name": path.name, "epoch": checkpoint["epoch"], "step": checkpoint["step"],
        "val_loss": metrics.val.mean_loss, "val_acc": metrics.val.accuracy,
        "K = 5": report.accuracy_at[5], "K = 15": report.accuracy_at[15],
        "whole clips": report.clip_accuracy, "median error": report.median_error_ms,
    }  # fmt: skip


def format_metric(column: str, value: float) -> str:
    """A metric with its unit, for the table."""
    if math.isnan(value):
        return "–"
    if column == "val_loss":
        return f"{value:.4f}"
    return f"{value:.0f} ms" if column == "median error" else f"{value:.1%}"


def plot_metrics(rows: list[dict], best: dict, path: Path) -> None:
    """Plot loss and accuracies over the checkpoints, the best one marked.

    Raises:
        OutputError.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (loss_axis, accuracy_axis) = plt.subplots(
        2, 1, figsize=(8, 6), sharex=True, constrained_layout=True
    )
    positions = range(len(rows))
    loss_axis.plot(positions, [row["val_loss"] for row in rows], "o-", color="#1f3a5f")
    loss_axis.set_ylabel("validation loss")
    for column, colour in (("K = 5", "#c8453c"), ("K = 15", "#2a9d4a"), ("val_acc", "#9aa5b1")):
        values = [100 * row[column] for row in rows]
        accuracy_axis.plot(positions, values, "o-", color=colour, label=column)
    accuracy_axis.set_ylabel("accuracy, %")
    accuracy_axis.legend(frameon=False)
    for axis in (loss_axis, accuracy_axis):
        axis.axvline(rows.index(best), color="#e0b040", linewidth=6, alpha=0.4)
        axis.spines[["top", "right"]].set_visible(False)
    names = [f"{row['name'].removesuffix('.pth')}\nepoch {row['epoch']}" for row in rows]
    accuracy_axis.set_xticks(list(positions), names, rotation=45, ha="right", fontsize=8)
    save_figure(figure, path)


def main() -> int:
    parser = make_parser(
        tr("Measure all checkpoints of a folder on the validation samples of their training."),
        "python tools/compare_checkpoints.py checkpoints --index data/processed/dataset_index.pkl",
    )
    parser.add_argument("folder", type=Path, help=tr("folder of checkpoints"))
    parser.add_argument("--index", type=Path, required=True, help=tr("dataset_index.pkl"))
    parser.add_argument(
        "--plot", type=Path, help=tr("the plot (default: checkpoints.png in paths.output_dir)")
    )
    args = parser.parse_args()
    plot_path = args.plot or ensure_folder(settings_of(args).paths.output_dir) / "checkpoints.png"
    paths = sorted(args.folder.glob("*.pth"))
    if not paths:
        raise MissingFileError(tr("{folder} holds no checkpoints", folder=args.folder))
    rows = []
    for path in paths:
        try:
            rows.append(measure_checkpoint(path, args.index))
        except LipSyncError as error:
            print(tr("skipped: {why}", why=error), file=sys.stderr)
    if not rows:
        return 1
    rows.sort(key=lambda row: (row["step"], row["name"]))
    best = min(rows, key=lambda row: row["val_loss"])
    print(f"{'':2s}{'':34s} {tr('epoch'):>6s} " + " ".join(f"{name:>12s}" for name in COLUMNS))
    for row in rows:
        mark = "* " if row is best else "  "
        cells = " ".join(f"{format_metric(column, row[column]):>12s}" for column in COLUMNS)
        print(f"{mark}{row['name']:34s} {row['epoch']:6d} {cells}")
    print(tr("* best by val_loss: {name}", name=best["name"]))
    plot_metrics(rows, best, plot_path)
    print(tr("image: {path}", path=plot_path))
    return 0


if __name__ == "__main__":
    run(main)

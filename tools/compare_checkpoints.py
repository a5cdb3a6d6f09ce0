"""CLI: all checkpoints of a folder by their validation figures, as a table and a picture."""

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


def measured(path: Path, index: Path) -> dict:
    """The figures of one checkpoint on the validation samples of its training.

    Raises:
        LipSyncError: it cannot be read, or the index is not that of its training.
    """
    from src.checkpoints.checkpoint import config_of
    from src.training.verification import figures_of, inspect, training_samples

    found, content, model = inspect(path)
    if model is None:
        raise LipSyncError(found.problems[0])
    config = config_of(content, path)
    figures = figures_of(model, config, training_samples(content, config, index)[1])
    report = figures.report
    return {
        "name": path.name, "epoch": content["epoch"], "step": content["step"],
        "val_loss": figures.val.mean_loss, "val_acc": figures.val.accuracy,
        "K = 5": report.share_at[5], "K = 15": report.share_at[15],
        "whole clips": report.whole_clip, "median error": report.median_error_ms,
    }  # fmt: skip


def shown(column: str, value: float) -> str:
    """A figure as a person reads it."""
    if math.isnan(value):
        return "–"
    if column == "val_loss":
        return f"{value:.4f}"
    return f"{value:.0f} ms" if column == "median error" else f"{value:.1%}"


def draw(rows: list[dict], best: dict, path: Path) -> None:
    """Loss and shares over the epochs, the best marked.

    Raises:
        OutputError.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (top, low) = plt.subplots(2, 1, figsize=(8, 6), sharex=True, constrained_layout=True)
    places = range(len(rows))
    top.plot(places, [row["val_loss"] for row in rows], "o-", color="#1f3a5f")
    top.set_ylabel("validation loss")
    for column, colour in (("K = 5", "#c8453c"), ("K = 15", "#2a9d4a"), ("val_acc", "#9aa5b1")):
        low.plot(places, [100 * row[column] for row in rows], "o-", color=colour, label=column)
    low.set_ylabel("found, %")
    low.legend(frameon=False)
    for axis in (top, low):
        axis.axvline(rows.index(best), color="#e0b040", linewidth=6, alpha=0.4)
        axis.spines[["top", "right"]].set_visible(False)
    names = [f"{row['name'].removesuffix('.pth')}\nepoch {row['epoch']}" for row in rows]
    low.set_xticks(list(places), names, rotation=45, ha="right", fontsize=8)
    save_figure(figure, path)


def main() -> int:
    parser = make_parser(
        tr("Measure all checkpoints of a folder on the validation samples of their training."),
        "python tools/compare_checkpoints.py checkpoints --index data/processed/dataset_index.pkl",
    )
    parser.add_argument("folder", type=Path, help=tr("the folder"))
    parser.add_argument("--index", type=Path, required=True, help=tr("dataset_index.pkl"))
    parser.add_argument(
        "--plot", type=Path, help=tr("the picture (default: checkpoints.png in paths.output_dir)")
    )
    args = parser.parse_args()
    plot = args.plot or ensure_folder(settings_of(args).paths.output_dir) / "checkpoints.png"
    paths = sorted(args.folder.glob("*.pth"))
    if not paths:
        raise MissingFileError(tr("{folder} holds no checkpoints", folder=args.folder))
    rows = []
    for path in paths:
        try:
            rows.append(measured(path, args.index))
        except LipSyncError as error:
            print(tr("left out: {why}", why=error), file=sys.stderr)
    if not rows:
        return 1
    rows.sort(key=lambda row: (row["step"], row["name"]))
    best = min(rows, key=lambda row: row["val_loss"])
    print(f"{'':2s}{'':34s} {tr('epoch'):>6s} " + " ".join(f"{name:>12s}" for name in COLUMNS))
    for row in rows:
        mark = "* " if row is best else "  "
        cells = " ".join(f"{shown(column, row[column]):>12s}" for column in COLUMNS)
        print(f"{mark}{row['name']:34s} {row['epoch']:6d} {cells}")
    print(tr("* the best by val_loss: {name}", name=best["name"]))
    draw(rows, best, plot)
    print(tr("picture: {path}", path=plot))
    return 0


if __name__ == "__main__":
    run(main)

"""How figures become files."""

import io
from pathlib import Path

from ..core.files import written_atomically
from .fonts import use_in_figures

INK, GOOD, POOR, QUIET = "#1f3a5f", "#2a9d4a", "#c8453c", "#9aa5b1"


def save_figure(figure, path: str | Path) -> None:
    """Write a matplotlib figure as a PNG and close it.

    Raises:
        OutputError: it cannot be written.
    """
    import matplotlib.pyplot as plt

    try:
        with written_atomically(path) as aside:
            figure.savefig(aside, dpi=110, format="png")
    finally:
        plt.close(figure)


def svg_of(figure) -> str:
    """A matplotlib figure as one ``<svg>`` element, letters as outlines."""
    import matplotlib

    kept = io.StringIO()
    unnamed = {"Date": None, "Creator": None, "Format": None, "Type": None}
    # The same figure gives the same text: its ids are made of this word.
    with matplotlib.rc_context({"svg.hashsalt": "lipsync", "svg.fonttype": "path"}):
        figure.savefig(kept, format="svg", metadata=unnamed)
    drawn = kept.getvalue()
    return drawn[drawn.index("<svg") :]


def new_figure(width: float, height: float, rows: tuple[float, ...] = (1,)):
    """A matplotlib figure and its axes, one below the other, in letters the language has.

    Args:
        width, height: inches.
        rows: relative heights of the axes.
    """
    from matplotlib.figure import Figure

    use_in_figures()
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(len(rows), 1, height_ratios=rows, squeeze=False)
    for axis in axes[:, 0]:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, list(axes[:, 0])

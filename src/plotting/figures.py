"""Matplotlib figures: how they are made, and how they become files."""

import io
from pathlib import Path

from ..core.files import written_atomically
from .fonts import set_figure_fonts

INK, GOOD, POOR, QUIET = "#1f3a5f", "#2a9d4a", "#c8453c", "#9aa5b1"


def new_figure(width: float, height: float, rows: tuple[float, ...] = (1,)):
    """A figure and its axes, one below the other, in fonts that have the language's characters.

    Args:
        width, height: inches.
        rows: relative heights of the axes.
    """
    from matplotlib.figure import Figure

    set_figure_fonts()
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(len(rows), 1, height_ratios=rows, squeeze=False)
    for axis in axes[:, 0]:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, list(axes[:, 0])


def save_figure(figure, path: str | Path, comment: str | None = None) -> None:
    """Write a figure as a PNG, with a comment in it, and close it.

    Raises:
        OutputError: the file cannot be written.
    """
    import matplotlib.pyplot as plt

    try:
        with written_atomically(path) as temporary_path:
            metadata = {"Comment": comment} if comment else None
            figure.savefig(temporary_path, dpi=110, format="png", metadata=metadata)
    finally:
        plt.close(figure)


def render_svg(figure) -> str:
    """A figure as one ``<svg>`` element, text as outlines."""
    import matplotlib

    buffer = io.StringIO()
    no_metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
    # With a fixed salt for its ids, the same figure gives the same text.
    with matplotlib.rc_context({"svg.hashsalt": "lipsync", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata=no_metadata)
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :]

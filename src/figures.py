"""How figures become files."""

import io
from pathlib import Path

from src.files import written_aside


def save_figure(figure, path: str | Path) -> None:
    """Write a matplotlib figure as a PNG and close it.

    Raises:
        OutputError: it cannot be written.
    """
    import matplotlib.pyplot as plt

    try:
        with written_aside(path) as aside:
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

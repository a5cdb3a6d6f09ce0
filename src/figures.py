"""How figures become files."""

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

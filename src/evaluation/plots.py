"""Plots of an evaluation: accuracy by length, reliability of the score, errors."""

from pathlib import Path

import numpy as np

from ..plotting.figures import GOOD, INK, POOR, QUIET, save_figure
from .protocol import INJECTED_HOPS, LENGTHS, ClipMeasurement, length_label

MAX_ERROR_MS = 120  # larger errors are drawn at the edge


def plot_summary(summary: dict, clips: list[ClipMeasurement], folder: Path) -> list[Path]:
    """Draw ``accuracy.png``, ``reliability.png`` and ``errors.png``.

    Args:
        summary: of ``summary.summarise``.
        clips: the measurements it was made of.

    Raises:
        OutputError: an image cannot be written.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    paths = []
    for name, draw in (
        ("accuracy", lambda axis: _draw_accuracy(axis, summary)),
        ("reliability", lambda axis: _draw_reliability(axis, summary)),
        ("errors", lambda axis: _draw_errors(axis, clips)),
    ):
        figure, axis = plt.subplots(figsize=(7, 4.5), constrained_layout=True)
        draw(axis)
        axis.spines[["top", "right"]].set_visible(False)
        path = folder / f"{name}.png"
        save_figure(figure, path)
        paths.append(path)
    return paths


def _draw_accuracy(axis, summary: dict) -> None:
    """Offset accuracy by clip length, with its interval."""
    names = [length_label(frames) for frames in LENGTHS]
    metrics = [summary["figures"][name] for name in names]
    values, low, high = (
        _none_to_nan([metric[key] for metric in metrics]) for key in ("value", "low", "high")
    )
    x = np.arange(len(names))
    axis.fill_between(x, low, high, color=INK, alpha=0.15, linewidth=0)
    axis.plot(x, values, color=INK, marker="o")
    for position, value in zip(x, values, strict=True):
        if not np.isnan(value):
            axis.annotate(f"{value:.0%}", (position, value), xytext=(0, 7), ha="center",
                          textcoords="offset points", fontsize=9, color=INK)  # fmt: skip
    axis.axhline(3 / 31, color=QUIET, linestyle=":")
    axis.set_xticks(x, names)
    axis.set_ylim(0, 1.05)
    axis.set_xlabel("clip length (dotted: chance level)")
    axis.set_ylabel("offset accuracy, ±1 frame")
    axis.set_title(f"{summary['clips']} clips of {summary['speakers']} speakers", fontsize=11)


def _draw_reliability(axis, summary: dict) -> None:
    """Reliability diagram of the score."""
    predicted, observed, weight = (
        _none_to_nan(summary["reliability"][name]) for name in ("predicted", "observed", "weight")
    )
    axis.plot([0, 1], [0, 1], color=QUIET, linestyle=":")
    axis.bar(np.linspace(0.05, 0.95, len(weight)), weight, width=0.09, color=QUIET, alpha=0.4)
    axis.plot(predicted, observed, color=INK, marker="o")
    ece = summary["figures"]["ECE"]["value"]
    axis.set_title("" if ece is None else f"expected calibration error {ece:.3f}", fontsize=11)
    axis.set_xlabel("sync score")
    axis.set_ylabel("share in sync (bars: share of all pairs)")
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1)


def _draw_errors(axis, clips: list[ClipMeasurement]) -> None:
    """Histogram of the errors of whole clips with injected offsets."""
    known = [clip for clip in clips if clip.sample.offset_known] or clips
    errors_ms = np.concatenate([clip.errors_ms for clip in known])
    errors_ms = np.clip(errors_ms[~np.isnan(errors_ms)], -MAX_ERROR_MS, MAX_ERROR_MS)
    edges = np.arange(-MAX_ERROR_MS - 2.5, MAX_ERROR_MS + 3, 5)
    axis.hist(errors_ms, edges, color=GOOD)
    for side in (-60, 60):
        axis.axvline(side, color=POOR, linestyle=":", linewidth=1)
    axis.set_xlabel("measured minus injected offset, ms (dotted: ±1 frame, rounded)")
    axis.set_ylabel("whole clips")
    axis.set_title(f"{len(INJECTED_HOPS)} injected offsets within ±0.5 s", fontsize=11)


def _none_to_nan(values: list[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values])

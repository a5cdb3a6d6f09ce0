"""Pictures of an evaluation: accuracy by length, reliability of the score, errors, by source."""

from pathlib import Path

import numpy as np

from ..plotting.figures import GOOD, INK, POOR, QUIET, save_figure
from .protocol import INJECTED, LENGTHS, Measured, name_of

ERRORS_MS = 120  # larger ones are drawn at the edge


def plot_summary(summary: dict, clips: list[Measured], folder: Path) -> list[Path]:
    """Draw ``accuracy.png``, ``reliability.png`` and ``errors.png``.

    Args:
        summary: of ``evaluate.summary_of``.
        clips: what it was made of.

    Raises:
        OutputError: a picture cannot be written.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    drawn = []
    for name, draw in (
        ("accuracy", lambda axis: _accuracy(axis, summary)),
        ("reliability", lambda axis: _reliability(axis, summary)),
        ("errors", lambda axis: _errors(axis, clips)),
    ):
        figure, axis = plt.subplots(figsize=(7, 4.5), constrained_layout=True)
        draw(axis)
        axis.spines[["top", "right"]].set_visible(False)
        path = folder / f"{name}.png"
        save_figure(figure, path)
        drawn.append(path)
    return drawn


def _accuracy(axis, summary: dict) -> None:
    """Share of places found by clip length, with the interval over speakers."""
    names = [name_of(frames) for frames in LENGTHS]
    figures = [summary["figures"][name] for name in names]
    places = np.arange(len(names))
    values = np.array([np.nan if f["value"] is None else f["value"] for f in figures])
    low, high = (
        np.array([np.nan if f[side] is None else f[side] for f in figures])
        for side in ("low", "high")
    )
    axis.fill_between(places, low, high, color=INK, alpha=0.15, linewidth=0)
    axis.plot(places, values, color=INK, marker="o")
    for place, value in zip(places, values, strict=True):
        if not np.isnan(value):
            axis.annotate(f"{value:.0%}", (place, value), xytext=(0, 7), ha="center",
                          textcoords="offset points", fontsize=9, color=INK)  # fmt: skip
    axis.axhline(3 / 31, color=QUIET, linestyle=":")
    axis.set_xticks(places, names)
    axis.set_ylim(0, 1.05)
    axis.set_xlabel("length of the clip")
    axis.set_ylabel("offset found within ±1 frame")
    axis.set_title(f"{summary['clips']} clips of {summary['speakers']} speakers", fontsize=11)


def _reliability(axis, summary: dict) -> None:
    """What came true of each prediction."""
    predicted, observed, weight = (
        np.array([np.nan if v is None else v for v in summary["reliability"][name]])
        for name in ("predicted", "observed", "weight")
    )
    axis.plot([0, 1], [0, 1], color=QUIET, linestyle=":")
    axis.bar(np.linspace(0.05, 0.95, len(weight)), weight, width=0.09, color=QUIET, alpha=0.4)
    axis.plot(predicted, observed, color=INK, marker="o")
    ece = summary["figures"]["ECE"]["value"]
    axis.set_title("" if ece is None else f"expected calibration error {ece:.3f}", fontsize=11)
    axis.set_xlabel("score")
    axis.set_ylabel("share that is in sync (bars: share of all pairs)")
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1)


def _errors(axis, clips: list[Measured]) -> None:
    """Errors of whole clips under injected offsets."""
    errors = np.concatenate([clip.errors_ms for clip in clips if clip.sample.known] or
                            [clip.errors_ms for clip in clips])  # fmt: skip
    errors = np.clip(errors[~np.isnan(errors)], -ERRORS_MS, ERRORS_MS)
    edges = np.arange(-ERRORS_MS - 2.5, ERRORS_MS + 3, 5)
    axis.hist(errors, edges, color=GOOD)
    for side in (-60, 60):
        axis.axvline(side, color=POOR, linestyle=":", linewidth=1)
    axis.set_xlabel("offset found minus offset made, ms (dotted: rounded to ±1 frame)")
    axis.set_ylabel("whole clips")
    axis.set_title(f"{len(INJECTED)} injected offsets within ±0.5 s", fontsize=11)

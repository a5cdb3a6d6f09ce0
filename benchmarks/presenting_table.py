"""The figures of ``presenting.py`` as a table and as a file."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.presenting_videos import FigureDict
from src.core.files import written_atomically

# Figure -> its head in the table, and its format.
COLUMNS = {
    "confidence": ("LSE-C", ".3f"),
    "relative_confidence": ("of real", ".0%"),
    "in_sync": ("in sync", ".1%"),
    "windows": ("windows", ".0f"),
    "absolute_offset_ms": ("offset ms", ".0f"),
    "leak": ("leak LSE-C", ".3f"),
    "correlation": ("abs r", ".2f"),
    "fast_correlation": ("abs r, fast", ".2f"),
    "open_in_silence": ("open in silence", ".1%"),
    "closures": ("b/p/m shut", ".0%"),
    "sharpness": ("sharpness", ".2f"),
    "flicker": ("flicker", ".2f"),
    "edge": ("edge", ".2f"),
    "second_chin": ("second chin", ".1%"),
    "joins_per_s": ("joins/s", ".2f"),
    "frames_per_s": ("frames/s", ".1f"),
    "mouth_l1": ("mouth L1", ".2f"),
    "psnr": ("PSNR dB", ".1f"),
    "ssim": ("SSIM", ".3f"),
}


@dataclass(frozen=True)
class Result:
    """The figures of one video.

    Attributes:
        person, stage, audio: which.
        figures: see ``COLUMNS``.
    """

    person: str
    stage: str
    audio: str
    figures: FigureDict


def mean_figures(rows: list[FigureDict]) -> FigureDict:
    """The means of what is known; windows are added up, their share is weighted by their number,
    and of r the absolute value counts."""
    means: FigureDict = {}
    for name in COLUMNS:
        known = [row for row in rows if row.get(name) is not None]
        values = np.array([row[name] for row in known], float)
        if not known:
            means[name] = None
        elif name == "windows":
            means[name] = float(values.sum())
        elif name == "in_sync":
            means[name] = float(np.average(values, weights=[row["windows"] for row in known]))
        else:
            means[name] = float(np.abs(values).mean())
    return means


def table_rows(results: list[Result]) -> list[tuple[str, str, FigureDict]]:
    """(person, stage, means over the audio), by person in the order of the results."""
    grouped: dict[tuple[str, str], list[FigureDict]] = {}
    for result in results:
        grouped.setdefault((result.person, result.stage), []).append(result.figures)
    return [(person, stage, mean_figures(rows)) for (person, stage), rows in grouped.items()]


def mean_rows(rows: list[tuple[str, str, FigureDict]]) -> list[tuple[str, str, FigureDict]]:
    """A row per stage, the means over the people."""
    grouped: dict[str, list[FigureDict]] = {}
    for _, stage, figures in rows:
        grouped.setdefault(stage, []).append(figures)
    return [("mean", stage, mean_figures(figures)) for stage, figures in grouped.items()]


def print_rows(rows: list[tuple[str, str, FigureDict]]) -> None:
    for person, stage, figures in rows:
        cells = [
            "–" if figures[name] is None else f"{figures[name]:{form}}"
            for name, (_, form) in COLUMNS.items()
        ]
        print(f"| {person} | {stage} | {' | '.join(cells)} |", flush=True)


def write_json(path: Path, results: list[Result], settings: dict) -> None:
    """Write all numbers. Raises OutputError."""
    rows = table_rows(results)
    content = {
        "settings": settings,
        "results": [vars(result) for result in results],
        "rows": [
            {"person": person, "stage": stage, "figures": figures}
            for person, stage, figures in rows + mean_rows(rows)
        ],
    }
    with written_atomically(path) as temporary_path:
        temporary_path.write_text(
            json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
        )

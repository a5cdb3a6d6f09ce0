"""A model's figures over an index of samples."""

import argparse
import math
from pathlib import Path

from tqdm import tqdm

from ..core.config import DataConfig
from ..core.constants import WINDOW_FRAMES
from ..core.errors import DatasetError
from ..dataset.reference import with_reference
from ..dataset.samples import Sample, load_samples
from ..dataset.splits import other_speaker_partners
from ..i18n.messages import tr
from .protocol import (
    DRAWS,
    LENGTHS,
    Measured,
    by_group,
    calibration_of,
    figures_of,
    intervals_of,
    measure_clip,
    name_of,
)

# What the tables by source and by speaker show.
IN_SHORT = ("K = 5", "K = 15", "1 s", "whole clip", "median error ms")


def evaluate(trained, samples: list[Sample], least_probability: float) -> list[Measured]:
    """Measure every sample; those too short to hold a window are left out."""
    measured = []
    samples = [sample for sample in samples if sample.n_frames >= WINDOW_FRAMES]
    strangers = other_speaker_partners(samples)
    with tqdm(total=len(samples), desc=tr("measuring"), unit="it") as bar:
        for sample, stranger in zip(samples, strangers, strict=True):
            measured.append(measure_clip(trained, sample, stranger, least_probability))
            bar.update()
    return measured


def summary_of(clips: list[Measured]) -> dict:
    """All figures in plain builtins, None for what could not be measured."""
    known = [clip for clip in clips if clip.sample.known] or clips
    apart = [clip for clip in clips if not clip.sample.known] if known is not clips else []
    figures, intervals = figures_of(known), intervals_of(known, DRAWS)
    reliability = calibration_of(known)
    return _plain({
        "clips": len(known),
        "speakers": len({clip.sample.person for clip in known}),
        "offsets_known": known is not clips,
        "figures": {
            name: {"value": value, "low": intervals[name][0], "high": intervals[name][1]}
            for name, value in figures.items()
        },
        "places": {
            name_of(frames): {
                "counted": sum(len(clip.hits[frames]) for clip in known),
                "silent": sum(clip.silent[frames] for clip in known),
            }
            for frames in LENGTHS
        },
        "reliability": {
            "predicted": reliability.predicted.tolist(),
            "observed": reliability.observed.tolist(),
            "weight": reliability.weight.tolist(),
        },
        "by_source": _groups(known, lambda sample: sample.source),
        "by_speaker": _groups(known, lambda sample: sample.speaker or sample.clip),
        "without_a_known_offset": {"clips": len(apart), **_short(apart)},
    })  # fmt: skip


def _groups(clips: list[Measured], key) -> dict:
    return {
        name: {
            "clips": len(group), "speakers": len({clip.sample.person for clip in group}),
            **_short(group),
        }
        for name, group in by_group(clips, key).items()
    }  # fmt: skip


def _short(clips: list[Measured]) -> dict:
    return {name: value for name, value in figures_of(clips).items() if name in IN_SHORT}


def _plain(value):
    """NaN becomes None, for JSON."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _shown(name: str, figure: dict) -> str:
    interval = f"[{value_text(name, figure['low'])} … {value_text(name, figure['high'])}]"
    return f"{value_text(name, figure['value']):>8s} {interval:>20s}"


def value_text(name: str, value: float | None) -> str:
    """A figure as a person reads it: ms, a share in %, or a number."""
    if value is None:
        return "–"
    if name.endswith("ms"):
        return f"{value:.1f}"
    return f"{value:.3f}" if name.split()[0] in ("AUC", "ECE", "LSE-D", "LSE-C") else f"{value:.1%}"


def add_measured(parser: argparse.ArgumentParser) -> None:
    """The options that say what is measured: ``--index`` and ``--reference``."""
    parser.add_argument("--index", type=Path, required=True, help=tr("dataset_index.pkl"))
    parser.add_argument(
        "--reference", type=Path, metavar="TABLE",
        help=tr("own offsets (and speakers) of the clips: columns path, offset_ms, speaker"),
    )  # fmt: skip


def measured_samples(args: argparse.Namespace, settings: DataConfig) -> list[Sample]:
    """The samples that the options of ``add_measured`` name, with their truth.

    Raises:
        DatasetError: there are none, or the index or the table cannot be used.
        MissingFileError: there is no such table.
    """
    samples = load_samples(args.index, settings, every=True)
    if args.reference:
        samples = with_reference(samples, args.reference)
    if not samples:
        raise DatasetError(tr("{path} has no samples", path=args.index))
    return samples

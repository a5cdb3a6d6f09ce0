"""CLI: the test protocol. Figures of a checkpoint on an index, as a table, JSON and pictures."""

import argparse
import json
import math
import sys
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from tqdm import tqdm

from src.checkpoint import load_trained, own_or_pretrained
from src.cli import add_checkpoint, make_parser, run, settings_of
from src.clip_features import WINDOW_FRAMES
from src.config import DataConfig
from src.device import choose_device, reuse_freed_memory
from src.errors import DatasetError
from src.files import made_folder
from src.messages import tr
from src.protocol import (
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
from src.reference import with_reference
from src.samples import Sample, load_samples, strangers_of

# What the tables by source and by speaker show.
IN_SHORT = ("K = 5", "K = 15", "1 s", "whole clip", "median error ms")


def evaluate(trained, samples: list[Sample], least_probability: float) -> list[Measured]:
    """Measure every sample; those too short to hold a window are left out."""
    measured = []
    samples = [sample for sample in samples if sample.n_frames >= WINDOW_FRAMES]
    strangers = strangers_of(samples)
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


def print_summary(summary: dict) -> None:
    """The figures as tables."""
    print(tr("{clips} clips of {speakers} speakers; in brackets the 95 % interval over speakers",
             clips=summary["clips"], speakers=summary["speakers"]))  # fmt: skip
    if not summary["offsets_known"]:
        print(tr("no clip's own offset is known: 0 is taken for the truth"))
    for name, figure in summary["figures"].items():
        places = summary["places"].get(name)
        counted = tr("  of {counted} places, {silent} silent", **places) if places else ""
        print(f"{name:28s} {_shown(name, figure)}{counted}")
    for title, groups in ((tr("by source"), summary["by_source"]),
                          (tr("by speaker"), summary["by_speaker"])):  # fmt: skip
        print(f"\n{title:28s} {tr('clips'):>6s} " + " ".join(f"{n:>15s}" for n in IN_SHORT))
        for name, group in groups.items():
            cells = " ".join(f"{value_text(n, group.get(n)):>15s}" for n in IN_SHORT)
            print(f"{name[:28]:28s} {group['clips']:6d} {cells}")
    apart = summary["without_a_known_offset"]
    if apart["clips"]:
        cells = " ".join(f"{value_text(n, apart.get(n)):>15s}" for n in IN_SHORT)
        print(f"\n{tr('offset not known, 0 taken'):28s} {apart['clips']:6d} {cells}")


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


def main() -> int:
    parser = make_parser(
        tr("Measure a checkpoint on the samples of an index, by the field's test protocol."),
        "python src/evaluate.py --checkpoint checkpoints/best_model.pth "
        "--index data/test/dataset_index.pkl",
    )
    add_checkpoint(parser)
    add_measured(parser)
    parser.add_argument("--json", action="store_true", help=tr("print one JSON object"))
    parser.add_argument("--output", type=Path, metavar="FOLDER", help=tr("pictures go here"))
    parser.add_argument("--device", help=tr("cpu, cuda or auto"))
    args = parser.parse_args()
    settings = settings_of(args)
    reuse_freed_memory()
    path = own_or_pretrained(args.checkpoint, settings.paths.checkpoint_dir)
    trained = load_trained(path, choose_device(args.device or "auto"))
    samples = measured_samples(args, trained.config.data)
    clips = evaluate(trained, samples, settings.inference.min_offset_probability)
    summary = summary_of(clips)
    if args.output:
        from src.evaluation_plots import plot_summary

        plot_summary(summary, clips, made_folder(args.output))
    if args.json:
        print(json.dumps(summary, ensure_ascii=False, allow_nan=False))
    else:
        print_summary(summary)
    return 0


if __name__ == "__main__":
    run(main)

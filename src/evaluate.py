"""CLI: the test protocol. Figures of a checkpoint on an index, as a table, JSON and pictures."""

import json
import sys
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    __package__ = "src"


from .checkpoints.checkpoint import load_trained, resolve_checkpoint
from .core.cli import add_checkpoint, make_parser, run, settings_of
from .core.device import choose_device, reuse_freed_memory
from .core.files import ensure_folder
from .evaluation.summary import (
    IN_SHORT,
    _shown,
    add_measured,
    evaluate,
    measured_samples,
    summary_of,
    value_text,
)
from .i18n.messages import tr


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
    path = resolve_checkpoint(args.checkpoint, settings.paths.checkpoint_dir)
    trained = load_trained(path, choose_device(args.device or "auto"))
    samples = measured_samples(args, trained.config.data)
    clips = evaluate(trained, samples, settings.inference.min_offset_probability)
    summary = summary_of(clips)
    if args.output:
        from .evaluation.plots import plot_summary

        plot_summary(summary, clips, ensure_folder(args.output))
    if args.json:
        print(json.dumps(summary, ensure_ascii=False, allow_nan=False))
    else:
        print_summary(summary)
    return 0


if __name__ == "__main__":
    run(main)

"""CLI: clips in data/videos and data/audios -> samples and their index in data/processed."""

import sys
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    __package__ = "src"

from .core.cli import make_parser, run, settings_of
from .core.errors import ConfigError, DatasetError
from .core.files import ensure_folder
from .dataset.build import ProcessingReport, process_clips
from .dataset.clips import find_clips
from .dataset.index import (
    INDEX_NAME,
    SAMPLES_FOLDER,
    sample_settings,
)
from .dataset.shards import merge_shards, shard_index_name, shard_of
from .i18n.messages import tr


def _parse():
    parser = make_parser(
        tr("Turn clips of talking people into training samples."),
        "python src/data_processing.py --set data.num_workers=4",
    )
    parser.add_argument(
        "--overwrite", action="store_true",
        help=tr("begin anew where the index was made with other settings"),
    )  # fmt: skip
    parser.add_argument(
        "--prune", action="store_true",
        help=tr("drop the samples of clips that are gone from data.video_dir"),
    )  # fmt: skip
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--num-shards", type=int, metavar="N",
        help=tr("share the clips out over N runs, on one or several machines"),
    )  # fmt: skip
    parser.add_argument(
        "--shard-index", type=int, metavar="I", help=tr("which of them this is, 0 to N - 1")
    )
    instead.add_argument(
        "--merge", nargs="*", metavar="FOLDER",
        help=tr("join the indexes of all shards, found in these folders "
                "(none given: data.processed_dir)"),
    )  # fmt: skip
    instead.add_argument(
        "--contact-sheet", metavar="PICTURE",
        help=tr("draw crops of what was processed, one speaker after the other, into this .png"),
    )  # fmt: skip
    args = parser.parse_args()
    if (args.num_shards is None) != (args.shard_index is None):
        parser.error(tr("--num-shards and --shard-index go together"))
    if args.num_shards is not None and args.num_shards < 1:
        raise ConfigError(tr("--num-shards {n}: at least 1 is needed", n=args.num_shards))
    if args.num_shards is not None and not 0 <= args.shard_index < args.num_shards:
        raise ConfigError(
            tr("--shard-index {index}: 0 to {last} are allowed with --num-shards {n}",
               index=args.shard_index, last=args.num_shards - 1, n=args.num_shards)
        )  # fmt: skip
    return args


def main() -> int:
    args = _parse()
    config = settings_of(args)
    folder = Path(config.data.processed_dir)
    if args.contact_sheet:
        from .dataset.contact_sheet import draw_contact_sheet

        shown, total = draw_contact_sheet(folder / INDEX_NAME, Path(args.contact_sheet))
        print(tr("picture: {path}", path=args.contact_sheet))
        print(tr("{shown} of {total} samples are shown", shown=shown, total=total))
        return 0
    if args.merge is not None:
        ensure_folder(folder / SAMPLES_FOLDER)
        sources = [Path(source) for source in args.merge] or [folder]
        total = merge_shards(
            sources, folder, sample_settings(config.data), args.overwrite, args.prune
        )
        print(tr("Done! {n} samples processed", n=total))
        print(tr("index file: {path}", path=folder / INDEX_NAME))
        return 0
    index_name, clips = INDEX_NAME, find_clips(config.data)
    print(tr("found {n} video files", n=len(clips)))
    if args.num_shards:
        index_name = shard_index_name(args.shard_index, args.num_shards)
        clips = shard_of(clips, args.shard_index, args.num_shards)
        print(tr("{n} of them are in shard {index} of {shards}", n=len(clips),
                 index=args.shard_index, shards=args.num_shards))  # fmt: skip
    try:
        report = process_clips(config, clips, index_name, args.overwrite, args.prune)
    except KeyboardInterrupt:
        kept = tr("stopped; what is finished is kept: run the same command again to go on")
        print("\n" + kept, file=sys.stderr)
        return 130
    print_report(report, args.prune)
    if not report.samples and clips:
        raise DatasetError(
            tr("no usable clip in {folder}: see the reasons above", folder=config.data.video_dir)
        )
    print(tr("Done! {n} samples processed", n=len(report.samples)))
    print(tr("data saved in: {path}", path=folder))
    print(tr("index file: {path}", path=folder / index_name))
    return 0


def print_report(report: ProcessingReport, pruned: bool) -> None:
    """What a run did, for a person."""
    if report.own_sound:
        print(tr("{n} clips have no audio file of their own: the video's sound was used",
                 n=report.own_sound))  # fmt: skip
    if report.reused:
        print(tr("{n} clips were already done", n=report.reused))
    if report.gone and not pruned:
        print(tr("{n} clips of the index are not in the video folder any more and stay in it "
                 "(--prune drops them)", n=report.gone))  # fmt: skip
    if report.in_part:
        print(tr("{n} clips were used in part (listed in {path})",
                 n=len(report.in_part), path=report.in_part_table))  # fmt: skip
    if report.skipped:
        print(tr("{n} clips skipped (listed in {path}):",
                 n=len(report.skipped), path=report.skipped_table))  # fmt: skip
        for name, reason in report.skipped:
            print(f"  {name}: {reason}")


if __name__ == "__main__":
    run(main)

"""CLI: clips in data/videos and data/audios -> samples and their index in data/processed."""

import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    __package__ = "src"

from .core.cli import add_engine, make_parser, run, settings_of
from .core.cluster import engine_opened
from .core.errors import ConfigError, DatasetError
from .core.files import ensure_folder
from .i18n.messages import tr, tr_n

# What decodes and detects is imported after the arguments have been read: --help is quick without.
if TYPE_CHECKING:
    from .core.config import Config
    from .dataset.build import ProcessingReport


def _parse() -> Namespace:
    parser = make_parser(
        tr("Turn talking-head videos into training samples."),
        "python src/data_processing.py --set data.num_workers=4",
    )
    parser.add_argument(
        "--overwrite", action="store_true",
        help=tr("start over if the index was made with other settings"),
    )  # fmt: skip
    parser.add_argument(
        "--prune", action="store_true",
        help=tr("remove samples of clips that are no longer in data.video_dir"),
    )  # fmt: skip
    add_engine(parser)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--num-shards", type=int, metavar="N",
        help=tr("split the clips into N shards, for runs on one or several machines"),
    )  # fmt: skip
    parser.add_argument(
        "--shard-index", type=int, metavar="I", help=tr("number of this shard, 0 to N - 1")
    )
    mode.add_argument(
        "--merge", nargs="*", metavar="FOLDER",
        help=tr("merge the indexes of all shards in these folders (default: data.processed_dir)"),
    )  # fmt: skip
    mode.add_argument(
        "--contact-sheet", metavar="IMAGE",
        help=tr("draw crops of the processed samples, speaker by speaker, into this .png file"),
    )  # fmt: skip
    args = parser.parse_args()
    if (args.num_shards is None) != (args.shard_index is None):
        parser.error(tr("--num-shards and --shard-index must be used together"))
    if args.num_shards is not None and args.num_shards < 1:
        raise ConfigError(tr("--num-shards {n}: must be at least 1", n=args.num_shards))
    if args.num_shards is not None and not 0 <= args.shard_index < args.num_shards:
        raise ConfigError(
            tr("--shard-index {index}: must be 0 to {last} with --num-shards {n}",
               index=args.shard_index, last=args.num_shards - 1, n=args.num_shards)
        )  # fmt: skip
    return args


def main() -> int:
    args = _parse()
    config = settings_of(args)
    if args.contact_sheet:
        return draw_sheet(config, Path(args.contact_sheet))
    if args.merge is not None:
        return merge(config, args)
    return process(config, args)


def draw_sheet(config: "Config", target: Path) -> int:
    """Draw the contact sheet of the index."""
    from .dataset.contact_sheet import draw_contact_sheet
    from .dataset.index import INDEX_NAME
    from .dataset.tar_shards import shards_place

    index = Path(config.data.processed_dir) / INDEX_NAME
    shards = shards_place(config.data) if config.data.format == "shards" else None
    n_shown, n_samples = draw_contact_sheet(index, target, shards)
    print(tr("image: {path}", path=target))
    print(tr("{shown} of {total} samples shown", shown=n_shown, total=n_samples))
    return 0


def merge(config: "Config", args: Namespace) -> int:
    """Merge the indexes of shards."""
    from .dataset.index import INDEX_NAME, SAMPLES_FOLDER, sample_settings
    from .dataset.shards import merge_shards

    folder = Path(config.data.processed_dir)
    ensure_folder(folder / SAMPLES_FOLDER)
    sources = [Path(source) for source in args.merge] or [folder]
    settings = sample_settings(config.data)
    n_samples = merge_shards(sources, folder, settings, args.overwrite, args.prune)
    print(tr_n("Done! {n} sample processed", "Done! {n} samples processed", n=n_samples))
    publish(config)
    print(tr("index file: {path}", path=folder / INDEX_NAME))
    return 0


def process(config: "Config", args: Namespace) -> int:
    """Process the clips, or those of one shard."""
    from .dataset.build import process_clips
    from .dataset.clips import find_clips, find_unused
    from .dataset.index import INDEX_NAME
    from .dataset.shards import shard_index_name, shard_of

    folder = Path(config.data.processed_dir)
    index_name, clips = INDEX_NAME, find_clips(config.data)
    print(tr_n("found {n} video file", "found {n} video files", n=len(clips)))
    unused = find_unused(config.data, clips) if not args.shard_index else []
    if args.num_shards:
        index_name = shard_index_name(args.shard_index, args.num_shards)
        clips = shard_of(clips, args.shard_index, args.num_shards)
        print(tr("{n} of them are in shard {index} of {shards}", n=len(clips),
                 index=args.shard_index, shards=args.num_shards))  # fmt: skip
    try:
        workers = config.data.num_workers
        with engine_opened(args.engine, args.scheduler, workers, folder) as map_jobs:
            report = process_clips(
                config, clips, index_name, args.overwrite, args.prune, clip_bar, unused, map_jobs
            )
    except KeyboardInterrupt:
        message = tr("stopped; finished work is saved: run the same command to continue")
        print("\n" + message, file=sys.stderr)
        return 130
    print_report(report, args.prune)
    if not report.samples and clips:
        raise DatasetError(
            tr("no usable clip in {folder}: see the reasons above", folder=config.data.video_dir)
        )
    print(tr_n("Done! {n} sample processed", "Done! {n} samples processed", n=len(report.samples)))
    if not args.num_shards:
        print_packed(config, report.n_packed)
    print(tr("data saved in: {path}", path=folder))
    print(tr("index file: {path}", path=folder / index_name))
    return 0


def publish(config: "Config") -> None:
    """Bring the shards up to date, where samples are kept in shards."""
    from .dataset.tar_shards import publish_samples

    print_packed(config, publish_samples(config.data))


def print_packed(config: "Config", n_added: int) -> None:
    """Say how many samples are new in the shards, where samples are kept in shards."""
    from .dataset.tar_shards import shards_place

    if config.data.format == "shards":
        place = shards_place(config.data)
        print(
            tr_n(
                "{n} sample added to the shards in {place}",
                "{n} samples added to the shards in {place}",
                n=n_added,
                place=place,
            )
        )


def clip_bar(items: Iterable, stage: str, total: float) -> Iterator:
    """The items, with a bar on stderr, also where that is not a terminal."""
    from tqdm import tqdm

    with tqdm(total=total, desc=stage, unit="it") as bar:
        for item in items:
            yield item
            bar.update()


def print_report(report: "ProcessingReport", pruned: bool) -> None:
    """Print the result of a run, but for its closing lines."""
    if report.n_embedded_audio:
        print(tr_n("{n} clip has no separate audio file: the video's own audio track was used",
                   "{n} clips have no separate audio file: the video's own audio track was used",
                 n=report.n_embedded_audio))  # fmt: skip
    if report.n_reused:
        print(tr_n("{n} clip was already done", "{n} clips were already done", n=report.n_reused))
    if report.n_missing and not pruned:
        print(tr_n("{n} clip of the index is no longer in the video folder; it stays in the index "
                   "(--prune removes it)",
                   "{n} clips of the index are no longer in the video folder; they stay in the "
                   "index (--prune removes them)", n=report.n_missing))  # fmt: skip
    if report.partially_used:
        print(tr_n("{n} clip was used in part (listed in {path})",
                   "{n} clips were used in part (listed in {path})",
                 n=len(report.partially_used), path=report.partially_used_table))  # fmt: skip
    if report.unused:
        print(tr_n("{n} other file in the folders belongs to no clip (listed in {path})",
                   "{n} other files in the folders belong to no clip (listed in {path})",
                 n=len(report.unused), path=report.skipped_table))  # fmt: skip
    if report.skipped:
        print(tr_n("{n} clip skipped (listed in {path}):", "{n} clips skipped (listed in {path}):",
                 n=len(report.skipped), path=report.skipped_table))  # fmt: skip
        for name, reason in report.skipped:
            print(f"  {name}: {reason}")


if __name__ == "__main__":
    run(main)

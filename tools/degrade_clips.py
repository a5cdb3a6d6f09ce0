"""CLI: copies of clips as phones, webcams, chat apps and rooms would have made them."""

import csv
import sys
from argparse import Namespace
from pathlib import Path, PurePosixPath

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from src.core.cli import make_parser, run
from src.i18n.messages import tr, tr_n

TABLE = "offsets.tsv"
N_BABBLE = 24  # clips whose voices may be heard in the background of others


def _parse() -> Namespace:
    from src.conditions.catalog import NAMES

    parser = make_parser(
        tr("Make copies of clips as phones, webcams, chat apps and rooms would have made them."),
        "python tools/degrade_clips.py data/videos --output data/degraded --conditions all",
        settings=False,
    )
    parser.add_argument("clips", type=Path, help=tr("folder of clips"))
    parser.add_argument("-o", "--output", type=Path, required=True, help=tr("folder of the copies"))
    parser.add_argument(
        "--conditions", nargs="+", choices=NAMES, default=["all"], metavar="NAME",
        help=tr("what is done, one copy for each: {names}", names=", ".join(NAMES)),
    )  # fmt: skip
    parser.add_argument("--copies", type=int, default=1, metavar="N", help=tr("of each condition"))
    parser.add_argument("--seed", type=int, default=0, help=tr("another seed gives other copies"))
    parser.add_argument(
        "--reference", type=Path, metavar="TABLE",
        help=tr("clip offsets (columns path and offset_ms), written for the copies to {table}",
                table=TABLE),
    )  # fmt: skip
    parser.add_argument(
        "--workers", type=int, default=0, metavar="N", help=tr("processes; 0: one per core")
    )
    args = parser.parse_args()
    if args.copies < 1:
        parser.error(tr("--copies: at least 1"))
    if args.workers < 0:
        parser.error(tr("--workers: at least 0"))
    return args


def main() -> int:
    args = _parse()
    from src.conditions.degrade import degrade_clip
    from src.core.files import ensure_folder
    from src.core.progress import progress_bars
    from src.core.workers import Crashed, map_in_processes
    from src.dataset.reference import offsets_of_clips

    jobs = list_jobs(args)
    ensure_folder(args.output)
    offsets = offsets_of_clips([clip for _, clip in jobs], args.reference) if args.reference else {}
    n_failed = 0
    results = map_in_processes(degrade_clip, args.seed, [job for job, _ in jobs], args.workers)
    for job, problem in progress_bars(results, tr("clips"), len(jobs)):
        if isinstance(problem, Crashed):
            problem = tr("the process ended unexpectedly")
        if problem:
            n_failed += 1
            print(f"{job.video}: {problem}", file=sys.stderr)
    if args.reference:
        write_offsets(args.output / TABLE, jobs, offsets)
    print(tr_n("{n} copy in {folder}, {failed} could not be made",
               "{n} copies in {folder}, {failed} could not be made",
               len(jobs) - n_failed, folder=args.output, failed=n_failed))  # fmt: skip
    return 1 if n_failed == len(jobs) else 0


def list_jobs(args: Namespace) -> list[tuple]:
    """(job, name of the clip) of each copy: ``speaker/clip~condition.mkv``; none of copies that
    lie beside their clips.

    Raises:
        DatasetError: there is no clip.
    """
    from src.conditions.catalog import original_of
    from src.conditions.degrade import SUFFIX, DegradeJob
    from src.core.config import DataConfig
    from src.dataset.clips import find_clips

    files = find_clips(DataConfig(video_dir=str(args.clips), audio_dir=str(args.clips)))
    stems = {str(PurePosixPath(clip.name).with_suffix("")) for clip in files}
    clips = [clip for clip in files if original_of(clip.name) not in stems]
    n_copies = len(files) - len(clips)
    if n_copies:
        print(tr_n("{n} copy left out: copies are not degraded again",
                   "{n} copies left out: copies are not degraded again", n_copies))  # fmt: skip
    jobs, voices = [], clips[:: max(1, len(clips) // N_BABBLE)]
    for clip in clips:
        others = tuple(other.audio or other.video for other in voices if other is not clip)
        name = Path(clip.name)
        for condition in args.conditions:
            for copy in range(args.copies):
                ending = f"~{condition}-{copy + 1}" if args.copies > 1 else f"~{condition}"
                target = args.output / name.parent / (name.stem + ending + SUFFIX)
                jobs.append(
                    (DegradeJob(clip.video, clip.audio, target, condition, others), clip.name)
                )
    return jobs


def write_offsets(table: Path, jobs: list[tuple], offsets: dict[str, float | None]) -> None:
    """The offsets of the copies, which are those of their clips."""
    from src.core.files import written_atomically

    with written_atomically(table) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(("path", "offset_ms", "condition"))
        for job, clip in jobs:
            offset_ms = offsets.get(clip)
            shown = "" if offset_ms is None else f"{offset_ms:g}"
            writer.writerow((job.target.relative_to(table.parent).as_posix(), shown, job.condition))


if __name__ == "__main__":
    run(main)

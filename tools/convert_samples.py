"""CLI: samples in single files -> shards of many, at any place, and back."""

import sys
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from src.core.cli import make_parser, run
from src.core.storage import is_url, join
from src.dataset.index import INDEX_NAME
from src.dataset.tar_shards import (
    SHARD_INDEX,
    check_shards,
    read_shard_index,
    write_files,
    write_shards,
)
from src.i18n.messages import tr, tr_n


def main() -> int:
    parser = make_parser(
        tr("Convert samples in single files to shards of many, and back."),
        "python tools/convert_samples.py data/processed s3://bucket/samples",
        settings=False,
    )
    parser.add_argument(
        "source", help=tr("a folder with dataset_index.pkl, or a folder or URL of shards")
    )
    parser.add_argument(
        "target", nargs="?", help=tr("a folder or URL for shards, or a new folder for files")
    )
    parser.add_argument("--shard-mb", type=float, default=256, help=tr("size of a shard (MB)"))
    parser.add_argument(
        "--check", action="store_true", help=tr("compare the hash of each shard of the source")
    )
    args = parser.parse_args()
    if bool(args.target) == args.check or args.shard_mb <= 0:
        parser.error(tr("give a target, or --check"))
    if args.check:
        return check(args.source)
    if not is_url(args.source) and (Path(args.source) / INDEX_NAME).is_file():
        n_samples, name = write_shards(Path(args.source), args.target, args.shard_mb), SHARD_INDEX
    else:
        n_samples, name = write_files(args.source, Path(args.target)), INDEX_NAME
    print(tr_n("{n} sample written, index: {path}", "{n} samples written, index: {path}",
               n_samples, path=join(args.target, name)))  # fmt: skip
    return 0


def check(source: str) -> int:
    """Report the shards that are missing or damaged; status 1 where there are any."""
    index = read_shard_index(source)
    problems = check_shards(source, index, is_thorough=True)
    for name, why in problems.items():
        print(f"{join(source, name)}: {why}")
    print(tr("{n} of {all} shards are whole", n=len(index["shards"]) - len(problems),
             all=len(index["shards"])))  # fmt: skip
    return 1 if problems else 0


if __name__ == "__main__":
    run(main)

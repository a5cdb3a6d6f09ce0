"""CLI: writes clip offsets that are known from elsewhere into an index, instead of measuring them.

For copies of clips whose originals have been measured (``tools/degrade_clips.py``), and for
recordings whose offset was measured otherwise.
"""

import sys
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from src.core.cli import make_parser, run
from src.dataset.index import index_locked, read_index, write_index
from src.dataset.reference import offsets_of_clips
from src.i18n.messages import tr, tr_n


def set_offsets(index_path: Path, tables: list[Path]) -> tuple[int, int]:
    """Write the offsets of tables into an index.

    Returns:
        number of samples whose offset is known now, and number of samples that a table names with
        an empty offset: training leaves them out.

    Raises:
        MissingFileError, DatasetError: a table or the index is missing or damaged.
        OutputError: the index cannot be written.
    """
    with index_locked(index_path):
        index = read_index(index_path)
        n_known = n_unknown = 0
        for table in tables:
            offsets = offsets_of_clips([record["clip"] for record in index["samples"]], table)
            for record in index["samples"]:
                if record["clip"] in offsets:
                    offset_ms = offsets[record["clip"]]
                    record["offset_ms"] = offset_ms or 0.0
                    record["offset_known"] = offset_ms is not None
        n_known = sum(record.get("offset_known") is True for record in index["samples"])
        n_unknown = sum(record.get("offset_known") is False for record in index["samples"])
        write_index(index_path, index["settings"], index["samples"])
    return n_known, n_unknown


def main() -> int:
    parser = make_parser(
        tr("Write known clip offsets into an index."),
        "python tools/set_clip_offsets.py --index data/processed/dataset_index.pkl "
        "--reference data/degraded/offsets.tsv",
        settings=False,
    )
    parser.add_argument("--index", type=Path, required=True, help=tr("dataset_index.pkl"))
    parser.add_argument(
        "--reference", type=Path, nargs="+", required=True, metavar="TABLE",
        help=tr("tables with the columns path and offset_ms; an empty offset: not to train on"),
    )  # fmt: skip
    args = parser.parse_args()
    n_known, n_unknown = set_offsets(args.index, args.reference)
    print(tr_n("{n} sample with a known clip offset, {unknown} that training leaves out",
               "{n} samples with a known clip offset, {unknown} that training leaves out",
               n_known, unknown=n_unknown))  # fmt: skip
    return 0


if __name__ == "__main__":
    run(main)

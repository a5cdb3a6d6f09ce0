"""The command-line options that name the samples to evaluate; ``options`` loads these samples.

Apart from what loads them: ``--help`` is quick.
"""

import argparse
from pathlib import Path

from ..i18n.messages import tr


def add_sample_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--index`` and ``--reference``."""
    parser.add_argument("--index", type=Path, required=True, help=tr("dataset_index.pkl"))
    parser.add_argument(
        "--reference", type=Path, metavar="TABLE",
        help=tr("clip offsets (and speakers) of the clips: columns path, offset_ms, speaker"),
    )  # fmt: skip

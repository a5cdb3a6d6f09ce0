"""The command-line options that name the samples to evaluate."""

import argparse
from pathlib import Path

from ..core.config import DataConfig
from ..core.errors import DatasetError
from ..dataset.reference import apply_reference
from ..dataset.samples import Sample, load_samples
from ..i18n.messages import tr


def add_sample_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--index`` and ``--reference``."""
    parser.add_argument("--index", type=Path, required=True, help=tr("dataset_index.pkl"))
    parser.add_argument(
        "--reference", type=Path, metavar="TABLE",
        help=tr("clip offsets (and speakers) of the clips: columns path, offset_ms, speaker"),
    )  # fmt: skip


def load_chosen_samples(args: argparse.Namespace, settings: DataConfig) -> list[Sample]:
    """The samples that the options of ``add_sample_options`` name, with their ground truth.

    Raises:
        DatasetError: there are none, or the index or the table cannot be used.
        MissingFileError: there is no such table.
    """
    samples = load_samples(args.index, settings, include_unusable=True)
    if args.reference:
        samples = apply_reference(samples, args.reference)
    if not samples:
        raise DatasetError(tr("{path} has no samples", path=args.index))
    return samples

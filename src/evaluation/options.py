"""The command-line options that name the samples to evaluate, and those samples."""

import argparse

from ..core.config import DataConfig
from ..core.errors import DatasetError
from ..dataset.reference import apply_reference
from ..dataset.samples import Sample, load_samples
from ..i18n.messages import tr
from .sample_options import add_sample_options

__all__ = ["add_sample_options", "load_chosen_samples"]


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

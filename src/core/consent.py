"""Whose mouth is re-made, and whether they agreed: what only a person can confirm."""

import argparse
import sys

from ..i18n.messages import tr
from .errors import ConfigError

YES = {"y", "yes", "是", "好", "同意"}


def add_person(parser: argparse.ArgumentParser) -> None:
    """Add the options ``--face`` and ``--consent``, for commands that re-make a mouth."""
    parser.add_argument(
        "--face", default="speaking", metavar="speaking|largest|NUMBER",
        help=tr("whose mouth, where there are several people (default: the active speaker)"),
    )  # fmt: skip
    parser.add_argument(
        "--consent", action="store_true",
        help=tr("confirm that the person agreed to have their lips re-made"),
    )  # fmt: skip


def ask_consent(text: str) -> bool:
    """Print a statement and ask whether it holds.

    Returns:
        True: the person confirmed it.

    Raises:
        ConfigError: they did not, or nobody can be asked.
    """
    if not sys.stdin or not sys.stdin.isatty():
        raise ConfigError(
            tr("nobody can be asked here: confirm with --consent that the person agreed")
        )
    try:
        answer = input(f"{text} [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in YES:
        raise ConfigError(tr("not confirmed: nothing was made"))
    return True

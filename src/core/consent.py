"""Asking at the terminal for something that only a person can confirm."""

import sys

from ..i18n.messages import tr
from .errors import ConfigError

YES = {"y", "yes", "是", "好", "同意"}


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

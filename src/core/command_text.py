"""Commands as text that people paste into a terminal."""

import os
import re
import shlex
import sys
from collections.abc import Sequence


def command_text(arguments: Sequence[str]) -> str:
    """A command as the shell of this system takes it: cmd.exe on Windows, else one like bash."""
    quote = _quote_for_cmd if sys.platform == "win32" else _quote_for_bash
    return " ".join(map(quote, arguments))


def _quote_for_cmd(argument: str) -> str:
    """In double quotes: ``&`` and spaces are plain there; backslashes as programs read them."""
    if re.fullmatch(r"[\w./\\:=+,-]+", argument):
        return argument
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', argument)
    return '"' + re.sub(r"(\\+)$", r"\1\1", escaped) + '"'


def _quote_for_bash(argument: str) -> str:
    """As ``shlex.quote``; what cannot be printed (line breaks, bytes that are not UTF-8) as
    bytes."""
    if argument.isprintable():
        return shlex.quote(argument)
    letters = [
        letter if letter.isprintable() and letter not in "\\'"
        else "".join(f"\\x{byte:02x}" for byte in os.fsencode(letter))
        for letter in argument
    ]  # fmt: skip
    return "$'" + "".join(letters) + "'"

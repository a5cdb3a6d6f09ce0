"""Values from files as they may be shown in a message: short, in one line, and only to be read.

A file may hold a list that contains itself, a number of a million digits, or a name that a terminal
would take for a command.
"""

import re
from itertools import islice
from numbers import Number

MAX_TEXT = 5000  # characters; no path is longer
MAX_INNER_TEXT = 60  # of a text in a list or a dict
MAX_ITEMS = 4
MAX_DEPTH = 3
MAX_DIGITS = 18  # of an integer

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_TERMINAL_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


class _Shown(str):
    """A text that takes the place of a value of another type, whatever format is asked for."""

    __slots__ = ()

    def __format__(self, spec: str) -> str:
        return str(self)

    def __repr__(self) -> str:
        return str(self)


def shown(value: object) -> object:
    """A value for a message: numbers as they are; texts in one line; all else as a short text."""
    if isinstance(value, int) and abs(value) >= 10**MAX_DIGITS:
        return _Shown(_short(value))
    if isinstance(value, Number) or value is None:
        return value
    if isinstance(value, (dict, list, tuple, set, frozenset, bytes, bytearray)):
        return _Shown(_one_line(_short(value)))
    text = value if isinstance(value, str) else str(value)
    return _one_line(text)


def printable(text: str) -> str:
    """A text for the console: control characters other than line ends and tabs are escaped."""
    return _TERMINAL_CONTROLS.sub(_escape, text)


def _one_line(text: str) -> str:
    if len(text) > MAX_TEXT:
        text = text[:MAX_TEXT] + "…"
    return _CONTROLS.sub(_escape, text)


def _escape(match: re.Match) -> str:
    return repr(match[0])[1:-1]


def _short(value: object, depth: int = MAX_DEPTH) -> str:
    """A value as Python writes it, shortened: it may contain itself, or be huge."""
    if isinstance(value, int) and abs(value) >= 10**MAX_DIGITS:
        return f"{'-' * (value < 0)}1e+{int(value.bit_length() * 0.30103)}"
    if isinstance(value, (str, bytes, bytearray)):
        return repr(value[:MAX_INNER_TEXT]) + "…" * (len(value) > MAX_INNER_TEXT)
    if not isinstance(value, (dict, list, tuple, set, frozenset)):
        return str(value)[:MAX_INNER_TEXT]
    opening, closing = {dict: "{}", set: "{}", frozenset: "{}", tuple: "()"}.get(type(value), "[]")
    if depth == 0 and value:
        return f"{opening}…{closing}"
    items = [
        f"{_short(item, depth - 1)}: {_short(value[item], depth - 1)}" if isinstance(value, dict)
        else _short(item, depth - 1)
        for item in islice(value, MAX_ITEMS)
    ]  # fmt: skip
    return opening + ", ".join(items + ["…"] * (len(value) > MAX_ITEMS)) + closing

"""Texts in tables that spreadsheets open: none of them is a formula there.

A file called ``=HYPERLINK(…).mp4`` would run as one. Such a text gets an apostrophe in front, which
spreadsheets know as the mark of a text; ``read_cell`` takes it off again.
"""

import re

# Also as the keyboards of Chinese and Japanese systems write them.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
_MARKED_FORMULA = re.compile(r"'+[=+\-@\t\r\n＝＋－＠]")


def cell(text: object) -> str:
    """A value as a cell of a table; numbers stay numbers."""
    text = str(text)
    return "'" + text if _FORMULA.match(text) and not _is_number(text) else text


def read_cell(text: str) -> str:
    """The text of which ``cell`` made this cell."""
    return text[1:] if _MARKED_FORMULA.match(text) else text


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?", text) is not None

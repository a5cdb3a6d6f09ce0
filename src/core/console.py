"""What packages log, as plain lines on the console of a command."""

import json
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TextIO

from ..i18n.shown_values import printable

PROJECT = __name__.partition(".")[0]  # "src" in a checkout, "lipsync" where it is installed


class ConsoleHandler(logging.Handler):
    """Prints records as plain lines: information on stdout, warnings and errors on stderr.

    The streams are looked up for each record, because tests and users replace them. An error of
    a stream (a full disk, a reader that has gone) ends the command, as with ``print``.
    """

    def emit(self, record: logging.LogRecord) -> None:
        stream = sys.stderr if record.levelno >= logging.WARNING else sys.stdout
        print(printable(self.format(record)), file=stream)


def is_console_logging() -> bool:
    """Whether the project's log reaches the console."""
    handlers = logging.getLogger(PROJECT).handlers
    return any(isinstance(handler, ConsoleHandler) for handler in handlers)


@contextmanager
def console_logging() -> Iterator[None]:
    """The project's log reaches the console inside the block; inside another such block, nothing
    changes."""
    if is_console_logging():
        yield
        return
    logger = logging.getLogger(PROJECT)
    handler, level = ConsoleHandler(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _PrintableStream:
    """A stream to a console on which control characters, as in file names, are escaped."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(printable(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str):
        return getattr(self._stream, name)


@contextmanager
def printable_console() -> Iterator[None]:
    """What is printed inside the block cannot command a terminal; what is printed to a stream that
    the command was started without (``>&-``) is dropped."""
    _open_missing_streams()
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(_PrintableStream, streams)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams


def _open_missing_streams() -> None:
    """Give the process the streams that it lacks; else the next file it opens would be one."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest free number: that of the stream, as they are in this order.
            descriptor = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(descriptor, True)
            setattr(sys, name, open(descriptor, mode, closefd=False))  # noqa: SIM115


def print_json(value: object) -> None:
    """Print one line of JSON, in which the few control characters that JSON allows are escaped."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    print(re.sub(r"[\x7f-\x9f]", lambda match: f"\\u{ord(match[0]):04x}", text))

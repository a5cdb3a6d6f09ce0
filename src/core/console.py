"""What packages log, as plain lines on the console of a command."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

PROJECT = __name__.partition(".")[0]  # "src" in a checkout, "lipsync" where it is installed


class ConsoleHandler(logging.Handler):
    """Prints records as plain lines: information on stdout, warnings and errors on stderr.

    The streams are looked up for each record, because tests and users replace them. An error of
    a stream (a full disk, a reader that has gone) ends the command, as with ``print``.
    """

    def emit(self, record: logging.LogRecord) -> None:
        stream = sys.stderr if record.levelno >= logging.WARNING else sys.stdout
        print(self.format(record), file=stream)


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

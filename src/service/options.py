"""How the service is run, and the arguments of commands that say so."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import ConfigError
from ..i18n.messages import tr

LOCAL_HOST = "127.0.0.1"
TOKEN_VARIABLE = "LIPSYNC_TOKEN"


@dataclass(frozen=True)
class ServiceOptions:
    """How the service is run.

    Attributes:
        host, port: where it listens.
        token: what every request must bring; None: nothing.
        max_mb: largest file, 10⁶ bytes.
        max_minutes: longest video.
        max_jobs: so many wait or run at a time.
        keep_h: so many hours after its end a job is forgotten with its files.
        presenters: folder of the presenters' folders; None: no new speech.
    """

    host: str = LOCAL_HOST
    port: int = 8000
    token: str | None = None
    max_mb: float = 2000.0
    max_minutes: float = 60.0
    max_jobs: int = 20
    keep_h: float = 1.0
    presenters: Path | None = None


def add_service_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the service that the page has not."""
    parser.add_argument(
        "--token",
        help=tr("what requests must bring (Authorization: Bearer TOKEN); better in the "
                "environment variable {name}", name=TOKEN_VARIABLE),
    )  # fmt: skip
    parser.add_argument(
        "--presenters", type=Path, metavar="FOLDER",
        help=tr("the folder in which src/learn_presenter.py made presenters, each in a folder of "
                "its own"),
    )  # fmt: skip
    parser.add_argument(
        "--max-jobs", type=int, default=ServiceOptions.max_jobs, metavar="N",
        help=tr("so many jobs wait or run at a time (default: 20)"),
    )  # fmt: skip
    parser.add_argument(
        "--keep", type=float, default=ServiceOptions.keep_h, metavar="HOURS",
        help=tr("so long after its end a job is deleted with its files (default: 1)"),
    )  # fmt: skip


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add the limits that the page has, too."""
    parser.add_argument(
        "--max-size", type=float, default=ServiceOptions.max_mb, metavar="MB",
        help=tr("largest file in MB (default: 2000)"),
    )  # fmt: skip
    parser.add_argument(
        "--max-minutes", type=float, default=ServiceOptions.max_minutes, metavar="MINUTES",
        help=tr("longest video in minutes (default: 60)"),
    )  # fmt: skip


def check_limits(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End the command where a port or a limit is none."""
    if not 1 <= args.port <= 65535:
        parser.error(tr("--port: must be 1 to 65535"))
    for name in ("max_size", "max_minutes", "max_jobs", "keep"):
        if not 0 < getattr(args, name) < float("inf"):
            option = f"--{name.replace('_', '-')}"
            parser.error(tr("{name}: must be more than 0", name=option))


def token_of(args: argparse.Namespace) -> str | None:
    """The token that ``--token`` or the environment gives."""
    return args.token or os.environ.get(TOKEN_VARIABLE) or None


def service_options(args: argparse.Namespace) -> ServiceOptions:
    """The options that arguments give.

    Raises:
        ConfigError: there is no such folder of presenters, or no request can bring the token.
    """
    if args.presenters is not None and not args.presenters.is_dir():
        raise ConfigError(tr("--presenters {path}: there is no such folder", path=args.presenters))
    token = token_of(args)
    if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
        raise ConfigError(tr("--token: use letters, digits and punctuation, without spaces"))
    return ServiceOptions(
        args.host, args.port, token, args.max_size, args.max_minutes, args.max_jobs, args.keep,
        args.presenters and args.presenters.resolve(),
    )  # fmt: skip

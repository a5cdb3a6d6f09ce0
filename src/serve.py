"""CLI: a service for programs: score, correct and present by HTTP, or correct what arrives in a
folder."""

import argparse
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    __package__ = "src"

from .core.cli import SCORING_SETTINGS, add_checkpoint, make_parser, run, settings_of
from .core.errors import ConfigError
from .i18n.messages import tr
from .service.options import (
    LOCAL_HOST,
    ServiceOptions,
    add_limits,
    add_service_options,
    check_limits,
    service_options,
    token_of,
)

if TYPE_CHECKING:
    from .core.config import Config

NEEDED = ("fastapi", "uvicorn", "python_multipart")
LOCAL = (LOCAL_HOST, "localhost", "::1")
INTERVAL_S, MAX_INTERVAL_S = 2.0, 86_400.0
WATCH_SETTINGS = (*SCORING_SETTINGS, "data.clip_timeout_s")


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(
        tr("A service for programs: score, correct and re-make lips by HTTP."),
        "python -m src.serve --presenters presenters",
    )
    add_checkpoint(parser)
    parser.add_argument("--device", help=tr("auto (default), cpu, cuda or cuda:N"))
    parser.add_argument(
        "--host", default=LOCAL_HOST,
        help=tr("where it listens (default: 127.0.0.1, this computer only); any other needs "
                "--token"),
    )  # fmt: skip
    parser.add_argument(
        "--port", type=int, default=ServiceOptions.port, help=tr("its port (default: 8000)")
    )
    add_service_options(parser)
    add_limits(parser)
    parser.add_argument(
        "--watch", nargs=2, metavar=("IN", "OUT"),
        help=tr("instead of requests: correct every video that arrives in the folder IN into the "
                "folder OUT"),
    )  # fmt: skip
    parser.add_argument(
        "--interval",
        type=float,
        default=INTERVAL_S,
        metavar="SECONDS",
        help=tr("with --watch: time between two looks at the folder (default: 2)"),
    )
    args = parser.parse_args()
    if args.watch:
        _check_watch(parser, args)
        return args
    if args.interval != INTERVAL_S:
        parser.error(tr("{names}: only with {what}", names="--interval", what="--watch"))
    check_limits(parser, args)
    if args.host not in LOCAL and token_of(args) is None:
        parser.error(tr("--host {host}: others could use the service; give it a --token",
                        host=args.host))  # fmt: skip
    return args


def _check_watch(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End the command where options of requests are given, or the interval is none."""
    of_requests = ("host", "port", "token", "presenters", "max_jobs", "keep", "max_size",
                   "max_minutes")  # fmt: skip
    given = [f"--{name.replace('_', '-')}" for name in of_requests
             if getattr(args, name) != parser.get_default(name)]  # fmt: skip
    if given:
        parser.error(tr("--watch takes no requests: remove {names}", names=", ".join(given)))
    if not 0 < args.interval <= MAX_INTERVAL_S:
        parser.error(tr("--interval: must be more than 0 and at most {limit:g}",
                        limit=MAX_INTERVAL_S))  # fmt: skip


def main() -> int:
    """Run the service until Ctrl+C."""
    args = parse_arguments()
    if args.watch:
        return run_watch(args, settings_of(args, WATCH_SETTINGS))
    return run_service(args, settings_of(args, SCORING_SETTINGS))


def run_watch(args: argparse.Namespace, config: "Config") -> NoReturn:
    """Correct what arrives in a folder."""
    from .checkpoints.location import resolve_checkpoint
    from .pipeline.engine import EngineSpec
    from .pipeline.watch import WatchedFolder, watch

    folder = WatchedFolder(*args.watch)
    checkpoint = Path(resolve_checkpoint(args.checkpoint, config.paths.checkpoint_dir)).resolve()
    settings = config if args.config else None
    spec = EngineSpec(checkpoint, args.device, settings, tuple(args.overrides))
    watch(folder, spec, lambda line: print(line, flush=True), args.interval)


def run_service(args: argparse.Namespace, config: "Config") -> int:
    """Answer requests."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        names = ", ".join(missing)
        raise ConfigError(
            tr("the service needs {names}: pip install -r requirements-service.txt", names=names)
        )
    options = service_options(args)
    from .checkpoints.location import resolve_checkpoint
    from .pipeline.engine import EngineSpec
    from .service.app import Service
    from .web.access import check_port
    from .web.jobs import Queue
    from .web.worker import Worker

    check_port(args.host, args.port)
    checkpoint = resolve_checkpoint(args.checkpoint, config.paths.checkpoint_dir)
    settings = config if args.config else None
    spec = EngineSpec(Path(checkpoint).resolve(), args.device, settings, tuple(args.overrides))
    queue = Queue(lambda: Worker(spec), is_eager=True)
    service = Service(options, queue)
    host = LOCAL_HOST if args.host == "0.0.0.0" else args.host
    address = f"http://{f'[{host}]' if ':' in host else host}:{args.port}"
    print(tr("The service is at {address} (Ctrl+C ends it)", address=address), flush=True)
    try:
        service.run()
    finally:
        queue.close()
        service.close()
    return 0


if __name__ == "__main__":
    run(main)

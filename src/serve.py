"""CLI: a service for programs: score, correct and present by HTTP."""

import importlib.util
import sys
from pathlib import Path

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

NEEDED = ("fastapi", "uvicorn", "python_multipart")
LOCAL = (LOCAL_HOST, "localhost", "::1")


def parse_arguments():
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
    args = parser.parse_args()
    check_limits(parser, args)
    if args.host not in LOCAL and token_of(args) is None:
        parser.error(tr("--host {host}: others could use the service; give it a --token",
                        host=args.host))  # fmt: skip
    return args


def main() -> int:
    """Run the service until Ctrl+C."""
    args = parse_arguments()
    config = settings_of(args, SCORING_SETTINGS)
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        names = ", ".join(missing)
        raise ConfigError(
            tr("the service needs {names}: pip install -r requirements-service.txt", names=names)
        )
    options = service_options(args)
    from .checkpoints.checkpoint import resolve_checkpoint
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

"""CLI: a page in the browser, on this computer: check videos, and take the corrected copy."""

import importlib.util
import os
import sys
import webbrowser
from pathlib import Path
from threading import Timer

sys.path.insert(0, str(Path(__file__).resolve().parent))

# Before gradio is imported: it calls nobody.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"

from src.core.cli import SCORING_SETTINGS, add_checkpoint, make_parser, run, settings_of
from src.core.errors import ConfigError
from src.i18n.messages import tr

NEEDED = ("gradio", "plotly", "wsproto")
LOCAL = ("127.0.0.1", "localhost", "::1")
OPEN_AFTER_S = 2.0


def parse_arguments():
    parser = make_parser(
        tr("A page in the browser: check videos, and take the corrected copy."), "python app.py"
    )
    add_checkpoint(parser)
    parser.add_argument("--device", help=tr("auto (default), cpu, cuda or cuda:N"))
    parser.add_argument(
        "--host", default=LOCAL[0],
        help=tr("where it listens (default: 127.0.0.1, this computer only); any other needs "
                "--password"),
    )  # fmt: skip
    parser.add_argument("--port", type=int, default=7860, help=tr("its port (default: 7860)"))
    parser.add_argument("--password", help=tr("ask for it in the browser"))
    parser.add_argument(
        "--max-size", type=float, default=2000, metavar="MB",
        help=tr("largest file in MB (default: 2000)"),
    )  # fmt: skip
    parser.add_argument(
        "--max-minutes", type=float, default=60, metavar="MINUTES",
        help=tr("longest video in minutes (default: 60)"),
    )  # fmt: skip
    parser.add_argument("--no-browser", action="store_true", help=tr("do not open the browser"))
    args = parser.parse_args()
    if args.host not in LOCAL and not args.password:
        parser.error(tr("--host {host}: others could see the page; give it a --password",
                        host=args.host))  # fmt: skip
    if not 1 <= args.port <= 65535:
        parser.error(tr("--port: must be 1 to 65535"))
    for name, value in (("--max-size", args.max_size), ("--max-minutes", args.max_minutes)):
        if not 0 < value < float("inf"):
            parser.error(tr("{name}: must be more than 0", name=name))
    return args


def main() -> int:
    args = parse_arguments()
    config = settings_of(args, SCORING_SETTINGS)
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            tr("the page needs {names}: pip install -r requirements-web.txt",
               names=", ".join(missing))
        )  # fmt: skip
    return serve(args, config)


def serve(args, config) -> int:
    """Run the page until Ctrl+C."""
    from src.checkpoints.checkpoint import resolve_checkpoint
    from src.pipeline.engine import EngineSpec
    from src.web.server import Options, Server, check_port

    check_port(args.host, args.port)
    checkpoint = resolve_checkpoint(args.checkpoint, config.paths.checkpoint_dir)
    settings = config if args.config else None
    spec = EngineSpec(Path(checkpoint).resolve(), args.device, settings, tuple(args.overrides))
    options = Options(args.host, args.port, args.password, args.max_size, args.max_minutes)
    server = Server(spec, options)
    address = f"http://{'127.0.0.1' if args.host == '0.0.0.0' else args.host}:{args.port}"
    print(tr("The page is at {address} (Ctrl+C ends it)", address=address), flush=True)
    if not args.no_browser:
        Timer(OPEN_AFTER_S, webbrowser.open, [address]).start()
    server.run()
    return 0


if __name__ == "__main__":
    run(main)

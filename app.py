"""CLI: a page in the browser, on this computer: check videos, and take the corrected copy."""

import importlib.util
import os
import sys
import webbrowser
from contextlib import ExitStack
from pathlib import Path
from threading import Timer

sys.path.insert(0, str(Path(__file__).resolve().parent))

# Before gradio is imported: it calls nobody.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"

from src.core.cli import SCORING_SETTINGS, add_checkpoint, make_parser, run, settings_of
from src.core.errors import ConfigError
from src.i18n.messages import tr
from src.service.options import (
    add_limits,
    add_service_options,
    check_limits,
    service_options,
    token_of,
)

NEEDED = ("gradio", "plotly", "wsproto")
LOCAL = ("127.0.0.1", "localhost", "::1")
OPEN_AFTER_S = 2.0
API_PATH = "/api"


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
    add_limits(parser)
    parser.add_argument("--no-browser", action="store_true", help=tr("do not open the browser"))
    parser.add_argument(
        "--api", action="store_true",
        help=tr("the service of src/serve.py under /api, too; the options below are for it"),
    )  # fmt: skip
    add_service_options(parser)
    args = parser.parse_args()
    if args.host not in LOCAL and not args.password:
        parser.error(tr("--host {host}: others could see the page; give it a --password",
                        host=args.host))  # fmt: skip
    check_limits(parser, args)
    if args.api and (args.password or args.host not in LOCAL) and token_of(args) is None:
        parser.error(tr("--api: whoever may not see the page could use it; give it a --token"))
    if not args.api and (args.token or args.presenters):
        parser.error(tr("{names}: only with {what}", names="--token, --presenters", what="--api"))
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
    from src.checkpoints.location import resolve_checkpoint
    from src.pipeline.engine import EngineSpec
    from src.service.app import Service
    from src.web.access import check_port
    from src.web.server import Options, Server

    check_port(args.host, args.port)
    checkpoint = resolve_checkpoint(args.checkpoint, config.paths.checkpoint_dir)
    settings = config if args.config else None
    spec = EngineSpec(Path(checkpoint).resolve(), args.device, settings, tuple(args.overrides))
    options = Options(args.host, args.port, args.password, args.max_size, args.max_minutes)
    api_options = service_options(args) if args.api else None
    server = Server(spec, options)
    with ExitStack() as stack:
        if api_options is not None:
            api = Service(api_options, server.queue)
            stack.callback(api.close)
            server.mount(API_PATH, api.app)
        address = f"http://{'127.0.0.1' if args.host == '0.0.0.0' else args.host}:{args.port}"
        print(tr("The page is at {address} (Ctrl+C ends it)", address=address), flush=True)
        if api_options is not None:
            print(tr("The service is at {address}", address=address + API_PATH), flush=True)
        if not args.no_browser:
            Timer(OPEN_AFTER_S, webbrowser.open, [address]).start()
        server.run()
    return 0


if __name__ == "__main__":
    run(main)

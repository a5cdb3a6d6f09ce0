"""CLI: train the shapes of a presenter's mouth, so that it follows new speech more closely."""

import argparse
import sys
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    __package__ = "src"

from .core.cli import SCORING_SETTINGS, add_checkpoint, make_parser, run, settings_of
from .core.progress import progress_bars
from .i18n.messages import tr


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(
        tr("Train the shapes of a presenter's mouth: src/present.py then uses them by itself."),
        "python src/train_presenter.py presenters/me",
    )
    add_checkpoint(parser)
    parser.add_argument("presenter", type=Path, help=tr("a folder of src/learn_presenter.py"))
    parser.add_argument(
        "--speech", nargs="+", type=Path, default=[], metavar="AUDIO",
        help=tr("recordings of other people to train with, beside synthesised speech"),
    )  # fmt: skip
    parser.add_argument("--steps", type=int, help=tr("of the training (default: 1200)"))
    parser.add_argument("--device", help=tr("auto (default), cpu, cuda or cuda:N"))
    args = parser.parse_args()
    if args.steps is not None and args.steps < 1:
        parser.error(tr("--steps must be at least 1"))
    return args


def main() -> int | None:
    args = parse_arguments()
    config = settings_of(args, SCORING_SETTINGS)
    from .pipeline.engine import LipSyncInference
    from .pipeline.new_speech import train

    engine = LipSyncInference(args.checkpoint, args.device, config, args.overrides)
    path = train(engine, args.presenter, args.speech, args.steps, progress_bars)
    print(tr("shapes of the mouth saved: {path}", path=path))
    return None


if __name__ == "__main__":
    run(main)

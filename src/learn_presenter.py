"""CLI: index footage of a person once, to re-make the mouth for new speech often."""

import argparse
import sys
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    __package__ = "src"

from .core.cli import SCORING_SETTINGS, add_checkpoint, make_parser, run, settings_of
from .core.consent import add_person, ask_consent
from .core.progress import progress_bars
from .i18n.messages import tr


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(
        tr("Index footage of a person, so that their mouth can be re-made for new speech."),
        "python src/learn_presenter.py --footage me/*.mp4 --output presenters/me",
    )
    add_checkpoint(parser)
    parser.add_argument(
        "--footage", nargs="+", type=Path, required=True, metavar="VIDEO",
        help=tr("videos in which the person speaks to the camera"),
    )  # fmt: skip
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FOLDER",
        help=tr("the presenter's folder; footage that it holds already is kept"),
    )  # fmt: skip
    add_person(parser)
    parser.add_argument("--device", help=tr("auto (default), cpu, cuda or cuda:N"))
    return parser.parse_args()


def main() -> int | None:
    args = parse_arguments()
    config = settings_of(args, SCORING_SETTINGS)
    from .pipeline.engine import LipSyncInference
    from .pipeline.new_speech import consent_statement, learn, new_consent

    consent = None
    if args.consent or ask_consent(consent_statement()):
        consent = new_consent("option" if args.consent else "asked")
    engine = LipSyncInference(args.checkpoint, args.device, config, args.overrides)
    records, advice = learn(engine, args.footage, args.output, consent, args.face, progress_bars)
    for record in records:
        print(
            tr("{name}: {s:.0f} s of speech, face {px:.0f} pixels wide",
               name=record.name, s=record.speech_s, px=record.face_px)
        )  # fmt: skip
    for text in advice:
        print(tr("note: {text}", text=text))
    print(tr("presenter saved: {path}", path=args.output))
    return None


if __name__ == "__main__":
    run(main)

"""CLI: a new speech for an old video; ``LipSyncInference.present`` does the same in Python."""

import argparse
import sys
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    __package__ = "src"

from .core.cli import (
    SCORING_SETTINGS,
    add_checkpoint,
    add_engine,
    make_parser,
    run,
    settings_of,
)
from .core.consent import add_person, ask_consent
from .core.console import print_json
from .core.errors import LipSyncError
from .core.progress import progress_bars
from .i18n.messages import tr

if TYPE_CHECKING:
    from .core.config import Config


class ListVoices(argparse.Action):
    """Prints the voices and ends the command, as ``--help`` does."""

    def __init__(self, option_strings, dest, help=None):
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(self, parser, namespace, values, option_string=None):
        from .audio.speech_synthesis import available_voices

        print("\n".join(available_voices()))
        parser.exit()


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(
        tr("Re-make the mouth of a presenter for a new speech, from their own footage."),
        "python src/present.py --video me.mp4 --audio new.wav --output out.mp4",
    )
    add_checkpoint(parser)
    parser.add_argument(
        "--video", type=Path, help=tr("the video under the new mouth (default: the presenter's "
                "longest footage)"),
    )  # fmt: skip
    speech = parser.add_mutually_exclusive_group()
    speech.add_argument("--audio", type=Path, help=tr("the new speech"))
    speech.add_argument("--text", help=tr("a text to be spoken"))
    speech.add_argument(
        "--batch", type=Path, metavar="CSV",
        help=tr("many speeches: a list with the columns video,audio; --output is a folder"),
    )  # fmt: skip
    add_engine(parser)
    parser.add_argument(
        "--list-voices", action=ListVoices, help=tr("list the voices of espeak-ng and exit")
    )
    parser.add_argument(
        "--voice", metavar="VOICE",
        help=tr("with --text: a Piper voice (.onnx) or a voice of espeak-ng (default: by the "
                "language of the text)"),
    )  # fmt: skip
    parser.add_argument(
        "--presenter", type=Path, metavar="FOLDER",
        help=tr("a presenter of src/learn_presenter.py (default: made of the video for this once)"),
    )  # fmt: skip
    parser.add_argument(
        "--footage", nargs="+", type=Path, default=[], metavar="VIDEO",
        help=tr("videos of the person to choose mouths from (default: the video)"),
    )  # fmt: skip
    parser.add_argument("--output", type=Path, required=True, help=tr("the new video"))
    parser.add_argument(
        "--overwrite", action="store_true",
        help=tr("replace existing outputs, also those made from another input"),
    )  # fmt: skip
    add_person(parser)
    parser.add_argument(
        "--label", action="store_true", help=tr("draw a visible mark into the video")
    )
    parser.add_argument(
        "--no-credentials", action="store_true",
        help=tr("do not sign the video with Content Credentials"),
    )  # fmt: skip
    parser.add_argument(
        "--certificate", type=Path, metavar="PEM",
        help=tr("sign with your own certificate chain (with --private-key)"),
    )  # fmt: skip
    parser.add_argument("--private-key", type=Path, metavar="PEM", help=tr("its private key"))
    parser.add_argument(
        "--no-judge", action="store_true",
        help=tr("do not measure the result with the independent network"),
    )  # fmt: skip
    parser.add_argument(
        "--report", metavar="HTML", help=tr("also write a report on the result (.html)")
    )
    parser.add_argument("--json", action="store_true", help=tr("print one JSON object"))
    parser.add_argument("--device", help=tr("auto (default), cpu, cuda or cuda:N"))
    args = parser.parse_args()
    _check(parser, args)
    return args


def _check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End the command where options do not go together."""
    if not (args.audio or args.text is not None or args.batch):
        parser.error(tr("give the new speech: --audio, --text or --batch"))
    if args.batch and args.video:
        parser.error(tr("--video goes with one speech: the list of --batch names the videos"))
    if not (args.batch or args.video or args.presenter):
        parser.error(tr("give the video under the new mouth: --video"))
    if args.voice and args.text is None:
        parser.error(tr("--voice goes with --text"))
    if not args.batch and (args.engine != "processes" or args.scheduler):
        parser.error(tr("{names}: only with {what}", names="--engine, --scheduler", what="--batch"))
    if args.batch and args.report:
        parser.error(tr("--report goes with one speech, not with --batch"))
    if args.no_credentials and (args.certificate or args.private_key):
        parser.error(tr("--no-credentials leaves no use for --certificate and --private-key"))


def main() -> int | None:
    args = parse_arguments()
    config = settings_of(args, SCORING_SETTINGS)
    from .pipeline.engine import LipSyncInference
    from .pipeline.new_speech import consent_statement, stored_consent
    from .pipeline.new_speech_views import check_report

    if args.report:
        check_report(args.report, [args.video, args.audio, args.output], args.overwrite)
    if not args.consent and stored_consent(args.presenter) is None:
        args.consent = ask_consent(consent_statement())
    engine = LipSyncInference(args.checkpoint, args.device, config, args.overrides)
    with ExitStack() as stack:
        if args.batch and args.engine != "processes":
            return _run_batch_on_cluster(engine, args, config)
        if args.batch:
            return _run_batch(engine, args)
        spoken = {"audio": args.audio}
        if args.text is not None:
            folder = stack.enter_context(TemporaryDirectory(prefix="lipsync-"))
            spoken = _speak(args, Path(folder) / "speech.wav")
        _print(engine, args, _make(engine, args, args.video, args.output, **spoken))
    return None


def _speak(args: argparse.Namespace, path: Path) -> dict:
    """Speak the text into a file; what ``_make`` needs of it."""
    from .audio.speech_synthesis import bilabial_spans, synthesise_text, words_between
    from .media.writer import write_wav

    speech = synthesise_text(args.text, args.voice)
    write_wav(path, speech.samples, speech.sample_rate)
    if speech.for_trials:
        print(
            tr("note: {text}", text=tr("spoken by espeak-ng, for trials; a Piper voice "
                                       "(--voice VOICE.onnx) sounds natural")),
            file=sys.stderr,
        )  # fmt: skip
    return {
        "audio": path,
        "voice": f"{speech.engine} {speech.voice}",
        "closures_s": bilabial_spans(speech.phonemes) if speech.phonemes else None,
        "words_between": partial(words_between, args.text, speech.phonemes)
        if speech.phonemes
        else None,
    }


def _make(engine, args: argparse.Namespace, *arguments, **options):
    """Make one video, of the arguments of ``_job``; returns its figures."""
    from .pipeline.new_speech import make_new_speech

    return make_new_speech(engine, _job(args, *arguments, **options), progress_bars)


def _job(
    args: argparse.Namespace, video: Path, output: Path, audio: Path, voice=None, closures_s=None,
    words_between=None, overwrite=False,
):  # fmt: skip
    """What is to be made."""
    from .pipeline.new_speech import Credentials, NewSpeech

    return NewSpeech(
        audio=audio,
        output=output,
        base=video,
        presenter=args.presenter,
        footage=tuple(args.footage),
        consent=args.consent,
        face=args.face,
        label=args.label,
        credentials=Credentials(not args.no_credentials, args.certificate, args.private_key, voice),
        judged=not args.no_judge,
        closures_s=closures_s,
        words_between=words_between,
        overwrite=overwrite or args.overwrite,
    )


def _run_batch(engine, args: argparse.Namespace) -> int:
    """Make many videos; one that cannot be made does not stop the others."""
    from .core.files import ensure_folder
    from .pipeline.new_speech_views import batch_outputs

    folder = ensure_folder(args.output)
    n_failed = 0
    for video, audio, output, overwrite in batch_outputs(args.batch, folder, args.overwrite):
        try:
            made = _make(engine, args, video, output, audio, overwrite=overwrite)
            _print(engine, args, made)
        except LipSyncError as error:
            n_failed += 1
            print(tr("{name}: {why}", name=output.name, why=error), file=sys.stderr)
    return 1 if n_failed else 0


def _run_batch_on_cluster(engine, args: argparse.Namespace, config: "Config") -> int:
    """The same on a cluster, in the order in which the videos are done."""
    from .checkpoints.location import resolve_checkpoint
    from .core.cluster import engine_opened
    from .core.files import ensure_folder
    from .pipeline.engine import EngineSpec
    from .pipeline.new_speech_batch import make_in_process, reason_text
    from .pipeline.new_speech_views import batch_outputs

    folder = ensure_folder(args.output)
    rows = batch_outputs(args.batch, folder, args.overwrite)
    jobs = [
        _job(args, video, output, audio, overwrite=overwrite)
        for video, audio, output, overwrite in rows
    ]
    checkpoint = resolve_checkpoint(args.checkpoint, config.paths.checkpoint_dir)
    spec = EngineSpec(checkpoint, args.device, config, tuple(args.overrides))
    n_workers, limit_s, n_failed = spec.count_workers(0), config.data.clip_timeout_s, 0
    with (
        engine_opened(args.engine, args.scheduler, n_workers, folder) as map_jobs,
        closing(map_jobs(make_in_process, spec, jobs, n_workers, limit_s)) as results,
    ):
        for job, result in results:
            reason = reason_text(job, result)
            if reason is None:
                _print(engine, args, result)
            else:
                n_failed += 1
                print(tr("{name}: {why}", name=job.output.name, why=reason), file=sys.stderr)
    return 1 if n_failed else 0


def _print(engine, args: argparse.Namespace, made) -> None:
    from .pipeline.new_speech_views import describe, write_report

    if args.report:
        write_report(made, engine.model_file.file, args.report)
    if args.json:
        print_json(made.model_dump() | {"closeness": made.closeness})
        return
    for line in describe(made):
        print(line)


if __name__ == "__main__":
    run(main)

"""The command line of ``src/inference.py``."""

import argparse
import json
import re
import sys
from pathlib import Path

from ..core.cli import add_checkpoint, make_parser, settings_of
from ..core.config import Config
from ..core.errors import ConfigError, MissingFileError
from ..core.files import check_output_path, ensure_folder, folder_created
from ..core.progress import progress_bars
from ..correction.duration import FITS
from ..i18n.messages import tr
from ..media.writer import SUFFIXES
from ..scoring.verdict import capped_probability
from .batch import run_batch
from .engine import EngineSpec, LipSyncInference
from .pairs import free_name, pairs_in, read_list, with_outputs

SUMMARY_NAME = "summary.csv"
NAMED = 5  # so many of a long list of files are named


def parsed() -> argparse.Namespace:
    """What was asked for; the command ends where that cannot be."""
    parser = make_parser(
        tr("Score a video and its sound, find the offset and mend it."),
        "python src/inference.py --checkpoint checkpoints/best_model.pth --video v.mp4 "
        "--audio a.wav --output outputs/v_synced.mp4",
    )
    add_checkpoint(parser)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--video", help=tr("the video"))
    what.add_argument(
        "--batch", metavar="CSV", help=tr("many pairs: a list with the columns video,audio")
    )
    what.add_argument("--video-dir", help=tr("many pairs: all videos of a folder"))
    what.add_argument(
        "--find-audio", nargs="+", metavar=("VIDEO", "AUDIO"),
        help=tr("which of these sounds belongs to the video"),
    )  # fmt: skip
    what.add_argument(
        "--find-video", nargs="+", metavar=("AUDIO", "VIDEO"),
        help=tr("which of these videos the sound belongs to"),
    )  # fmt: skip
    parser.add_argument("--audio", help=tr("the sound; left out: the video's own"))
    parser.add_argument("--audio-dir", help=tr("with --video-dir: sounds of the same names"))
    parser.add_argument(
        "--output",
        help=tr("the mended video (default: <video>_synced in paths.output_dir); of many pairs: "
                "their folder"),
    )  # fmt: skip
    parser.add_argument(
        "--summary", help=tr("of many pairs: the table of results (default: summary.csv there)")
    )
    parser.add_argument(
        "--workers", type=int, default=0, help=tr("of many pairs: processes; 0: one for each core")
    )
    parser.add_argument(
        "--face", default="speaking", metavar="speaking|largest|NUMBER",
        help=tr("whose mouth is compared: who speaks (the default), the largest face, or that of a "
                "number that --json lists"),
    )  # fmt: skip
    parser.add_argument(
        "--fit", choices=FITS,
        help=tr("a sound of another length: cut or continued with silence under the whole picture "
                "(pad, the default); the picture cut where the sound ends (trim); the picture "
                "shown again until the sound ends (loop)"),
    )  # fmt: skip
    parser.add_argument("--score-only", action="store_true", help=tr("judge, write no video"))
    parser.add_argument("--plot", help=tr("also draw the result as this picture (.png)"))
    parser.add_argument(
        "--annotate", metavar="VIDEO",
        help=tr("also write a copy with faces, scores, offset and sound drawn into it (.mp4, .mov, "
                ".mkv)"),
    )  # fmt: skip
    parser.add_argument(
        "--report", metavar="HTML", help=tr("also write a page that explains the result (.html)")
    )
    parser.add_argument("--json", action="store_true", help=tr("print one JSON object"))
    parser.add_argument("--device", help=tr("auto (the default), cpu, cuda or cuda:N"))
    args = parser.parse_args()
    _check(parser, args)
    args.fit = args.fit or "pad"
    return args


def _check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End the command where options do not go together."""
    many, ranking = args.batch or args.video_dir, args.find_audio or args.find_video
    only = {
        "--audio, --plot, --report, --annotate": (
            (args.audio, args.plot, args.report, args.annotate), not args.video, "--video",
        ),
        "--audio-dir": ((args.audio_dir,), not args.video_dir, "--video-dir"),
        "--summary, --workers": ((args.summary, args.workers), not many, "--batch, --video-dir"),
    }  # fmt: skip
    for names, (given, wrong, what) in only.items():
        if wrong and any(given):
            parser.error(tr("{names}: only with {what}", names=names, what=what))
    if ranking and len(ranking) < 2:
        parser.error(tr("--find-audio, --find-video: name one file, and those it may belong to"))
    if ranking and args.output:
        parser.error(tr("--find-audio, --find-video write no video: leave out --output"))
    if args.score_only and args.output and not many:
        parser.error(tr("--score-only writes no video: leave out --output"))
    if args.fit and (args.score_only or ranking):
        parser.error(tr("--fit: only where a video is written"))
    if args.workers < 0:
        parser.error(tr("--workers: 0 or more"))
    if args.face not in ("speaking", "largest") and not re.fullmatch(r"[0-9]+", args.face):
        raise ConfigError(
            tr("--face {face}: give speaking, largest, or a number that --json lists",
               face=args.face)
        )  # fmt: skip


def main() -> int:
    """Run the command: status 0, or 1 where a video was not mended, or one of many pairs is not
    determined or not mended."""
    args = parsed()
    config = settings_of(args)
    # Without --config nobody has said that these settings are those of bare weights.
    given = config if args.config else None
    if args.batch or args.video_dir:
        return many(args, config, given)
    if args.find_audio or args.find_video:
        return ranking(args, LipSyncInference(args.checkpoint, args.device, given, args.overrides))
    return one(args, config, given)


def one(args: argparse.Namespace, config: Config, given: Config | None) -> int:
    """EngineSpec or mend one pair."""
    inputs = [args.video, args.audio, args.checkpoint]
    drawn = (
        (args.plot, {".png"}), (args.report, {".html", ".htm"}), (args.annotate, SUFFIXES),
    )  # fmt: skip
    taken = [*inputs, args.output]
    for path, suffixes in drawn:
        if path:
            check_output_path(path, taken, suffixes)
            taken.append(path)
    inference, output = LipSyncInference(args.checkpoint, args.device, given, args.overrides), None
    if args.score_only:
        score, details = inference.compute_sync_score(
            args.video, args.audio, args.face, progress_bars
        )
        result, success, message = {"score": score, "details": details}, True, None
    else:
        video = Path(args.video)
        others = {Path(path).resolve() for path in taken if path}
        output = args.output or free_name(Path(config.paths.output_dir), video, others)
        success, message, found = inference.correct_sync(
            args.video, args.audio, output, args.face, args.fit, progress_bars
        )
        score, details = found["score_before"], found["details"]
        result = {"score": score, "details": details, "success": success, "message": message,
                  "notes": found["notes"], "output": str(output) if success else None}  # fmt: skip
    mended = output if success else None
    if args.json:
        print(json.dumps(result, ensure_ascii=False))
    else:
        print_result(score, details)
        if message:
            print(message)
        for note in result.get("notes", []):
            print(tr("note: {text}", text=note))
        if mended:
            print(tr("output: {path}", path=mended))
    sys.stdout.flush()  # what took minutes is told before drawing, which may fail or be stopped
    try:
        _show(args, score, details)
    except KeyboardInterrupt:
        if mended:
            text = tr("the mended video is there already: {path}", path=mended)
            print("\n" + text, file=sys.stderr, end="")
        raise
    return 0 if success else 1


def _show(args: argparse.Namespace, score: float | None, details: dict) -> None:
    """Write what was asked for to look at, and say where it is."""

    def said(text: str) -> None:
        if not args.json:
            print(text, flush=True)

    if args.plot:
        from ..report.plots import plot_result

        with folder_created(Path(args.plot).parent):
            plot_result(score, details, args.plot)
        said(tr("picture: {path}", path=args.plot))
    if args.report:
        from ..report.html_report import write_report

        with folder_created(Path(args.report).parent):
            write_report(score, details, args.report)
        said(tr("report: {path}", path=args.report))
    if args.annotate:
        from ..report.annotated_video import annotate

        with folder_created(Path(args.annotate).parent):
            annotate(args.video, args.audio, details, args.annotate, progress_bars)
        said(tr("annotated copy: {path}", path=args.annotate))


def many(args: argparse.Namespace, config: Config, given: Config | None) -> int:
    """EngineSpec or mend many pairs."""
    from tqdm import tqdm

    from ..checkpoints.checkpoint import resolve_checkpoint

    if args.batch:
        pairs = read_list(args.batch)
    else:
        pairs = pairs_in(config, args.video_dir, args.audio_dir)
        _say_own_sounds(pairs, args.audio_dir)
    folder = Path(args.output or config.paths.output_dir)
    summary = Path(args.summary or folder / SUMMARY_NAME)
    check_output_path(summary, [args.batch], {".csv"})
    checkpoint = resolve_checkpoint(args.checkpoint, config.paths.checkpoint_dir)
    if not checkpoint.is_file():
        raise MissingFileError(
            tr("checkpoint not found: {path}; python src/train.py makes one", path=checkpoint)
        )
    if not args.score_only:
        ensure_folder(folder)
    # One that cannot be used ends the run before it begins.
    LipSyncInference(checkpoint, args.device, given, args.overrides)
    spec = EngineSpec(checkpoint, args.device, given, tuple(args.overrides))
    options = {"face": args.face} if args.score_only else {"face": args.face, "fit": args.fit}
    work = with_outputs(pairs, None if args.score_only else folder, **options)
    with tqdm(total=len(work), desc=tr("pairs"), unit="") as bar:
        rows = run_batch(spec, work, summary, args.workers, bar.update)
    if args.json:
        print(json.dumps(rows, ensure_ascii=False))
    else:
        for row in rows:
            print(f"{row['video']}: {row['message']}")
        done = sum(row["success"] for row in rows)
        print(tr("{done} of {n} pairs, table: {path}", done=done, n=len(rows), path=summary))
    return 0 if all(row["success"] for row in rows) else 1


def _say_own_sounds(pairs: list[tuple[str, str | None]], audio_dir: str | None) -> None:
    """Nobody should take the videos' own sound for the one that was meant."""
    own = [Path(video).name for video, audio in pairs if audio is None]
    if audio_dir is None or not own:
        return
    names = ", ".join(own[:NAMED]) + (", …" if len(own) > NAMED else "")
    print(tr("{n} of {all} videos have no sound of their name in {folder} and are taken with their "
             "own: {names}", n=len(own), all=len(pairs), folder=audio_dir, names=names),
          file=sys.stderr)  # fmt: skip


def ranking(args: argparse.Namespace, inference: LipSyncInference) -> int:
    """Say which sound belongs to a video, or which video to a sound."""
    (first, *others), what = args.find_audio or args.find_video, "audio"
    if args.find_audio:
        results = inference.rank_audio(first, others, args.face)
    else:
        results, what = inference.rank_videos(first, others, args.face), "video"
    if args.json:
        print(json.dumps(results, ensure_ascii=False))
    else:
        print(tr("what belongs to {path}, the best first:", path=first))
        for number, result in enumerate(results, 1):
            print(f"{number:3d}. {result[what]}: {_fit_in_words(result)}")
    return 0 if results[0]["success"] else 1


def _fit_in_words(result: dict) -> str:
    """A ranked pair for a person."""
    details = result["details"]
    if details is None or details["offset_ms"] is None:
        return result["message"]
    return tr("offset {ms:+.0f} ms, chance {chance:.0%}, confidence {confidence:.3f}",
              ms=details["offset_ms"], chance=capped_probability(details["offset_probability"]),
              confidence=details["confidence"])  # fmt: skip


def print_result(score: float | None, details: dict) -> None:
    """The result for a person."""
    # Never rounded up to certainty.
    shown = tr("undetermined") if score is None else f"{min(score, 0.9999):.4f}"
    print(tr("sync score: {score}", score=shown))
    print(tr("verdict: {text}", text=details["verdict"]))
    if details["offset_ms"] is not None:
        print(tr("offset: {ms:+.1f} ms ({frames:+d} frames); the chance that this is right: "
                 "{chance:.0%}",
                 ms=details["offset_ms"], frames=details["offset_frames"],
                 chance=capped_probability(details["offset_probability"])))  # fmt: skip
    if details["confidence"] is not None:
        print(tr("confidence (LSE-C): {c:.3f}, minimum distance (LSE-D): {d:.3f}",
                 c=details["confidence"], d=details["min_distance"]))  # fmt: skip
    print(tr("face seen in {share:.0%} of {seconds:.1f} s",
             share=details["face_share"], seconds=details["duration_s"]))  # fmt: skip
    for note in details["notes"]:
        print(tr("note: {text}", text=note))

"""CLI: score a pair, measure its offset, correct it; ``LipSyncInference`` does the same in Python.

``from src.inference import LipSyncInference``
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
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
from .core.command_text import command_text
from .core.console import print_json
from .core.errors import ConfigError
from .core.progress import progress_bars
from .correction.fits import FITS
from .i18n.messages import tr

if TYPE_CHECKING:
    from .core.config import Config
    from .media.stream_choice import StreamChoice
    from .pipeline.engine import LipSyncInference

__all__ = ["LipSyncInference"]

EXPORTS = (".otio", ".fcpxml", ".edl", ".csv", ".srt", ".txt")
MANY_SETTINGS = ("data.clip_timeout_s",)  # that only runs of many pairs use
MAX_NAMED = 5  # so many of a long list of files are named


def __getattr__(name: str):
    """The engine, imported when it is asked for: ``--help`` is quick without it."""
    if name == "LipSyncInference":
        from .pipeline.engine import LipSyncInference

        return LipSyncInference
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# ---------------------------------------------------------------------------- arguments


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(
        tr("Score a video against its audio, measure the offset and correct it."),
        "python src/inference.py --checkpoint checkpoints/best_model.pth --video v.mp4 "
        "--audio a.wav --output outputs/v_synced.mp4",
    )
    add_checkpoint(parser)
    inputs = parser.add_mutually_exclusive_group(required=True)
    inputs.add_argument("--video", help=tr("the video"))
    inputs.add_argument(
        "--batch", metavar="CSV", help=tr("many pairs: a list with the columns video,audio")
    )
    inputs.add_argument("--video-dir", help=tr("many pairs: all videos of a folder"))
    inputs.add_argument(
        "--find-audio", nargs="+", metavar=("VIDEO", "AUDIO"),
        help=tr("rank audio files: which of them belongs to the video"),
    )  # fmt: skip
    inputs.add_argument(
        "--find-video", nargs="+", metavar=("AUDIO", "VIDEO"),
        help=tr("rank videos: which of them belongs to the audio"),
    )  # fmt: skip
    parser.add_argument("--audio", help=tr("the audio (default: the video's own audio track)"))
    parser.add_argument("--audio-dir", help=tr("with --video-dir: audio files of the same names"))
    parser.add_argument(
        "--output",
        help=tr("the corrected video (default: <video>_synced in paths.output_dir); for many "
                "pairs: the output folder"),
    )  # fmt: skip
    parser.add_argument(
        "--overwrite", action="store_true",
        help=tr("replace existing outputs, also those made from another input"),
    )  # fmt: skip
    parser.add_argument(
        "--summary",
        help=tr("for many pairs: table of results (default: summary.csv in the output folder)"),
    )
    parser.add_argument(
        "--workers", type=int, default=0,
        help=tr("for many pairs: number of processes; 0: one per core, on a GPU as many as its "
                "free memory holds"),
    )  # fmt: skip
    add_engine(parser)
    parser.add_argument(
        "--face", default="speaking", metavar="speaking|largest|NUMBER",
        help=tr("face to score: the active speaker (default), the largest face, or a number from "
                "--json"),
    )  # fmt: skip
    for kind, text in (
        ("video", tr("which of several video tracks, from 1 (default: by the default flag, then "
                     "the first that can be decoded)")),
        ("audio", tr("which of several audio tracks, from 1 (default: likewise)")),
    ):  # fmt: skip
        parser.add_argument(f"--{kind}-stream", type=int, metavar="NUMBER", help=text)
    parser.add_argument(
        "--fit", choices=FITS,
        help=tr("audio of a different length: cut it or pad it with silence to the length of the "
                "video (pad, default); cut the video where the audio ends (trim); repeat the "
                "video until the audio ends (loop)"),
    )  # fmt: skip
    parser.add_argument("--score-only", action="store_true", help=tr("score only, write no video"))
    parser.add_argument("--plot", help=tr("also write a plot of the result (.png)"))
    parser.add_argument(
        "--annotate", metavar="VIDEO",
        help=tr("also write an annotated copy with faces, scores, offset and waveform (.mp4, .mov, "
                ".mkv)"),
    )  # fmt: skip
    parser.add_argument(
        "--report", metavar="HTML", help=tr("also write a report that explains the result (.html)")
    )
    parser.add_argument(
        "--export", nargs="+", default=[], metavar="FILE",
        help=tr("also write the correction for editing software (.otio, .fcpxml, .edl), its "
                "segments (.csv), its markers (.srt) or how to do it by hand (.txt); for many "
                "pairs: these suffixes"),
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help=tr("print one JSON object"))
    parser.add_argument(
        "--backend", choices=("auto", "torch", "onnx"), default="auto",
        help=tr("what computes: torch (PyTorch), or onnx (ONNX Runtime, faster on a CPU); auto "
                "(default): onnx where no GPU is used. --checkpoint may also be a folder of "
                "tools/export_models.py"),
    )  # fmt: skip
    parser.add_argument("--device", help=tr("auto (default), cpu, cuda or cuda:N"))
    args = parser.parse_args()
    _check(parser, args)
    args.fit = args.fit or "pad"
    return args


def _check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End the command where options do not go together."""
    many, ranking = args.batch or args.video_dir, args.find_audio or args.find_video
    restricted = {
        "--audio, --plot, --report, --annotate": (
            (args.audio, args.plot, args.report, args.annotate), args.video, "--video",
        ),
        "--audio-dir": ((args.audio_dir,), args.video_dir, "--video-dir"),
        "--summary, --workers": ((args.summary, args.workers), many, "--batch, --video-dir"),
        "--engine, --scheduler": (
            (args.engine != "processes", args.scheduler), many, "--batch, --video-dir",
        ),
    }  # fmt: skip
    for names, (values, allowed, required) in restricted.items():
        if any(values) and not allowed:
            parser.error(tr("{names}: only with {what}", names=names, what=required))
    if ranking and len(ranking) < 2:
        parser.error(tr("--find-audio, --find-video: name one file, then the files to rank"))
    if ranking and args.output:
        parser.error(tr("--find-audio, --find-video write no video: remove --output"))
    if ranking and args.export:
        what = "--video, --batch, --video-dir"
        parser.error(tr("{names}: only with {what}", names="--export", what=what))
    if many and (unknown := [text for text in args.export if text.lower() not in EXPORTS]):
        parser.error(tr("--export {text}: for many pairs give suffixes: {allowed}",
                        text=unknown[0], allowed=" ".join(EXPORTS)))  # fmt: skip
    if args.score_only and args.output and not many:
        parser.error(tr("--score-only writes no video: remove --output"))
    if args.fit and (args.score_only or ranking):
        parser.error(tr("--fit: only when a video is written"))
    has_output = not (args.score_only or ranking) or (
        args.plot or args.report or args.annotate or args.export
    )
    if args.overwrite and not has_output:
        parser.error(tr("--overwrite: only when a file is written"))
    for name, number in (("--video-stream", args.video_stream),
                         ("--audio-stream", args.audio_stream)):  # fmt: skip
        if number is not None and number < 1:
            parser.error(tr("{name}: must be 1 or more", name=name))
    if args.workers < 0:
        parser.error(tr("--workers: must be 0 or more"))
    if args.face not in ("speaking", "largest") and not re.fullmatch(r"[0-9]+", args.face):
        raise ConfigError(
            tr("--face {face}: use speaking, largest, or a number from --json", face=args.face)
        )


def main() -> int:
    """Run the command: status 0, or 1 where a video was not corrected, or one of many pairs is
    undetermined or not corrected."""
    args = parse_arguments()
    many = bool(args.batch or args.video_dir)
    config = settings_of(args, (*SCORING_SETTINGS, *MANY_SETTINGS) if many else SCORING_SETTINGS)
    if many:
        return run_many(args, config)
    if args.find_audio or args.find_video:
        return run_ranking(args, config)
    return run_pair(args, config)


def _own_settings(args: argparse.Namespace, config: "Config") -> "Config | None":
    """The settings that bare weights take for theirs: those of ``--config`` alone."""
    return config if args.config else None


def _streams(args: argparse.Namespace) -> "StreamChoice":
    from .media.stream_choice import StreamChoice

    return StreamChoice(args.video_stream, args.audio_stream)


def _engine(args: argparse.Namespace, config: "Config") -> "LipSyncInference":
    from .pipeline.engine import LipSyncInference

    settings = _own_settings(args, config)
    return LipSyncInference(args.checkpoint, args.device, settings, args.overrides, args.backend)


# ---------------------------------------------------------------------------- one pair


def run_pair(args: argparse.Namespace, config: "Config") -> int:
    """Score or correct one pair."""
    from .pipeline.command import Views, correct_pair, default_output, score_pair
    from .pipeline.edit_exports import EditExports
    from .pipeline.output_names import Source

    options = [*_repeated_options(args), *_stream_options(args)]
    source = Source(args.video, args.audio, _streams(args))
    views = Views(args.plot, args.report, args.annotate, options, source, args.overwrite)
    reserved = views.check([args.video, args.audio, args.checkpoint, args.output])
    exports = EditExports(args.export, args.overwrite)
    reserved = exports.check(reserved)
    engine = _engine(args, config)
    if args.score_only:
        result = score_pair(
            engine, args.video, args.audio, args.face, progress_bars, _streams(args)
        )
    else:
        output = args.output or default_output(
            config, args.video, args.audio, reserved, args.overwrite, _streams(args)
        )
        result = correct_pair(
            engine, args.video, args.audio, output, face=args.face, fit=args.fit,
            overwrite=args.overwrite, progress=progress_bars, streams=_streams(args),
        )  # fmt: skip
    if args.json:
        print_json(result)
    else:
        print_pair(result, _repeated_options(args))
    sys.stdout.flush()  # what took minutes is shown before drawing, which may fail or be stopped
    try:
        for view, path in views.write(result["score"], result["details"], progress_bars):
            if not args.json:
                print(_view_line(view, path), flush=True)
        for line in exports.write(result["details"]) if args.export else ():
            print(line, file=sys.stderr if args.json else sys.stdout, flush=True)
    except KeyboardInterrupt:
        if result.get("output"):
            text = tr("the corrected video is already written: {path}", path=result["output"])
            print("\n" + text, file=sys.stderr, end="")
        raise
    return 0 if result.get("success", True) else 1


def _repeated_options(args: argparse.Namespace) -> list[str]:
    """Arguments on which a result depends: commands that continue from it need them, too."""
    options = ["--config", args.config] if args.config else []
    options += [part for override in args.overrides for part in ("--set", override)]
    return options + (["--face", args.face] if args.face != "speaking" else [])


def _stream_options(args: argparse.Namespace) -> list[str]:
    """Arguments that choose tracks, for commands that have them."""
    streams = {"--video-stream": args.video_stream, "--audio-stream": args.audio_stream}
    return [
        part
        for name, number in streams.items() if number is not None
        for part in (name, str(number))
    ]  # fmt: skip


def print_pair(result: dict, options: Sequence[str] = ()) -> None:
    """The result of one pair, for people; ``options``: of commands that continue from it."""
    print_result(result["score"], result["details"], options)
    if "message" in result:
        print(result["message"])
    for text in result.get("notes", []):
        print(tr("note: {text}", text=text))
    if result.get("output"):
        print(tr("output: {path}", path=result["output"]))


def print_result(score: float | None, details: dict, options: Sequence[str] = ()) -> None:
    """Score, verdict and numbers of a pair, for people."""
    from .scoring.perception import capped_probability, format_score

    text = tr("undetermined") if score is None else format_score(score, 4)
    print(tr("sync score: {score}", score=text))
    print(tr("verdict: {text}", text=details["verdict"]))
    if details["offset_ms"] is not None:
        print(tr("offset: {ms:+.1f} ms ({frames:+d} frames), {chance:.0%} certain",
                 ms=round(details["offset_ms"], 1) + 0.0,  # no "-0.0"
                 frames=details["offset_frames"],
                 chance=capped_probability(details["offset_probability"])))  # fmt: skip
    if details["confidence"] is not None:
        print(tr("confidence (LSE-C): {c:.3f}, minimum distance (LSE-D): {d:.3f}",
                 c=details["confidence"], d=details["min_distance"]))  # fmt: skip
    print(tr("face visible in {share:.0%} of {seconds:.1f} s",
             share=details["face_share"], seconds=details["duration_s"]))  # fmt: skip
    for note in details["notes"]:
        print(tr("note: {text}", text=note["text"]))
    if details["status"] == "weak":
        print(tr("To re-make the lips for this audio: {command}",
                 command=_present_command(details, options)))  # fmt: skip


def _present_command(details: dict, options: Sequence[str]) -> str:
    """The command that makes the lips say the audio."""
    video, audio = details["video"], details["audio"]
    output = Path(video).stem + "_new.mp4"
    return command_text([
        "python", "src/present.py", "--video", video, "--audio", audio, "--output", output,
        *options,
    ])  # fmt: skip


def _view_line(view: str, path: str) -> str:
    """Where a view was written: a line of the console."""
    return {
        "plot": tr("image: {path}", path=path),
        "report": tr("report: {path}", path=path),
        "annotate": tr("annotated copy: {path}", path=path),
    }[view]


# ---------------------------------------------------------------------------- many pairs


def run_many(args: argparse.Namespace, config: "Config") -> int:
    """Score or correct many pairs."""
    from tqdm import tqdm

    from .core.cluster import engine_opened
    from .core.files import check_output_path
    from .pipeline.batch import run_batch
    from .pipeline.command import SUMMARY_NAME, prepare_batch
    from .pipeline.edit_exports import export_many
    from .pipeline.engine import EngineSpec
    from .pipeline.loading import model_path
    from .pipeline.pairs import pairs_in, read_list

    if args.batch:
        pairs = read_list(args.batch)
    else:
        pairs = pairs_in(config, args.video_dir, args.audio_dir)
        _report_missing_audio(pairs, args.audio_dir)
    folder = Path(args.output or config.paths.output_dir)
    summary = Path(args.summary or folder / SUMMARY_NAME)
    check_output_path(summary, [args.batch], {".csv"})
    checkpoint = model_path(args.checkpoint, config, args.backend)
    settings = _own_settings(args, config)
    spec = EngineSpec(checkpoint, args.device, settings, tuple(args.overrides), args.backend)
    workers = spec.count_workers(args.workers)
    if args.score_only:
        jobs = prepare_batch(spec, pairs, None, summary, face=args.face, streams=_streams(args))
    else:
        options = {"face": args.face, "fit": args.fit, "streams": _streams(args)}
        jobs = prepare_batch(spec, pairs, folder, summary, args.overwrite, **options)
    with (
        engine_opened(args.engine, args.scheduler, workers, summary.parent) as map_jobs,
        tqdm(total=len(jobs), desc=tr("pairs"), unit="") as bar,
    ):
        rows = run_batch(
            spec, jobs, summary, workers=workers, progress=bar.update, map_jobs=map_jobs,
            details=bool(args.export),
        )  # fmt: skip
    lines = list(export_many(rows, folder, args.export, args.overwrite)) if args.export else []
    if args.json:
        print_json(rows)
    else:
        for row in rows:
            print(f"{row['video']}: {row['message']}")
        for line in lines:
            print(line)
        done = sum(row["success"] for row in rows)
        print(tr("{done} of {n} pairs, table: {path}", done=done, n=len(rows), path=summary))
    return 0 if all(row["success"] for row in rows) else 1


def _report_missing_audio(pairs: list[tuple[str, str | None]], audio_dir: str | None) -> None:
    """Nobody should mistake a video's own audio track for the file that was meant."""
    names = [Path(video).name for video, audio in pairs if audio is None]
    if audio_dir is None or not names:
        return
    shown_names = ", ".join(names[:MAX_NAMED]) + (", …" if len(names) > MAX_NAMED else "")
    print(tr("{n} of {all} videos have no audio file of the same name in {folder}; their own audio "
             "is used: {names}", n=len(names), all=len(pairs), folder=audio_dir,
             names=shown_names), file=sys.stderr)  # fmt: skip


# ---------------------------------------------------------------------------- ranking


def run_ranking(args: argparse.Namespace, config: "Config") -> int:
    """Rank audio files for a video, or videos for an audio file."""
    engine = _engine(args, config)
    reference, *candidates = args.find_audio or args.find_video
    if args.find_audio:
        rank, kind = engine.rank_audio, "audio"
    else:
        rank, kind = engine.rank_videos, "video"
    results = rank(reference, candidates, args.face, _streams(args))
    if args.json:
        print_json(results)
    else:
        print(tr("matches for {path}, best first:", path=reference))
        for number, result in enumerate(results, 1):
            print(f"{number:3d}. {result[kind]}: {_rank_text(result)}")
    return 0 if results[0]["success"] else 1


def _rank_text(result: dict) -> str:
    """A ranked pair, for people."""
    from .scoring.perception import capped_probability

    details = result["details"]
    if details is None or details["offset_ms"] is None:
        return result["message"]
    return tr("offset {ms:+.0f} ms, {chance:.0%} certain, confidence {confidence:.3f}",
              ms=round(details["offset_ms"]),
              chance=capped_probability(details["offset_probability"]),
              confidence=details["confidence"])  # fmt: skip


if __name__ == "__main__":
    run(main)

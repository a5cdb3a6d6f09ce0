"""CLI: checks that videos are in sync before they are published; the exit status says so."""

import argparse
import sys
from collections import Counter
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from src.core.cli import SCORING_SETTINGS, add_checkpoint, make_parser, run, settings_of
from src.core.console import print_json
from src.core.progress import progress_bars
from src.i18n.messages import tr

MIN_SCORE, MAX_OFFSET_MS = 0.8, 60.0


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(
        tr("Check that videos are in sync. Exit status: 0, all pass; 1, some fail; 2, some cannot "
           "be read, or other invalid input."),
        "python tools/gate.py list.csv --min-score 0.8 --max-offset-ms 60",
    )  # fmt: skip
    parser.add_argument("list", help=tr("CSV with the columns video and, if it is a file, audio"))
    add_checkpoint(parser)
    parser.add_argument("--min-score", type=float, default=MIN_SCORE, metavar="0-1",
                        help=tr("a lower score fails (default: {value})",
                                value=MIN_SCORE))  # fmt: skip
    parser.add_argument(
        "--max-offset-ms", type=float, default=MAX_OFFSET_MS, metavar="MS",
        help=tr("an offset further from 0 fails (default: {value})", value=MAX_OFFSET_MS),
    )  # fmt: skip
    parser.add_argument("--backend", choices=("auto", "torch", "onnx"), default="auto",
                        help=tr("as of src/inference.py"))  # fmt: skip
    parser.add_argument("--device", help=tr("auto (default), cpu, cuda or cuda:N"))
    parser.add_argument("--json", action="store_true", help=tr("print one JSON object"))
    args = parser.parse_args()
    if not 0 <= args.min_score <= 1:
        parser.error(tr("--min-score: must be from 0 to 1"))
    if not args.max_offset_ms >= 0:
        parser.error(tr("--max-offset-ms: must be 0 or more"))
    return args


def main() -> int:
    args = parse_arguments()
    config = settings_of(args, SCORING_SETTINGS)

    from src.pipeline.engine import LipSyncInference
    from src.pipeline.gate import VERDICTS, exit_status, judge
    from src.pipeline.pairs import read_list

    pairs = read_list(args.list)
    engine = LipSyncInference(
        args.checkpoint, args.device, config if args.config else None, args.overrides, args.backend
    )
    scored = engine.batch_process(
        pairs, score_only=True,
        progress=lambda jobs: progress_bars(jobs, tr("pairs"), len(jobs)),
    )  # fmt: skip
    results = [judge(result, args.min_score, args.max_offset_ms) for result in scored]
    counts = Counter(result.verdict for result in results)
    if args.json:
        limits = {"min_score": args.min_score, "max_offset_ms": args.max_offset_ms}
        totals = {verdict: counts[verdict] for verdict in VERDICTS}
        print_json(limits | totals | {"pairs": [result.to_dict() for result in results]})
    else:
        words = {"pass": tr("pass"), "fail": tr("fail"), "unreadable": tr("unreadable")}
        print(f"{'':12s} {tr('score'):>7s} {tr('offset'):>10s}")
        for result in results:
            score = "–" if result.score is None else f"{result.score:.3f}"
            offset = "–" if result.offset_ms is None else f"{result.offset_ms:+.0f} ms"
            why = f": {result.why}" if result.why else ""
            print(f"{words[result.verdict]:12s} {score:>7s} {offset:>10s}  {result.video}{why}")
        print(tr("{passed} of {n} pass", passed=counts["pass"], n=len(results)))
    return exit_status(results)


if __name__ == "__main__":
    run(main)

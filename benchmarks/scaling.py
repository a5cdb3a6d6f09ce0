"""How the speed grows with the number of workers: preprocessing, scoring, training and loading.

Each worker is kept on a core of its own, and the command on the cores of its workers: so N workers
are a machine of N cores, and what the command or Dask's scheduler takes is taken from them. Runs
of one worker and of N are paired, in turn, in one call; the median of the pairs' ratios counts.
Efficiency is rate(N) / (N · rate(1)). The clips are copies of one synthetic talking head.
"""

import statistics
import sys
import tempfile
from argparse import Namespace
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.own_cores import available_cores
from src.core.cli import add_checkpoint, make_parser, run, settings_of
from src.i18n.messages import tr

if TYPE_CHECKING:
    from src.core.config import Config

PARTS = ("preprocessing", "scoring", "training", "loader")
PRETRAINED = Path(__file__).resolve().parents[1] / "pretrained" / "best_model.pth"


class Measures:
    """Rates, and how long workers wait between two jobs, by what was measured and the number of
    workers, one a round.

    The pool and Dask have the same name but for ``pool`` and ``dask``.
    """

    def __init__(self):
        self.rates: dict[tuple[str, int], list[float]] = defaultdict(list)
        self.waits: dict[tuple[str, int], list[float]] = defaultdict(list)

    def add(self, name: str, n_workers: int, rate: float, wait: float | None = None) -> None:
        self.rates[name, n_workers].append(rate)
        if wait is not None:
            self.waits[name, n_workers].append(wait)

    def efficiencies(self, name: str, n_workers: int) -> list[float]:
        """Of each round, sorted."""
        pairs = zip(self.rates[name, 1], self.rates[name, n_workers], strict=True)
        return sorted(many / (n_workers * one) for one, many in pairs)

    def overheads(self, name: str, other: str, n_workers: int) -> list[float]:
        """How much longer a job takes with ``other``, as a share, of each round, sorted."""
        pairs = zip(self.rates[name, n_workers], self.rates[other, n_workers], strict=True)
        return sorted(usual / with_other - 1 for usual, with_other in pairs)


def table(measures: Measures, n_workers: int) -> list[str]:
    """Rates, efficiencies and the engine's overhead, as lines."""
    median = statistics.median
    lines = [f"{'per second':32s}{'1 worker':>10s}{f'{n_workers} workers':>12s}  efficiency"]
    names = list(dict.fromkeys(name for name, _ in measures.rates))
    for name in names:
        one, many = (median(measures.rates[name, n]) for n in (1, n_workers))
        lines.append(f"{name:32s}{one:10.3f}{many:12.3f}  "
                     f"{_range(measures.efficiencies(name, n_workers), '.0%')}")  # fmt: skip
    for name in names:
        other = name.replace(", pool", ", dask")
        if other == name or other not in names:
            continue
        for n in dict.fromkeys((1, n_workers)):
            longer = _range(measures.overheads(name, other, n), "+.1%")
            lines.append(f"{other} instead of pool, {n} workers: {longer} a clip")
    for (name, n), waits in measures.waits.items():
        share = _range(sorted(waits), ".1%")
        lines.append(f"{name}, {n} workers: {share} of a clip from one to the next")
    return lines


def _range(values: list[float], form: str) -> str:
    middle = format(statistics.median(values), form)
    return f"{middle} ({format(values[0], form)} to {format(values[-1], form)})"


def main() -> int:
    parser = make_parser(
        tr("Measure how much faster more workers are."), "python benchmarks/scaling.py --repeats 3"
    )
    add_checkpoint(parser)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS,
                        help=tr("what is measured (default: all)"))  # fmt: skip
    parser.add_argument("--workers", type=int, default=2, help=tr("compared with one"))
    parser.add_argument("--repeats", type=int, default=3, help=tr("pairs of runs"))
    parser.add_argument("--clips", type=int, default=4, help=tr("clips for each worker"))
    parser.add_argument("--seconds", type=float, default=6, help=tr("duration of a clip"))
    parser.add_argument("--steps", type=int, default=4, help=tr("steps of a training"))
    parser.add_argument("--loader-mb", type=float, default=150,
                        help=tr("size of the samples that the loader reads (MB)"))  # fmt: skip
    parser.add_argument("--loader-seconds", type=float, default=1,
                        help=tr("how long the loader is measured at most"))  # fmt: skip
    parser.add_argument("--consumer", type=float, nargs="*", default=[2000, 10000],
                        help=tr("frames a second of a consumer that is simulated"))  # fmt: skip
    args = parser.parse_args()
    config = settings_of(args)
    if not available_cores(args.workers):
        print(tr("workers cannot be kept on cores here: figures say less"))
    with tempfile.TemporaryDirectory(prefix="lipsync-") as temporary:
        print("\n".join(measure(args, config, Path(temporary))))
    return 0


def measure(args: Namespace, config: "Config", folder: Path) -> list[str]:
    """All rounds; the lines of the tables."""
    # Imported here: processes that start import this file, and what they need beside it.
    from benchmarks import scaling_runs as runs
    from benchmarks.preprocessing import make_test_clip

    measures, lines = Measures(), []
    source, processed = folder / "talking_head.mp4", folder / "processed"
    make_test_clip(source, args.seconds)
    if {"training", "loader"} & set(args.parts):
        runs.make_copies(source, folder / "clips", args.clips)
        runs.prepare(config, processed, folder / "clips", args.workers)
    counts = list(dict.fromkeys((1, args.workers)))
    jobs = [part for part in args.parts if part in ("preprocessing", "scoring")]
    checkpoint = Path(args.checkpoint or PRETRAINED)
    for number in range(args.repeats):
        # In turn: what changes on the machine meanwhile does not always favour the same.
        for n_workers in counts[:: -1 if number % 2 else 1]:
            if jobs:
                for name, value, wait in runs.measure_jobs(
                    jobs, config, source, checkpoint, args.clips, n_workers, folder / "round"
                ):
                    measures.add(name, n_workers, value, wait)
            if "training" in args.parts:
                for name, value in runs.measure_training(config, processed, n_workers, args.steps):
                    measures.add(name, n_workers, value)
    if measures.rates:
        lines += table(measures, args.workers)
    if "loader" in args.parts:
        lines += runs.measure_loader(config, processed, args, folder / "larger")
    return lines


if __name__ == "__main__":
    from benchmarks import scaling  # so that other processes find what it defines

    run(scaling.main)

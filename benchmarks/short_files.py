"""Short files whose audio and video are cut together, so that an offset leaves less to compare.

``evaluate.py`` shifts the range that is searched: the true offset keeps all windows of a clip. In a
file of 1.2 s whose audio is half a second late, it has half of them. Excerpts of longer clips are
cut like such files.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from tqdm import tqdm

from benchmarks.undetermined import parse_inputs
from src.core.cli import make_parser, run
from src.core.constants import FPS, HOP_MS, WINDOW_FRAMES
from src.evaluation.metrics import is_correct
from src.evaluation.protocol import INJECTED_HOPS, is_reported
from src.i18n.messages import tr
from src.scoring.clip_evidence import compute_evidence
from src.scoring.evidence import SEARCH_REACH, Evidence, peak_ms, similarity_curve

LENGTHS = (29, 2 * FPS, 3 * FPS)  # frames: words of 1.2 s, and longer
MARGIN = 13  # windows before and after an excerpt, from which the shifted audio comes
MAX_EXCERPTS = 4  # of a clip, about
SHIFTS_MS = (160, 330, 500)  # the largest of each column of the table


def excerpts(evidence: Evidence, frames: int) -> Iterator[tuple[int, Evidence]]:
    """(hops by which the audio is shifted, evidence) of excerpts of a clip, spread over it, with
    every shift."""
    n_windows = frames - WINDOW_FRAMES + 1
    last = len(evidence.similarity) - n_windows - MARGIN
    if last < MARGIN:
        return
    step = max(n_windows, (last - MARGIN) // MAX_EXCERPTS + 1)
    for first in range(MARGIN, last + 1, step):
        for hops in INJECTED_HOPS:
            part = evidence.part(first, first + n_windows)
            yield hops, part.as_file(hops, SEARCH_REACH)


def main() -> int:
    parser = make_parser(
        tr("Measure short files whose audio and video are cut together."),
        "python benchmarks/short_files.py --index data/test/dataset_index.pkl",
    )
    trained, settings, samples = parse_inputs(parser)
    counts: dict[tuple[int, int], list[tuple[bool, bool]]] = defaultdict(list)
    clips: dict[int, set[str]] = defaultdict(set)
    for sample in tqdm(samples):
        evidence = compute_evidence(trained.model, *sample.read(), 2 * SEARCH_REACH)
        true_ms = sample.offset_ms - sample.shift_ms
        for frames in LENGTHS:
            for hops, excerpt in excerpts(evidence, frames):
                curve = similarity_curve([excerpt])
                measured_ms = peak_ms(curve)
                if measured_ms is None:
                    continue
                error_ms = abs(measured_ms - (true_ms - hops * HOP_MS))
                correct = bool(is_correct(np.array([error_ms]))[0])
                reported = is_reported(curve, trained.calibration, settings.min_offset_probability)
                column = int(np.searchsorted(SHIFTS_MS, abs(hops) * HOP_MS))
                counts[frames, column].append((correct, reported))
                clips[frames].add(sample.id)
    print_table(counts, {frames: len(names) for frames, names in clips.items()})
    return 0


def print_table(
    counts: dict[tuple[int, int], list[tuple[bool, bool]]], clips: dict[int, int]
) -> None:
    """A row per length: the share whose offset is correct, and in brackets the shares in which it
    is reported correctly and incorrectly, for each range of shifts."""
    lowest = [0, *(limit + HOP_MS for limit in SHIFTS_MS[:-1])]
    columns = [f"{low} to {high} ms" for low, high in zip(lowest, SHIFTS_MS, strict=True)]
    print(f"| length | clips | {' | '.join(columns)} |\n|{'---|' * (len(SHIFTS_MS) + 2)}")
    for frames in LENGTHS:
        cells = []
        for column in range(len(SHIFTS_MS)):
            outcomes = np.array(counts.get((frames, column), []), bool).reshape(-1, 2)
            if not len(outcomes):
                cells.append("–")
                continue
            correct, reported = outcomes.T
            shares = correct.mean(), (correct & reported).mean(), (~correct & reported).mean()
            cells.append("{:.1%} ({:.1%}, {:.1%})".format(*shares))
        print(f"| {frames / FPS:.1f} s | {clips.get(frames, 0)} | {' | '.join(cells)} |")


if __name__ == "__main__":
    run(main)

"""How a model fares under the conditions of phones, webcams, chat apps and rooms, each alone.

Measured on copies that ``tools/degrade_clips.py`` made (``clip~condition.mkv``), and on the
clips themselves where they are in the index. Excerpts of 2 s, 3 s and the whole clip, as far as
they hold 2 s of speech: *withheld*, the offset is correct (within ±1 frame) but not reported;
*incorrect*, another offset is reported; *mismatched*, an offset is reported for another speaker's
audio.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from tqdm import tqdm

from benchmarks.undetermined import parse_inputs
from src.checkpoints.checkpoint import TrainedModel
from src.conditions.catalog import ALL, CONDITIONS, condition_in_name
from src.core.cli import make_parser, run
from src.core.constants import FPS
from src.dataset.samples import Sample
from src.dataset.splits import other_speaker_partners
from src.evaluation.measure import mismatched_evidence
from src.evaluation.metrics import is_correct
from src.evaluation.protocol import ClipMeasurement, compute_metrics, is_reported, measure_clip
from src.i18n.messages import tr
from src.scoring.calibration import LONG_WINDOWS, peak_probability
from src.scoring.clip_evidence import compute_evidence
from src.scoring.evidence import SEARCH_REACH, Evidence, peak_ms, similarity_curve

AS_RECORDED = "as recorded"
COLUMNS = ("K = 5", "K = 15", "1 s", "whole clip", "median error ms", "ECE")
EXCERPTS_S = (2, 3, None)  # None: the whole clip


@dataclass
class Decisions:
    """What is reported of excerpts with 2 s of speech, a truth value each.

    Attributes:
        withheld, incorrect: of matched audio.
        mismatched: of another speaker's audio: an offset is reported.
    """

    withheld: list[bool] = field(default_factory=list)
    incorrect: list[bool] = field(default_factory=list)
    mismatched: list[bool] = field(default_factory=list)


def condition_of(sample: Sample) -> str:
    """The condition that a clip is a copy of, by its name."""
    return condition_in_name(sample.clip) or AS_RECORDED


def excerpts(evidence: Evidence) -> Iterator[Evidence]:
    """The excerpts with enough speech, within the usual search range."""
    evidence = evidence.shifted(0, SEARCH_REACH)
    for seconds in EXCERPTS_S:
        n_windows = len(evidence.similarity) if seconds is None else seconds * FPS - 4
        for start in range(0, len(evidence.similarity) - n_windows + 1, max(1, n_windows)):
            excerpt = evidence.part(start, start + n_windows).with_speech()
            if len(excerpt.similarity) >= LONG_WINDOWS:
                yield excerpt


def decide(
    decisions: Decisions, evidence: Evidence, trained: TrainedModel, threshold: float,
    true_ms: float | None,
) -> None:  # fmt: skip
    """Add what is reported of the excerpts of a clip.

    Args:
        true_ms: the correct offset; None: there is none.
    """
    for excerpt in excerpts(evidence):
        curve = similarity_curve([excerpt])
        offset_ms = peak_ms(curve)
        if offset_ms is None or peak_probability(curve, trained.calibration) is None:
            continue
        reported = is_reported(curve, trained.calibration, threshold)
        if true_ms is None:
            decisions.mismatched.append(reported)
            continue
        correct = bool(is_correct(np.abs(offset_ms - true_ms)))
        decisions.withheld.append(correct and not reported)
        decisions.incorrect.append(reported and not correct)


def main() -> int:
    parser = make_parser(
        tr("Measure a model under the conditions of phones, webcams, chat apps and rooms."),
        "python benchmarks/conditions.py --index data/degraded_samples/dataset_index.pkl "
        "--reference data/degraded/offsets.tsv",
    )
    trained, settings, samples = parse_inputs(parser)
    threshold = settings.min_offset_probability
    measured: dict[str, list[ClipMeasurement]] = defaultdict(list)
    decisions: dict[str, Decisions] = defaultdict(Decisions)
    by_condition: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_condition[condition_of(sample)].append(sample)
    bar = tqdm(total=len(samples))
    for name, group in by_condition.items():
        for sample, partner in zip(group, other_speaker_partners(group), strict=True):
            measured[name].append(measure_clip(trained, sample, partner, threshold))
            own = compute_evidence(trained.model, *sample.read(), 2 * SEARCH_REACH)
            true_ms = sample.offset_ms - sample.shift_ms
            decide(decisions[name], own, trained, threshold, true_ms)
            if partner is not sample:
                other = mismatched_evidence(trained.model, sample, partner, 2 * SEARCH_REACH)
                decide(decisions[name], other, trained, threshold, None)
            bar.update()
    bar.close()
    print_table(measured, decisions)
    return 0


def print_table(
    measured: dict[str, list[ClipMeasurement]], decisions: dict[str, Decisions]
) -> None:
    """A row per condition."""
    columns = ("clips", "speakers", *COLUMNS, "excerpts", "withheld", "incorrect", "mismatched")
    print(f"| condition | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}")
    for name in (AS_RECORDED, *CONDITIONS, ALL):
        clips = measured.get(name)
        if not clips:
            continue
        metrics, made = compute_metrics(clips), decisions[name]
        cells = [str(len(clips)), str(len({clip.sample.speaker_id for clip in clips}))]
        cells += [_cell(metrics[column], column) for column in COLUMNS]
        cells += [str(len(made.withheld))]
        cells += [_share(values) for values in (made.withheld, made.incorrect, made.mismatched)]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def _cell(value: float, column: str) -> str:
    if np.isnan(value):
        return "–"
    if column == "ECE":
        return f"{value:.3f}"
    return f"{value:.1f}" if column.endswith("ms") else f"{value:.1%}"


def _share(values: list[bool]) -> str:
    return f"{np.mean(values):.1%}" if values else "–"


if __name__ == "__main__":
    run(main)

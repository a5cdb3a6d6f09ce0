"""What certainty and confidence mean: how many of the results that have it are correct.

Each clip of an index is scored with its matched audio, in full, its first seconds, and mixed with
a second voice, and with another speaker's audio alone. The results are binned by certainty
(``offset_probability``) and by LSE-C (``confidence``): how many of those with matched audio are
within ±1 frame, and how many mismatched pairs reach as much.
"""

import sys
from itertools import pairwise
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from tqdm import tqdm

from benchmarks.undetermined import MATCHED, MISMATCHED, make_pairs, parse_inputs
from src.checkpoints.checkpoint import TrainedModel
from src.core.cli import make_parser, run
from src.core.config import InferenceConfig
from src.core.constants import HOPS_PER_FRAME, WINDOW_FRAMES
from src.dataset.samples import Sample, SampleData
from src.dataset.splits import other_speaker_partners
from src.evaluation.metrics import is_correct
from src.i18n.messages import tr
from src.scoring.clip_evidence import compute_evidence
from src.scoring.result_builder import build_result

PROBABILITIES = (0, 0.5, 0.7, 0.9, 0.97, 0.99, 1.001)
CONFIDENCES = (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, np.inf)


def measure_offset(
    trained: TrainedModel, settings: InferenceConfig, track: SampleData
) -> tuple[float, float, float] | None:
    """(offset in ms, its certainty, LSE-C) of a track and its audio, however uncertain; None where
    there is no evidence at all."""
    if len(track.crop) < WINDOW_FRAMES:
        return None
    reach = settings.max_offset_frames * HOPS_PER_FRAME
    evidence = compute_evidence(trained.model, *track, reach)
    result = build_result([evidence], len(track.crop), trained.calibration, 0.0)
    if result.undetermined:
        return None
    return result.offset_ms, result.offset_probability, result.confidence


def collect(
    trained: TrainedModel, settings: InferenceConfig, samples: list[Sample]
) -> tuple[np.ndarray, np.ndarray]:
    """Results with matched audio, float [N, 3]: certainty, LSE-C, whether correct; and with
    mismatched audio, float [M, 2]: certainty and LSE-C."""
    matched, mismatched = [], []
    for sample, partner in zip(tqdm(samples), other_speaker_partners(samples), strict=True):
        for name, track in make_pairs(sample, partner):
            if not name.startswith(MATCHED) and name != MISMATCHED:
                continue
            measured = measure_offset(trained, settings, track)
            if measured is None:
                continue
            offset_ms, *certainties = measured
            if name == MISMATCHED:
                mismatched.append(certainties)
            else:
                error_ms = offset_ms - sample.offset_ms + sample.shift_ms
                matched.append([*certainties, is_correct(np.abs(error_ms))])
    return np.array(matched, float).reshape(-1, 3), np.array(mismatched, float).reshape(-1, 2)


def table(
    name: str, column: int, edges: tuple[float, ...], matched: np.ndarray, mismatched: np.ndarray
) -> list[str]:
    """Rows from edge to edge; the last column counts what reaches the lower edge."""
    lines = [f"| {name} | matched | correct | mismatched that reach it |", "|---|---|---|---|"]
    for low, high in pairwise(edges):
        in_bin = matched[(matched[:, column] >= low) & (matched[:, column] < high)]
        correct = f"{in_bin[:, 2].mean():.1%}" if len(in_bin) else "–"
        reaching = f"{(mismatched[:, column] >= low).mean():.1%}" if len(mismatched) else "–"
        label = f"from {low:g}" if high > 1 else f"{low:g} to {high:g}"
        lines.append(f"| {label} | {len(in_bin)} | {correct} | {reaching} |")
    return lines


def main() -> int:
    parser = make_parser(
        tr("Measure how many results are correct at each level of certainty."),
        "python benchmarks/confidence.py --index data/test/dataset_index.pkl",
    )
    trained, settings, samples = parse_inputs(parser)
    matched, mismatched = collect(trained, settings, samples)
    print(tr("{matched} results with matched audio, {mismatched} with another speaker's",
             matched=len(matched), mismatched=len(mismatched)))  # fmt: skip
    print("\n".join(table("offset_probability", 0, PROBABILITIES, matched, mismatched)), end="\n\n")
    print("\n".join(table("confidence (LSE-C)", 1, CONFIDENCES, matched, mismatched)))
    return 0


if __name__ == "__main__":
    run(main)

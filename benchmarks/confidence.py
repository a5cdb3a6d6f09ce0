"""What confidence means: of the answers told with it, how many are right.

Each clip of an index is judged with its own sound, whole, the beginning of it, and with another
voice under it, and with another speaker's alone. The answers are sorted by the chance that the
command tells (``offset_probability``) and by LSE-C (``confidence``): of those with the clip's own
sound, how many are within ±1 frame; and how many foreign sounds reach as much.
"""

import sys
from itertools import pairwise
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from tqdm import tqdm

from benchmarks.undetermined import OWN, asked, pairs_of
from src.checkpoints.checkpoint import TrainedModel
from src.core.cli import make_parser, run
from src.core.config import InferenceConfig
from src.core.constants import FRAME_MS, HOPS_PER_FRAME, WINDOW_FRAMES
from src.dataset.samples import Sample, SampleData
from src.dataset.splits import other_speaker_partners
from src.i18n.messages import tr
from src.scoring.clip_evidence import evidence_of
from src.scoring.evidence import TOLERANCE_FRAMES
from src.scoring.result import build_result

FOREIGN = "another speaker's"
CHANCES = (0, 0.5, 0.7, 0.9, 0.97, 0.99, 1.001)
CONFIDENCES = (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, np.inf)


def answered(
    trained: TrainedModel, settings: InferenceConfig, track: SampleData
) -> tuple[float, float, float] | None:
    """(offset in ms, its chance, LSE-C) of a track and its sound, however unlikely; None where
    there is no evidence at all."""
    if len(track.crop) < WINDOW_FRAMES:
        return None
    reach = settings.max_offset_frames * HOPS_PER_FRAME
    evidence = evidence_of(trained.model, *track, reach)
    _, details = build_result([evidence], len(track.crop), trained.calibration, 0.0)
    if details["offset_ms"] is None:
        return None
    return details["offset_ms"], details["offset_probability"], details["confidence"]


def collect(
    trained: TrainedModel, settings: InferenceConfig, samples: list[Sample]
) -> tuple[np.ndarray, np.ndarray]:
    """Answers with own sounds, float [N, 3] of chance, LSE-C, whether right; and with foreign
    ones, float [M, 2] of chance and LSE-C."""
    own, foreign = [], []
    for sample, stranger in zip(tqdm(samples), other_speaker_partners(samples), strict=True):
        for name, track in pairs_of(sample, stranger):
            if not name.startswith(OWN) and name != FOREIGN:
                continue
            found = answered(trained, settings, track)
            if found is None:
                continue
            offset, *sure = found
            if name == FOREIGN:
                foreign.append(sure)
            else:
                off = abs(round((offset - sample.offset_ms + sample.moved_ms) / FRAME_MS))
                own.append([*sure, off <= TOLERANCE_FRAMES])
    return np.array(own, float).reshape(-1, 3), np.array(foreign, float).reshape(-1, 2)


def table(
    name: str, column: int, edges: tuple[float, ...], own: np.ndarray, foreign: np.ndarray
) -> list[str]:
    """Rows from edge to edge; the last column counts what reaches the lower edge."""
    lines = [f"| {name} | own sounds | right | foreign sounds that reach it |", "|---|---|---|---|"]
    for low, high in pairwise(edges):
        here = own[(own[:, column] >= low) & (own[:, column] < high)]
        right = f"{here[:, 2].mean():.1%}" if len(here) else "–"
        reach = f"{(foreign[:, column] >= low).mean():.1%}" if len(foreign) else "–"
        label = f"from {low:g}" if high > 1 else f"{low:g} to {high:g}"
        lines.append(f"| {label} | {len(here)} | {right} | {reach} |")
    return lines


def main() -> int:
    parser = make_parser(
        tr("Measure how many answers are right at each confidence."),
        "python benchmarks/confidence.py --index data/test/dataset_index.pkl",
    )
    trained, settings, samples = asked(parser)
    own, foreign = collect(trained, settings, samples)
    print(tr("{own} answers with the clips' own sounds, {foreign} with another speaker's",
             own=len(own), foreign=len(foreign)))  # fmt: skip
    print("\n".join(table("offset_probability", 0, CHANCES, own, foreign)), end="\n\n")
    print("\n".join(table("confidence (LSE-C)", 1, CONFIDENCES, own, foreign)))
    return 0


if __name__ == "__main__":
    run(main)

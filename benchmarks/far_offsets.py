"""How often an offset of seconds is found, and how often one is reported where there is none.

Excerpts of 5, 10 and 20 s of each clip of an index are scored with audio of the same clip from up
to 3.8 s earlier or later, where that offset should be reported, and with excerpts of other
speakers' audio, where none should. They are scored as ``LipSyncInference`` does it: within the
search range, then up to ``inference.far_offset_s`` away.
"""

import random
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from tqdm import tqdm

from benchmarks.undetermined import parse_inputs
from src.checkpoints.checkpoint import TrainedModel
from src.core.cli import make_parser, run
from src.core.config import InferenceConfig
from src.core.constants import FPS, FRAME_MS, HOP_MS, HOPS_PER_FRAME
from src.dataset.samples import Sample
from src.evaluation.metrics import is_correct
from src.i18n.messages import tr
from src.models.embedding import embed_audio, embed_video
from src.scoring.evidence import compare, similarity_curve
from src.scoring.far_search import MIN_CANDIDATE_PROBABILITY, far_candidate
from src.scoring.result_builder import build_result
from src.scoring.result_types import Edge, Weak

LENGTHS = (5 * FPS, 10 * FPS, 20 * FPS)  # of the excerpts, in frames
MIN_SPEECH = 2 * FPS  # frames of an excerpt in which someone speaks
SHIFTS = (20, 40, 60, 75, 95)  # frames: 0.8 … 3.8 s
N_PAIRS = 300  # of each kind and length, at most
GATES = (0.2, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)  # certainties
PERCENTILES = (50, 90, 95, 99, 99.5, 100)
SEED = 0


class Excerpt(NamedTuple):
    """So many frames of a sample, from ``first`` on."""

    sample: Sample
    first: int
    n_frames: int


class Pair(NamedTuple):
    """Video and audio of one length; ``true_ms`` is their offset, None: they are mismatched."""

    video: Excerpt
    audio: Excerpt
    true_ms: float | None


class Outcome(NamedTuple):
    """What is found for a pair.

    Attributes:
        certainty: of its offset, however uncertain; 0: there is none.
        candidate: certainty of the best of all far offsets; None: none was searched for.
        is_correct: whether the offset is the true one.
    """

    certainty: float
    candidate: float | None
    is_correct: bool

    def is_reported(self, gate: float) -> bool:
        """Whether the offset would be reported from the certainty ``gate`` on."""
        is_candidate = self.candidate is None or self.candidate >= MIN_CANDIDATE_PROBABILITY
        return is_candidate and self.certainty >= gate


def excerpts(samples: list[Sample], n_frames: int) -> list[Excerpt]:
    """All excerpts of a length with enough speech, one after the other."""
    return [
        Excerpt(sample, first, n_frames)
        for sample in samples
        for first in range(0, sample.n_frames - n_frames + 1, n_frames)
        if sample.read(first, n_frames).speech.sum() >= MIN_SPEECH
    ]


def shifted_pairs(videos: list[Excerpt], rng: random.Random) -> Iterator[Pair]:
    """Each excerpt with audio of its own clip from before or after it, as far as the clip goes."""
    for video in videos:
        for shift in SHIFTS:
            for frames in rng.sample((shift, -shift), 2):
                first = video.first + frames
                if 0 <= first <= video.sample.n_frames - video.n_frames:
                    rest_ms = video.sample.offset_ms - video.sample.shift_ms
                    audio = video._replace(first=first)
                    yield Pair(video, audio, frames * FRAME_MS + rest_ms)
                    break


def mismatched_pairs(videos: list[Excerpt], rng: random.Random) -> Iterator[Pair]:
    """Each excerpt with each of another speaker, in any order."""
    pairs = [
        Pair(video, audio, None)
        for video in videos
        for audio in videos
        if video.sample.speaker_id != audio.sample.speaker_id
    ]
    rng.shuffle(pairs)
    yield from pairs


class Judge:
    """Scores pairs of excerpts; each video is embedded once.

    Args:
        trained: the model.
        settings: the search range, and how far offsets are searched beyond it.
    """

    def __init__(self, trained: TrainedModel, settings: InferenceConfig):
        self._trained, self._videos = trained, {}
        self._min_probability = settings.min_offset_probability
        self._reach = settings.max_offset_frames * HOPS_PER_FRAME
        self._far_reach = round(settings.far_offset_s * 1000 / HOP_MS)

    def judge(self, pair: Pair) -> Outcome:
        """What is found for a pair."""
        model, calibration = self._trained.model, self._trained.calibration
        n_frames = pair.video.n_frames
        if pair.video not in self._videos:
            crops = pair.video.sample.read(pair.video.first, n_frames).crop
            self._videos[pair.video] = embed_video(model, crops)
        video = self._videos[pair.video]
        _, mfcc, speech = pair.audio.sample.read(pair.audio.first, n_frames)
        audio = embed_audio(model, mfcc, speech)
        wide = compare(video, audio, speech, self._far_reach)
        near = wide.shifted(0, self._reach)
        result = build_result([near], n_frames, calibration, self._min_probability)
        candidate, centre = None, 0
        if isinstance(result.reason, Weak | Edge):
            candidate, centre = far_candidate(similarity_curve([wide]), calibration)
            around = compare(video, audio, speech, self._reach, centre=centre)
            result = build_result([around], n_frames, calibration, GATES[0])
        if result.undetermined or candidate == 0:
            return Outcome(0.0, candidate, False)
        found_ms = result.offset_ms + centre * HOP_MS
        correct = pair.true_ms is not None and bool(is_correct(np.abs(found_ms - pair.true_ms)))
        return Outcome(result.offset_probability, candidate, correct)


def outcomes_row(name: str, outcomes: list[Outcome]) -> str:
    """A line of the table: reported correctly / incorrectly, from each certainty on."""
    cells = []
    for gate in GATES:
        reported = [outcome.is_correct for outcome in outcomes if outcome.is_reported(gate)]
        counts = sum(reported), len(reported) - sum(reported)
        cells.append(" / ".join(f"{count / max(1, len(outcomes)):.1%}" for count in counts))
    return f"| {name} | {len(outcomes)} | {' | '.join(cells)} |"


def candidates_row(name: str, outcomes: list[Outcome]) -> str:
    """A line of percentiles of the certainty of the best far offset."""
    values = [outcome.candidate for outcome in outcomes if outcome.candidate is not None]
    marks = np.percentile(values or [np.nan], PERCENTILES)
    return f"| {name} | {len(values)} | {' | '.join(f'{mark:.3f}' for mark in marks)} |"


def table(kind: str, columns: list[str], rows: list[str]) -> str:
    """A table with a head."""
    head = f"| {kind} | number | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 2)}"
    return "\n".join([head, *rows, ""])


def main() -> int:
    parser = make_parser(
        tr("Count how often an offset of seconds is found, and how often one is reported where "
           "there is none."),
        "python benchmarks/far_offsets.py --index data/test/dataset_index.pkl",
    )  # fmt: skip
    trained, settings, samples = parse_inputs(parser)
    judge, rows, candidates = Judge(trained, settings), [], []
    for n_frames in LENGTHS:
        rng = random.Random(SEED)
        videos = excerpts(samples, n_frames)
        rng.shuffle(videos)
        for kind, make_pairs in (("shifted", shifted_pairs), ("mismatched", mismatched_pairs)):
            name = f"{kind}, {n_frames / FPS:g} s"
            pairs = list(islice(make_pairs(videos, rng), N_PAIRS))
            outcomes = [judge.judge(pair) for pair in tqdm(pairs, name)]
            rows.append(outcomes_row(name, outcomes))
            candidates.append(candidates_row(name, outcomes))
    print(table("reported correctly / incorrectly", [f"from {gate:g}" for gate in GATES], rows))
    print(table("best far offset", [f"{mark:g}%" for mark in PERCENTILES], candidates))
    return 0


if __name__ == "__main__":
    run(main)

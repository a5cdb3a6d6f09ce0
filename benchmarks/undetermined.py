"""How often "undetermined" is said rightly and wrongly.

Each clip of an index is judged with its own sound, whole and the beginning of it, and with another
voice as loud under it, where an offset should be told once there is speech enough; and with what
proves nothing: another speaker's sound (voice-over, dubbing), its own sound under a still picture,
music, noise, silence.
"""

import argparse
import math
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import torch
from torchaudio.functional import create_dct
from tqdm import tqdm

from src.audio.features import features_of
from src.checkpoints.checkpoint import TrainedModel, load_trained, resolve_checkpoint
from src.core.cli import add_checkpoint, make_parser, run, settings_of
from src.core.config import InferenceConfig
from src.core.constants import FPS, FRAME_MS, HOPS_PER_FRAME, N_MELS, SAMPLE_RATE, WINDOW_FRAMES
from src.core.device import choose_device, reuse_freed_memory
from src.dataset.samples import Sample, SampleData
from src.dataset.splits import other_speaker_partners
from src.evaluation import summary
from src.i18n.messages import tr
from src.models.normalization import bands_of
from src.scoring.clip_evidence import evidence_of
from src.scoring.evidence import TOLERANCE_FRAMES
from src.scoring.result import build_result

LONG = 2 * FPS  # frames: longer clips are told apart from shorter ones
BEGINNINGS = (15, FPS, 2 * FPS, 3 * FPS)  # frames
ANSWERS = ("right", "wrong", "no_speech", "too_short", "weak", "edge")
LEVEL = 0.1  # RMS of made sounds
PER_DB = math.log(10) / 10  # dB as the logarithm of a power
OWN = "its own sound"


def music(seconds: float, seed: int) -> np.ndarray:
    """Chords with overtones, a bass and a beat: float32 at 16 kHz."""
    dice = np.random.default_rng(seed)
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    beat = 0.5  # seconds
    sound = np.zeros_like(time)
    for number in range(int(seconds / beat) + 1):
        since = time - number * beat
        there = since >= 0
        fade = np.where(there, np.exp(-3 * np.clip(since, 0, None)), 0)
        root = 110 * 2 ** (dice.integers(0, 12) / 12)
        for note in (0.5, 1, 2 ** (dice.choice([3, 4]) / 12), 2 ** (7 / 12)):
            for overtone in range(1, 6):
                sound += fade * np.sin(2 * np.pi * root * note * overtone * since) / overtone
        struck = np.where(there, np.exp(-40 * np.clip(since, 0, None)), 0)
        sound += 2 * struck * dice.standard_normal(len(time))
    return levelled(sound)


def levelled(sound: np.ndarray) -> np.ndarray:
    """The sound at the level of the others, float32."""
    return (sound * LEVEL / max(1e-9, float(np.sqrt((sound**2).mean())))).astype(np.float32)


def together(own: SampleData, other: SampleData) -> SampleData:
    """Two people who talk at once, as loud as each other: the powers of their sounds add up, band
    by band (that of a sum of sounds, without their phases)."""
    bands = [bands_of(torch.from_numpy(np.array(track.mfcc))) for track in (own, other)]
    levels = [band[_steps(track.speech)].mean() if track.speech.any() else band.mean()
              for band, track in zip(bands, (own, other), strict=True)]  # fmt: skip
    as_loud = bands[1] + levels[0] - levels[1]
    both = torch.logaddexp(bands[0] * PER_DB, as_loud * PER_DB) / PER_DB
    mfcc = both @ create_dct(own.mfcc.shape[1], N_MELS, norm="ortho")
    return SampleData(own.crop, mfcc.numpy(), own.speech | other.speech)


def _steps(speech: np.ndarray) -> np.ndarray:
    return np.repeat(speech, HOPS_PER_FRAME)


def pairs_of(sample: Sample, stranger: Sample) -> Iterator[tuple[str, SampleData]]:
    """All that is made of a clip: a name each (``OWN`` and what begins so have an offset), and the
    picture with its sound."""
    own = sample.read()
    n, n_mfcc = len(own.crop), own.mfcc.shape[1]
    yield OWN, own
    for frames in BEGINNINGS:
        if n > frames:
            yield (
                f"{OWN}, the first {frames / FPS:g} s",
                SampleData(
                    own.crop[:frames], own.mfcc[: frames * HOPS_PER_FRAME], own.speech[:frames]
                ),
            )
    if stranger is not sample:
        both = min(n, stranger.n_frames)
        other = stranger.read(0, both)
        yield "another speaker's", other._replace(crop=own.crop[:both])
        yield f"{OWN} and another voice", together(sample.read(0, both), other)
    yield "still picture", own._replace(crop=np.repeat(own.crop[:1], n, axis=0))
    seed = crc32(sample.id.encode())
    noise = levelled(np.random.default_rng(seed).standard_normal(n * SAMPLE_RATE // FPS))
    for name, sound in (
        ("music", music(n / FPS, seed)),
        ("noise", noise),
        ("silence", np.zeros(n * SAMPLE_RATE // FPS, np.float32)),
    ):
        mfcc, speech = features_of(sound, n, n_mfcc)
        yield name, SampleData(own.crop, mfcc, speech)


def answer(
    trained: TrainedModel, settings: InferenceConfig, track: SampleData, true_ms: float | None
) -> str:
    """``right`` or ``wrong`` where an offset is told (±1 frame), else why none is.

    Args:
        true_ms: the true offset; None: there is none, and whatever is told is wrong.
    """
    reach = settings.max_offset_frames * HOPS_PER_FRAME
    if len(track.crop) < WINDOW_FRAMES:
        return "too_short"
    evidence = evidence_of(trained.model, *track, reach)
    _, details = build_result(
        [evidence], len(track.crop), trained.calibration, settings.min_offset_probability
    )
    if details["status"] != "ok":
        return details["status"]
    if true_ms is None:
        return "wrong"
    off = abs(round((details["offset_ms"] - true_ms) / FRAME_MS))
    return "right" if off <= TOLERANCE_FRAMES else "wrong"


def asked(
    parser: argparse.ArgumentParser,
) -> tuple[TrainedModel, InferenceConfig, list[Sample]]:
    """What a benchmark of answers is told: the model, the settings of judging, and the samples
    whose own offset is known (all, if none is) and which have a window.

    Raises:
        MissingFileError, CheckpointError, DatasetError.
    """
    add_checkpoint(parser)
    summary.add_measured(parser)
    args = parser.parse_args()
    given = settings_of(args)
    reuse_freed_memory()
    trained = load_trained(
        resolve_checkpoint(args.checkpoint, given.paths.checkpoint_dir),
        choose_device(given.training.device),
    )
    samples = summary.measured_samples(args, trained.config.data)
    samples = [sample for sample in samples if sample.known] or samples
    long_enough = [sample for sample in samples if sample.n_frames >= WINDOW_FRAMES]
    return trained, given.inference, long_enough


def main() -> int:
    parser = make_parser(
        tr("Count how often no offset is told, rightly and wrongly."),
        "python benchmarks/undetermined.py --index data/test/dataset_index.pkl",
    )
    trained, settings, samples = asked(parser)
    counts: dict[tuple[bool, str], Counter] = {}
    for sample, stranger in zip(tqdm(samples), other_speaker_partners(samples), strict=True):
        for name, track in pairs_of(sample, stranger):
            key = (sample.n_frames > LONG, name)
            true_ms = sample.offset_ms - sample.moved_ms if name.startswith(OWN) else None
            found = answer(trained, settings, track, true_ms)
            counts.setdefault(key, Counter())[found] += 1
    print_table(counts)
    return 0


def print_table(counts: dict[tuple[bool, str], Counter]) -> None:
    """A row for each kind of sound, of long and of short clips."""
    print(f"| clips | sound | number | {' | '.join(ANSWERS)} |\n|{'---|' * (len(ANSWERS) + 3)}")
    for (is_long, name), found in sorted(counts.items(), key=lambda item: not item[0][0]):
        length = f"{'over' if is_long else 'up to'} {LONG / FPS:g} s"
        shares = " | ".join(f"{found[kind] / found.total():.1%}" for kind in ANSWERS)
        print(f"| {length} | {name} | {found.total()} | {shares} |")


if __name__ == "__main__":
    run(main)

"""How often "undetermined" is reported correctly and incorrectly.

Each clip of an index is scored with its matched audio (in full, its first seconds, and mixed with
an equally loud second voice), where an offset should be reported once there is enough speech; and
with audio that proves nothing: another speaker's (voice-over, dubbing), its own under a frozen
video, music, noise, silence.
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

from src.audio.features import compute_features
from src.checkpoints.checkpoint import TrainedModel, load_trained
from src.checkpoints.location import resolve_checkpoint
from src.core.cli import add_checkpoint, make_parser, run, settings_of
from src.core.config import InferenceConfig
from src.core.constants import FPS, HOPS_PER_FRAME, N_MELS, SAMPLE_RATE, WINDOW_FRAMES
from src.core.device import choose_device, reuse_freed_memory
from src.dataset.samples import Sample, SampleData
from src.dataset.splits import other_speaker_partners
from src.evaluation import options
from src.evaluation.metrics import is_correct
from src.i18n.messages import tr
from src.models.normalization import mfcc_to_bands
from src.scoring.clip_evidence import compute_evidence
from src.scoring.result_builder import build_result

LONG = 2 * FPS  # frames: longer clips are counted apart from shorter ones
BEGINNINGS = (15, FPS, 2 * FPS, 3 * FPS)  # frames
OUTCOMES = ("correct", "incorrect", "no_speech", "too_short", "weak", "edge")
LEVEL = 0.1  # RMS of generated audio
PER_DB = math.log(10) / 10  # dB as the logarithm of a power
MATCHED = "matched audio"
MISMATCHED = "another speaker's audio"


def music(seconds: float, seed: int) -> np.ndarray:
    """Chords with overtones, a bass and a beat: float32 at 16 kHz."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    beat = 0.5  # seconds
    audio = np.zeros_like(time)
    for number in range(int(seconds / beat) + 1):
        since_onset = time - number * beat
        is_played = since_onset >= 0
        fade = np.where(is_played, np.exp(-3 * np.clip(since_onset, 0, None)), 0)
        root = 110 * 2 ** (rng.integers(0, 12) / 12)
        for note in (0.5, 1, 2 ** (rng.choice([3, 4]) / 12), 2 ** (7 / 12)):
            for overtone in range(1, 6):
                phase = 2 * np.pi * root * note * overtone * since_onset
                audio += fade * np.sin(phase) / overtone
        drum = np.where(is_played, np.exp(-40 * np.clip(since_onset, 0, None)), 0)
        audio += 2 * drum * rng.standard_normal(len(time))
    return normalise_level(audio)


def normalise_level(audio: np.ndarray) -> np.ndarray:
    """The audio at an RMS of ``LEVEL``, float32."""
    return (audio * LEVEL / max(1e-9, float(np.sqrt((audio**2).mean())))).astype(np.float32)


def mix_voices(own: SampleData, other: SampleData) -> SampleData:
    """Two people who speak at once, equally loud: the powers of their voices add up, band by band
    (as of a sum of signals whose phases are ignored)."""
    bands = [mfcc_to_bands(torch.from_numpy(np.array(track.mfcc))) for track in (own, other)]
    levels = [band[_per_hop(track.speech)].mean() if track.speech.any() else band.mean()
              for band, track in zip(bands, (own, other), strict=True)]  # fmt: skip
    equally_loud = bands[1] + levels[0] - levels[1]
    mixed_bands = torch.logaddexp(bands[0] * PER_DB, equally_loud * PER_DB) / PER_DB
    mfcc = mixed_bands @ create_dct(own.mfcc.shape[1], N_MELS, norm="ortho")
    return SampleData(own.crop, mfcc.numpy(), own.speech | other.speech)


def _per_hop(speech: np.ndarray) -> np.ndarray:
    return np.repeat(speech, HOPS_PER_FRAME)


def make_pairs(sample: Sample, partner: Sample) -> Iterator[tuple[str, SampleData]]:
    """The test pairs of a clip: a name each (those that start with ``MATCHED`` have an offset) and
    the video with its audio.

    Args:
        partner: a sample of another speaker, whose audio is mismatched; ``sample`` itself: none.
    """
    own = sample.read()
    n, n_mfcc = len(own.crop), own.mfcc.shape[1]
    yield MATCHED, own
    for frames in BEGINNINGS:
        if n > frames:
            yield (
                f"{MATCHED}, the first {frames / FPS:g} s",
                SampleData(
                    own.crop[:frames], own.mfcc[: frames * HOPS_PER_FRAME], own.speech[:frames]
                ),
            )
    if partner is not sample:
        common = min(n, partner.n_frames)
        other = partner.read(0, common)
        yield MISMATCHED, other._replace(crop=own.crop[:common])
        yield f"{MATCHED} and a second voice", mix_voices(sample.read(0, common), other)
    yield "frozen video", own._replace(crop=np.repeat(own.crop[:1], n, axis=0))
    seed = crc32(sample.id.encode())
    noise = normalise_level(np.random.default_rng(seed).standard_normal(n * SAMPLE_RATE // FPS))
    for name, audio in (
        ("music", music(n / FPS, seed)),
        ("noise", noise),
        ("silence", np.zeros(n * SAMPLE_RATE // FPS, np.float32)),
    ):
        mfcc, speech = compute_features(audio, n, n_mfcc)
        yield name, SampleData(own.crop, mfcc, speech)


def classify(
    trained: TrainedModel, settings: InferenceConfig, track: SampleData, true_ms: float | None
) -> str:
    """``correct`` or ``incorrect`` where an offset is reported (±1 frame), else why none is.

    Args:
        true_ms: the true offset; None: there is none, and any reported offset is incorrect.
    """
    reach = settings.max_offset_frames * HOPS_PER_FRAME
    if len(track.crop) < WINDOW_FRAMES:
        return "too_short"
    evidence = compute_evidence(trained.model, *track, reach)
    result = build_result(
        [evidence], len(track.crop), trained.calibration, settings.min_offset_probability
    )
    if result.undetermined:
        return result.status
    if true_ms is None:
        return "incorrect"
    return "correct" if is_correct(np.abs(result.offset_ms - true_ms)) else "incorrect"


def parse_inputs(
    parser: argparse.ArgumentParser,
) -> tuple[TrainedModel, InferenceConfig, list[Sample]]:
    """The model, the settings, and the samples whose clip offset is known (all, if none is) and
    which are at least a window long, as the command line names them.

    Raises:
        MissingFileError, CheckpointError, DatasetError.
    """
    add_checkpoint(parser)
    options.add_sample_options(parser)
    args = parser.parse_args()
    config = settings_of(args)
    reuse_freed_memory()
    trained = load_trained(
        resolve_checkpoint(args.checkpoint, config.paths.checkpoint_dir),
        choose_device(config.training.device),
    )
    samples = options.load_chosen_samples(args, trained.config.data)
    samples = [sample for sample in samples if sample.offset_known] or samples
    long_enough = [sample for sample in samples if sample.n_frames >= WINDOW_FRAMES]
    return trained, config.inference, long_enough


def main() -> int:
    parser = make_parser(
        tr("Count how often an offset is withheld, correctly and incorrectly."),
        "python benchmarks/undetermined.py --index data/test/dataset_index.pkl",
    )
    trained, settings, samples = parse_inputs(parser)
    counts: dict[tuple[bool, str], Counter] = {}
    for sample, partner in zip(tqdm(samples), other_speaker_partners(samples), strict=True):
        for name, track in make_pairs(sample, partner):
            key = (sample.n_frames > LONG, name)
            true_ms = sample.offset_ms - sample.shift_ms if name.startswith(MATCHED) else None
            outcome = classify(trained, settings, track, true_ms)
            counts.setdefault(key, Counter())[outcome] += 1
    print_table(counts)
    return 0


def print_table(counts: dict[tuple[bool, str], Counter]) -> None:
    """A row per kind of audio, for long and for short clips."""
    print(f"| clips | audio | number | {' | '.join(OUTCOMES)} |\n|{'---|' * (len(OUTCOMES) + 3)}")
    for (is_long, name), outcomes in sorted(counts.items(), key=lambda item: not item[0][0]):
        length = f"{'over' if is_long else 'up to'} {LONG / FPS:g} s"
        shares = " | ".join(f"{outcomes[kind] / outcomes.total():.1%}" for kind in OUTCOMES)
        print(f"| {length} | {name} | {outcomes.total()} | {shares} |")


if __name__ == "__main__":
    run(main)

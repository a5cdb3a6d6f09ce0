"""The evidence of samples, and the offsets that it shows."""

import random

import numpy as np

from ..core.constants import HOPS_PER_FRAME
from ..dataset.samples import Sample
from ..models.sync_model import SyncModel
from ..scoring.clip_evidence import compute_evidence
from ..scoring.evidence import Evidence, at_edge, best_offset, peak_ms, similarity_curve

# For clip offsets, in hops: recordings are hardly ever out of sync by more, and a smaller search
# range loses fewer windows at the ends of a clip.
CLIP_OFFSET_REACH = 10 * HOPS_PER_FRAME


def measure_evidence(model: SyncModel, samples: list[Sample], reach: int) -> list[Evidence]:
    """The evidence of each sample with its own audio, within ``±reach`` hops of its clip offset."""
    model.eval()
    return [compute_evidence(model, *sample.read(), reach) for sample in samples]


def measure_mismatched(
    model: SyncModel, samples: list[Sample], partners: list[Sample], reach: int
) -> list[Evidence]:
    """The evidence of each sample with the audio of its partner, within ``±reach`` hops; nothing
    for samples that are their own partner."""
    model.eval()
    return [
        mismatched_evidence(model, sample, partner, reach)
        for sample, partner in zip(samples, partners, strict=True)
        if partner is not sample
    ]


def speakers_of_evidence(
    samples: list[Sample], partners: list[Sample]
) -> tuple[list[str], list[str]]:
    """Whose face is in each evidence of ``measure_evidence``, and of ``measure_mismatched``."""
    paired = zip(samples, partners, strict=True)
    return (
        [sample.speaker_id for sample in samples],
        [sample.speaker_id for sample, partner in paired if partner is not sample],
    )


def mismatched_evidence(model: SyncModel, sample: Sample, partner: Sample, reach: int) -> Evidence:
    """The evidence of a sample with the audio of another one, over the frames that both have."""
    n_frames = min(sample.n_frames, partner.n_frames)
    audio = partner.read(0, n_frames)
    crops = sample.read(0, n_frames).crop
    return compute_evidence(model, crops, audio.mfcc, audio.speech, reach)


def measure_zero_ms(model: SyncModel, samples: list[Sample], n_clips: int) -> float:
    """The zero reference of a network, in ms: the median offset it measures in up to ``n_clips`` of
    the samples it was trained on, which it takes to be in sync. 0 if none can be measured."""
    chosen = random.Random(0).sample(samples, min(n_clips, len(samples)))
    evidence = measure_evidence(model, chosen, CLIP_OFFSET_REACH)
    offsets = [offset for offset in map(best_offset_ms, evidence) if offset is not None]
    return float(np.median(offsets)) if offsets else 0.0


def best_offset_ms(evidence: Evidence) -> float | None:
    """The best offset of a clip in ms; None without support or at the edge of the search range."""
    curve = similarity_curve([evidence.with_speech()])
    return None if best_offset(curve) is None or at_edge(curve) else peak_ms(curve)

"""Evidence of samples, each by itself."""

import random

import numpy as np

from ..core.constants import HOPS_PER_FRAME
from ..dataset.samples import Sample
from ..models.sync_model import SyncModel
from ..scoring.clip_evidence import evidence_of
from ..scoring.evidence import Evidence, at_edge, best_offset, curve_of, peak_ms

REACH = 10 * HOPS_PER_FRAME  # recordings are hardly off by more, and within less fewer are lost


def measure_evidence(model: SyncModel, samples: list[Sample], reach: int) -> list[Evidence]:
    """The evidence of each sample with its own sound, moved by its own offset."""
    model.eval()
    return [evidence_of(model, *sample.read(), reach) for sample in samples]


def measure_mismatched(
    model: SyncModel, samples: list[Sample], others: list[Sample], reach: int
) -> list[Evidence]:
    """The evidence of each sample with the sound of another one; none where that is itself."""
    model.eval()
    found = []
    for one, other in zip(samples, others, strict=True):
        if one is other:
            continue
        n = min(one.n_frames, other.n_frames)
        sound = other.read(0, n)
        found.append(evidence_of(model, one.read(0, n).crop, sound.mfcc, sound.speech, reach))
    return found


def measure_zero_ms(model: SyncModel, samples: list[Sample], clips: int) -> float:
    """What a network finds, in ms, where there is nothing to find: the median over some of the
    clips it was trained on, as it read them. 0 where none shows anything."""
    shown = random.Random(0).sample(samples, min(clips, len(samples)))
    seen = [best_offset_ms(evidence) for evidence in measure_evidence(model, shown, REACH)]
    found = [offset for offset in seen if offset is not None]
    return float(np.median(found)) if found else 0.0


def best_offset_ms(evidence: Evidence) -> float | None:
    """The offset a clip shows; None where it shows none or may show it further out."""
    curve = curve_of([evidence.spoken()])
    return None if best_offset(curve) is None or at_edge(curve) else peak_ms(curve)

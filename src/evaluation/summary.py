"""The metrics of a model over an index of samples."""

import math
from collections.abc import Callable

from tqdm import tqdm

from ..checkpoints.checkpoint import TrainedModel
from ..core.constants import WINDOW_FRAMES
from ..dataset.samples import Sample
from ..dataset.splits import other_speaker_partners
from ..i18n.messages import tr
from .protocol import (
    BOOTSTRAP_SAMPLES,
    LENGTHS,
    ClipMeasurement,
    bootstrap_intervals,
    clip_reliability,
    compute_metrics,
    group_clips,
    length_label,
    measure_clip,
)

# The columns of the tables by source and by speaker.
SHORT_COLUMNS = ("K = 5", "K = 15", "1 s", "whole clip", "median error ms")


def evaluate(
    trained: TrainedModel, samples: list[Sample], min_probability: float
) -> list[ClipMeasurement]:
    """Measure every sample, with a progress bar; samples shorter than a window are skipped.

    Args:
        min_probability: an offset less likely correct is undetermined.

    Raises:
        DatasetError: a file is missing or damaged.
    """
    samples = [sample for sample in samples if sample.n_frames >= WINDOW_FRAMES]
    bar = tqdm(samples, desc=tr("measuring"), unit="it")
    return [
        measure_clip(trained, sample, partner, min_probability)
        for sample, partner in zip(bar, other_speaker_partners(samples), strict=True)
    ]


def summarise(clips: list[ClipMeasurement]) -> dict:
    """All metrics as ``evaluate.py --json`` prints them: plain builtins, None for what could not
    be measured."""
    known = [clip for clip in clips if clip.sample.offset_known] or clips
    unknown = [clip for clip in clips if not clip.sample.offset_known] if known is not clips else []
    metrics, intervals = compute_metrics(known), bootstrap_intervals(known, BOOTSTRAP_SAMPLES)
    reliability = clip_reliability(known)
    return _nan_to_none({
        "clips": len(known),
        "speakers": len({clip.sample.speaker_id for clip in known}),
        "offsets_known": known is not clips,
        "figures": {
            name: {"value": value, "low": intervals[name][0], "high": intervals[name][1]}
            for name, value in metrics.items()
        },
        "places": {
            length_label(frames): {
                "counted": sum(len(clip.hits[frames]) for clip in known),
                "silent": sum(clip.n_silent[frames] for clip in known),
            }
            for frames in LENGTHS
        },
        "reliability": {
            "predicted": reliability.predicted.tolist(),
            "observed": reliability.observed.tolist(),
            "weight": reliability.weight.tolist(),
        },
        "by_source": _summarise_groups(known, lambda sample: sample.source),
        "by_speaker": _summarise_groups(known, lambda sample: sample.speaker or sample.clip),
        "without_a_known_offset": {"clips": len(unknown), **_short_metrics(unknown)},
    })  # fmt: skip


def _summarise_groups(clips: list[ClipMeasurement], key: Callable[[Sample], str]) -> dict:
    return {
        name: {
            "clips": len(group), "speakers": len({clip.sample.speaker_id for clip in group}),
            **_short_metrics(group),
        }
        for name, group in group_clips(clips, key).items()
    }  # fmt: skip


def _short_metrics(clips: list[ClipMeasurement]) -> dict[str, float]:
    return {name: value for name, value in compute_metrics(clips).items() if name in SHORT_COLUMNS}


def _nan_to_none(value):
    """NaN becomes None, for JSON."""
    if isinstance(value, dict):
        return {key: _nan_to_none(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_nan_to_none(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value

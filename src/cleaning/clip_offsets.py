"""Clip offsets: folds of speakers, measured offsets, the table and the plot of them.

Recordings are out of sync by up to three frames, each clip by its own amount. A network that has
not been trained on a speaker can measure the offsets of that speaker's clips (``cross_fitting``
trains the networks).
"""

import csv
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..core.errors import DatasetError
from ..core.files import written_atomically
from ..core.table_cells import cell, read_cell
from ..dataset.index import MAX_OFFSET_MS
from ..dataset.samples import Sample
from ..evaluation.measure import best_offset_ms
from ..i18n.messages import tr
from ..plotting.figures import save_figure
from ..scoring.calibration import calibration_features
from ..scoring.evidence import Evidence, best_offset, similarity_curve

# A clip needs more evidence than this percentile of mismatched pairs. Clips share words, so that
# many of these pairs do match somewhere (docs/clip_offsets.md).
MISMATCHED_PERCENTILE = 65
HISTOGRAM_MS = 200  # larger offsets are drawn at the edge
COLUMNS = ("id", "offset_ms", "evidence")


@dataclass(frozen=True)
class ClipOffset:
    """The offset of a sample, measured by a network that was not trained on its speaker.

    Attributes:
        id: of the sample.
        offset_ms: how much its audio, as recorded, must be delayed; None: not measurable.
        evidence: the margin of the best offset over those at least 3 frames away, times √seconds;
            0 where there is too little speech.
    """

    id: str
    offset_ms: float | None
    evidence: float


# --- folds


def assign_folds(samples: list[Sample], n_folds: int, seed: int) -> list[list[Sample]]:
    """Distribute the speakers over folds with about the same number of frames.

    Raises:
        DatasetError: there are fewer speakers than folds.
    """
    frames_by_speaker = Counter()
    for sample in samples:
        frames_by_speaker[sample.speaker_id] += sample.length
    if len(frames_by_speaker) < n_folds:
        raise DatasetError(
            tr("{n} speakers (or clips without a speaker): at least {folds} are required, one for "
               "each fold", n=len(frames_by_speaker), folds=n_folds)
        )  # fmt: skip
    speakers = sorted(frames_by_speaker)
    random.Random(seed).shuffle(speakers)
    speakers.sort(key=frames_by_speaker.get, reverse=True)
    frames_by_fold, fold_by_speaker = [0] * n_folds, {}
    for speaker in speakers:  # the largest first, each to the smallest fold
        fold = frames_by_fold.index(min(frames_by_fold))
        fold_by_speaker[speaker] = fold
        frames_by_fold[fold] += frames_by_speaker[speaker]
    folds: list[list[Sample]] = [[] for _ in range(n_folds)]
    for sample in samples:
        folds[fold_by_speaker[sample.speaker_id]].append(sample)
    return folds


# --- measuring


def measure_strength(evidence: Evidence) -> float:
    """How much evidence a clip has for its best offset (``ClipOffset.evidence``)."""
    curve = similarity_curve([evidence.with_speech()])
    best = best_offset(curve)
    features = None if best is None else calibration_features(curve, best)
    if features is None:
        return 0.0
    _, _, lead_by_length, *_ = features
    return float(lead_by_length)


def evidence_threshold(mismatched: list[Evidence]) -> float:
    """The evidence that most mismatched pairs do not exceed."""
    strengths = [measure_strength(evidence) for evidence in mismatched]
    return float(np.percentile(strengths, MISMATCHED_PERCENTILE))


def estimate_clip_offset(
    sample: Sample, evidence: Evidence, threshold: float, zero_ms: float
) -> ClipOffset:
    """The clip offset of a sample.

    Args:
        evidence: of the sample, its audio already shifted by ``sample.shift_hops``.
        threshold: the offset counts as measured with more evidence than this.
        zero_ms: the zero reference of the network.
    """
    strength = measure_strength(evidence)
    offset_ms = best_offset_ms(evidence)
    if strength <= threshold or offset_ms is None:
        return ClipOffset(sample.id, None, round(strength, 4))
    offset_ms = round(sample.shift_ms + offset_ms - zero_ms, 1)
    return ClipOffset(sample.id, offset_ms, round(strength, 4))


def known_offsets(clip_offsets: list[ClipOffset] | None) -> dict[str, float]:
    """The measured offsets in ms, by sample id."""
    return {item.id: item.offset_ms for item in clip_offsets or () if item.offset_ms is not None}


def retime_samples(samples: list[Sample], clip_offsets: list[ClipOffset] | None) -> list[Sample]:
    """Samples with their measured offsets.

    A sample without one gets the median of its speaker's others: in the first rounds most are not
    measurable yet, and they are needed for training.
    """
    offset_by_id = known_offsets(clip_offsets)
    median_by_speaker = {
        speaker: float(np.median(offsets))
        for speaker, offsets in _group_by_speaker(offset_by_id, samples).items()
    }
    return [
        replace(
            sample,
            offset_ms=offset_by_id.get(sample.id, median_by_speaker.get(sample.speaker_id, 0.0)),
        )
        for sample in samples
    ]


def _group_by_speaker(
    offset_by_id: dict[str, float], samples: list[Sample]
) -> dict[str, list[float]]:
    """The offsets of each speaker's samples."""
    offsets_by_speaker = defaultdict(list)
    for sample in samples:
        if sample.id in offset_by_id:
            offsets_by_speaker[sample.speaker_id].append(offset_by_id[sample.id])
    return offsets_by_speaker


def median_over_speakers(offset_by_id: dict[str, float], samples: list[Sample]) -> float:
    """The median over speakers of the median over their clips: every speaker counts alike."""
    groups = _group_by_speaker(offset_by_id, samples)
    return float(np.median([np.median(offsets) for offsets in groups.values()]))


# --- the common zero


def centre_offsets(clip_offsets: list[ClipOffset], samples: list[Sample]) -> list[ClipOffset]:
    """The offsets relative to their median over speakers, which becomes 0."""
    offset_by_id = known_offsets(clip_offsets)
    if not offset_by_id:
        return clip_offsets
    return _subtract(clip_offsets, median_over_speakers(offset_by_id, samples))


def damp_fold_shift(
    clip_offsets: list[ClipOffset], samples: list[Sample], n_folds: int
) -> list[ClipOffset]:
    """The offsets of a fold with 1/n of its common shift since the last round taken back.

    A network passes its zero reference, which is the mean of those of the other folds, on to the
    clips it measures. Two folds would swap theirs in every round. With 1/n of the shift taken
    back, all folds arrive at the common mean at once.

    Args:
        samples: of the fold, with the offsets of the last round.
    """
    earlier = {sample.id: sample.offset_ms for sample in samples}
    shifts = {
        sample_id: offset_ms - earlier[sample_id]
        for sample_id, offset_ms in known_offsets(clip_offsets).items()
    }
    if not shifts:
        return clip_offsets
    return _subtract(clip_offsets, median_over_speakers(shifts, samples) / n_folds)


def _subtract(clip_offsets: list[ClipOffset], ms: float) -> list[ClipOffset]:
    return [
        item if item.offset_ms is None else replace(item, offset_ms=round(item.offset_ms - ms, 1))
        for item in clip_offsets
    ]


def median_change_ms(earlier: list[ClipOffset] | None, current: list[ClipOffset]) -> float | None:
    """The median absolute change of the offsets measured in two rounds; None: the first round."""
    earlier_by_id = known_offsets(earlier)
    changes = [
        abs(offset_ms - earlier_by_id[sample_id])
        for sample_id, offset_ms in known_offsets(current).items()
        if sample_id in earlier_by_id
    ]
    return float(np.median(changes)) if changes else None


# --- files


def write_clip_offsets(path: Path, clip_offsets: list[ClipOffset]) -> None:
    """Write a table (CSV with a byte order mark, for spreadsheets).

    Raises:
        OutputError.
    """
    with (
        written_atomically(path) as temporary_path,
        # Old archives hold names that are not UTF-8: their bytes stay as they are.
        open(
            temporary_path, "w", encoding="utf-8-sig", errors="surrogateescape", newline=""
        ) as file,
    ):
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for item in clip_offsets:
            offset_cell = "" if item.offset_ms is None else item.offset_ms
            table.writerow([cell(item.id), offset_cell, item.evidence])


def read_clip_offsets(path: Path) -> list[ClipOffset]:
    """Read the table that ``write_clip_offsets`` wrote.

    Raises:
        DatasetError: it is not such a table.
    """
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            return [
                ClipOffset(
                    read_cell(row["id"]),
                    _parse_number(row["offset_ms"]) if row["offset_ms"] else None,
                    _parse_number(row["evidence"]),
                )
                for row in csv.DictReader(file)
            ]  # fmt: skip
    except (OSError, KeyError, TypeError, ValueError, UnicodeDecodeError) as error:
        raise DatasetError(
            tr("cannot read {path}: {why}; delete it and run the command again",
               path=path, why=" ".join(str(error).split()))
        ) from None  # fmt: skip


def _parse_number(text: str) -> float:
    number = float(text)
    if not abs(number) <= MAX_OFFSET_MS:  # also NaN
        raise ValueError(tr("{text} is not a number of ms", text=text))
    return number


def plot_clip_offsets(
    path: Path, samples: list[Sample], clip_offsets: list[ClipOffset],
    earlier: list[ClipOffset] | None,
) -> None:  # fmt: skip
    """Histograms of clip offsets, one row for each source: of the clips as recorded, and what the
    last networks still measured in the re-timed clips.

    Args:
        clip_offsets: of the clips as recorded.
        earlier: what the clips were re-timed by when they were measured; None: by nothing.

    Raises:
        OutputError.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    recorded, applied = known_offsets(clip_offsets), known_offsets(earlier)
    remaining = {
        sample_id: offset - applied[sample_id]
        for sample_id, offset in recorded.items() if sample_id in applied
    }  # fmt: skip
    sources = sorted({sample.source for sample in samples})
    edges = np.arange(-HISTOGRAM_MS - 5, HISTOGRAM_MS + 6, 10)
    columns = [(recorded, "#c8453c", "clip offset as recorded, ms")]
    columns += [(remaining, "#2a9d4a", "offset after re-timing, ms")] if earlier else []
    figure, axes = plt.subplots(
        len(sources), len(columns), figsize=(4.5 * len(columns), 1 + 1.5 * len(sources)),
        squeeze=False, sharex=True, constrained_layout=True,
    )  # fmt: skip
    for row, source in zip(axes, sources, strict=True):
        ids = [sample.id for sample in samples if sample.source == source]
        for axis, (offset_by_id, colour, _) in zip(row, columns, strict=True):
            values = [offset_by_id[name] for name in ids if name in offset_by_id]
            axis.hist(np.clip(values, -HISTOGRAM_MS, HISTOGRAM_MS), edges, color=colour)
            axis.axvline(0, color="#9aa5b1", linewidth=1, linestyle=":")
            median = f"{round(np.median(values)):+d} ms" if values else "–"
            name = source.encode(errors="backslashreplace").decode()
            title = f"{name}: {len(values)} of {len(ids)}, median {median}"
            axis.set_title(title, fontsize=9, parse_math=False)
            axis.spines[["top", "right"]].set_visible(False)
    for axis, (_, _, label) in zip(axes[-1], columns, strict=True):
        axis.set_xlabel(label)
    save_figure(figure, path)

"""Own offsets: which speakers are measured by which network, what was found, and how it looks.

Recordings are off by up to three frames, each clip by its own. What a network that has not seen a
speaker finds in that speaker's clips is their own offset (``clean_offsets`` trains the networks).
"""

import csv
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..core.errors import DatasetError
from ..core.files import written_atomically
from ..dataset.samples import Sample
from ..evaluation.measure import best_offset_ms
from ..i18n.messages import tr
from ..plotting.figures import save_figure
from ..scoring.calibration import calibration_features
from ..scoring.evidence import Evidence, best_offset, curve_of

# Evidence asked for: more than so many % of pairs with another clip's sound show. Words are shared
# between clips, so many of these pairs do belong together somewhere (docs/own_offsets.md).
STRANGE_SHARE = 65
HISTOGRAM_MS = 200  # offsets further out are drawn at the edge


@dataclass(frozen=True)
class ClipOffset:
    """What a network found in a clip whose speaker it has not seen.

    Attributes:
        id: of the sample.
        offset_ms: how much its sound, as it was recorded, must be delayed; None without evidence.
        evidence: the lead of the best offset over those 3 frames and more away, times √seconds;
            0 where there is too little speech.
    """

    id: str
    offset_ms: float | None
    evidence: float


def folds_of(samples: list[Sample], folds: int, seed: int) -> list[list[Sample]]:
    """Deal the speakers out, each to one fold, so that folds have about as many frames.

    Raises:
        DatasetError: fewer speakers than folds.
    """
    frames = Counter()
    for sample in samples:
        frames[sample.person] += sample.length
    if len(frames) < folds:
        raise DatasetError(
            tr("{n} speakers (or clips without a speaker): at least {folds} are needed, one for "
               "each fold", n=len(frames), folds=folds)
        )  # fmt: skip
    people = sorted(frames)
    random.Random(seed).shuffle(people)
    people.sort(key=frames.get, reverse=True)
    held, fold_of = [0] * folds, {}
    for name in people:
        fold_of[name] = held.index(min(held))
        held[fold_of[name]] += frames[name]
    parts: list[list[Sample]] = [[] for _ in range(folds)]
    for sample in samples:
        parts[fold_of[sample.person]].append(sample)
    return parts


def strength(evidence: Evidence) -> float:
    """How much a clip shows at its best offset (``Found.evidence``)."""
    curve = curve_of([evidence.spoken()])
    best = best_offset(curve)
    values = None if best is None else calibration_features(curve, best)
    return 0.0 if values is None else float(values[-1])


def least_evidence(strange: list[Evidence]) -> float:
    """What most pairs with another clip's sound do not show, the least that counts as evidence."""
    return float(np.percentile([strength(one) for one in strange], STRANGE_SHARE))


def estimate_clip_offset(
    sample: Sample, evidence: Evidence, least: float, zero_ms: float
) -> ClipOffset:
    """The own offset of a sample.

    Args:
        evidence: of the sample, its sound moved by ``sample.delay`` already.
        least: more evidence than this must be there.
        zero_ms: what the network finds where there is nothing to find.
    """
    seen = strength(evidence)
    offset = best_offset_ms(evidence)
    if seen <= least or offset is None:
        return ClipOffset(sample.id, None, round(seen, 4))
    return ClipOffset(sample.id, round(sample.moved_ms + offset - zero_ms, 1), round(seen, 4))


def retime_samples(samples: list[Sample], found: list[ClipOffset] | None) -> list[Sample]:
    """Samples with the offsets found for them. One that shows none is taken to be off as its
    speaker's others are: in the first rounds most do not show it yet, and they are needed."""
    offsets = {one.id: one.offset_ms for one in found or () if one.offset_ms is not None}
    by_person = defaultdict(list)
    for sample in samples:
        if sample.id in offsets:
            by_person[sample.person].append(offsets[sample.id])
    usual = {person: float(np.median(values)) for person, values in by_person.items()}
    return [
        replace(one, offset_ms=offsets.get(one.id, usual.get(one.person, 0.0))) for one in samples
    ]


def median_by_speaker(offsets: dict[str, float], samples: list[Sample]) -> float:
    """The median over speakers of the median over their clips: no speaker outweighs others."""
    by_speaker = defaultdict(list)
    for sample in samples:
        if sample.id in offsets:
            by_speaker[sample.person].append(offsets[sample.id])
    return float(np.median([np.median(values) for values in by_speaker.values()]))


def centred(found: list[ClipOffset], samples: list[Sample]) -> list[ClipOffset]:
    """The same with zero in their middle: all offsets are relative, and this is what to."""
    offsets = {one.id: one.offset_ms for one in found if one.offset_ms is not None}
    if not offsets:
        return found
    return _shifted(found, median_by_speaker(offsets, samples))


def settled(found: list[ClipOffset], samples: list[Sample], folds: int) -> list[ClipOffset]:
    """What a network found in a fold, with part of what the fold moved as a whole taken back.

    A network hands its zero, the mean of those of the other folds, to the clips it measures. Two
    folds would swap theirs in every round. With 1/folds of the move taken back, all meet in the
    mean of all at once.

    Args:
        samples: of the fold, as they were re-timed before.
    """
    before = {one.id: one.offset_ms for one in samples}
    moves = {one.id: one.offset_ms - before[one.id] for one in found if one.offset_ms is not None}
    return _shifted(found, median_by_speaker(moves, samples) / folds) if moves else found


def _shifted(found: list[ClipOffset], ms: float) -> list[ClipOffset]:
    """The same with all offsets less by so much."""
    return [
        one
        if one.offset_ms is None
        else ClipOffset(one.id, round(one.offset_ms - ms, 1), one.evidence)
        for one in found
    ]


def moved(before: list[ClipOffset] | None, after: list[ClipOffset]) -> float | None:
    """The median change in ms of what was found in two rounds; None after the first."""
    old = {one.id: one.offset_ms for one in before or () if one.offset_ms is not None}
    change = [
        abs(one.offset_ms - old[one.id])
        for one in after
        if one.offset_ms is not None and one.id in old
    ]
    return float(np.median(change)) if change else None


FIELDS = ("id", "offset_ms", "evidence")


def write_found(path: Path, found: list[ClipOffset]) -> None:
    """Write what was found as a table (CSV with a byte order mark, for spreadsheets).

    Raises:
        OutputError.
    """
    with (
        written_atomically(path) as aside,
        open(aside, "w", encoding="utf-8-sig", newline="") as file,
    ):
        table = csv.writer(file)
        table.writerow(FIELDS)
        for one in found:
            table.writerow([one.id, "" if one.offset_ms is None else one.offset_ms, one.evidence])


def read_found(path: Path) -> list[ClipOffset]:
    """What ``write_found`` wrote.

    Raises:
        DatasetError: it is not such a table.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return [
                ClipOffset(row["id"], float(row["offset_ms"]) if row["offset_ms"] else None,
                      float(row["evidence"]))
                for row in csv.DictReader(file)
            ]  # fmt: skip
    except (OSError, KeyError, TypeError, ValueError, UnicodeDecodeError) as error:
        raise DatasetError(
            tr("cannot read {path}: {why}; delete it and run the command again",
               path=path, why=" ".join(str(error).split()))
        ) from None  # fmt: skip


def draw_offsets(
    path: Path, samples: list[Sample], found: list[ClipOffset], before: list[ClipOffset] | None
) -> None:
    """Histograms of own offsets, a row a source: of the clips as they were recorded, and of what
    was seen last in clips that had been re-timed.

    Args:
        found: the offsets of the clips as recorded.
        before: by what the clips had been re-timed when they were found; None: by nothing.

    Raises:
        OutputError.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    known = {one.id: one.offset_ms for one in found if one.offset_ms is not None}
    moved_by = {one.id: one.offset_ms for one in before or () if one.offset_ms is not None}
    left = {name: offset - moved_by[name] for name, offset in known.items() if name in moved_by}
    sources = sorted({sample.source for sample in samples})
    edges = np.arange(-HISTOGRAM_MS - 5, HISTOGRAM_MS + 6, 10)
    sides = [(known, "#c8453c", "own offset as recorded, ms")]
    sides += [(left, "#2a9d4a", "seen once re-timed, ms")] if before else []
    figure, axes = plt.subplots(
        len(sources), len(sides), figsize=(4.5 * len(sides), 1 + 1.5 * len(sources)),
        squeeze=False, sharex=True, constrained_layout=True,
    )  # fmt: skip
    for row, source in zip(axes, sources, strict=True):
        ids = [sample.id for sample in samples if sample.source == source]
        for axis, (offsets, colour, _) in zip(row, sides, strict=True):
            values = [offsets[name] for name in ids if name in offsets]
            axis.hist(np.clip(values, -HISTOGRAM_MS, HISTOGRAM_MS), edges, color=colour)
            axis.axvline(0, color="#9aa5b1", linewidth=1, linestyle=":")
            middle = f"{round(np.median(values)):+d} ms" if values else "–"
            axis.set_title(f"{source}: {len(values)} of {len(ids)}, median {middle}", fontsize=9)
            axis.spines[["top", "right"]].set_visible(False)
    for axis, (_, _, label) in zip(axes[-1], sides, strict=True):
        axis.set_xlabel(label)
    save_figure(figure, path)

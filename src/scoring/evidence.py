"""Similarity over offsets, and what is read off it.

Offsets count in steps of 10 ms here; positive: the sound is early and must be delayed. A window
of video that begins at frame ``t`` is compared with the sound that begins at step ``4 t − o``.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from ..core.constants import HOP_MS, HOPS_PER_FRAME, WINDOW_FRAMES

MIN_WINDOWS = 8  # fewer spoken windows (0.5 s with their edges) are no evidence
TOLERANCE_FRAMES = 1  # an offset within ±1 frame counts as found (Chung & Zisserman 2016)
SEARCH_REACH = 15 * HOPS_PER_FRAME  # validation and tests look for offsets within ±15 frames
PART = 5000  # windows worked on at a time
FIT_STEPS = 4  # the peak is fitted over ± this many steps


@dataclass
class Evidence:
    """Similarities of one followed face with the sound, for all offsets.

    Attributes:
        similarity: float32 [W, 2 M + 1], cosine of video window ``w`` with the sound at offset
            ``o − M`` steps; 0 where there is none.
        usable: bool, the same shape: the sound is there and somebody speaks in it.
        first_frame: frame of the clip at which window 0 begins.
    """

    similarity: np.ndarray
    usable: np.ndarray
    first_frame: int = 0

    @property
    def reach(self) -> int:
        """Largest offset looked at, in steps."""
        return self.similarity.shape[1] // 2

    @property
    def stop(self) -> int:
        """Frame of the clip after that at which the last window begins."""
        return self.first_frame + len(self.similarity)

    @classmethod
    def nothing(cls, windows: int, reach: int, first_frame: int) -> "Evidence":
        """None yet, for so many windows; to be filled in."""
        shape = windows, 2 * reach + 1
        return cls(np.zeros(shape, np.float32), np.zeros(shape, bool), first_frame)

    def parts(self) -> Iterator["Evidence"]:
        """All of it, in parts of ``PART`` windows: sums over hours need little memory so."""
        for first in range(0, max(1, len(self.similarity)), PART):
            yield self.part(first, first + PART)

    def part(self, first: int, last: int) -> "Evidence":
        """The windows ``first … last − 1``."""
        return Evidence(
            self.similarity[first:last], self.usable[first:last], self.first_frame + first
        )

    def spoken(self) -> "Evidence":
        """The windows in which somebody speaks at offset 0."""
        rows = self.usable[:, self.reach]
        return Evidence(self.similarity[rows], self.usable[rows], self.first_frame)

    def shifted(self, steps: int, reach: int) -> "Evidence":
        """What would be seen within ``±reach`` steps if the sound were delayed by ``steps``."""
        middle = self.reach + steps
        columns = slice(middle - reach, middle + reach + 1)
        return Evidence(self.similarity[:, columns], self.usable[:, columns], self.first_frame)


def compare(
    video: np.ndarray,
    audio: np.ndarray,
    speech: np.ndarray,
    reach: int,
    first_frame: int = 0,
    first_step: int = 0,
) -> Evidence:
    """Compare every video window with the sound at every offset within ``±reach`` steps.

    Args:
        video: float32 [W, D], one embedding a frame.
        audio: float32 [N, D], one every 10 ms (``embedding.embed_audio``).
        speech: bool [T], by frame, of the whole sound.
        reach: steps of 10 ms.
        first_frame: frame of the sound under which the video's first window begins.
        first_step: step of the sound at which ``audio`` begins.
    """
    found = Evidence.nothing(len(video), reach, first_frame)
    begins = (first_frame + np.arange(len(video))) * HOPS_PER_FRAME - first_step
    half = WINDOW_FRAMES * HOPS_PER_FRAME // 2
    middles = (first_step + np.arange(len(audio)) + half) // HOPS_PER_FRAME
    spoken = speech[np.minimum(middles, len(speech) - 1)]
    for column, offset in enumerate(range(-reach, reach + 1)):
        steps = begins - offset
        there = (steps >= 0) & (steps < len(audio))
        heard = steps[there]
        found.similarity[there, column] = np.einsum("wd,wd->w", video[there], audio[heard])
        found.usable[there, column] = spoken[heard]
    return found


@dataclass
class Curve:
    """Mean similarity over offsets, of one or several tracks.

    Attributes:
        offsets: int [2 M + 1], steps of 10 ms.
        similarity: float [2 M + 1], −1…1; NaN where too few windows support it.
        distance: float [2 M + 1], mean Euclidean distance of the embeddings, 0…2.
        windows: the number of windows behind the best supported offset.
    """

    offsets: np.ndarray
    similarity: np.ndarray
    distance: np.ndarray
    windows: int


@dataclass
class EvidenceSums:
    """Evidence summed over windows, by offset; sums of several add up.

    Attributes:
        count: int [2 M + 1], usable windows.
        similarity: float [2 M + 1], Σ of their similarities.
        distance: float [2 M + 1], Σ of the Euclidean distances.
    """

    count: np.ndarray
    similarity: np.ndarray
    distance: np.ndarray

    @classmethod
    def of(cls, tracks: Iterable[Evidence]) -> "EvidenceSums":
        """Of one or more tracks of one reach."""
        count = total = gaps = 0
        for part in chain.from_iterable(track.parts() for track in tracks):
            count = count + part.usable.sum(0)
            total = total + (part.similarity * part.usable).sum(0)
            gaps = gaps + (np.sqrt(np.clip(2 - 2 * part.similarity, 0, None)) * part.usable).sum(0)
        return cls(count, total, gaps)

    @classmethod
    def nothing(cls, reach: int) -> "EvidenceSums":
        """Of no window, for offsets within ``±reach`` steps."""
        return cls(np.zeros(2 * reach + 1, int), *np.zeros((2, 2 * reach + 1)))

    def __add__(self, other: "EvidenceSums") -> "EvidenceSums":
        return EvidenceSums(
            self.count + other.count,
            self.similarity + other.similarity,
            self.distance + other.distance,
        )

    def curve(self) -> Curve:
        """The means.

        Offsets with less than half of the most windows, or less than ``MIN_WINDOWS``, are left
        out.
        """
        most = int(self.count.max(initial=0))
        enough = self.count >= max(MIN_WINDOWS, most / 2)
        divisor = np.maximum(self.count, 1)
        reach = len(self.count) // 2
        return Curve(
            np.arange(-reach, reach + 1),
            np.where(enough, self.similarity / divisor, np.nan),
            np.where(enough, self.distance / divisor, np.nan),
            most,
        )


def curve_of(tracks: Iterable[Evidence]) -> Curve:
    """Average the evidence of one or more tracks of one reach, see ``Sums.curve``."""
    return EvidenceSums.of(tracks).curve()


def peak_ms(curve: Curve) -> float | None:
    """The best offset in ms, finer than a step: a parabola fitted over the peak (least squares).

    None where no offset has support.
    """
    best = best_offset(curve)
    if best is None:
        return None
    near = np.abs(curve.offsets - best) <= FIT_STEPS
    near &= ~np.isnan(curve.similarity)
    refined = 0.0
    if near.sum() >= 3 and not at_edge(curve):
        bend, slope, _ = np.polyfit(curve.offsets[near] - best, curve.similarity[near], 2)
        if bend < 0:
            refined = float(np.clip(-slope / (2 * bend), -FIT_STEPS, FIT_STEPS))
    return (best + refined) * HOP_MS


def best_offset(curve: Curve) -> int | None:
    """The offset of the highest similarity, in steps; None where no offset has support."""
    if np.isnan(curve.similarity).all():
        return None
    return int(curve.offsets[np.nanargmax(curve.similarity)])


def at_edge(curve: Curve) -> bool:
    """Whether the best offset is the last one with support: the true one may lie beyond."""
    best = best_offset(curve)
    supported = curve.offsets[~np.isnan(curve.similarity)]
    return best is not None and best in (supported[0], supported[-1])


def lse(curve: Curve) -> tuple[float, float]:
    """(LSE-D, LSE-C): the smallest distance over offsets, and the median minus the smallest
    (Chung & Zisserman 2016; Prajwal et al. 2020), with this model's embeddings."""
    smallest = float(np.nanmin(curve.distance))
    return smallest, float(np.nanmedian(curve.distance)) - smallest


def hits_at(evidence: Evidence, frames: int, max_offset: int = 15) -> tuple[np.ndarray, int]:
    """Offset accuracy at a clip length of K frames, at every place of a clip.

    The similarities of K − 4 windows are averaged and the best of the offsets −15 … +15 frames
    is right when within ±1 frame (chance: 9.7 %). Places where not all candidates exist are left
    out, as are those whose windows are not all spoken in (Chung et al. 2019; Kadandale et al.
    2022).

    Returns:
        (bool [places], number of places left out for want of speech).
    """
    middle = evidence.reach
    columns = middle + np.arange(-max_offset, max_offset + 1) * HOPS_PER_FRAME
    windows = frames - WINDOW_FRAMES + 1
    rows = np.arange(len(evidence.similarity))
    if len(rows) < windows:
        return np.zeros(0, bool), 0
    complete = (rows >= max_offset) & (rows + max_offset < len(rows))
    sums = np.cumsum(np.vstack([np.zeros(len(columns)), evidence.similarity[:, columns]]), axis=0)
    mean = sums[windows:] - sums[:-windows]
    whole = _all_of(complete, windows)
    spoken = _all_of(complete & evidence.usable[:, middle], windows)
    found = np.abs(mean[spoken].argmax(1) - max_offset)
    return found <= TOLERANCE_FRAMES, int(whole.sum() - spoken.sum())


def _all_of(flags: np.ndarray, windows: int) -> np.ndarray:
    """Whether so many in a row are all true, bool [len(flags) − windows + 1]."""
    return np.convolve(flags, np.ones(windows), "valid") >= windows - 0.5

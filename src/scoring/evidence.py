"""Similarity of a face track and the audio by offset, and what is read off it.

Offsets count in hops of 10 ms here; > 0: the audio leads and must be delayed. The video window that
begins at frame ``t`` is compared with the audio window that begins at hop ``4 t − o`` (sliding
comparison of SyncNet, Chung & Zisserman: Out of time, 2016). Plain NumPy.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from ..core.constants import HOP_MS, HOPS_PER_FRAME, WINDOW_FRAMES

MIN_WINDOWS = 8  # fewer windows with speech (0.5 s with their edges) are no evidence
MIN_SUPPORT = 1 / 3  # of the windows of the best supported offset
MIN_DISTANCE_SUPPORT = 1 / 2  # the same, for mean distances: those of few windows vary too much
TOLERANCE_FRAMES = 1  # an offset within ±1 frame is correct (Chung & Zisserman 2016)
SEARCH_REACH = 15 * HOPS_PER_FRAME  # validation and tests search ±15 frames
CHUNK_WINDOWS = 5000  # windows summed at a time
PEAK_FIT_HOPS = 4  # the parabola is fitted to ± this many hops around the maximum


@dataclass
class Evidence:
    """Similarities of one face track with the audio, for all offsets of the search range.

    Attributes:
        similarity: float32 [W, 2 M + 1], −1…1, cosine of video window ``w`` with the audio at
            offset ``o − M`` hops; 0 where there is no audio.
        usable: bool, the same shape: there is audio, and someone speaks in it.
        first_frame: frame of the clip at which window 0 begins.
    """

    similarity: np.ndarray
    usable: np.ndarray
    first_frame: int = 0

    @property
    def reach(self) -> int:
        """The search range: offsets of ±``reach`` hops (M)."""
        return self.similarity.shape[1] // 2

    @property
    def stop(self) -> int:
        """The frame of the clip after the one at which the last window begins."""
        return self.first_frame + len(self.similarity)

    @classmethod
    def empty(cls, n_windows: int, reach: int, first_frame: int) -> "Evidence":
        """Zeros and nothing usable, to be filled in."""
        shape = n_windows, 2 * reach + 1
        return cls(np.zeros(shape, np.float32), np.zeros(shape, bool), first_frame)

    def chunks(self) -> Iterator["Evidence"]:
        """Consecutive parts of ``CHUNK_WINDOWS``: sums over hours then need little memory."""
        for first in range(0, max(1, len(self.similarity)), CHUNK_WINDOWS):
            yield self.part(first, first + CHUNK_WINDOWS)

    def part(self, first: int, last: int) -> "Evidence":
        """The windows ``first … last − 1``."""
        return Evidence(
            self.similarity[first:last], self.usable[first:last], self.first_frame + first
        )

    def with_speech(self) -> "Evidence":
        """The windows in which someone speaks at offset 0."""
        rows = self.usable[:, self.reach]
        return Evidence(self.similarity[rows], self.usable[rows], self.first_frame)

    def above_mean(self) -> np.ndarray:
        """The similarities less the mean of each window over its usable offsets: float32
        [W, 2 M + 1], 0 where not usable."""
        support = np.maximum(self.usable.sum(1, keepdims=True), 1)
        mean = (self.similarity * self.usable).sum(1, keepdims=True) / support
        return np.where(self.usable, self.similarity - mean, np.float32(0)).astype(np.float32)

    def shifted(self, hops: int, reach: int) -> "Evidence":
        """The evidence within ``±reach`` hops if the audio were delayed by ``hops``."""
        middle = self.reach + hops
        columns = slice(middle - reach, middle + reach + 1)
        return Evidence(self.similarity[:, columns], self.usable[:, columns], self.first_frame)

    def as_file(self, hops: int, reach: int) -> "Evidence":
        """The evidence within ``±reach`` hops of a file cut out of the clip: its video is that of
        these windows, its audio begins ``hops`` earlier and ends as much earlier.

        The rows are consecutive windows of the clip, none left out.
        """
        shifted = self.shifted(hops, reach)
        starts = HOPS_PER_FRAME * np.arange(len(self.similarity))[:, None]
        audio_hops = starts - np.arange(-reach, reach + 1)
        is_in_file = (audio_hops >= 0) & (audio_hops <= starts.max(initial=0))
        return Evidence(shifted.similarity, shifted.usable & is_in_file, self.first_frame)


def compare(
    video: np.ndarray,
    audio: np.ndarray,
    speech: np.ndarray,
    reach: int,
    first_frame: int = 0,
    first_hop: int = 0,
    centre: int = 0,
) -> Evidence:
    """Compare every video window with the audio at every offset within ``±reach`` hops.

    Args:
        video: float32 [W, D], one embedding per frame.
        audio: float32 [N, D], one embedding per hop (``embedding.embed_audio``).
        speech: bool [T], by frame, of the whole audio.
        reach: in hops of 10 ms.
        first_frame: frame of the audio under which the first video window begins.
        first_hop: hop of the audio at which ``audio`` begins.
        centre: the offset in hops that counts as 0 in the evidence.
    """
    evidence = Evidence.empty(len(video), reach, first_frame)
    starts = (first_frame + np.arange(len(video))) * HOPS_PER_FRAME - first_hop - centre
    half = WINDOW_FRAMES * HOPS_PER_FRAME // 2
    middle_frames = (first_hop + np.arange(len(audio)) + half) // HOPS_PER_FRAME
    has_speech = speech[np.minimum(middle_frames, len(speech) - 1)]
    for column, offset in enumerate(range(-reach, reach + 1)):
        hops = starts - offset
        has_audio = (hops >= 0) & (hops < len(audio))
        hops = hops[has_audio]
        evidence.similarity[has_audio, column] = np.einsum(
            "wd,wd->w", video[has_audio], audio[hops]
        )
        evidence.usable[has_audio, column] = has_speech[hops]
    return evidence


@dataclass
class Curve:
    """Similarity by offset, of one or several face tracks.

    Attributes:
        offsets: int [2 M + 1], hops of 10 ms.
        similarity: float [2 M + 1], −1…1, see ``EvidenceSums.curve``; NaN where too few windows
            support it.
        distance: float [2 M + 1], mean Euclidean distance of the embeddings, 0…2; NaN where more
            windows would be needed, see there.
        count: int [2 M + 1], windows with speech at each offset.
        level: the mean similarity of all windows at all offsets, −1…1.
    """

    offsets: np.ndarray
    similarity: np.ndarray
    distance: np.ndarray
    count: np.ndarray
    level: float

    @property
    def n_windows(self) -> int:
        """The number of windows behind the best supported offset."""
        return int(self.count.max(initial=0))

    @property
    def means(self) -> np.ndarray:
        """The mean similarity of the windows of each offset, float [2 M + 1]; NaN likewise."""
        factor = np.sqrt(self.n_windows / np.maximum(self.count, 1))
        return self.level + factor * (self.similarity - self.level)

    def windows_at(self, offset: int) -> int:
        """The number of windows behind an offset in hops, or behind the one nearest to it."""
        return int(self.count[np.clip(offset - self.offsets[0], 0, len(self.count) - 1)])


@dataclass
class EvidenceSums:
    """Evidence summed over windows, by offset; sums of several tracks add up.

    Attributes:
        count: int [2 M + 1], usable windows.
        similarity: float [2 M + 1], Σ of their similarities.
        distance: float [2 M + 1], Σ of their Euclidean distances √(2 − 2 · similarity).
    """

    count: np.ndarray
    similarity: np.ndarray
    distance: np.ndarray

    @classmethod
    def of(cls, tracks: Iterable[Evidence]) -> "EvidenceSums":
        """The sums over one or more tracks of the same reach."""
        count = similarity = distance = 0
        for chunk in chain.from_iterable(track.chunks() for track in tracks):
            distances = np.sqrt(np.clip(2 - 2 * chunk.similarity, 0, None))
            count = count + chunk.usable.sum(0)
            similarity = similarity + (chunk.similarity * chunk.usable).sum(0)
            distance = distance + (distances * chunk.usable).sum(0)
        return cls(count, similarity, distance)

    @classmethod
    def empty(cls, reach: int) -> "EvidenceSums":
        """The sums over no window, for offsets within ``±reach`` hops."""
        return cls(np.zeros(2 * reach + 1, int), *np.zeros((2, 2 * reach + 1)))

    def __add__(self, other: "EvidenceSums") -> "EvidenceSums":
        return EvidenceSums(
            self.count + other.count,
            self.similarity + other.similarity,
            self.distance + other.distance,
        )

    def curve(self) -> Curve:
        """The similarity by offset, from which the offset and its certainty are read.

        The larger an offset, the less of the audio and the video overlap, and the more the mean of
        these windows varies: in a short clip, the highest of all means would be one of these by
        chance. So how far the mean s̄_o of an offset lies above the mean s̄ of all windows at all
        offsets is measured in units of its standard error, which is proportional to 1/√n: the
        similarity is s̄ + (s̄_o − s̄) √(n/N), with n windows at the offset, and N at the best
        supported one.

        NaN for offsets with fewer than ``MIN_WINDOWS`` windows, or with less than ``MIN_SUPPORT``
        (the distances: ``MIN_DISTANCE_SUPPORT``) of those of the best supported offset.
        """
        n_windows = int(self.count.max(initial=0))
        count = np.maximum(self.count, 1)
        level = float(self.similarity.sum() / max(self.count.sum(), 1))
        similarity = level + (self.similarity / count - level) * np.sqrt(count / max(n_windows, 1))
        reach = len(self.count) // 2

        def supported(values: np.ndarray, share: float) -> np.ndarray:
            least = max(MIN_WINDOWS, share * n_windows)
            return np.where(self.count >= least, values, np.nan)

        return Curve(
            np.arange(-reach, reach + 1),
            supported(similarity, MIN_SUPPORT),
            supported(self.distance / count, MIN_DISTANCE_SUPPORT),
            self.count,
            level,
        )


def similarity_curve(tracks: Iterable[Evidence]) -> Curve:
    """The curve of one or more tracks of the same reach, see ``EvidenceSums.curve``."""
    return EvidenceSums.of(tracks).curve()


def best_offset(curve: Curve) -> int | None:
    """The offset of the highest similarity, in hops; None where no offset has support."""
    if np.isnan(curve.similarity).all():
        return None
    return int(curve.offsets[np.nanargmax(curve.similarity)])


def peak_ms(curve: Curve) -> float | None:
    """The best offset in ms, finer than a hop: see ``parabola_vertex``, fitted to the plain means.

    None where no offset has support; the best hop itself at the edge of the support.
    """
    best = best_offset(curve)
    if best is None:
        return None
    near = np.abs(curve.offsets - best) <= PEAK_FIT_HOPS
    near &= ~np.isnan(curve.similarity)
    if near.sum() < 3 or at_edge(curve):
        return float(best * HOP_MS)
    offsets = curve.offsets[near]
    vertex = best + parabola_vertex(offsets - best, curve.means[near])
    return float(np.clip(vertex, offsets[0], offsets[-1]) * HOP_MS)


def parabola_vertex(hops: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Where the parabola fitted to the values around a maximum (least squares) has its vertex.

    Args:
        hops: int [n], three or more, counted from the maximum.
        values: float [n], or [n, B]: of B curves.

    Returns:
        float [] or [B], hops from the maximum, within ±``PEAK_FIT_HOPS``; 0 where the parabola
        has no maximum.
    """
    curvature, slope, _ = np.polyfit(hops, values, 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        vertex = np.where(curvature < 0, -slope / (2 * curvature), 0.0)
    return np.clip(vertex, -PEAK_FIT_HOPS, PEAK_FIT_HOPS)


def at_edge(curve: Curve) -> bool:
    """Whether the best offset is the last one with support: the true one may be outside."""
    best = best_offset(curve)
    supported = curve.offsets[~np.isnan(curve.similarity)]
    return best is not None and best in (supported[0], supported[-1])


def lse_metrics(curve: Curve) -> tuple[float, float]:
    """(LSE-D, LSE-C) with this model's embeddings: the minimum of the distances over all offsets
    (with at least half of the windows), 0…2, and their median minus their minimum, ≥ 0.

    LSE-C is SyncNet's confidence (Chung & Zisserman: Out of time, 2016); both are named by Prajwal
    et al.: A lip sync expert is all you need, 2020. The curve has support.
    """
    minimum = float(np.nanmin(curve.distance))
    return minimum, float(np.nanmedian(curve.distance)) - minimum


def offset_hits(evidence: Evidence, frames: int, max_offset: int = 15) -> tuple[np.ndarray, int]:
    """Whether the offset is correct at a clip length of K frames, at every position of a clip.

    The similarities of K − 4 windows are averaged, and the best of the offsets −15 … +15 frames is
    correct within ±1 frame (chance level: 3/31 = 9.7 %). Positions where not all candidates exist
    are skipped, as are those with a window without speech (Chung et al.: Perfect match, 2019;
    Kadandale et al.: VocaLiST, 2022).

    Args:
        evidence: of a clip in sync, for at least ±``max_offset`` frames.
        frames: K.
        max_offset: in frames.

    Returns:
        (bool [positions], number of positions skipped because of a pause).
    """
    middle = evidence.reach
    columns = middle + np.arange(-max_offset, max_offset + 1) * HOPS_PER_FRAME
    n_windows = frames - WINDOW_FRAMES + 1
    rows = np.arange(len(evidence.similarity))
    if len(rows) < n_windows:
        return np.zeros(0, bool), 0
    is_complete = (rows >= max_offset) & (rows + max_offset < len(rows))
    sums = np.cumsum(np.vstack([np.zeros(len(columns)), evidence.similarity[:, columns]]), axis=0)
    totals = sums[n_windows:] - sums[:-n_windows]
    complete = _runs_of_true(is_complete, n_windows)
    with_speech = _runs_of_true(is_complete & evidence.usable[:, middle], n_windows)
    errors = np.abs(totals[with_speech].argmax(1) - max_offset)
    return errors <= TOLERANCE_FRAMES, int(complete.sum() - with_speech.sum())


def _runs_of_true(flags: np.ndarray, length: int) -> np.ndarray:
    """Whether ``length`` flags in a row are all true, bool [len(flags) − length + 1]."""
    return np.convolve(flags, np.ones(length), "valid") >= length - 0.5

"""What can be measured of a mouth: how far it opens and when, how sharp it is, how it flickers.

Everything is measured in template units around the face of a base (``presenter.geometry``), so that
a re-made frame and the real one are measured at the same place.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from itertools import islice

import cv2
import numpy as np

from src.core.constants import FPS
from src.faces.mesh import CHIN, LOWER_LIP, MESH_SIZE, UPPER_LIP, find_landmarks, mesh_window
from src.media.frame import VideoFrame
from src.presenter.base import BaseVideo
from src.presenter.compose import GRID, face_mask
from src.presenter.crops import WINDOW_LEFT, WINDOW_SIDE, WINDOW_TOP, warp, window_matrix
from src.presenter.face_frames import BATCH, MIN_MESH_SCORE

MOUTH_ROWS, MOUTH_COLUMNS = (33, 66), (30, 66)  # template units
FACE_CENTRE, FACE_SIDE = (48, 36), 120  # template units: the box around which the mesh is laid
CHANGE_SIDE = 64  # px: the mouth as frames are compared by it
CHIN_GAP, CHIN_REACH, CHIN_COLUMNS = 3, 14, (38, 58)  # units below the chin; across
MIN_SILENCE_S = 0.3
CLOSURE_MARGIN_S = 0.04  # the lips may shut so much before or after the sound


@dataclass(frozen=True)
class MouthFigures:
    """Of ``M`` frames, float64 [M] each; NaN without a face.

    Attributes:
        opening: gap of the lips, found anew by Face Mesh, template units.
        sharpness: variance of the Laplacian of the mouth's luma.
        change: mean absolute difference of the mouth's luma from the frame before, grey levels; NaN
            where that was no neighbour.
        edge: gradient of the luma across the edge of the mask, grey levels a template unit.
        chin: edges below the chin (``chin_edges``), grey levels a template unit.
    """

    opening: np.ndarray
    sharpness: np.ndarray
    change: np.ndarray
    edge: np.ndarray
    chin: np.ndarray

    @classmethod
    def empty(cls, n_frames: int) -> "MouthFigures":
        return cls(*(np.full(n_frames, np.nan) for _ in fields(cls)))

    def at(self, rows: np.ndarray) -> "MouthFigures":
        """The figures of some frames."""
        return MouthFigures(*(getattr(self, field.name)[rows] for field in fields(self)))

    def put(self, rows: np.ndarray, figures: "MouthFigures") -> None:
        """Fill in the figures of some frames."""
        for field in fields(self):
            getattr(self, field.name)[rows] = getattr(figures, field.name)


def measure_mouths(
    frames: Iterable[VideoFrame], base: BaseVideo, numbers: np.ndarray
) -> MouthFigures:
    """Measure the mouth in frames of a base, or in re-made ones.

    Args:
        frames: one for each number.
        base: where the face is.
        numbers: int [M], frames of the base.
    """
    figures = MouthFigures.empty(len(numbers))
    numbered = enumerate(zip(numbers, frames, strict=False))
    faces = ((row, int(n), frame) for row, (n, frame) in numbered if base.has_face[n])
    before = None
    while batch := list(islice(faces, BATCH)):
        rows = [row for row, _, _ in batch]
        figures.opening[rows], chin = _lips_and_chin(batch, base)
        for (row, number, frame), chin_y in zip(batch, chin, strict=True):
            luma = lower_face(frame, base.to_frame[number])
            mouth = mouth_of(luma)
            figures.sharpness[row] = cv2.Laplacian(mouth, cv2.CV_32F).var()
            on_grid = _resize(luma, GRID)
            figures.edge[row] = edge_gradient(on_grid, face_mask(base.jaw[number]))
            figures.chin[row] = chin_edges(on_grid, chin_y)
            small = _resize(mouth, CHANGE_SIDE)
            if before is not None and before[0] == row - 1 and abs(number - before[1]) <= 1:
                figures.change[row] = np.abs(small - before[2]).mean()
            before = row, number, small
    return figures


def lower_face(frame: VideoFrame, to_frame: np.ndarray) -> np.ndarray:
    """The luma of the lower face at the resolution of the frame, uint8 [side, side]."""
    side = max(4, round(WINDOW_SIDE * _pixels_per_unit(to_frame) / 4) * 4)
    return warp(frame.planes_420()[0], (to_frame @ window_matrix(side))[:2], side)


def mouth_of(luma: np.ndarray) -> np.ndarray:
    """The part of a lower face that shows the mouth."""
    unit = len(luma) / WINDOW_SIDE
    rows = slice(*(round((y - WINDOW_TOP) * unit) for y in MOUTH_ROWS))
    columns = slice(*(round((x - WINDOW_LEFT) * unit) for x in MOUTH_COLUMNS))
    return np.ascontiguousarray(luma[rows, columns])


def edge_gradient(luma: np.ndarray, mask: np.ndarray) -> float:
    """Mean gradient of the luma in the direction in which the mask fades, along its edge; grey
    levels a pixel.

    Args:
        luma: float [height, width].
        mask: float of the same shape, 0…1.
    """
    mask_rows, mask_columns = np.gradient(mask)
    rows, columns = np.gradient(luma)
    across = np.abs(rows * mask_rows + columns * mask_columns)
    across /= np.maximum(np.hypot(mask_rows, mask_columns), 1e-6)
    edge = mask * (1 - mask)
    return float((edge * across).sum() / max(edge.sum(), 1e-6))


def chin_edges(luma: np.ndarray, chin_y: float) -> float:
    """The strongest edge across the neck just below the chin, as a second jaw line would be: mean
    over the columns under the chin, grey levels a pixel; NaN where the chin is not known.

    Args:
        luma: float [GRID, GRID], a pixel a template unit.
        chin_y: height of the chin, template units.
    """
    if not np.isfinite(chin_y):
        return np.nan
    first = round(chin_y - WINDOW_TOP) + CHIN_GAP
    rows = slice(first, min(first + CHIN_REACH, len(luma) - 1))
    columns = slice(*(round(x - WINDOW_LEFT) for x in CHIN_COLUMNS))
    if rows.stop - rows.start < 3:
        return np.nan
    steps = np.diff(cv2.GaussianBlur(luma, (0, 0), 0.7), axis=0)[rows, columns]
    return float(np.abs(steps.mean(1)).max())


def _pixels_per_unit(to_frame: np.ndarray) -> float:
    return float(np.hypot(to_frame[0, 0], to_frame[1, 0]))


def _resize(luma: np.ndarray, side: int) -> np.ndarray:
    return cv2.resize(luma.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)


def _lips_and_chin(
    faces: list[tuple[int, int, VideoFrame]], base: BaseVideo
) -> tuple[np.ndarray, np.ndarray]:
    """The gap of the lips and the height of the chin in some frames, template units: float64 [n]
    each; NaN without a face."""
    images, units, to_units = [], [], []
    for _, number, frame in faces:
        to_frame = base.to_frame[number]
        pixels = _pixels_per_unit(to_frame)
        centre = (to_frame @ [*FACE_CENTRE, 1])[:2]
        half = FACE_SIDE * pixels / 2
        window = mesh_window(np.concatenate([centre - half, centre + half]))
        halvings = max(0, int(np.log2(max(window[0, 0], 1))))
        images.append(frame.crop_square(window, MESH_SIZE, halvings))
        units.append(window[0, 0] / pixels)
        to_units.append(np.linalg.inv(to_frame) @ np.vstack([window, [0, 0, 1]]))
    points, scores = find_landmarks(np.stack(images))
    upper, lower = (points[:, lip, :2].mean(1) for lip in (UPPER_LIP, LOWER_LIP))
    gap = np.linalg.norm(lower - upper, axis=1) * units
    chin = np.einsum("nij,nj->ni", to_units, np.c_[points[:, CHIN, :2], np.ones(len(points))])
    is_lost = scores < MIN_MESH_SCORE
    return np.where(is_lost, np.nan, gap), np.where(is_lost, np.nan, chin[:, 1])


# ---------------------------------------------------------------------------- over time


def mean_of(values: np.ndarray) -> float | None:
    """The mean of what is known; None: nothing is."""
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    return float(known.mean()) if len(known) else None


def relative_mean(made: np.ndarray, real: np.ndarray) -> float | None:
    """The mean as a share of the real one, over the frames in which both are known."""
    both = np.isfinite(made) & np.isfinite(real)
    if not both.any() or real[both].mean() <= 0:
        return None
    return float(made[both].mean() / real[both].mean())


def excess_share(made: np.ndarray, real: np.ndarray, factor: float) -> float | None:
    """The share of the frames in which a figure is more than ``factor`` times the real one; None:
    it is known in no frame."""
    both = np.isfinite(made) & np.isfinite(real)
    return (
        mean_of(made[both] > factor * np.maximum(real[both], np.median(real[both])))
        if (both.any())
        else None
    )


def correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Pearson's r where both are known; None where one of them does not vary."""
    both = np.isfinite(first) & np.isfinite(second)
    first, second = first[both], second[both]
    if len(first) < 3 or first.std() < 1e-9 or second.std() < 1e-9:
        return None
    return float(np.corrcoef(first, second)[0, 1])


def long_silences(has_speech: np.ndarray) -> np.ndarray:
    """bool [T]: frames of the pauses of at least ``MIN_SILENCE_S``.

    Args:
        has_speech: bool [T], on the 25 fps grid.
    """
    is_long = np.zeros(len(has_speech), bool)
    edges = np.diff(np.concatenate([[0], (~has_speech).astype(int), [0]]))
    for first, stop in np.flatnonzero(edges).reshape(-1, 2):
        is_long[first:stop] = (stop - first) / FPS >= MIN_SILENCE_S
    return is_long


def open_share(
    opening: np.ndarray, times: np.ndarray, silent: np.ndarray, open_above: float
) -> float | None:
    """The share of the frames in silence in which the mouth is open; None: there is no silence.

    Args:
        opening: float [M], template units.
        times: float [M], seconds.
        silent: bool [T], on the 25 fps grid.
        open_above: template units.
    """
    frames = np.minimum((times * FPS + 1e-6).astype(int), len(silent) - 1)
    counted = opening[silent[frames] & np.isfinite(opening)]
    return mean_of(counted > open_above)


def closures_reached(
    opening: np.ndarray, times: np.ndarray, spans_s: np.ndarray, closed_below: float
) -> np.ndarray:
    """Whether the lips shut at each sound that shuts them; sounds without a visible face do not
    count: bool [at most n].

    Args:
        opening: float [M], template units.
        times: float [M], seconds.
        spans_s: float [n, 2], beginning and end of each sound.
        closed_below: template units.
    """
    reached = []
    for begin, end in spans_s:
        near = (times >= begin - CLOSURE_MARGIN_S) & (times <= end + CLOSURE_MARGIN_S)
        seen = opening[near & np.isfinite(opening)]
        if len(seen):
            reached.append(seen.min() < closed_below)
    return np.array(reached, bool)


# ---------------------------------------------------------------------------- against real frames


def compare_mouths(made: Iterable[np.ndarray], real: Iterable[np.ndarray]) -> dict:
    """How far mouths are from the real ones.

    Args:
        made, real: luma, uint8, of equal shapes frame by frame.

    Returns:
        ``mouth_l1`` in grey levels, ``psnr`` in dB and ``ssim``; None without any frame.
    """
    l1, squares, ssim = [], [], []
    for first, second in zip(made, real, strict=True):
        difference = first.astype(np.float32) - second
        l1.append(np.abs(difference).mean())
        squares.append((difference**2).mean())
        ssim.append(structural_similarity(first, second))
    error = mean_of(squares)
    psnr = None if error is None else float(10 * np.log10(255**2 / max(error, 1e-6)))
    return {"mouth_l1": mean_of(l1), "psnr": psnr, "ssim": mean_of(ssim)}


def structural_similarity(first: np.ndarray, second: np.ndarray) -> float:
    """SSIM of two 8-bit images, −1…1 (Wang et al. 2004, https://doi.org/10.1109/TIP.2003.819861:
    Gaussian window, 11 × 11, standard deviation 1.5)."""
    x, y = first.astype(np.float64), second.astype(np.float64)

    def blur(image: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(image, (11, 11), 1.5)

    mean_x, mean_y = blur(x), blur(y)
    variance_x, variance_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    similarity /= (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    return float(similarity.mean())

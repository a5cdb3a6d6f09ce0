"""Pictures of what a model sees: crops, sound and similarity of windows it gets right and wrong."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.constants import FPS, FRAME_MS, HOPS_PER_FRAME, WINDOW_FRAMES
from ..dataset.samples import Sample
from ..models.normalization import bands_of
from ..models.sync_model import SyncModel
from ..plotting.figures import save_figure
from ..scoring.evidence import SEARCH_REACH, TOLERANCE_FRAMES
from .measure import measure_evidence

REACH = SEARCH_REACH // HOPS_PER_FRAME  # frames


@dataclass
class Window:
    """A window of 5 frames and what the model makes of it.

    Attributes:
        sample: its clip, read re-timed, so that the true offset is 0.
        start: its first frame.
        similarity: float [2 · 15 + 1], cosine at offsets of whole frames.
    """

    sample: Sample
    start: int
    similarity: np.ndarray

    @property
    def found(self) -> int:
        """The offset found, in frames."""
        return int(self.similarity.argmax()) - REACH

    @property
    def right(self) -> bool:
        return abs(self.found) <= TOLERANCE_FRAMES


def chosen_windows(model: SyncModel, samples: list[Sample], n: int, seed: int = 0) -> list[Window]:
    """Up to ``n`` windows with speech, at random: half of them found right, half wrong, as far as
    there are such."""
    dice = np.random.default_rng(seed)
    right, wrong = [], []
    for sample, evidence in zip(
        samples, measure_evidence(model, samples, SEARCH_REACH), strict=True
    ):
        columns = SEARCH_REACH + np.arange(-REACH, REACH + 1) * HOPS_PER_FRAME
        middle = evidence.usable[:, SEARCH_REACH]
        whole = np.arange(len(middle))
        complete = (whole >= REACH) & (whole + REACH < len(whole))
        for start in np.flatnonzero(middle & complete):
            window = Window(sample, int(start), evidence.similarity[start, columns])
            (right if window.right else wrong).append(window)
    half = min(len(wrong), max(n // 2, n - len(right)))
    picked = [right[i] for i in dice.permutation(len(right))[: n - half]]
    return picked + [wrong[i] for i in dice.permutation(len(wrong))[:half]]


def draw_windows(windows: list[Window], path: Path) -> None:
    """A row a window: its five crops, the sound around it, and the similarity over offsets.

    Raises:
        OutputError.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import torch

    figure, axes = plt.subplots(
        len(windows), 3, figsize=(13, 1 + 1.9 * len(windows)), squeeze=False,
        width_ratios=(2.2, 1.6, 1.6), constrained_layout=True,
    )  # fmt: skip
    for (crops, sound, curve), window in zip(axes, windows, strict=True):
        first = max(0, window.start - REACH)
        track = window.sample.read(first, window.start + WINDOW_FRAMES + REACH - first)
        place = window.start - first
        crops.imshow(np.hstack(track.crop[place : place + WINDOW_FRAMES]), cmap="gray")
        crops.axis("off")
        crops.set_title(f"{window.sample.id}, {window.start / FPS:.2f} s"[-60:], fontsize=8)
        bands = bands_of(torch.from_numpy(np.ascontiguousarray(track.mfcc))).numpy()
        left = -place * FRAME_MS
        span = (left, left + len(track.crop) * FRAME_MS, 0, bands.shape[1])
        sound.imshow(bands.T, origin="lower", aspect="auto", cmap="magma", extent=span)
        for edge in (0, WINDOW_FRAMES * FRAME_MS):
            sound.axvline(edge, color="white", linewidth=1)
        sound.set_yticks([])
        sound.tick_params(labelsize=7)
        colour = "#2a9d4a" if window.right else "#c8453c"
        offsets = np.arange(-REACH, REACH + 1)
        curve.plot(offsets, window.similarity, color=colour)
        curve.axvline(0, color="#9aa5b1", linestyle=":")
        curve.axvline(window.found, color=colour, linewidth=1)
        curve.set_title(f"true offset 0, found {window.found:+d} frames "
                        f"({window.found * FRAME_MS:+d} ms)", fontsize=8, color=colour)  # fmt: skip
        curve.tick_params(labelsize=7)
        curve.spines[["top", "right"]].set_visible(False)
    axes[-1, 1].set_xlabel("ms from the window's begin; its sound is between the lines", fontsize=8)
    axes[-1, 2].set_xlabel("offset, frames; cosine similarity", fontsize=8)
    save_figure(figure, path)

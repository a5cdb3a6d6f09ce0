"""Plots of what a model sees: crops, audio and similarity of windows it gets right and wrong."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.constants import FPS, FRAME_MS, HOPS_PER_FRAME, WINDOW_FRAMES
from ..dataset.samples import Sample
from ..models.normalization import mfcc_to_bands
from ..models.sync_model import SyncModel
from ..plotting.figures import save_figure
from ..scoring.evidence import SEARCH_REACH, TOLERANCE_FRAMES
from .measure import measure_evidence

REACH_FRAMES = SEARCH_REACH // HOPS_PER_FRAME
CORRECT, INCORRECT, NEUTRAL = "#2a9d4a", "#c8453c", "#9aa5b1"


@dataclass
class Window:
    """A window of 5 frames and its similarity by offset.

    Attributes:
        sample: its clip; its clip offset is compensated, so that the true offset is 0.
        start: its first frame.
        similarity: float [2 · 15 + 1], cosine at offsets of whole frames.
    """

    sample: Sample
    start: int
    similarity: np.ndarray

    @property
    def offset_frames(self) -> int:
        """The best offset, in frames."""
        return int(self.similarity.argmax()) - REACH_FRAMES

    @property
    def is_correct(self) -> bool:
        return abs(self.offset_frames) <= TOLERANCE_FRAMES


def select_windows(
    model: SyncModel, samples: list[Sample], n_windows: int, seed: int = 0
) -> list[Window]:
    """Up to ``n_windows`` random windows with speech: half of them correct, half incorrect, as far
    as there are enough of each."""
    rng = np.random.default_rng(seed)
    columns = SEARCH_REACH + np.arange(-REACH_FRAMES, REACH_FRAMES + 1) * HOPS_PER_FRAME
    correct, incorrect = [], []
    for sample, evidence in zip(
        samples, measure_evidence(model, samples, SEARCH_REACH), strict=True
    ):
        has_speech = evidence.usable[:, SEARCH_REACH]
        rows = np.arange(len(has_speech))
        is_complete = (rows >= REACH_FRAMES) & (rows + REACH_FRAMES < len(rows))
        for start in np.flatnonzero(has_speech & is_complete):
            window = Window(sample, int(start), evidence.similarity[start, columns])
            (correct if window.is_correct else incorrect).append(window)
    n_incorrect = min(len(incorrect), max(n_windows // 2, n_windows - len(correct)))
    chosen = [correct[i] for i in rng.permutation(len(correct))[: n_windows - n_incorrect]]
    return chosen + [incorrect[i] for i in rng.permutation(len(incorrect))[:n_incorrect]]


def plot_windows(windows: list[Window], path: Path) -> None:
    """A row per window: its five crops, the audio around it, and the similarity by offset.

    Raises:
        OutputError: the image cannot be written.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        len(windows), 3, figsize=(13, 1 + 1.9 * len(windows)), squeeze=False,
        width_ratios=(2.2, 1.6, 1.6), constrained_layout=True,
    )  # fmt: skip
    for (crop_axis, audio_axis, curve_axis), window in zip(axes, windows, strict=True):
        _draw_features(crop_axis, audio_axis, window)
        _draw_similarity(curve_axis, window)
    axes[-1, 1].set_xlabel("ms from the start of the window (its audio: between the lines)",
                           fontsize=8)  # fmt: skip
    axes[-1, 2].set_xlabel("offset, frames; cosine similarity", fontsize=8)
    save_figure(figure, path)


def _draw_features(crop_axis, audio_axis, window: Window) -> None:
    """The crops of a window, and the mel bands over the search range around it."""
    import torch

    first = max(0, window.start - REACH_FRAMES)
    track = window.sample.read(first, window.start + WINDOW_FRAMES + REACH_FRAMES - first)
    start = window.start - first
    crop_axis.imshow(np.hstack(track.crop[start : start + WINDOW_FRAMES]), cmap="gray")
    crop_axis.axis("off")
    crop_axis.set_title(f"{window.sample.id}, {window.start / FPS:.2f} s"[-60:], fontsize=8)
    bands = mfcc_to_bands(torch.from_numpy(np.ascontiguousarray(track.mfcc))).numpy()
    left_ms = -start * FRAME_MS
    extent = (left_ms, left_ms + len(track.crop) * FRAME_MS, 0, bands.shape[1])
    audio_axis.imshow(bands.T, origin="lower", aspect="auto", cmap="magma", extent=extent)
    for edge_ms in (0, WINDOW_FRAMES * FRAME_MS):
        audio_axis.axvline(edge_ms, color="white", linewidth=1)
    audio_axis.set_yticks([])
    audio_axis.tick_params(labelsize=7)


def _draw_similarity(axis, window: Window) -> None:
    """The similarity of a window by offset, with its maximum."""
    colour, frames = CORRECT if window.is_correct else INCORRECT, window.offset_frames
    axis.plot(np.arange(-REACH_FRAMES, REACH_FRAMES + 1), window.similarity, color=colour)
    axis.axvline(0, color=NEUTRAL, linestyle=":")
    axis.axvline(frames, color=colour, linewidth=1)
    axis.set_title(f"true offset 0, measured {frames:+d} frames ({frames * FRAME_MS:+d} ms)",
                   fontsize=8, color=colour)  # fmt: skip
    axis.tick_params(labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)

"""The plots of a result: similarity by offset, offset and score over time, and the waveform.

The same functions draw the image of ``--plot`` and those of the report.
"""

from itertools import islice
from pathlib import Path

import numpy as np

from ..core.constants import SAMPLE_RATE
from ..media.reader import stream_audio
from ..media.source_note import note_comment
from ..media.stream_choice import StreamChoice
from ..plotting.figures import GOOD, INK, POOR, QUIET, new_figure, save_figure
from ..plotting.fonts import can_draw_language, plot_tr
from ..plotting.waveform import waveform_columns
from ..scoring.perception import format_score

WAVEFORM_COLUMNS = 1200
MIN_DURATION_S = 0.2  # of a time axis


def plot_result(
    score: float | None, details: dict, path: str | Path, note: str | None = None
) -> None:
    """Write all plots of a result as one PNG.

    Args:
        score, details: what ``LipSyncInference.compute_sync_score`` returned.
        path: the image to write.
        note: says in it what it was made from (``media.source_note``).

    Raises:
        OutputError: the file cannot be written.
    """
    figure, axes = new_figure(9, 9.5, (3, 1.6, 1.2, 1.2))
    similarity_axis, offset_axis, score_axis, waveform_axis = axes
    score_text = plot_tr("undetermined") if score is None else format_score(score)
    verdict = details["verdict"] if can_draw_language() else short_verdict(details)
    figure.suptitle(f"{plot_tr('sync score')} {score_text} · {verdict}", fontsize=13, color=INK)
    draw_similarity(similarity_axis, details)
    draw_offsets(offset_axis, details)
    draw_scores(score_axis, details)
    draw_waveform(waveform_axis, details)
    for axis in (offset_axis, score_axis):
        axis.set_xlabel("")
    save_figure(figure, path, note and note_comment(note))


def draw_similarity(axis, details: dict) -> None:
    """The similarity by offset, and the measured offset."""
    offsets_ms = np.array(details["curve"]["offset_ms"])
    similarity = np.array(details["curve"]["similarity"], float)  # None becomes NaN
    axis.plot(offsets_ms, similarity, color=INK, linewidth=2)
    axis.axvline(0, color=QUIET, linestyle=":", linewidth=1)
    offset_ms = details["offset_ms"]
    if offset_ms is not None:
        axis.axvline(offset_ms, color=GOOD, linewidth=1.5)
        axis.annotate(
            f"{offset_ms:+.0f} ms", (offset_ms, 1), xycoords=("data", "axes fraction"),
            xytext=(6, -14), textcoords="offset points", color=GOOD, fontsize=12,
        )  # fmt: skip
    axis.set_xlabel(plot_tr("offset in ms (> 0: the audio leads and must be delayed)"))
    axis.set_ylabel(plot_tr("similarity of lips and audio"))


def draw_offsets(axis, details: dict) -> None:
    """The offset over time: what spans measure on their own, and the timeline of the whole."""
    segments = (details["timeline"] or {"pieces": []})["pieces"]
    for segment in segments:
        axis.plot(
            [segment["start_s"], segment["end_s"]],
            [segment["offset_ms"], segment["end_offset_ms"]],
            color=GOOD, linewidth=2,
        )  # fmt: skip
    spans = [span for span in details["offsets"] if span["offset_ms"] is not None]
    times_s = np.array([span["time_s"] for span in spans], float)
    offsets_ms = np.array([span["offset_ms"] for span in spans], float)
    probability = np.array([span["probability"] or 0 for span in spans], float)
    # The axis fits what is reliable; where nothing is, everything: its scatter says why.
    reliable_ms = [*offsets_ms[probability > 0.5]]
    reliable_ms += [segment[key] for segment in segments for key in ("offset_ms", "end_offset_ms")]
    largest_ms = np.abs(reliable_ms or offsets_ms).max(initial=0)
    limit_ms = max(100.0, 1.4 * largest_ms)
    axis.set_ylim(-limit_ms, limit_ms)
    # The more certain, the darker: what is likely wrong is there, but does not catch the eye. What
    # lies beyond the axis is a triangle at its edge.
    alpha, is_outside = 0.12 + 0.88 * probability**2, np.abs(offsets_ms) > 0.97 * limit_ms
    drawn_ms = np.clip(offsets_ms, -0.94 * limit_ms, 0.94 * limit_ms)
    for marker, selected in (
        ("o", ~is_outside),
        ("^", is_outside & (offsets_ms > 0)),
        ("v", is_outside & (offsets_ms < 0)),
    ):
        if selected.any():
            axis.scatter(
                times_s[selected], drawn_ms[selected], s=28, color=INK, alpha=alpha[selected],
                linewidth=0, zorder=3, marker=marker,
            )  # fmt: skip
    axis.axhline(0, color=QUIET, linestyle=":", linewidth=1)
    _set_time_axis(axis, details)
    axis.set_ylabel(plot_tr("offset in ms"))


def draw_scores(axis, details: dict) -> None:
    """The score of each second; where there is none, grey."""
    from matplotlib.collections import PolyCollection

    scores = details["per_second"]
    scored = [second for second, score in enumerate(scores) if score is not None]
    not_scored = [second for second, score in enumerate(scores) if score is None]

    def bars(seconds: list[int], heights: list[float], gap: float) -> list:
        return [
            ((s + gap, 0), (s + 1 - gap, 0), (s + 1 - gap, height), (s + gap, height))
            for s, height in zip(seconds, heights, strict=True)
        ]

    heights = [max(scores[second], 0.02) for second in scored]  # a score of 0 is visible, too
    colours = [GOOD if scores[second] >= 0.5 else POOR for second in scored]
    gap = 0.05 if len(scores) <= 120 else 0.0  # of a long video only the gaps would be visible
    # One collection for all bars: an hour has thousands.
    axis.add_collection(PolyCollection(bars(scored, heights, gap), facecolors=colours))
    grey = bars(not_scored, [1.0] * len(not_scored), 0.0)
    axis.add_collection(PolyCollection(grey, facecolors=QUIET, alpha=0.25, linewidth=0))
    axis.set_ylim(0, 1)
    _set_time_axis(axis, details)
    axis.set_ylabel(plot_tr("score per second"))


def draw_waveform(axis, details: dict) -> None:
    """The audio as given."""
    duration_s = max(details["duration_s"], MIN_DURATION_S)
    samples_per_column = max(1.0, duration_s * SAMPLE_RATE / WAVEFORM_COLUMNS)
    # Audio that is longer than the video is read only as far as it is drawn.
    samples = stream_audio(details["audio"], StreamChoice.of_pair(details)[1])
    columns = waveform_columns(samples, samples_per_column)
    low, high = np.array(list(islice(columns, WAVEFORM_COLUMNS + 1))).reshape(-1, 2).T
    times_s = np.arange(len(low)) * samples_per_column / SAMPLE_RATE
    axis.fill_between(times_s, low, high, color=INK, step="post", linewidth=0.4)
    _set_time_axis(axis, details)
    axis.set_ylabel(plot_tr("audio"))


def _set_time_axis(axis, details: dict) -> None:
    axis.set_xlim(0, max(details["duration_s"], MIN_DURATION_S))
    axis.set_xlabel(plot_tr("time in s"))


def short_verdict(details: dict) -> str:
    """The verdict in few English words, for plots where no font has the user's language."""
    if details["offset_ms"] is None:
        return "undetermined"
    timeline = details["timeline"] or {"kind": "constant"}
    if timeline["kind"] == "drift":
        return f"drift {timeline['drift_ppm']:+.0f} ppm"
    if timeline["kind"] == "jumps":
        return f"jumps, {len(timeline['pieces'])} segments"
    return f"offset {details['offset_ms']:+.0f} ms"

"""What a result looks like: its curve, its offsets and scores over time, and its sound, drawn.

The same drawings make the picture of ``--plot`` and those of the report.
"""

from itertools import islice
from pathlib import Path

import numpy as np

from ..core.constants import SAMPLE_RATE
from ..media.reader import stream_audio
from ..plotting.figures import GOOD, INK, POOR, QUIET, new_figure, save_figure
from ..plotting.fonts import drawable, sayer
from ..plotting.waveform import sound_columns
from ..scoring.verdict import capped_probability

SOUND_COLUMNS = 1200


def plot_result(score: float | None, details: dict, path: str | Path) -> None:
    """Draw the similarity over offsets, the offset over time, the score of each second and the
    sound as a PNG.

    Args:
        score, details: what ``LipSyncInference.compute_sync_score`` returned.
        path: the picture to write.

    Raises:
        OutputError: it cannot be written.
    """
    say = sayer()
    figure, (top, course, middle, low) = new_figure(9, 9.5, (3, 1.6, 1.2, 1.2))
    shown = say("undetermined") if score is None else score_shown(score)
    words = details["verdict"] if drawable() else plain_verdict(details)
    figure.suptitle(f"{say('sync score')} {shown} · {words}", fontsize=13, color=INK)
    draw_curve(top, details)
    draw_course(course, details)
    draw_seconds(middle, details)
    draw_sound(low, details)
    for axis in (course, middle):
        axis.set_xlabel("")
    save_figure(figure, path)


def draw_curve(axis, details: dict) -> None:
    """The similarity over offsets, with the one found."""
    say = sayer()
    offsets = np.array(details["curve"]["offset_ms"])
    values = np.array(details["curve"]["similarity"], float)  # None becomes NaN
    axis.plot(offsets, values, color=INK, linewidth=2)
    axis.axvline(0, color=QUIET, linestyle=":", linewidth=1)
    if details["offset_ms"] is not None:
        at = details["offset_ms"]
        axis.axvline(at, color=GOOD, linewidth=1.5)
        axis.annotate(
            f"{at:+.0f} ms", (at, 1), xycoords=("data", "axes fraction"), xytext=(6, -14),
            textcoords="offset points", color=GOOD, fontsize=12,
        )  # fmt: skip
    axis.set_xlabel(say("offset: the sound delayed by … ms (> 0: the sound leads)"))
    axis.set_ylabel(say("similarity of mouth and sound"))


def draw_course(axis, details: dict) -> None:
    """The offset over time: what stretches show by themselves, and the course that was found."""
    say = sayer()
    pieces = (details["timeline"] or {"pieces": []})["pieces"]
    for piece in pieces:
        axis.plot(
            [piece["start_s"], piece["end_s"]], [piece["offset_ms"], piece["end_offset_ms"]],
            color=GOOD, linewidth=2,
        )  # fmt: skip
    shown = [stretch for stretch in details["offsets"] if stretch["offset_ms"] is not None]
    places = np.array([(each["time_s"], each["offset_ms"]) for each in shown]).reshape(-1, 2)
    sure = np.array([stretch["probability"] or 0 for stretch in shown])
    believed = [abs(offset) for offset in places[sure > 0.5, 1]]
    believed += [abs(piece[end]) for piece in pieces for end in ("offset_ms", "end_offset_ms")]
    # Where nothing is believed, all are shown: how far they scatter says why.
    most = max(100.0, 1.4 * max(believed or np.abs(places[:, 1]), default=0))
    axis.set_ylim(-most, most)
    # The surer, the darker: what is likely wrong is there, but does not catch the eye. Nor does it
    # make the rest small: what lies beyond the axis is a triangle at its edge.
    strength, beyond = 0.12 + 0.88 * sure**2, np.abs(places[:, 1]) > 0.97 * most
    for marker, which in (
        ("o", ~beyond), ("^", beyond & (places[:, 1] > 0)), ("v", beyond & (places[:, 1] < 0)),
    ):  # fmt: skip
        if which.any():
            at, offset = places[which].T
            axis.scatter(
                at, np.clip(offset, -0.94 * most, 0.94 * most), s=28, color=INK,
                alpha=strength[which], linewidth=0, zorder=3, marker=marker,
            )  # fmt: skip
    axis.axhline(0, color=QUIET, linestyle=":", linewidth=1)
    _in_time(axis, details)
    axis.set_ylabel(say("offset in ms"))


def draw_seconds(axis, details: dict) -> None:
    """The score of each second; where there is none, grey."""
    from matplotlib.collections import PolyCollection

    say = sayer()
    scores = details["per_second"]
    judged = [second for second, value in enumerate(scores) if value is not None]
    left_out = [second for second, value in enumerate(scores) if value is None]

    def bars(seconds: list[int], heights: list[float], gap: float) -> list:
        return [
            ((s + gap, 0), (s + 1 - gap, 0), (s + 1 - gap, height), (s + gap, height))
            for s, height in zip(seconds, heights, strict=True)
        ]

    heights = [max(scores[second], 0.02) for second in judged]  # a score of 0 shall be seen, too
    colours = [GOOD if scores[second] >= 0.5 else POOR for second in judged]
    gap = 0.05 if len(scores) <= 120 else 0.0  # in a long film gaps would be all one sees
    # One drawing of all bars: an hour has thousands.
    axis.add_collection(PolyCollection(bars(judged, heights, gap), facecolors=colours))
    grey = bars(left_out, [1.0] * len(left_out), 0.0)
    axis.add_collection(PolyCollection(grey, facecolors=QUIET, alpha=0.25, linewidth=0))
    axis.set_ylim(0, 1)
    _in_time(axis, details)
    axis.set_ylabel(say("score by second"))


def draw_sound(axis, details: dict) -> None:
    """The sound as it was given."""
    say = sayer()
    length_s = max(details["duration_s"], 0.2)
    per_column = max(1.0, length_s * SAMPLE_RATE / SOUND_COLUMNS)
    # Of a sound that is longer than the picture, what is drawn.
    sound = sound_columns(stream_audio(details["audio"]), per_column)
    columns = list(islice(sound, SOUND_COLUMNS + 1))
    low, high = np.array(columns).reshape(-1, 2).T
    at = np.arange(len(columns)) * per_column / SAMPLE_RATE
    axis.fill_between(at, low, high, color=INK, step="post", linewidth=0.4)
    _in_time(axis, details)
    axis.set_ylabel(say("sound"))


def _in_time(axis, details: dict) -> None:
    axis.set_xlim(0, max(details["duration_s"], 0.2))
    axis.set_xlabel(sayer()("time in s"))


def score_shown(score: float) -> str:
    """A score in two digits, never rounded up to certainty."""
    return f"{capped_probability(score):.2f}"


def plain_verdict(details: dict) -> str:
    """The verdict in English letters, for pictures where no font has those of the language."""
    if details["offset_ms"] is None:
        return "undetermined"
    timeline = details["timeline"] or {"kind": "constant"}
    if timeline["kind"] == "drift":
        return f"drift {timeline['drift_ppm']:+.0f} ppm"
    if timeline["kind"] == "jumps":
        return f"jumps, {len(timeline['pieces'])} pieces"
    return f"offset {details['offset_ms']:+.0f} ms"

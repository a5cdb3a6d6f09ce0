"""What a result looks like: a picture of the offset curve, the scores and the sound."""

import logging
from pathlib import Path

import numpy as np

from src.figures import save_figure
from src.media import SAMPLE_RATE, read_audio
from src.messages import language, tr

INK, GOOD, POOR, QUIET = "#1f3a5f", "#2a9d4a", "#c8453c", "#9aa5b1"
CHINESE_FONTS = (
    "Noto Sans CJK SC", "Source Han Sans SC", "Microsoft YaHei", "PingFang SC", "SimHei",
    "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Arial Unicode MS",
)  # fmt: skip


def plot_result(score: float | None, details: dict, path: str | Path) -> None:
    """Draw the similarity over offsets, the score of each second and the sound as a PNG.

    Args:
        score, details: what ``LipSyncInference.compute_sync_score`` returned.
        path: the picture to write.

    Raises:
        OutputError: it cannot be written.
    """
    import matplotlib

    matplotlib.use("Agg")
    import librosa.display
    import matplotlib.pyplot as plt

    say = _sayer(matplotlib)
    figure, (top, middle, low) = plt.subplots(
        3, 1, figsize=(9, 7.5), height_ratios=(3, 1.2, 1.2), constrained_layout=True
    )
    shown = say("undetermined") if score is None else f"{score:.2f}"
    words = details["verdict"] if say is tr else _english_verdict(details)
    figure.suptitle(f"{say('sync score')} {shown} · {words}", fontsize=13, color=INK)

    offsets = np.array(details["curve"]["offset_ms"])
    values = np.array(details["curve"]["similarity"], float)  # None becomes NaN
    top.plot(offsets, values, color=INK, linewidth=2)
    top.axvline(0, color=QUIET, linestyle=":", linewidth=1)
    if details["offset_ms"] is not None:
        at = details["offset_ms"]
        top.axvline(at, color=GOOD, linewidth=1.5)
        top.annotate(
            f"{at:+.0f} ms", (at, 1), xycoords=("data", "axes fraction"), xytext=(6, -14),
            textcoords="offset points", color=GOOD, fontsize=12,
        )  # fmt: skip
    top.set_xlabel(say("offset: the sound delayed by … ms (> 0: the sound leads)"))
    top.set_ylabel(say("similarity of mouth and sound"))

    seconds = [np.nan if value is None else value for value in details["per_second"]]
    colours = [GOOD if value >= 0.5 else POOR for value in seconds]
    heights = np.maximum(seconds, 0.02)  # a score of 0 shall be seen, too
    middle.bar(np.arange(len(seconds)) + 0.5, heights, width=0.9, color=colours)
    for second, value in enumerate(seconds):
        if np.isnan(value):
            middle.axvspan(second, second + 1, color=QUIET, alpha=0.25, linewidth=0)
    middle.set_ylim(0, 1)
    middle.set_ylabel(say("score by second"))

    sound = read_audio(details["audio"])
    librosa.display.waveshow(sound, sr=SAMPLE_RATE, ax=low, color=INK, axis=None)
    for axis in (middle, low):
        axis.set_xlim(0, max(details["duration_s"], 0.2))
    low.set_xlabel(say("time in s"))
    low.set_ylabel(say("sound"))
    for axis in (top, middle, low):
        axis.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)


def _sayer(matplotlib):
    """``tr`` where the pictures can show the language, else plain English."""
    if language() == "zh":
        from matplotlib import font_manager

        # It remarks on every font that lacks one of the usual weights.
        logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
        there = {font.name for font in font_manager.fontManager.ttflist}
        usable = [name for name in CHINESE_FONTS if name in there]
        if not usable:
            return lambda text: text
        matplotlib.rcParams["font.family"] = [*usable, "DejaVu Sans"]
        matplotlib.rcParams["axes.unicode_minus"] = False
    return tr


def _english_verdict(details: dict) -> str:
    if details["offset_ms"] is None:
        return "undetermined"
    return f"offset {details['offset_ms']:+.0f} ms"

"""The metrics as tables for the console."""

from ..i18n.counts import clips_of_speakers
from ..i18n.messages import tr
from .summary import SHORT_COLUMNS

LABEL_WIDTH = 28


def format_metric(name: str, value: float | None) -> str:
    """A metric as text: ms, a share in %, or a number; a dash for None.

    Args:
        name: as of ``protocol.compute_metrics``, which decides on the unit.
    """
    if value is None:
        return "–"
    if name.endswith("ms"):
        return f"{value:.1f}"
    return f"{value:.3f}" if name.split()[0] in ("AUC", "ECE", "LSE-D", "LSE-C") else f"{value:.1%}"


def format_summary(summary: dict) -> list[str]:
    """The lines of the tables: all metrics, then short ones by source and by speaker.

    Args:
        summary: of ``summary.summarise``.
    """
    lines = [
        tr(
            "{clips}; in brackets the 95 % interval over speakers",
            clips=clips_of_speakers(summary["clips"], summary["speakers"]),
        )
    ]
    if not summary["offsets_known"]:
        lines.append(tr("no clip offset is known: 0 is taken as the ground truth"))
    for name, metric in summary["figures"].items():
        positions = summary["places"].get(name)
        note = tr("  of {counted} positions, {silent} silent", **positions) if positions else ""
        lines.append(f"{name:{LABEL_WIDTH}s} {_format_interval(name, metric)}{note}")
    for title, groups in ((tr("by source"), summary["by_source"]),
                          (tr("by speaker"), summary["by_speaker"])):  # fmt: skip
        heads = " ".join(f"{column:>15s}" for column in SHORT_COLUMNS)
        lines += ["", f"{title:{LABEL_WIDTH}s} {tr('clips'):>6s} {heads}"]
        lines += [_format_row(name, group) for name, group in groups.items()]
    unknown = summary["without_a_known_offset"]
    if unknown["clips"]:
        lines += ["", _format_row(tr("offset unknown, taken as 0"), unknown)]
    return lines


def _format_interval(name: str, metric: dict) -> str:
    low, high = (format_metric(name, metric[side]) for side in ("low", "high"))
    return f"{format_metric(name, metric['value']):>8s} {f'[{low} … {high}]':>20s}"


def _format_row(label: str, metrics: dict) -> str:
    cells = " ".join(
        f"{format_metric(column, metrics.get(column)):>15s}" for column in SHORT_COLUMNS
    )
    return f"{label[:LABEL_WIDTH]:{LABEL_WIDTH}s} {metrics['clips']:6d} {cells}"

"""Metrics as text, in their units."""

import pytest

from src.evaluation.tables import format_metric, format_summary


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("K = 5", 0.6304, "63.0%"),
        ("median error ms", 4.123, "4.1"),
        ("AUC foreign 1 s", 0.9921, "0.992"),
        ("EER foreign 1 s", 0.041, "4.1%"),
        ("LSE-D", 0.7, "0.700"),
        ("whole clip", None, "–"),
    ],
)
def test_metrics_are_formatted_by_name(name, value, text):
    assert format_metric(name, value) == text


def test_clips_without_a_known_offset_have_a_row():
    group = {"clips": 2, "K = 5": 0.5, "whole clip": None}
    summary = {
        "clips": 3, "speakers": 2, "offsets_known": True,
        "figures": {"K = 5": {"value": 0.63, "low": 0.5, "high": None}},
        "places": {"K = 5": {"counted": 40, "silent": 6}},
        "by_source": {"a source with a name that is longer than its column": group},
        "by_speaker": {}, "without_a_known_offset": group,
    }  # fmt: skip
    lines = format_summary(summary)
    assert lines[1] == f"{'K = 5':28s}    63.0%          [50.0% … –]  of 40 positions, 6 silent"
    assert lines[4].startswith("a source with a name that is      2           50.0%")
    assert " ".join(lines[-1].split()) == "offset unknown, taken as 0 2 50.0% – – – –"
    assert not any("clip offset is known" in line for line in lines)
    summary["offsets_known"], summary["without_a_known_offset"] = False, {"clips": 0}
    lines = format_summary(summary)
    assert "no clip offset is known: 0 is taken as the ground truth" in lines
    assert not any(line.startswith("offset unknown") for line in lines)

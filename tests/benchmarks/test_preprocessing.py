"""The speed of each stage of preprocessing, and of all of them."""

import pytest

from benchmarks.preprocessing import StageSpeed, measure_rate, measure_stages, print_stages
from src.core.config import DataConfig


def test_rate_is_the_median_after_a_warm_up():
    calls = []

    def work() -> int:
        calls.append(len(calls))
        return 7

    assert measure_rate(work, 3) > 0
    assert calls == [0, 1, 2, 3]


def test_table_ends_with_the_speed_of_all_stages_together(capsys):
    print_stages([StageSpeed("decode video", 500, 1), StageSpeed("zoomed crop", 250, 0.5)])
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[-1] for row in rows[1:]] == ["2.000", "2.000", "4.000"]
    assert rows[-1].split()[:2] == ["sum", "250"]
    assert len({len(row) for row in rows}) == 1, "columns are aligned"


@pytest.mark.slow
def test_every_stage_is_measured(talking_clip):
    stages = measure_stages(talking_clip, DataConfig(), runs=1)
    assert len(stages) == 9 and all(stage.rate > 0 for stage in stages)
    by_stage = {stage.stage: stage.per_frame for stage in stages}
    assert by_stage["decode video"] == 1
    # Of 50 frames: every second one up to 24, then some less, as in tests/faces/test_tracker.py.
    assert by_stage["detect faces, zoomed crop"] == pytest.approx(19 / 50)
    assert by_stage["detect faces, full frame"] == pytest.approx(4 / 50)

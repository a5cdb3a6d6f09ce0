"""Clocks around functions: each second counts once, for the innermost stage."""

import threading
import time

import pytest

from benchmarks.scoring import (
    STAGES,
    Clocks,
    StageTime,
    Timing,
    clocked,
    largest_shares,
    median_by_stage,
    time_score,
)
from src.pipeline.engine import LipSyncInference
from src.scoring import clip_evidence


def test_time_counts_for_the_inner_stage_only():
    clocks = Clocks()
    inner = clocks.timed("inner", lambda: time.sleep(0.05))

    def outer():
        time.sleep(0.02)
        inner()
        inner()
        return 7

    assert clocks.timed("outer", outer)() == 7
    assert clocks.wall["inner"] == pytest.approx(0.10, abs=0.05) and clocks.wall["inner"] >= 0.1
    assert 0.02 <= clocks.wall["outer"] < 0.07
    assert clocks.cpu["outer"] < 0.02, "sleep takes no CPU time"


def test_items_are_timed_but_not_what_is_done_with_them():
    clocks = Clocks()

    def items():
        for number in range(3):
            time.sleep(0.01)
            yield number

    for _ in clocks.timed_items("items", items)():
        time.sleep(0.3)
    assert 0.03 <= clocks.wall["items"] < 0.6, "a busy machine wakes late"


def test_threads_do_not_count_for_each_other():
    clocks = Clocks()
    second = threading.Thread(target=clocks.timed("second", lambda: time.sleep(0.05)))

    def first():
        second.start()
        time.sleep(0.05)
        second.join()

    clocks.timed("first", first)()
    assert clocks.wall["first"] >= 0.05 and clocks.wall["second"] >= 0.05


def test_functions_have_clocks_within_the_context_only():
    class Inference:
        class detector:
            detect = staticmethod(lambda images: [])

        class trained:
            model = None  # of neither backend: as PyTorch's

    clocks, before = Clocks(), clip_evidence.compare
    with clocked(clocks, Inference):
        assert clip_evidence.compare is not before
        assert Inference.detector.detect([]) == []
    assert clip_evidence.compare is before and set(clocks.wall) == {"detect faces"}
    assert [time.stage for time in median_by_stage([Timing(1.0, 1.0, clocks)])] == list(STAGES)


def test_every_stage_of_a_score_takes_time(talking_clip):
    """No function is wrapped that scoring does not call."""
    timing = time_score(LipSyncInference("pretrained/best_model.pth", "cpu"), talking_clip)
    assert all(timing.clocks.wall[stage] > 0 for stage in STAGES)
    assert set(timing.clocks.wall) == set(STAGES)
    assert sum(timing.clocks.cpu.values()) <= timing.cpu


def test_the_largest_shares_are_named():
    times = [("decode", 9.0, 0.5), ("detect", 2.0, 2.0), ("crop", 1.0, 1.0), ("score", 1.0, 0.1)]
    stages = [StageTime(*values) for values in times]
    assert largest_shares(stages, 4.0) == "detect 50%, crop 25%, decode 12%"

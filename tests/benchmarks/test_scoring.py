"""Clocks around functions: each second counts once, for the innermost stage."""

import threading
import time

import pytest

from benchmarks.scoring import STAGES, Clocks, Times, clocked, largest_shares, table
from src.scoring import clip_evidence


def spend(seconds: float) -> None:
    time.sleep(seconds)


def test_time_counts_for_the_inner_stage_only():
    clocks = Clocks()
    inner = clocks.timed("inner", lambda: spend(0.05))

    def work():
        spend(0.02)
        inner()
        inner()
        return 7

    assert clocks.timed("outer", work)() == 7
    assert clocks.wall["inner"] == pytest.approx(0.10, abs=0.05) and clocks.wall["inner"] >= 0.1
    assert 0.02 <= clocks.wall["outer"] < 0.07
    assert clocks.busy["outer"] < 0.02, "to sleep is not to work"


def test_items_are_timed_but_not_what_is_done_with_them():
    clocks = Clocks()

    def items():
        for number in range(3):
            spend(0.01)
            yield number

    for _ in clocks.timed_items("items", items)():
        spend(0.3)
    assert 0.03 <= clocks.wall["items"] < 0.6, "a busy machine wakes late"


def test_threads_do_not_count_for_each_other():
    clocks = Clocks()
    beside = threading.Thread(target=clocks.timed("beside", lambda: spend(0.05)))

    def work():
        beside.start()
        spend(0.05)
        beside.join()

    clocks.timed("main", work)()
    assert clocks.wall["main"] >= 0.05 and clocks.wall["beside"] >= 0.05


def test_every_stage_has_a_clock_and_leaves_it_again():
    class Judge:
        class detector:
            detect = staticmethod(lambda pictures: [])

    clocks, before = Clocks(), clip_evidence.compare
    with clocked(clocks, Judge):
        assert clip_evidence.compare is not before
        assert Judge.detector.detect([]) == []
    assert clip_evidence.compare is before and set(clocks.wall) == {"detect"}
    assert [stage for stage, _, _ in table([Times(1.0, 1.0, clocks)])] == list(STAGES)


def test_what_dominates_is_said():
    rows = [("decode", 9.0, 0.5), ("detect", 2.0, 2.0), ("crop", 1.0, 1.0), ("judge", 1.0, 0.1)]
    assert largest_shares(rows, 4.0) == "detect 50 %, crop 25 %, decode 12 %"

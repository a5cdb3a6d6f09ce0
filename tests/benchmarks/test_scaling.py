"""Rates of workers at work, efficiencies of paired runs, and all of it once on small clips."""

import os
import sys
import threading
import time

import pytest

from benchmarks import scaling
from benchmarks.own_cores import Span, Watched, available_cores, kept_on, rate, waiting_share
from benchmarks.scaling import Measures, table
from src.core import cli
from src.core.errors import ConfigError, DatasetError
from src.core.workers import map_in_processes

# Two workers, a job a second and half a second between jobs; the first job of each is longer.
EVEN = [Span(worker, begin, end)
        for worker in (1, 2)
        for begin, end in ((0, 4 + worker / 4), (5, 6), (6.5, 7.5), (8, 9))]  # fmt: skip


def test_a_rate_is_of_the_time_in_which_all_are_at_work():
    """Neither the start nor the end counts, where some wait; what is between jobs does."""
    assert rate(EVEN, 2) == pytest.approx(6 / (9 - 4.5))
    assert rate(EVEN[:4], 1) == pytest.approx(3 / (9 - 4.25))
    longer = [*EVEN, Span(2, 9.5, 10.5), Span(2, 11, 12)]  # the other has nothing to do any more
    assert rate(longer, 2) == rate(EVEN, 2)


def test_what_lies_between_two_jobs_is_their_wait():
    first = 0.75 + 0.5 + 0.5, 1 + 1 + 1  # waits and jobs of the first worker after its first job
    second = 0.5 + 0.5 + 0.5, 1 + 1 + 1
    assert waiting_share(EVEN) == pytest.approx((first[0] + second[0]) / (first[1] + second[1]))
    with pytest.raises(DatasetError, match="raise --clips"):
        waiting_share([EVEN[0], EVEN[4]])


@pytest.mark.parametrize("spans", [EVEN[:4], EVEN[:5], [EVEN[0], EVEN[4]]])
def test_too_few_jobs_give_no_rate(spans):
    with pytest.raises(DatasetError, match="raise --clips"):
        rate(spans, 2)


def test_efficiency_and_overhead_are_medians_of_the_ratios_of_pairs():
    measures = Measures()
    measures.add("scoring, dask", 1, 1.0, 0.02)
    measures.add("scoring, dask", 2, 2.0, 0.03)
    assert table(measures, 2)[-1] == (
        "scoring, dask, 2 workers: 3.0% (3.0% to 3.0%) of a clip from one to the next"
    )
    measures = Measures()
    for one, two in ((1.0, 1.8), (2.0, 4.0), (4.0, 6.4)):  # the machine grows faster meanwhile
        measures.add("preprocessing, pool, files", 1, one)
        measures.add("preprocessing, pool, files", 2, two)
        measures.add("preprocessing, dask, files", 1, one / 1.04)
        measures.add("preprocessing, dask, files", 2, two / 1.02)
    assert measures.efficiencies("preprocessing, pool, files", 2) == pytest.approx([0.8, 0.9, 1.0])
    lines = table(measures, 2)
    assert lines[1].split()[-5:] == ["4.000", "90%", "(80%", "to", "100%)"]
    assert lines[3:] == [
        "preprocessing, dask, files instead of pool, 1 workers: +4.0% (+4.0% to +4.0%) a clip",
        "preprocessing, dask, files instead of pool, 2 workers: +2.0% (+2.0% to +2.0%) a clip",
    ]


pinned = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="no way to keep a process on a core"
)


def where(_context, job):
    time.sleep(0.2)
    return os.sched_getaffinity(0)


@pinned
def test_each_worker_has_a_core_of_its_own():
    n_workers = min(2, len(os.sched_getaffinity(0)))
    chosen = available_cores(n_workers)[:n_workers]
    watched = Watched(map_in_processes, chosen)
    results = [result for _, result in watched(where, None, list(range(6)), n_workers, 0)]
    assert all(len(own) == 1 for own in results) and set.union(*results) == set(chosen)
    assert len(watched.spans) == 6 and all(end - begin >= 0.2 for _, begin, end in watched.spans)


@pinned
def test_all_threads_keep_to_the_cores_until_the_end_of_the_block():
    before, seen, may_look = os.sched_getaffinity(0), [], threading.Event()

    def look():
        may_look.wait(60)
        seen.append(os.sched_getaffinity(0))

    thread = threading.Thread(target=look)
    thread.start()
    with kept_on([min(before)]):
        may_look.set()
        thread.join()
        assert seen == [{min(before)}] == [os.sched_getaffinity(0)]
    assert os.sched_getaffinity(0) == before


def test_more_workers_than_cores_are_refused():
    with pytest.raises(ConfigError, match="this machine has"):
        available_cores(1000)


@pytest.mark.slow
def test_every_part_has_its_figures(monkeypatch, capsys):
    """With one worker, compared with itself: more take long to start."""
    pytest.importorskip("distributed")
    small = ("data.input_size=48", "model.hidden_dim=32", "training.batch_size=4")
    arguments = ["--workers", 1, "--repeats", 1, "--clips", 3, "--seconds", 1, "--steps", 1,
                 "--loader-mb", 20, "--loader-seconds", 0.2, "--consumer", 2000,
                 "--parts", "preprocessing", "training", "loader",
                 *(part for text in small for part in ("--set", text))]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["scaling.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.run(scaling.main)
    assert end.value.code == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "cluster: " not in line]
    names = [f"preprocessing, {engine}, {kind}" for engine in ("pool", "dask")
             for kind in ("files", "shards")]  # fmt: skip
    names += ["training, files", "training, shards"]
    for name, line in zip(names, lines[1:7], strict=True):
        assert line.startswith(f"{name}  ")
        one, same, share = line[32:].split()[:3]
        assert float(one) == float(same) > 0 and share == "100%"
    assert all("dask" in line and "instead of pool, 1 workers" in line for line in lines[7:9])
    assert all("from one to the next" in line for line in lines[9:13])
    assert lines[13].startswith("loader") and len(lines) == 22
    assert all("waits " in line for line in lines[13:] if "workers" in line)

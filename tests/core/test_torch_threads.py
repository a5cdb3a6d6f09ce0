"""Computations beside each other: in order, with one thread of torch each, and gone in the end."""

import threading
import time

import pytest
import torch

from src.core.torch_threads import side_by_side


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def side_threads():
    return [thread for thread in threading.enumerate() if "side-by-side" in thread.name]


def test_results_come_in_order_from_threads_with_one_of_torchs_each(two_threads):
    def compute(number):
        time.sleep(0.01 * (number % 2))
        return number, torch.get_num_threads(), threading.current_thread().name

    with side_by_side() as mapped:
        results = list(mapped(compute, range(7)))
        assert list(mapped(abs, [])) == []
    assert [number for number, _, _ in results] == list(range(7))
    assert {n_threads for _, n_threads, _ in results} == {1}
    assert all("side-by-side" in name for _, _, name in results)
    assert torch.get_num_threads() == 2
    assert not side_threads()


def test_a_few_items_are_taken_ahead(two_threads):
    taken = []
    with side_by_side() as mapped:
        results = mapped(str, (taken.append(number) or number for number in range(20)))
        assert len(taken) == 2
        assert [next(results) for _ in range(5)] == list("01234")
        assert len(taken) == 7


def test_an_error_comes_in_its_place_and_leaves_no_thread(two_threads):
    def compute(number):
        return 1 / (3 - number)

    received = []
    with pytest.raises(ZeroDivisionError), side_by_side() as mapped:
        received.extend(iter(mapped(compute, range(1000)).__next__, None))
    assert len(received) == 3 and not side_threads()


def test_a_block_that_stops_early_drops_what_has_not_begun(two_threads):
    begun = []
    with pytest.raises(KeyboardInterrupt), side_by_side() as mapped:
        waits = [mapped(lambda _: begun.append(1) or time.sleep(0.05), range(2)) for _ in range(50)]
        raise KeyboardInterrupt
    assert len(begun) < 50 < 2 * len(waits) and not side_threads()


@pytest.mark.parametrize(("n_threads", "is_used"), [(1, True), (2, False)])
def test_with_a_single_thread_or_elsewhere_it_is_the_plain_map(n_threads, is_used, two_threads):
    torch.set_num_threads(n_threads)
    with side_by_side(is_used) as mapped:
        assert mapped is map

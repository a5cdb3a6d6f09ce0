"""Progress bars: on a terminal and for long work only."""

import io
import sys

import pytest

from src.core import progress


class Terminal(io.StringIO):
    """Keeps what is written to it."""

    def isatty(self):
        return True


def test_items_pass_without_output(capfd):
    assert list(progress.no_progress(iter("abc"), "stage", 3)) == ["a", "b", "c"]
    assert list(progress.progress_bars(iter("abc"), "stage", 3)) == [
        "a",
        "b",
        "c",
    ]  # no terminal here
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("total", "shown"), [(4, " 50%"), (0, "looking")])
def test_a_terminal_shows_bars_of_long_work(monkeypatch, total, shown):
    monkeypatch.setattr(progress, "SHOWN_AFTER_S", 0)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    bar = progress.progress_bars(range(4), "looking", total)
    bar.mininterval, bar.miniters = 0, 1  # every step, not ten a second
    assert list(bar) == [0, 1, 2, 3]
    assert "looking" in terminal.getvalue() and shown in terminal.getvalue()


def test_short_work_shows_none(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert list(progress.progress_bars(range(4), "looking", 4)) == [0, 1, 2, 3]
    assert "looking" not in terminal.getvalue()

"""How far work is: said on a terminal, for long work; nowhere else."""

import io
import os
import sys

import pytest

from src import progress


def test_items_pass_unseen(capfd):
    assert list(progress.unseen(iter("abc"), "stage", 3)) == ["a", "b", "c"]
    assert list(progress.bars(iter("abc"), "stage", 3)) == ["a", "b", "c"]  # no terminal here
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(os.name == "nt", reason="terminals of POSIX")
@pytest.mark.parametrize(("total", "shown"), [(4, " 50%"), (0, "looking")])
def test_a_terminal_shows_bars_of_long_work(monkeypatch, total, shown):
    import pty

    monkeypatch.setattr(progress, "SHOWN_AFTER_S", 0)
    ours, theirs = pty.openpty()
    with open(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        bar = progress.bars(range(4), "looking", total)
        bar.mininterval, bar.miniters = 0, 1  # every step, not ten a second
        assert list(bar) == [0, 1, 2, 3]
        terminal.flush()
        said = os.read(ours, 9999).decode()
    os.close(ours)
    assert "looking" in said and shown in said


def test_short_work_shows_none(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert list(progress.bars(range(4), "looking", 4)) == [0, 1, 2, 3]
    assert "looking" not in terminal.getvalue()

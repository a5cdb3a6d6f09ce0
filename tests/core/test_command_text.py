"""Commands that are printed can be pasted: into bash, and into cmd.exe."""

import os
import subprocess
import sys

import pytest

from src.core.command_text import command_text

NAMES = [
    "plain.mp4", "two words", "it's", 'a "b"', "a&b|c", "$HOME", "`ls`", "口播", "a\nb", "\x1b[2J",
    "caf\udce9.mp4", "back\\slash", "it's\nhere\\", "", "*?", "-x", "~", "#",
]  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="bash")
@pytest.mark.parametrize("name", NAMES)
def test_bash_reads_what_was_meant(monkeypatch, name):
    monkeypatch.setattr(sys, "platform", "linux")
    text = command_text(["printf", "%s", name])
    assert text.isprintable()
    done = subprocess.run(["bash", "-c", text], capture_output=True, check=True)
    assert done.stdout == os.fsencode(name)


@pytest.mark.parametrize(("argument", "expected"), [
    ("plain.mp4", "plain.mp4"), (r"C:\clips\a.mp4", r"C:\clips\a.mp4"),
    ("two words", '"two words"'),
    ("a&b", '"a&b"'), ("it's", '"it\'s"'), ("", '""'), ('a "b"', r'"a \"b\""'),
    ("C:\\my clips\\", '"C:\\my clips\\\\"'), ("training.seed=1", "training.seed=1"),
    ("口播 1.mp4", '"口播 1.mp4"'), ("a^b", '"a^b"'), ("(1)", '"(1)"'),
])  # fmt: skip
def test_windows_takes_double_quotes(monkeypatch, argument, expected):
    monkeypatch.setattr(sys, "platform", "win32")
    assert command_text(["python", argument]) == f"python {expected}"

"""Values from files in messages: short, in one line, and without commands to a terminal."""

from pathlib import Path

import pytest

from src.i18n.messages import tr
from src.i18n.shown_values import printable


def endless() -> list:
    """2 ** 40 lists, of which 41 are in memory."""
    value: list = []
    for _ in range(40):
        value = [value, value]
    return value


def self_referring() -> dict:
    value: dict = {}
    value["me"] = [value]
    return value


CASES = [
    (3, "3"), (2.5, "2.5"), (None, "None"), (True, "True"), ("text", "text"),
    (Path("a b.mp4"), "a b.mp4"), ([1, "two"], "[1, 'two']"), ({"a": 1}, "{'a': 1}"),
    (10**30, "1e+30"), (-(10**5000), "-1e+5000"), ([1] * 9, "[1, 1, 1, 1, …]"), ((), "()"),
    (endless(), "[[[[…], […]], [[…], […]]], [[[…], […]], [[…], […]]]]"),
    (self_referring(), "{'me': [{'me': […]}]}"),
    ("a\x1b[2Jb\x07\n", "a\\x1b[2Jb\\x07\\n"), ("\x9b31m", "\\x9b31m"), ("\0", "\\x00"),
    (ValueError("a\nb"), "a\\nb"), (["\x1b"], "['\\x1b']"), ("口播 é", "口播 é"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), CASES, ids=[expected for _, expected in CASES])
def test_a_value_in_a_message(value, expected):
    assert tr("{value}!", value=value) == f"{expected}!"


def test_numbers_keep_their_formats():
    assert tr("{a:.1f} {b:,} {c!r} {d:>4d}", a=0.25, b=1000, c="x", d=7) == "0.2 1,000 'x'    7"
    assert tr("{a:,} {b:+.1f} {c!r}", a=10**40, b=[1], c=endless()[:1]).startswith("1e+40 [1] [[")


def test_long_values_are_cut():
    for value in ("x" * 10**6, b"x" * 10**6, ["x" * 10**6], {"y" * 10**6: 1}):
        assert len(tr("{value}", value=value)) < 5100


def test_a_message_is_a_plain_text():
    """Messages come from other processes: what is pickled must not hold the value."""
    assert type(tr("{value}", value=endless())) is str


def test_lines_and_tabs_of_a_text_for_the_console_stay():
    assert printable("a\tb\r\n\x1b]0;title\x07") == "a\tb\r\n\\x1b]0;title\\x07"

"""``app.py``: what it refuses before the page is loaded."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from src.i18n.messages import use_language
from tests.support.limits import HANG_S

ROOT = Path(__file__).resolve().parents[2]


def app(*arguments):
    done = subprocess.run(
        [sys.executable, "app.py", "--no-browser", *arguments], cwd=ROOT, capture_output=True,
        text=True, timeout=HANG_S, env=os.environ | {"COLUMNS": "300"},
    )  # fmt: skip
    return done.returncode, done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "--password"),
        (["--port", "0"], "--port: must be 1 to 65535"),
        (["--max-size", "-1"], "--max-size: must be more than 0"),
        (["--max-minutes", "nan"], "--max-minutes: must be more than 0"),
    ],
)
def test_wrong_arguments_are_refused(arguments, said):
    status, line = app(*arguments)
    assert status == 2 and said in line


def test_a_port_that_is_taken_is_said():
    pytest.importorskip("gradio", reason="gradio is not installed (requirements-web.txt)")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        status, line = app("--port", str(port))
    assert status == 2 and f"port {port}" in line and "--port" in line


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh_CN"),
        ("en-GB,zh;q=0.5", "en"),
        ("zh;q=0.2,en;q=0.9", "en"),
        ("fr,zh;q=0.3", "zh_CN"),
        ("fr", "en"),
        ("", "en"),
        ("*;q=x,;;", "en"),
    ],
)
def test_the_language_is_that_of_the_request(header, language):
    pytest.importorskip("gradio", reason="gradio is not installed (requirements-web.txt)")
    from src.web.server import preferred_language

    with use_language("zh_CN"):  # not that of the process
        assert preferred_language(header) == language

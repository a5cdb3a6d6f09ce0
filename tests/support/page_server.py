"""Servers of this program in a process of their own: the page of ``app.py``, and others."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.limits import HANG_S

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def running_server(
    temporary: Path, command: list[str], *arguments: str, **variables: str
) -> Iterator[tuple[str, subprocess.Popen]]:
    """The address and the process of a server that ``python`` starts; then it is interrupted, and
    has ended.

    Args:
        temporary: an empty folder, for its temporary files and its output, ``log``.
        command: what is started, with ``--port`` and the arguments.
        variables: of its environment.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"} | variables
    with open(temporary / "log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, *command, "--port", str(port), *arguments],
            cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    while process.poll() is None:
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    assert process.poll() is None, (temporary / "log").read_text()
    yield f"http://127.0.0.1:{port}", process
    process.send_signal(signal.SIGINT if os.name != "nt" else signal.SIGTERM)
    process.wait(HANG_S)


@contextmanager
def running_page(temporary: Path, *arguments: str) -> Iterator[tuple[str, subprocess.Popen]]:
    """As ``running_server``; files are written to the empty folder ``temporary``, and nothing may
    stay."""
    with running_server(temporary, ["app.py", "--no-browser"], *arguments) as server:
        yield server
    assert list(temporary.glob("lipsync-page-*")) == []  # nothing of anybody stays

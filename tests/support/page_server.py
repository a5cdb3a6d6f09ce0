"""The page of ``app.py`` in a process of its own."""

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
def running_page(temporary: Path, *arguments: str) -> Iterator[str]:
    """Its address; files are written to the empty folder ``temporary``, and nothing may stay."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    with open(temporary / "log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "app.py", "--no-browser", "--port", str(port), *arguments],
            cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    while process.poll() is None:
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    assert process.poll() is None, (temporary / "log").read_text()
    yield f"http://127.0.0.1:{port}"
    process.send_signal(signal.SIGINT)
    process.wait(HANG_S)
    assert list(temporary.glob("lipsync-page-*")) == []  # nothing of anybody stays

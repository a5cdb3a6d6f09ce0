"""How long a test waits for what should end, or happen."""

import time
from collections.abc import Callable

# So long that only what hangs reaches it, however busy the machine is.
HANG_S = 3600


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    until = time.monotonic() + HANG_S
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    assert condition()

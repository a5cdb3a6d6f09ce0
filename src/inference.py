"""CLI: score a pair, find its offset, correct it; and LipSyncInference, which does the same."""

import sys
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    __package__ = "src"

from .core.cli import run
from .pipeline.engine import LipSyncInference

__all__ = ["LipSyncInference"]


def main() -> int:
    from .pipeline.command import main

    return main()


if __name__ == "__main__":
    run(main)

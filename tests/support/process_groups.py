"""Which processes of this machine run, by the group that they are in (Linux)."""

from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")


def _running() -> Iterator[tuple[Path, int, int]]:
    """(folder in /proc, parent, group) of each process; one whose status nobody has asked for yet
    has ended."""
    for stat in PROC.glob("[0-9]*/stat"):
        try:
            state, parent, group = stat.read_text().rpartition(") ")[2].split()[:3]
        except OSError:
            continue  # it has just ended
        if state != "Z":
            yield stat.parent, int(parent), int(group)


def groups_of(pid: int, name: str) -> set[int]:
    """The groups that those processes lead which a process has started, and in whose working folder
    is a file of a name."""
    return {
        group
        for process, parent, group in _running()
        if parent == pid and process.name == str(group) and (process / "cwd" / name).exists()
    }


def is_any_running(groups: set[int]) -> bool:
    """Whether a process of these groups runs."""
    return any(group in groups for _, _, group in _running())

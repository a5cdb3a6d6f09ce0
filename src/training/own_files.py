"""The files of a training in its folder: those of an earlier training are kept aside."""

import logging
import math
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..checkpoints.checkpoint import save_checkpoint
from ..checkpoints.location import BEST, FINAL, LAST
from ..checkpoints.safe_file import remove_parts
from ..core.files import ensure_folder, written_atomically
from ..core.locks import locked
from ..i18n.messages import tr
from .state import TrainingState
from .team import ALONE, Team

logger = logging.getLogger(__name__)

LOCK_NAME = ".training.lock"
PERIODIC_PATTERN = "checkpoint_epoch_*.pth"
KEPT = (BEST, LAST, FINAL)  # what the others were saved for on the way


@contextmanager
def checkpoint_folder(folder: str | Path, team: Team = ALONE) -> Iterator[Path]:
    """The folder of a training's checkpoints, made if it is missing, for this training alone. The
    first process of a team has it; the others wait until it does.

    Raises:
        InUseError: another training writes there.
        OutputError: it cannot be written.
    """
    if not team.is_first:
        team.wait_for_all()
        yield Path(folder)
        return
    folder = ensure_folder(folder)
    with locked(folder / LOCK_NAME, folder):
        remove_parts(folder, (BEST, LAST, FINAL, PERIODIC_PATTERN))
        team.wait_for_all()
        yield folder


def adopt_files(state: TrainingState, resumed_from: Path | None, folder: Path) -> None:
    """Count the files of the training that is resumed as this one's, so that they are replaced.

    Args:
        resumed_from: its checkpoint; None: a new training, which has no files yet.
        folder: of this training.
    """
    if resumed_from is None or resumed_from.resolve().parent != folder.resolve():
        return
    state.own_files |= {LAST, *state.periodic}
    if state.best_value > -math.inf:
        state.own_files |= {BEST, FINAL}
    # Else it was stopped before its first validation: these are of an earlier training.


def save_state(state: TrainingState, path: Path) -> None:
    """Save a checkpoint; the best, last or final one of an earlier training is kept aside. Of a
    team, the first process does.

    Raises:
        OutputError.
    """
    if not state.team.is_first:
        state.own_files.add(path.name)
        return
    if path.name in KEPT and path.name not in state.own_files and path.is_file():
        kept = keep_aside(path)
        logger.info(
            tr("{path} is of an earlier training: it is kept as {kept}", path=path, kept=kept.name)
        )
    save_checkpoint(path, state.checkpoint())
    state.own_files.add(path.name)


def keep_aside(path: Path) -> Path:
    """Give a file a second name, which says when it was written: ``best_model_DATE_TIME.pth``.

    Raises:
        OutputError.
    """
    written = time.strftime("%Y-%m-%d_%H-%M-%S", time.localtime(path.stat().st_mtime))
    number, kept = 1, path.with_name(f"{path.stem}_{written}{path.suffix}")
    while kept.exists():
        if kept.samefile(path):
            return kept
        number += 1
        kept = path.with_name(f"{path.stem}_{written}_{number}{path.suffix}")
    try:
        os.link(path, kept)
    except OSError:  # a disk without links
        with written_atomically(kept) as temporary_path:
            shutil.copy2(path, temporary_path)
    return kept

"""Where checkpoints are: their names in a folder, and which one is used."""

import logging
import os
import re
from pathlib import Path

from ..core.errors import MissingFileError
from ..core.files import display_path
from ..core.resources import resource_path
from ..i18n.messages import tr

logger = logging.getLogger(__name__)

BEST, LAST, FINAL = "best_model.pth", "last.pth", "final_model.pth"
PERIODIC_NAME = re.compile(r"checkpoint_epoch_[0-9]+(_step_[0-9]+)?\.pth")
PRETRAINED = resource_path(f"pretrained/{BEST}")  # comes with the project


def resolve_checkpoint(path: str | Path | None, folder: str | Path) -> Path:
    """The checkpoint to use: the given one, or the usual one.

    Args:
        path: the given one, which is never replaced; None: the usual one.
        folder: ``paths.checkpoint_dir``.

    Returns:
        ``path``; where None is given ``best_model.pth`` of ``folder`` or, with a warning, the
        pretrained one where that does not exist.

    Raises:
        MissingFileError: the given one does not exist.
    """
    if path is not None:
        if not os.path.exists(path) and PRETRAINED.is_file():
            raise MissingFileError(
                tr("checkpoint not found: {path}; python src/train.py makes one, and without "
                   "--checkpoint the pretrained model is used", path=path)
            )  # fmt: skip
        return Path(path)
    path = Path(folder) / BEST
    if os.path.exists(path) or not PRETRAINED.is_file():
        return path
    logger.warning(
        tr("{path} does not exist: using the pretrained model {pretrained}",
           path=path, pretrained=display_path(PRETRAINED))
    )  # fmt: skip
    return PRETRAINED


def newest_checkpoint(folder: Path) -> Path:
    """The checkpoint in a folder that was written last and can be resumed from.

    Raises:
        MissingFileError: there is none.
    """
    paths = [*folder.glob(LAST), *folder.glob("checkpoint_epoch_*.pth")]
    if not paths:
        raise MissingFileError(
            tr("{folder} holds no checkpoint to resume from: remove --resume", folder=folder)
        )
    return max(paths, key=lambda path: path.stat().st_mtime_ns)

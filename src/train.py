"""CLI: trains the sync model on processed samples."""

import argparse
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    __package__ = "src"

from .core.cli import make_parser, run, settings_of
from .core.command_text import command_text
from .core.errors import DatasetError, LipSyncError, OutOfMemoryError
from .i18n.messages import tr

# What needs torch is imported after the arguments have been read: --help is quick without it.
if TYPE_CHECKING:
    from .core.config import Config
    from .training.state import TrainingState
    from .training.team import Team


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(
        tr("Train the sync model on the samples of data/processed."),
        "python src/train.py --set training.batch_size=8 --set training.device=cpu",
    )
    parser.add_argument(
        "--resume", metavar="auto|CHECKPOINT",
        help=tr("resume from this checkpoint; auto: from the newest one in paths.checkpoint_dir"),
    )  # fmt: skip
    parser.add_argument(
        "--change-rate",
        action="store_true",
        help=tr("with --resume: continue at a different training.learning_rate"),
    )
    return parser.parse_args()


def resume_path(args: argparse.Namespace, folder: Path) -> Path | None:
    """The checkpoint that ``--resume`` names; None: a new training.

    Raises:
        MissingFileError: ``auto``, and the folder holds none.
    """
    from .checkpoints.location import newest_checkpoint

    if args.resume == "auto":
        return newest_checkpoint(folder)
    return Path(args.resume) if args.resume else None


def resume_hint(args: argparse.Namespace, state: "TrainingState", checkpoint: Path) -> str:
    """Where an interrupted training stopped, and the command that resumes it."""
    options = ["--config", args.config] if args.config else []
    options += [part for override in args.overrides for part in ("--set", override)]
    command = command_text(["python", "src/train.py", *options, "--resume", str(checkpoint)])
    if state.epoch_step:
        return tr("stopped after epoch {epoch} and {batch} steps of the next one; resume with: "
                  "{command}", epoch=state.epoch, batch=state.epoch_step,
                  command=command)  # fmt: skip
    return tr("stopped after epoch {epoch}; resume with: {command}",
              epoch=state.epoch, command=command)  # fmt: skip


def main() -> int:
    args = parse_arguments()
    config = settings_of(args)

    from .core.device import reuse_freed_memory
    from .training.own_files import checkpoint_folder
    from .training.team import team_joined

    reuse_freed_memory()
    settings = config.training
    try:
        with (
            team_joined(settings.device, settings.batch_size) as team,
            checkpoint_folder(config.paths.checkpoint_dir, team) as folder,
        ):
            return train(args, config, folder, team)
    except LipSyncError:
        if int(os.environ.get("RANK", 0)):
            return 2  # the first process says what is wrong
        raise


def train(args: argparse.Namespace, config: "Config", folder: Path, team: "Team") -> int:
    """Train, with the checkpoints in this folder."""
    import torch

    from .checkpoints.location import BEST
    from .training import loop
    from .training.own_files import adopt_files, save_state

    resume = resume_path(args, folder)
    state, test = loop.prepare_training(config, resume, args.change_rate, team)
    adopt_files(state, resume, folder)
    # In another folder the resumed weights are the best until an epoch is better; a training that
    # was stopped before its first validation has no best yet.
    is_best_missing = BEST not in state.own_files or not (folder / BEST).is_file()
    if resume and state.best_value > -math.inf and is_best_missing:
        save_state(state, folder / BEST)
    try:
        loop.train_model(state, folder)
    except KeyboardInterrupt:
        hint = resume_hint(args, state, loop.save_interrupted(state, folder))
        if team.is_first:
            print("\n" + hint)
        return 130
    except DatasetError as error:  # of a sample in this process's share
        if not team.is_first:
            print(tr("process {rank}: {text}", rank=team.rank, text=error), file=sys.stderr)
        raise
    except torch.cuda.OutOfMemoryError:
        raise OutOfMemoryError(
            tr("the GPU has too little memory: lower training.batch_size (now {batch}) or "
               "data.input_size (now {size})",
               batch=config.training.batch_size, size=config.data.input_size)
        ) from None  # fmt: skip
    if not team.is_first:
        return 0
    if BEST in state.own_files:
        loop.report_test(folder, state.device, test)
    if len(state.val_segments.samples) < loop.MIN_VAL_CLIPS:
        print(tr("few validation clips: the score is calibrated on them and will be unreliable"))
    return 0


if __name__ == "__main__":
    run(main)

"""CLI: samples -> a trained model. The training loop, readable top to bottom."""

import math
import sys
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    __package__ = "src"

import torch

from .checkpoints.checkpoint import BEST, newest_checkpoint, save_checkpoint
from .core.cli import make_parser, run, settings_of
from .core.device import reuse_freed_memory
from .core.errors import OutOfMemoryError
from .core.files import ensure_folder
from .i18n.messages import tr
from .training.loop import FEW_CLIPS, report_test, start, stopped, train_model


def main() -> int:
    parser = make_parser(
        tr("Train the sync model on the samples of data/processed."),
        "python src/train.py --set training.batch_size=8 --set training.device=cpu",
    )
    parser.add_argument(
        "--resume", metavar="auto|CHECKPOINT",
        help=tr("go on from this checkpoint; auto: where the last run in paths.checkpoint_dir "
                "stopped"),
    )  # fmt: skip
    parser.add_argument(
        "--change-rate",
        action="store_true",
        help=tr("with --resume: go on at another training.learning_rate"),
    )
    args = parser.parse_args()
    config = settings_of(args)
    reuse_freed_memory()
    folder = ensure_folder(config.paths.checkpoint_dir)
    resume = (
        newest_checkpoint(folder) if args.resume == "auto" else args.resume and Path(args.resume)
    )
    state, test = start(config, resume, args.change_rate)
    # The best of this folder, until one is better; before the first was judged there is none.
    if resume and state.best_value > -math.inf and not (folder / BEST).is_file():
        save_checkpoint(folder / BEST, state.content())
    try:
        train_model(state, folder)
    except KeyboardInterrupt:
        print("\n" + stopped(state, folder, args))
        return 130
    except torch.cuda.OutOfMemoryError:
        raise OutOfMemoryError(
            tr("the GPU has too little memory: lower training.batch_size (now {batch}) or "
               "data.input_size (now {size})",
               batch=config.training.batch_size, size=config.data.input_size)
        ) from None  # fmt: skip
    report_test(folder, state.device, test)
    if len(state.val_samples) < FEW_CLIPS:
        print(tr("few validation clips: the score is calibrated on them and will be unreliable"))
    return 0


if __name__ == "__main__":
    run(main)

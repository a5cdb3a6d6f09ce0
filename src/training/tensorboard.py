"""What a training writes for its tracker. A log that cannot be written costs the log alone."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from ..evaluation.metrics import OffsetReport
from ..i18n.messages import tr
from .batches import prepare_input
from .state import AverageMeter, TrainingState
from .trackers import Writer, make_writer

logger = logging.getLogger(__name__)


class TrainingLog:
    """The log of a training; it ends at the first error of its disk, with a warning.

    Args:
        folder: a new one for this run.
        tracker: ``training.tracker``.
        settings: shown with the run by trackers that can.
    """

    def __init__(self, folder: Path, tracker: str = "tensorboard", settings: dict | None = None):
        self._folder, self._writer = folder, None
        try:
            self._writer = make_writer(tracker, folder, settings or {})
        except OSError as error:
            self._give_up(error)

    def write(
        self, state: TrainingState, train: AverageMeter, val: AverageMeter, report: OffsetReport,
        learning_rate: float,
    ) -> None:  # fmt: skip
        """Add a finished epoch: arguments of ``write_summaries``."""
        if self._writer is None:
            return
        try:
            write_summaries(self._writer, state, train, val, report, learning_rate)
            self._writer.flush()
        except OSError as error:
            self._give_up(error)

    def close(self) -> None:
        """Write what is still waiting."""
        if self._writer is None:
            return
        try:
            self._writer.close()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        writer, self._writer = self._writer, None
        logger.warning(
            tr("cannot write the log {path}: {why}; the training goes on without it",
               path=self._folder, why=error.strerror or error)
        )  # fmt: skip
        if writer is not None:
            file_writer = getattr(writer, "file_writer", None)  # of TensorBoard
            with suppress(OSError):
                (file_writer.event_writer if file_writer else writer).close()


@contextmanager
def training_log(
    folder: Path, tracker: str = "tensorboard", settings: dict | None = None
) -> Iterator[TrainingLog]:
    """A ``TrainingLog`` that is closed at the end of the block; arguments as there."""
    previous_hook = threading.excepthook

    def hook(failure) -> None:
        # The writer's own thread also raises what it hands to the caller, who reports it.
        if not (isinstance(failure.exc_value, OSError) and "AsyncWriter" in repr(failure.thread)):
            previous_hook(failure)

    threading.excepthook = hook
    try:
        log = TrainingLog(folder, tracker, settings)
        try:
            yield log
        finally:
            log.close()
    finally:
        threading.excepthook = previous_hook


def write_summaries(
    writer: Writer, state: TrainingState, train: AverageMeter, val: AverageMeter,
    report: OffsetReport,
    learning_rate: float,
) -> None:  # fmt: skip
    """Metrics and images of a finished epoch.

    Args:
        writer: as ``trackers.Writer``.
        learning_rate: at the start of the epoch.
    """
    for name, meter in (("train", train), ("val", val)):
        writer.add_scalar(f"loss/{name}", meter.mean_loss, state.epoch)
        writer.add_scalar(f"accuracy/{name}", meter.accuracy, state.epoch)
    writer.add_scalar("learning_rate", learning_rate, state.epoch)
    for n_frames, share in report.accuracy_at.items():
        writer.add_scalar(f"offset_accuracy/K{n_frames}", share, state.epoch)
    writer.add_scalar("offset_accuracy/clip", report.clip_accuracy, state.epoch)
    strip, matrix = draw_example(state)
    writer.add_image("crops", strip, state.epoch)
    writer.add_image("similarity", matrix, state.epoch)


@torch.inference_mode()
def draw_example(state: TrainingState) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of the first validation segment, 0…1: a strip of its crops [3, height, width], and
    the similarity of all its video windows (rows) and audio windows (columns) [1, W, W]."""
    from torchvision.utils import make_grid

    batch = next(state.val_segments.iter_evenly(is_shared=False)).to(state.device)
    views, bands = prepare_input(batch, state.model.spec)
    video, audio = state.eval_model(views[:1], bands[:1])
    matrix = (video[0] @ audio[0].T + 1) / 2
    strip = make_grid(batch.crops[0, ::4, None].float() / 255, nrow=16, padding=1)
    return strip.cpu(), matrix[None].float().cpu()

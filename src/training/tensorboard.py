"""What a training writes for TensorBoard."""

import torch

from ..evaluation.metrics import OffsetReport
from .batches import prepare_input
from .state import AverageMeter, TrainingState


def write_summaries(
    writer, state: TrainingState, train: AverageMeter, val: AverageMeter, report: OffsetReport,
    learning_rate: float,
) -> None:  # fmt: skip
    """Metrics and images of a finished epoch.

    Args:
        writer: torch.utils.tensorboard.SummaryWriter.
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

    batch = next(state.val_segments.iter_evenly()).to(state.device)
    views, bands = prepare_input(batch, state.model.spec)
    video, audio = state.eval_model(views[:1], bands[:1])
    matrix = (video[0] @ audio[0].T + 1) / 2
    strip = make_grid(batch.crops[0, ::4, None].float() / 255, nrow=16, padding=1)
    return strip.cpu(), matrix[None].float().cpu()

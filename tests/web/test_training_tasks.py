"""What the page reads of a training that runs beside it."""

import pytest

from src.web.training_tasks import Curves, Point, _failure

NAMES = ("loss/train", "loss/val", "accuracy/train", "accuracy/val")


def write_epoch(writer, epoch, values):
    for name, value in zip(NAMES, values, strict=False):
        writer.add_scalar(name, value, epoch)
    writer.flush()


def test_epochs_are_read_as_they_are_written(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    curves = Curves(tmp_path / "logs")
    assert curves.new_points() == []
    with SummaryWriter(str(tmp_path / "logs" / "20260101-120000")) as writer:
        write_epoch(writer, 3, (2.0, 1.5, 0.25))
        assert curves.new_points() == []  # it is not written whole yet
        writer.add_scalar(NAMES[3], 0.5, 3)
        write_epoch(writer, 4, (1.0, 1.25, 0.5, 0.75))
        assert curves.new_points() == [
            Point(3, 2.0, 1.5, 0.25, 0.5), Point(4, 1.0, 1.25, 0.5, 0.75),
        ]  # fmt: skip
        assert curves.new_points() == []
        write_epoch(writer, 5, (0.5, 1.0, 0.75, 1.0))
        assert [point.epoch for point in curves.new_points()] == [5]


@pytest.mark.parametrize(
    ("status", "said"),
    [(2, "2 usable clips: at least 3 required"), (1, "something went wrong")],
)
def test_a_training_that_failed_says_why_in_one_sentence(tmp_path, status, said):
    errors = tmp_path / "errors.txt"
    bar = "train:   0%|          | 0/4\rtrain:  25%|##5       | 1/4\r\n"
    errors.write_text(bar + "error: 2 usable clips: at least 3 required\n")
    text = str(_failure(status, errors))
    assert text.startswith(said) and "error:" not in text and "\n" not in text

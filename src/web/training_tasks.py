"""What the tab "Training" has done in a process: make samples of clips, and train with them."""

import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2

from ..core.config import load_config
from ..core.errors import TrainingError
from ..dataset.build import ProcessingReport, process_clips
from ..dataset.clips import find_clips, find_unused
from ..dataset.contact_sheet import draw_contact_sheet
from ..dataset.index import INDEX_NAME
from ..i18n.messages import language, tr, tr_n
from .batch_tasks import is_too_long
from .check_tasks import too_long
from .worker import Work

# In the folder of a visitor, which is the working folder.
VIDEOS, AUDIOS, SAMPLES = "videos", "audios", "samples"
STOP_NAME = "stop"  # a file of this name in a training's folder ends it
POLL_S = 0.3  # so often a training is looked at
SCRIPT = Path(__file__).resolve().parents[1] / "train.py"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """Clips that were made into samples.

    Attributes:
        lines: what was found, in words.
        skipped: (clip, reason) of those that cannot be used, or not as a whole.
        n_samples: what a training has to work with.
        sheet: an image with what the network will see of them; None: there is nothing.
    """

    lines: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    n_samples: int
    sheet: Path | None


@dataclass(frozen=True)
class Point:
    """The metrics of an epoch; those of accuracy are shares, 0–1.

    Attributes:
        epoch: from 1.
    """

    epoch: int
    train_loss: float
    val_loss: float
    train_accuracy: float
    val_accuracy: float


@dataclass(frozen=True)
class Trained:
    """A training that has ended.

    Attributes:
        is_finished: it was not stopped.
        lines: what it measured at its end, in words.
    """

    is_finished: bool
    lines: tuple[str, ...]


# ---------------------------------------------------------------------------- the clips


def prepare_clips(work: Work, max_minutes: float) -> Prepared:
    """Make samples of the clips in the working folder; those that are done are not done again.

    Args:
        max_minutes: longer clips are skipped.

    Raises:
        DatasetError, OutputError: as ``process_clips``.
    """
    config = load_config(overrides=_folders())
    found = find_clips(config.data)
    long = [clip.name for clip in found if is_too_long(str(clip.video), max_minutes)]
    clips = [clip for clip in found if clip.name not in long]
    report = process_clips(
        config, clips, prune=True, progress=work.progress,
        unused=find_unused(config.data, found), map_jobs=_map_here,
    )  # fmt: skip
    skipped = [
        (name, _without(VIDEOS, _without(AUDIOS, reason)))
        for name, reason in (*report.skipped, *report.partially_used, *report.unused)
    ]
    skipped += [(name, str(too_long(name, max_minutes))) for name in long]
    sheet = _contact_sheet(work) if report.samples else None
    return Prepared(tuple(_found(report, len(found))), tuple(skipped), len(report.samples), sheet)


def _map_here(work: Callable, context: object, jobs: list, *_) -> Iterator[tuple]:
    """A ``MapJobs`` in this process: it may start no others, and its end ends them."""
    for job in jobs:
        yield job, work(context, job)


def _found(report: ProcessingReport, n_found: int) -> list[str]:
    if not report.samples:
        return [tr("No clip can be used: the table says why.")]
    n_used = len({record["clip"] for record in report.samples})
    clips = tr_n(
        "{used} of {n} clip can be used", "{used} of {n} clips can be used", n_found, used=n_used
    )
    samples = tr_n("{n} sample", "{n} samples", len(report.samples))
    return [tr("{clips}: {samples}", clips=clips, samples=samples)]


def _contact_sheet(work: Work) -> Path:
    work.report(tr("drawing the contact sheet"), None)
    drawn = work.folder / "sheet.png"
    draw_contact_sheet(Path(SAMPLES) / INDEX_NAME, drawn)
    sheet = drawn.with_suffix(".jpg")  # a tenth of its size
    sheet.write_bytes(cv2.imencode(".jpg", cv2.imread(str(drawn)))[1].tobytes())
    return sheet.resolve()


# ---------------------------------------------------------------------------- the training


def train_clips(
    work: Work, checkpoints: str, epochs: int, n_done: int, is_pretrained: bool, is_resumed: bool
) -> Trained:
    """Run ``train.py`` on the samples in the working folder; reports a ``Point`` an epoch.

    It is in the group of this process, and ends with it. A file ``STOP_NAME`` ends it as Ctrl+C
    does: it saves, and can be resumed.

    Args:
        checkpoints: folder in the working folder.
        epochs: in all.
        n_done: those that were done before it is resumed.
        is_pretrained: start from the included weights.

    Raises:
        TrainingError: it failed, with its own words.
    """
    logs = Path(work.folder.name) / "logs"
    settings = [
        *_folders(), f"paths.checkpoint_dir={checkpoints}", f"paths.log_dir={logs.as_posix()}",
        f"training.num_epochs={epochs}",
        f"training.init_from={'pretrained' if is_pretrained else 'none'}",
        f"training.device={work.spec.device or 'auto'}",
    ]  # fmt: skip
    command = [sys.executable, str(SCRIPT)]
    command += [part for setting in settings for part in ("--set", setting)]
    command += ["--resume", "auto"] if is_resumed else []
    environment = os.environ | {"LIPSYNC_LANG": language(), "PYTHONIOENCODING": "utf-8"}
    output, errors = work.folder / "output.txt", work.folder / "errors.txt"
    stop, curves, is_stopped = work.folder / STOP_NAME, Curves(logs), False
    work.report(tr("training"), None)
    with (
        open(output, "wb") as out,
        open(errors, "wb") as err,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment
        ) as process,
    ):
        try:
            while process.poll() is None:
                time.sleep(POLL_S)
                _hand_over(work, curves, epochs, n_done, is_stopped)
                if not is_stopped and stop.exists():
                    is_stopped = True
                    work.report(tr("stopping: what was learned is saved"), None)
                    process.terminate()  # it takes this for Ctrl+C, which is ignored here
        finally:
            process.kill()
    _hand_over(work, curves, epochs, n_done, is_stopped)
    if process.returncode == 0:
        return Trained(True, _last_lines(output, checkpoints))
    if is_stopped:
        return Trained(False, ())
    raise _failure(process.returncode, errors)


def _folders() -> list[str]:
    """Settings: where clips and samples are, seen from the working folder."""
    return [
        f"data.video_dir={VIDEOS}", f"data.audio_dir={AUDIOS}", f"data.processed_dir={SAMPLES}",
    ]  # fmt: skip


def _hand_over(work: Work, curves: "Curves", epochs: int, n_done: int, is_stopped: bool) -> None:
    """Report the epochs that have ended since the last call, and how far the training is."""
    for point in curves.new_points():
        work.part(point)
        if not is_stopped:
            work.report(tr("training"), (point.epoch - n_done) / max(1, epochs - n_done))


class Curves:
    """Reads what a running training writes for TensorBoard.

    Args:
        folder: its ``paths.log_dir``, of this run alone.
    """

    def __init__(self, folder: Path):
        self._folder, self._accumulator, self._n = folder, None, 0

    def new_points(self) -> list[Point]:
        """The epochs that have ended since the last call."""
        if self._accumulator is None and not self._open():
            return []
        self._accumulator.Reload()
        names = ("loss/train", "loss/val", "accuracy/train", "accuracy/val")
        if not set(names) <= set(self._accumulator.Tags()["scalars"]):
            return []
        rows = list(zip(*map(self._accumulator.Scalars, names), strict=False))
        new, self._n = rows[self._n :], len(rows)
        return [Point(row[0].step, *(event.value for event in row)) for row in new]

    def _open(self) -> bool:
        runs = list(self._folder.glob("*/events.*"))
        if not runs:
            return False
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        self._accumulator = EventAccumulator(str(runs[0].parent), {"scalars": 0, "images": 1})
        return True


def _last_lines(output: Path, checkpoints: str) -> tuple[str, ...]:
    """What a training measured on the test split: its last paragraph, with files of its folder
    named as they are downloaded."""
    text = output.read_text(encoding="utf-8", errors="replace")
    text = _without(checkpoints, text)
    return tuple(line.strip() for line in text.strip().split("\n\n")[-1].splitlines())


def _without(folder: str, text: str) -> str:
    """A text in which the files of a folder that the visitor does not know have their bare
    names."""
    return text.replace(folder + os.sep, "")


def _failure(status: int, errors: Path) -> TrainingError:
    """The error of a training that failed with an exit status."""
    text = errors.read_text(encoding="utf-8", errors="replace")
    lines = [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]
    prefix = tr("error: {text}", text="").strip()
    if status == 2 and lines:
        return TrainingError(lines[-1].removeprefix(prefix).strip())
    logger.error(text)
    return TrainingError(
        tr("something went wrong that should not; the console of the page has the details")
    )

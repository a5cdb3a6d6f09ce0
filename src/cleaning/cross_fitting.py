"""Cross-fitting: each clip's offset, measured by networks that were not trained on its speaker."""

import logging
import random
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from pathlib import Path

import torch

from ..checkpoints.checkpoint import (
    load_checkpoint,
    load_checkpoint_or_weights,
    load_weights,
    save_checkpoint,
)
from ..checkpoints.contents import weights_of
from ..core.config import Config
from ..core.constants import WINDOW_FRAMES
from ..core.device import choose_device
from ..core.errors import ClusterError, DatasetError
from ..core.files import ensure_folder
from ..core.workers import Crashed, MapJobs
from ..dataset.index import INDEX_NAME, index_locked, read_index, write_index
from ..dataset.samples import Sample, load_samples
from ..evaluation.measure import (
    CLIP_OFFSET_REACH,
    measure_evidence,
    measure_mismatched,
    measure_zero_ms,
)
from ..i18n.messages import tr
from ..models.sync_model import SyncModel
from ..training.loop import train_epoch
from ..training.resume import resume_state
from ..training.state import new_model, new_state
from .clip_offsets import (
    ClipOffset,
    assign_folds,
    centre_offsets,
    damp_fold_shift,
    estimate_clip_offset,
    evidence_threshold,
    known_offsets,
    median_change_ms,
    plot_clip_offsets,
    read_clip_offsets,
    retime_samples,
    write_clip_offsets,
)

logger = logging.getLogger(__name__)

CLEANING_DIR = "cleaning"  # beside the index: finished folds, to resume from, and the results
ZERO_CLIPS = 200  # training clips in which a network's zero reference is measured
MISMATCHED_CLIPS = 200  # clips that are measured with the audio of another one
# Settings of training that do not change the weights.
IRRELEVANT_SETTINGS = {"device", "num_epochs", "save_interval", "save_steps",
                       "keep_checkpoint_max", "monitor", "init_from", "loader_workers",
                       "sync_batch_norm"}  # fmt: skip
LATER_EPOCHS_SHARE = 0.5  # of the epochs, in rounds that start from the last round's weights


@dataclass(frozen=True)
class FoldTask:
    """What is trained and measured for one fold in one round.

    Attributes:
        fold: its number.
        train: samples of the other folds, re-timed.
        held_out: samples of the fold, re-timed.
        table_path: of its result.
        weights_path: of its training state, and in the end of its weights.
        initial_weights_path: weights of the last round; None: from scratch.
    """

    fold: int
    train: list[Sample]
    held_out: list[Sample]
    table_path: Path
    weights_path: Path
    initial_weights_path: Path | None


def measure_clip_offsets(config: Config, map_jobs: MapJobs | None = None) -> Path:
    """Measure the clip offsets of all samples and write them into the index.

    Finished work is not repeated: each fold of each round leaves its table, and each epoch of a
    training its state.

    Args:
        config: the settings.
        map_jobs: trains and measures the folds of a round, all at once; None: this process does,
            one after the other.

    Returns:
        the folder with the table ``offsets.csv`` and the plot ``offsets.png``.

    Raises:
        ClusterError: the cluster is lost, or a fold ends its workers.
        DatasetError: the index is missing, or has fewer speakers than folds.
        InUseError: another run measures or processes clips in the same folder.
        OutputError.
    """
    index_path = Path(config.data.processed_dir) / INDEX_NAME
    read_index(index_path)  # there is no folder to lock where there is no index
    with index_locked(index_path):
        return _measure_clip_offsets(config, index_path, map_jobs or _map_here)


def _measure_clip_offsets(config: Config, index_path: Path, map_jobs: MapJobs) -> Path:
    folder = Path(config.data.processed_dir) / CLEANING_DIR
    settings = config.cleaning
    samples = _load_recorded_samples(index_path, config)
    folds = assign_folds(samples, settings.folds, config.training.seed)
    rounds: list[list[ClipOffset]] = []
    weights_paths: list[Path] = []
    for number in range(1, settings.rounds + 1):
        earlier = rounds[-1] if rounds else None
        tasks = _plan_round(config, folder, number, folds, earlier, weights_paths)
        measured = _run_round(config, number, tasks, map_jobs)
        for path in weights_paths:
            path.unlink(missing_ok=True)  # the last round's networks are no longer needed
        weights_paths = [task.weights_path for task in tasks]
        rounds.append(centre_offsets(measured, samples))
        change_ms = median_change_ms(earlier, rounds[-1])
        logger.info(
            tr("round {n}: the clip offset of {known} of {all} samples was measured",
               n=number, known=len(known_offsets(measured)), all=len(measured))
        )  # fmt: skip
        if change_ms is not None:
            logger.info(tr("median change: {ms:.1f} ms", ms=change_ms))
            if change_ms < settings.still_ms:
                break
    if not known_offsets(rounds[-1]):
        raise DatasetError(
            tr("no clip offset could be measured: more talking-head clips are required, or more "
               "cleaning.epochs; the index is unchanged")
        )  # fmt: skip
    _write_to_index(index_path, rounds[-1])
    for path in weights_paths:
        path.unlink(missing_ok=True)
    write_clip_offsets(folder / "offsets.csv", rounds[-1])
    earlier = rounds[-2] if len(rounds) > 1 else None
    plot_clip_offsets(folder / "offsets.png", samples, rounds[-1], earlier)
    return folder


def _load_recorded_samples(index_path: Path, config: Config) -> list[Sample]:
    """All samples of the index, as recorded."""
    samples = load_samples(index_path, config.data, include_unusable=True)
    return _select_long_enough([replace(sample, offset_ms=0.0) for sample in samples])


def _select_long_enough(samples: list[Sample]) -> list[Sample]:
    """The samples that still hold a window after their audio is shifted."""
    return [sample for sample in samples if sample.n_frames >= WINDOW_FRAMES]


def _plan_round(
    config: Config, folder: Path, number: int, folds: list[list[Sample]],
    earlier: list[ClipOffset] | None, weights_paths: list[Path],
) -> list[FoldTask]:  # fmt: skip
    """The tasks of a round.

    Args:
        earlier: clip offsets of the last round.
        weights_paths: weights of the last round by fold; none in the first.
    """
    tasks = []
    for fold, fold_samples in enumerate(folds):
        others = [
            sample for other_fold in folds if other_fold is not fold_samples
            for sample in other_fold
        ]  # fmt: skip
        train = _select_long_enough(retime_samples(others, earlier))
        held_out = retime_samples(fold_samples, earlier)
        name = f"round-{number}-fold-{fold}-{_digest(config, train, held_out)}"
        # The weights of a finished run are deleted: additional rounds train from scratch.
        initial = weights_paths[fold] if weights_paths and weights_paths[fold].exists() else None
        tasks.append(
            FoldTask(fold, train, held_out, folder / f"{name}.csv", folder / f"{name}.pth", initial)
        )
    return tasks


def _digest(config: Config, train: list[Sample], held_out: list[Sample]) -> str:
    """A hash of everything a fold's table depends on: clips, their offsets and the settings."""
    # The name of a sample's file depends on its source and on how it was processed.
    clips = [
        [(sample.id, sample.path.name, sample.shift_hops) for sample in part]
        for part in (train, held_out)
    ]
    epochs = config.cleaning.epochs
    settings = config.training.model_dump(exclude=IRRELEVANT_SETTINGS)
    return sha256(repr((clips, settings, config.model, epochs)).encode()).hexdigest()[:8]


def _run_round(
    config: Config, number: int, tasks: list[FoldTask], map_jobs: MapJobs
) -> list[ClipOffset]:
    """The clip offsets of all folds; finished folds are read from their tables."""
    unfinished = [task for task in tasks if not task.table_path.exists()]
    context = (config, number, len(tasks))
    with closing(map_jobs(run_fold, context, unfinished, len(unfinished), 0)) as results:
        for task, result in results:
            if isinstance(result, Crashed):
                raise ClusterError(
                    tr("fold {fold} ended {n} workers of the cluster, one after the other: do they "
                       "have enough memory?", fold=task.fold + 1, n=result.n_workers)
                )  # fmt: skip
    clip_offsets: list[ClipOffset] = []
    for task in tasks:
        measurable = _select_long_enough(task.held_out)
        measurable_ids = {sample.id for sample in measurable}
        measured = read_clip_offsets(task.table_path)
        clip_offsets += damp_fold_shift(measured, measurable, len(tasks))
        clip_offsets += [
            ClipOffset(sample.id, None, 0.0) for sample in task.held_out
            if sample.id not in measurable_ids
        ]  # fmt: skip
    return clip_offsets


def run_fold(context: tuple[Config, int, int], task: FoldTask) -> None:
    """Train the network of a fold, and write the table of what it measures.

    Args:
        context: the settings, the number of the round, and of its folds.
    """
    config, number, n_folds = context
    logger.info(
        tr("round {n}, fold {fold} of {folds}: training on {train} samples, then measuring "
           "{held_out}", n=number, fold=task.fold + 1, folds=n_folds, train=len(task.train),
           held_out=len(task.held_out))
    )  # fmt: skip
    ensure_folder(task.table_path.parent)
    model = _train_network(config, _device(config.training.device), task)
    measured = _measure_fold(model, task.train, _select_long_enough(task.held_out))
    write_clip_offsets(task.table_path, measured)


@cache
def _device(name: str) -> torch.device:
    return choose_device(name)  # once: it may warn


def _map_here(work, context, jobs: list, _n_workers: int, _timeout_s: float):
    """Jobs in this process, one after the other."""
    for job in jobs:
        yield job, work(context, job)


def _train_network(config: Config, device: torch.device, task: FoldTask) -> SyncModel:
    """A network trained on a fold's training samples; an unfinished training is resumed."""
    settings = config.training
    share = LATER_EPOCHS_SHARE if task.initial_weights_path else 1
    epochs = max(1, round(config.cleaning.epochs * share))
    fold_settings = settings.model_copy(
        update={"num_epochs": epochs, "warmup_epochs": 1.0, "seed": settings.seed + task.fold}
    )
    config = config.model_copy(update={"training": fold_settings})
    state = new_state(config, new_model(config, device), task.train, [])
    state.splits_digest = task.weights_path.stem
    if task.weights_path.exists():
        resume_state(state, load_checkpoint_or_weights(task.weights_path))
    elif task.initial_weights_path:
        checkpoint = load_checkpoint(task.initial_weights_path)
        load_weights(state.model, weights_of(checkpoint), task.initial_weights_path)
    while state.epoch < epochs:
        meter = train_epoch(state)
        state.end_epoch(meter.mean_loss)
        logger.info(
            tr("epoch {epoch}/{total}: loss {loss:.4f}, accuracy {acc:.4f}",
               epoch=state.epoch, total=epochs, loss=meter.mean_loss, acc=meter.accuracy)
        )  # fmt: skip
        save_checkpoint(task.weights_path, state.checkpoint())
    return state.eval_model


def _measure_fold(
    model: SyncModel, train: list[Sample], held_out: list[Sample]
) -> list[ClipOffset]:
    """The clip offsets of held-out speakers, measured by a network."""
    zero_ms = measure_zero_ms(model, train, ZERO_CLIPS)
    # A small fold alone has too few pairs to show how much evidence mismatched pairs have.
    clips = held_out if len(held_out) >= MISMATCHED_CLIPS else [*held_out, *train]
    clips = random.Random(0).sample(clips, min(MISMATCHED_CLIPS, len(clips)))
    partners = clips[1:] + clips[:1]
    threshold = evidence_threshold(measure_mismatched(model, clips, partners, CLIP_OFFSET_REACH))
    evidence_of_clips = measure_evidence(model, held_out, CLIP_OFFSET_REACH)
    return [
        estimate_clip_offset(sample, evidence, threshold, zero_ms)
        for sample, evidence in zip(held_out, evidence_of_clips, strict=True)
    ]


def _write_to_index(index_path: Path, clip_offsets: list[ClipOffset]) -> None:
    """Write the offsets into the index; ``offset_known`` marks the samples that have one."""
    index = read_index(index_path)
    offset_by_id = known_offsets(clip_offsets)
    for record in index["samples"]:
        offset_ms = offset_by_id.get(record["id"])
        record["offset_ms"], record["offset_known"] = offset_ms or 0.0, offset_ms is not None
    write_index(index_path, index["settings"], index["samples"])

"""The training loop, readable top to bottom: prepare, epochs, steps, validation, checkpoints."""

import logging
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch
from tqdm import tqdm

from ..checkpoints.checkpoint import load_checkpoint_or_weights, load_trained
from ..checkpoints.location import BEST, FINAL, LAST
from ..core.cli import uninterrupted
from ..core.config import Config
from ..dataset.index import INDEX_NAME
from ..dataset.samples import Sample, load_samples
from ..dataset.splits import other_clip_partners, split_samples
from ..evaluation.measure import (
    measure_evidence,
    measure_mismatched,
    measure_zero_ms,
    speakers_of_evidence,
)
from ..evaluation.metrics import OffsetReport, offset_report
from ..i18n.messages import tr, tr_n
from ..models.sync_model import SyncModel, count_parameters
from ..scoring.calibration import fit_calibration
from ..scoring.evidence import SEARCH_REACH
from .augmentation import Augmentation
from .batches import Batch, prepare_input, window_masks
from .divergence import check_step, check_validation
from .own_files import save_state
from .resume import (
    init_checkpoint,
    load_pretrained,
    match_network,
    resume_state,
    warn_of_repetition,
)
from .state import AverageMeter, TrainingState, new_model, new_state
from .team import ALONE, Team
from .tensorboard import training_log
from .trackers import check_tracker

logger = logging.getLogger(__name__)

TEST_LENGTHS = (5, 15)  # frames
CALIBRATION_REACH = 2 * SEARCH_REACH  # hops: audio is shifted within a search range of its own
ZERO_CLIPS = 64  # training clips in which the zero reference is measured
MIN_VAL_CLIPS = 4  # with fewer validation clips a warning is given
MAX_GRADIENT_NORM = 5.0


@dataclass
class EpochResult:
    """The metrics of one epoch.

    Attributes:
        value: of ``training.monitor``, higher is better.
        calibration: fitted if this is the best epoch so far, else None.
        zero_ms: the zero reference, likewise.
    """

    train: AverageMeter
    val: AverageMeter
    report: OffsetReport
    value: float
    calibration: dict | None = None
    zero_ms: float | None = None


# --- prepare


def prepare_training(
    config: Config, resume_path: Path | None, change_rate: bool = False, team: Team = ALONE
) -> tuple[TrainingState, list[Sample]]:
    """Load the samples and create the network, or restore both from a checkpoint.

    Args:
        resume_path: the checkpoint to resume from; None: start a new training.
        change_rate: of ``resume_state``.
        team: the processes that train together.

    Returns:
        (state, test samples).

    Raises:
        DatasetError, MissingFileError, CheckpointError.
    """
    device = team.device(config.training.device)
    logger.info(tr("device: {device}", device=device))
    source_path = resume_path or init_checkpoint(config.training)
    source = load_checkpoint_or_weights(source_path) if source_path else None
    if source:
        config = match_network(config, source)
    model = new_model(config, device)
    logger.info(tr("number of model parameters: {n:,}", n=count_parameters(model)))
    samples = load_training_samples(config)
    train, val, test = split_samples(samples, config.training)
    state = new_state(config, model, train, val, team=team)
    state.splits_digest = digest_splits(train, val, test)
    state.trained_on = sorted(sample.fingerprint for sample in train)
    if resume_path:
        resume_state(state, source, change_rate)
    elif source:
        earlier = load_pretrained(model, source)
        state.restart_ema()
        warn_of_overlap(earlier, val + test)
        warn_of_repetition(source, state)
        state.trained_on = sorted({*earlier, *state.trained_on})
    if not team.is_alone:
        logger.info(tr("{n} processes train together", n=team.size))
    logger.info(tr("training..."))
    logger.info(
        tr("training samples: {train}, validation samples: {val}, test samples: {test}",
           train=len(train), val=len(val), test=len(test))
    )  # fmt: skip
    return state, test


def load_training_samples(config: Config) -> list[Sample]:
    """The samples of the index that can be used; how many is logged.

    Raises:
        DatasetError.
    """
    index_path = Path(config.data.processed_dir) / INDEX_NAME
    samples = load_samples(index_path, config.data, config.training.split_by)
    logger.info(tr_n("loaded {n} sample", "loaded {n} samples", n=len(samples)))
    all_samples = load_samples(index_path, config.data, config.training.split_by, True)
    n_skipped = len(all_samples) - len(samples)
    if n_skipped:
        logger.info(
            tr_n(
                "{n} sample has no measurable clip offset (clean_offsets): skipped",
                "{n} samples have no measurable clip offset (clean_offsets): skipped",
                n=n_skipped,
            )
        )
    return samples


def digest_splits(*splits: list[Sample]) -> str:
    """Which clips are in which split, as a hexadecimal SHA-256."""
    groups = [sorted({sample.group for sample in split}) for split in splits]
    return sha256(repr(groups).encode()).hexdigest()


def warn_of_overlap(trained_on: list[str], held_out: list[Sample]) -> None:
    """Log how many validation and test samples the initial weights were trained on."""
    n_known = len(set(trained_on) & {sample.fingerprint for sample in held_out})
    if n_known:
        logger.info(
            tr("{n} validation and test samples were used to train the initial weights: their "
               "metrics will be too good; keep training.split_seed and the splits", n=n_known)
        )  # fmt: skip


# --- epochs and steps


def train_model(state: TrainingState, folder: Path) -> None:
    """Train until the last epoch; checkpoints go into ``folder``.

    Raises:
        TrainingError: the training has diverged.
        OutputError: a checkpoint cannot be written.
        ConfigError: the library of ``training.tracker`` is not installed.
    """
    settings = state.config.training
    check_tracker(settings.tracker)
    log_dir = Path(state.config.paths.log_dir) / time.strftime("%Y%m%d-%H%M%S")

    def after_step(_: Batch) -> None:
        if settings.save_steps and state.step % settings.save_steps == 0:
            name = f"checkpoint_epoch_{state.epoch + 1}_step_{state.step}.pth"
            save_periodic(state, folder / name)

    if state.epoch == state.step == 0 and settings.init_from != "none":
        evaluate_initial_weights(state, folder)
    new_log = training_log(log_dir, settings.tracker, state.config.model_dump(mode="json"))
    with new_log if state.team.is_first else nullcontext() as log:
        while state.epoch < settings.num_epochs:
            epoch_line = tr(
                "Epoch {epoch}/{total}", epoch=state.epoch + 1, total=settings.num_epochs
            )
            logger.info("\n" + epoch_line)
            learning_rate = state.scheduler.get_last_lr()[0]
            train = train_epoch(state, after_step)
            result = evaluate_epoch(state, train)
            with uninterrupted():  # the metrics are saved with the weights they belong to
                state.end_epoch(result.val.mean_loss)
                log_epoch(result, learning_rate)
                if log is not None:
                    log.write(state, result.train, result.val, result.report, learning_rate)
                save_epoch(state, folder, result)
    save_state(state, folder / FINAL)


def train_epoch(
    state: TrainingState,
    after_step: Callable[[Batch], None] = lambda batch: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> AverageMeter:
    """One pass over the training segments, or what remains of it after resuming.

    Args:
        after_step: called with the batch after each step.
        should_stop: asked before each step; True ends the pass early.

    Returns:
        the averages of the epoch.
    """
    settings = state.config.training
    if not state.epoch_step:
        state.begin_epoch()
    augmentation = None
    if settings.augment:
        augmentation = Augmentation(state.model.spec, state.generator, settings.augment_without)
    state.model.train()
    batches = state.train_segments.iter_random(state.epoch, skip=state.epoch_step)
    n_batches = len(state.train_segments)
    with tqdm(
        total=n_batches, initial=state.epoch_step, desc=tr("train"), unit="it",
        disable=not state.team.is_first,
    ) as bar:  # fmt: skip
        for batch in batches:
            if should_stop():
                break
            state.team.check_stop()
            state.team.seed_step(settings.seed, state.step, state.generator)
            with uninterrupted():  # training cannot resume from half a step
                train_step(state, batch, augmentation)
            after_step(batch)
            show_progress(bar, state.train_meter)
    return state.train_meter


def train_step(state: TrainingState, batch: Batch, augmentation: Augmentation | None) -> None:
    """Update the weights from one batch."""
    across_clips = state.config.training.negatives == "batch"
    loss, n_correct, n_total = forward(state, state.model, batch, augmentation, across_clips)
    loss, mean_loss, n_correct, n_total = state.team.join_loss(
        loss, n_correct, n_total, batch.n_copies
    )
    check_step(state, mean_loss, n_total)
    if n_total:
        state.optimizer.zero_grad(set_to_none=True)
        state.scaler.scale(loss).backward()
        state.scaler.unscale_(state.optimizer)
        torch.nn.utils.clip_grad_norm_(state.model.parameters(), MAX_GRADIENT_NORM)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.update_ema()
    if state.optimizer.state:
        state.scheduler.step()
    else:  # the schedule starts with the first update of the weights
        state.skipped_steps += 1
    if not state.failed_steps:
        state.train_meter.update(mean_loss, n_correct, n_total)
    state.epoch_step += 1
    state.step += 1


def forward(
    state: TrainingState, model: SyncModel, batch: Batch, augmentation: Augmentation | None,
    across_clips: bool,
) -> tuple[torch.Tensor, torch.Tensor, int]:  # fmt: skip
    """The loss of one batch.

    Args:
        across_clips: the windows of the batch's other clips are negatives too.

    Returns:
        (mean loss, number of correct choices, number of choices); of a team, in training, those
        of this process's segments.
    """
    is_training = model is state.model and model.training
    batch = batch.to(state.device)
    views, bands = prepare_input(batch, model.spec, augmentation)
    anchors, candidates = window_masks(batch)
    with torch.autocast(state.device.type, torch.float16, enabled=state.scaler.is_enabled()):
        video, audio = (state.wrapped_model if is_training else model)(views, bands)
    dtype = torch.promote_types(video.dtype, torch.float32)  # 16 bits are too few for the loss
    parts = (video.to(dtype), audio.to(dtype), anchors, candidates)
    sample_ids = batch.sample_ids if across_clips else None
    if across_clips and is_training and not state.team.is_alone:
        *parts, sample_ids = state.team.gather_segments(*parts, sample_ids)
    return state.loss(model, *parts, sample_ids)


def show_progress(bar: tqdm, meter: AverageMeter) -> None:
    """Advance a progress bar by a batch, with the averages so far."""
    bar.set_postfix_str(f"loss={meter.mean_loss:.4f}, acc={meter.accuracy:.4f}")
    bar.update()


# --- validation


def evaluate_initial_weights(state: TrainingState, folder: Path) -> None:
    """Validate and save the initial weights, which may be better than the first epochs."""
    result = evaluate_epoch(state, AverageMeter())
    with uninterrupted():
        logger.info(
            tr("before training: validation loss {loss:.4f}, validation accuracy {acc:.4f}",
               loss=result.val.mean_loss, acc=result.val.accuracy)
        )  # fmt: skip
        state.val_loss = result.val.mean_loss
        save_epoch(state, folder, result)


def evaluate_epoch(state: TrainingState, train: AverageMeter) -> EpochResult:
    """Measure the network on the validation samples, and calibrate it if it is the best so far.

    The state does not change.

    Raises:
        TrainingError: the validation loss is not finite.
    """
    model, val_samples = state.eval_model, state.val_segments.samples
    val = validate(state)
    check_validation(state, val)
    matched = state.team.measure(
        lambda samples: measure_evidence(model, samples, CALIBRATION_REACH), val_samples
    )
    in_search_range = [evidence.shifted(0, SEARCH_REACH) for evidence in matched]
    report = offset_report(in_search_range, TEST_LENGTHS)
    result = EpochResult(train, val, report, monitored_value(state.config, val, report))
    is_best = (result.value, -val.mean_loss) > (state.best_value, -state.best_val_loss)
    if is_best or not val.n_total:
        partners = other_clip_partners(val_samples)
        mismatched = state.team.measure(
            lambda *pairs: measure_mismatched(model, *pairs, CALIBRATION_REACH),
            val_samples, partners,
        )  # fmt: skip
        speakers = speakers_of_evidence(val_samples, partners)
        result.calibration = fit_calibration(matched, mismatched, SEARCH_REACH, speakers)
        result.zero_ms = measure_zero_ms(model, state.train_segments.samples, ZERO_CLIPS)
    return result


@torch.inference_mode()
def validate(state: TrainingState) -> AverageMeter:
    """One pass over the validation segments: no augmentation, negatives of the same clip."""
    model = state.eval_model.eval()
    meter = AverageMeter()
    with tqdm(
        total=len(state.val_segments), desc=tr("validate"), unit="it",
        disable=not state.team.is_first,
    ) as bar:  # fmt: skip
        for batch in state.val_segments.iter_evenly():
            loss, n_correct, n_total = forward(state, model, batch, None, across_clips=False)
            meter.update(loss.item(), int(n_correct), n_total)
            show_progress(bar, meter)
    if not state.team.is_alone:
        loss, *counts = state.team.sum(meter.loss, meter.n_correct, meter.n_total)
        meter = AverageMeter(loss, *map(round, counts))
    return meter


def monitored_value(config: Config, val: AverageMeter, report: OffsetReport) -> float:
    """The value of ``training.monitor``, which selects the best model; higher is better.

    −∞ where it cannot be measured: the validation loss decides then.
    """
    if config.training.monitor == "val_loss":
        return -val.mean_loss
    if config.training.monitor == "val_acc":
        return val.accuracy
    share = report.accuracy_at[TEST_LENGTHS[0]]
    # Clips may be too short for a window.
    share = report.clip_accuracy if math.isnan(share) else share
    return -math.inf if math.isnan(share) else share


# --- checkpoints


def save_epoch(state: TrainingState, folder: Path, result: EpochResult) -> None:
    """Save ``last.pth``, and ``best_model.pth`` and ``checkpoint_epoch_N.pth`` when due."""
    if result.calibration:
        state.best_value = result.value
        state.best_val_loss, state.best_val_acc = result.val.mean_loss, result.val.accuracy
        state.calibration, state.zero_ms = result.calibration, result.zero_ms
        save_state(state, folder / BEST)
        logger.info(tr("best model saved: {path}", path=folder / BEST))
    if state.epoch and state.epoch % state.config.training.save_interval == 0:
        save_periodic(state, folder / f"checkpoint_epoch_{state.epoch}.pth")
    save_last(state, folder)


def save_last(state: TrainingState, folder: Path) -> None:
    save_state(state, folder / LAST)
    state.last_saved = (folder / LAST, state.step)


def save_periodic(state: TrainingState, path: Path) -> None:
    """Save a ``checkpoint_epoch_….pth`` and delete the oldest beyond ``keep_checkpoint_max``.

    Only files of this training are deleted, never the best, last or final checkpoint.
    """
    # The file also lists those about to be deleted: a run killed here deletes them later.
    state.periodic = [name for name in state.periodic if name != path.name] + [path.name]
    save_state(state, path)
    max_files = state.config.training.keep_checkpoint_max
    while max_files and len(state.periodic) > max_files:
        oldest = path.parent / state.periodic.pop(0)
        if not state.team.is_first:
            continue
        try:
            oldest.unlink(missing_ok=True)
        except OSError as error:  # in use, or a folder: no reason to end a training
            logger.warning(tr("cannot delete {path}: {why}", path=oldest, why=error.strerror))


def save_interrupted(state: TrainingState, folder: Path) -> Path:
    """Save what is not saved yet, after Ctrl+C.

    Returns:
        the checkpoint to resume from.
    """
    if state.last_saved is None or state.last_saved[1] != state.step:
        save_last(state, folder)
    return state.last_saved[0]


# --- reports


def log_epoch(result: EpochResult, learning_rate: float) -> None:
    """Log the metrics of an epoch."""
    train, val = result.train, result.val
    logger.info(
        tr("train loss: {loss:.4f}, train accuracy: {acc:.4f}",
           loss=train.mean_loss, acc=train.accuracy)
    )  # fmt: skip
    logger.info(
        tr("validation loss: {loss:.4f}, validation accuracy: {acc:.4f}",
           loss=val.mean_loss, acc=val.accuracy)
    )  # fmt: skip
    logger.info(tr("learning rate: {rate:.6f}", rate=learning_rate))


def report_test(folder: Path, device: torch.device, test: list[Sample]) -> None:
    """Measure the best model on the test samples and log its metrics."""
    path = folder / BEST
    trained = load_trained(path, device)
    report = offset_report(measure_evidence(trained.model, test, SEARCH_REACH), TEST_LENGTHS)
    logger.info(
        "\n" + tr_n("test split, {n} clip, {path}:", "test split, {n} clips, {path}:",
                    report.n_clips, path=path)
    )  # fmt: skip
    for n_frames, share in report.accuracy_at.items():
        logger.info(
            "  " + tr("offset accuracy at K = {k} frames: {share:.1%} (of {places} positions)",
                      k=n_frames, share=share, places=report.positions_at[n_frames])
        )  # fmt: skip
    share = report.clip_accuracy
    logger.info("  " + tr("offset accuracy of whole clips: {share:.1%}", share=share))
    logger.info("  " + tr("median absolute error: {ms:.0f} ms", ms=report.median_error_ms))

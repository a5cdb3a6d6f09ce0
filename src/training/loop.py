"""The training loop, readable top to bottom."""

import argparse
import math
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch
from tqdm import tqdm

from ..checkpoints.checkpoint import BEST, FINAL, LAST, load_trained, save_checkpoint
from ..core.cli import uninterrupted
from ..core.config import Config
from ..core.device import choose_device
from ..dataset.index import INDEX_NAME
from ..dataset.samples import Sample, load_samples
from ..dataset.splits import other_clip_partners, split_samples
from ..evaluation.measure import measure_evidence, measure_mismatched, measure_zero_ms
from ..evaluation.metrics import OffsetReport, offset_report
from ..i18n.messages import tr
from ..models.sync_model import SyncModel, count_parameters
from ..scoring.calibration import fit_calibration
from ..scoring.evidence import SEARCH_REACH
from .augmentation import Augmentation
from .batches import Batch, network_input, windows_of
from .loss import n_way_loss
from .resume import init_checkpoint, load_pretrained, resume_state, with_network_of
from .state import AverageMeter, State, new_model, new_state

TEST_LENGTHS = (5, 15)  # frames
CALIBRATION_REACH = 2 * SEARCH_REACH  # sounds are put off within the reach of a search
ZERO_CLIPS = 64  # training clips a network is shown to see what it calls zero
FEW_CLIPS = 4  # with fewer validation clips a warning is given


@dataclass
class EpochResult:
    """What an epoch came to.

    Attributes:
        value: of ``monitored``.
        calibration: fitted anew if this is the best epoch so far, else None.
        zero_ms: what the network finds in clips it was trained on; likewise.
    """

    train: AverageMeter
    val: AverageMeter
    report: OffsetReport
    value: float
    calibration: dict | None = None
    zero_ms: float | None = None


def start(
    config: Config, resume: Path | None, change_rate: bool = False
) -> tuple[State, list[Sample]]:
    """Load the data, make the network, or take both up where a checkpoint left them.

    Args:
        change_rate: of ``resume_state``.

    Returns:
        (state, test samples).
    """
    device = choose_device(config.training.device)
    print(tr("device: {device}", device=device))
    origin = init_checkpoint(config.training)
    if resume or origin:
        config = with_network_of(config, resume or origin)
    model = new_model(config, device)
    print(tr("number of model parameters: {n:,}", n=count_parameters(model)))
    index = Path(config.data.processed_dir) / INDEX_NAME
    samples = load_samples(index, config.data, config.training.split_by)
    print(tr("loaded {n} samples", n=len(samples)))
    left_out = len(load_samples(index, config.data, config.training.split_by, True)) - len(samples)
    if left_out:
        print(tr("{n} samples do not show where they are in sync (clean_offsets): left out",
                 n=left_out))  # fmt: skip
    train, val, test = split_samples(samples, config.training)
    state = new_state(config, model, train, val)
    state.clips = splits_digest(train, val, test)
    state.trained_on = sorted(sample.fingerprint for sample in train)
    if resume:
        resume_state(state, resume, change_rate)
    elif origin:
        earlier = load_pretrained(model, origin)
        known = set(earlier) & {sample.fingerprint for sample in val + test}
        if known:
            print(tr("{n} validation and test samples were trained on before: their figures will "
                     "be too good; keep training.split_seed and the splits",
                     n=len(known)))  # fmt: skip
        state.trained_on = sorted({*earlier, *state.trained_on})
    print(tr("training..."))
    print(tr("training samples: {train}, validation samples: {val}, test samples: {test}",
             train=len(train), val=len(val), test=len(test)))  # fmt: skip
    return state, test


def splits_digest(*parts: list[Sample]) -> str:
    """Which clips are in which part, as a hexadecimal SHA-256."""
    groups = [sorted({sample.group for sample in part}) for part in parts]
    return sha256(repr(groups).encode()).hexdigest()


def forward(
    state: State, model: SyncModel, batch: Batch, augmentation: Augmentation | None, across: bool
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Loss, right answers and questions of one batch."""
    batch = batch.to(state.device)
    views, bands = network_input(batch, model.size, augmentation)
    usable, candidate = windows_of(batch)
    with torch.autocast(state.device.type, torch.float16, enabled=state.scaler.is_enabled()):
        video, audio = model(views, bands)
    return n_way_loss(
        video.float(), audio.float(), model.scale, usable, candidate,
        batch.origin if across else None,
    )  # fmt: skip


def train_epoch(state: State, after_step: Callable[[], None] = lambda: None) -> AverageMeter:
    """One pass over the training samples, or what is left of it."""
    settings = state.config.training
    if not state.batch:
        state.begin_epoch()
    augmentation = Augmentation(state.model.size, state.generator, settings.augment_without)
    if not settings.augment:
        augmentation = None
    state.model.train()
    tally = state.tally
    with tqdm(total=len(state.train), initial=state.batch, desc=tr("train"), unit="it") as bar:
        for batch in state.train.shuffled(state.epoch, skip=state.batch):
            with uninterrupted():  # half a step could not be gone on from
                train_step(state, batch, augmentation)
            after_step()
            bar.set_postfix_str(f"loss={tally.mean_loss:.4f}, acc={tally.accuracy:.4f}")
            bar.update()
    return tally


def train_step(state: State, batch: Batch, augmentation: Augmentation | None) -> None:
    """Learn from one batch."""
    across = state.config.training.negatives == "batch"
    loss, right, asked = forward(state, state.model, batch, augmentation, across)
    if asked:
        state.optimizer.zero_grad(set_to_none=True)
        state.scaler.scale(loss).backward()
        state.scaler.unscale_(state.optimizer)
        torch.nn.utils.clip_grad_norm_(state.model.parameters(), 5.0)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.note_step()
    if state.optimizer.state:
        state.scheduler.step()
    else:  # the rate begins to change after the first step there is
        state.idle += 1
    state.tally.add(loss.item(), int(right), asked)
    state.batch += 1
    state.step += 1


@torch.inference_mode()
def validate(state: State) -> AverageMeter:
    """One pass over the validation samples, without augmentation, among windows of a clip."""
    model = state.judged.eval()
    tally = AverageMeter()
    with tqdm(total=len(state.val), desc=tr("validate"), unit="it") as bar:
        for batch in state.val.in_order():
            loss, right, asked = forward(state, model, batch, None, False)
            tally.add(loss.item(), int(right), asked)
            bar.set_postfix_str(f"loss={tally.mean_loss:.4f}, acc={tally.accuracy:.4f}")
            bar.update()
    return tally


def write_log(state: State, writer, outcome: EpochResult, rate: float) -> None:
    """Numbers and pictures for TensorBoard."""
    report = outcome.report
    for name, tally in (("train", outcome.train), ("val", outcome.val)):
        writer.add_scalar(f"loss/{name}", tally.mean_loss, state.epoch)
        writer.add_scalar(f"accuracy/{name}", tally.accuracy, state.epoch)
    writer.add_scalar("learning_rate", rate, state.epoch)
    for frames, share in report.share_at.items():
        writer.add_scalar(f"offset_accuracy/K{frames}", share, state.epoch)
    writer.add_scalar("offset_accuracy/clip", report.whole_clip, state.epoch)
    strip, matrix = log_pictures(state)
    writer.add_image("crops", strip, state.epoch)
    writer.add_image("similarity", matrix, state.epoch)


@torch.inference_mode()
def log_pictures(state: State) -> tuple[torch.Tensor, torch.Tensor]:
    """A strip of crops and the video × audio similarity of the first validation piece, 0…1."""
    from torchvision.utils import make_grid

    batch = next(state.val.in_order()).to(state.device)
    views, bands = network_input(batch, state.model.size)
    video, audio = state.judged(views[:1], bands[:1])
    matrix = (video[0] @ audio[0].T + 1) / 2
    strip = make_grid(batch.crops[0, ::4, None].float() / 255, nrow=16, padding=1)
    return strip.cpu(), matrix[None].float().cpu()


def monitored(config: Config, val: AverageMeter, report: OffsetReport) -> float:
    """What the best model is best by (``training.monitor``); higher is better."""
    if config.training.monitor == "val_loss":
        return -val.mean_loss
    if config.training.monitor == "val_acc":
        return val.accuracy
    share = report.share_at[TEST_LENGTHS[0]]
    return report.whole_clip if math.isnan(share) else share  # clips too short for any place


def evaluate_epoch(state: State, train: AverageMeter) -> EpochResult:
    """Measure the network on the validation samples; changes nothing."""
    val = validate(state)
    seen = measure_evidence(state.judged, state.val_samples, CALIBRATION_REACH)
    near = [evidence.shifted(0, SEARCH_REACH) for evidence in seen]
    report = offset_report(near, TEST_LENGTHS)
    outcome = EpochResult(train, val, report, monitored(state.config, val, report))
    if (outcome.value, -val.mean_loss) > (state.best_value, -state.best_val_loss) or not val.asked:
        others = other_clip_partners(state.val_samples)
        strange = measure_mismatched(state.judged, state.val_samples, others, CALIBRATION_REACH)
        outcome.calibration = fit_calibration(seen, strange, SEARCH_REACH)
        outcome.zero_ms = measure_zero_ms(state.judged, state.train.samples, ZERO_CLIPS)
    return outcome


def save_epoch(state: State, folder: Path, outcome: EpochResult) -> None:
    """``last.pth`` always, ``best_model.pth`` and ``checkpoint_epoch_N.pth`` when due."""
    if outcome.calibration:
        state.best_value = outcome.value
        state.best_val_loss, state.best_val_acc = outcome.val.mean_loss, outcome.val.accuracy
        state.calibration, state.zero_ms = outcome.calibration, outcome.zero_ms
        save_checkpoint(folder / BEST, state.content())
        print(tr("best model saved: {path}", path=folder / BEST))
    if state.epoch and state.epoch % state.config.training.save_interval == 0:
        save_periodic(state, folder / f"checkpoint_epoch_{state.epoch}.pth")
    save_last(state, folder)


def save_last(state: State, folder: Path) -> None:
    save_checkpoint(folder / LAST, state.content())
    state.saved = (folder / LAST, state.step)


def save_periodic(state: State, path: Path) -> None:
    """Save one of the checkpoints made on the way, and drop the oldest that are too many.

    Only those this training made are ever dropped; best, last and final are none of them.
    """
    # The file names those to be dropped, too: a run that is killed now drops them later.
    state.periodic = [name for name in state.periodic if name != path.name] + [path.name]
    save_checkpoint(path, state.content())
    most = state.config.training.keep_checkpoint_max
    while most and len(state.periodic) > most:
        (path.parent / state.periodic.pop(0)).unlink(missing_ok=True)


def train_model(state: State, folder: Path) -> None:
    """Train until the last epoch."""
    from torch.utils.tensorboard import SummaryWriter

    settings = state.config.training
    log = Path(state.config.paths.log_dir) / time.strftime("%Y%m%d-%H%M%S")

    def after_step() -> None:
        if settings.save_steps and state.step % settings.save_steps == 0:
            name = f"checkpoint_epoch_{state.epoch + 1}_step_{state.step}.pth"
            save_periodic(state, folder / name)

    if state.epoch == state.step == 0 and settings.init_from != "none":
        # What training begins with may be better than what comes first.
        outcome = evaluate_epoch(state, AverageMeter())
        with uninterrupted():
            print(tr("before training: validation loss {loss:.4f}, validation accuracy {acc:.4f}",
                     loss=outcome.val.mean_loss, acc=outcome.val.accuracy))  # fmt: skip
            state.val_loss = outcome.val.mean_loss
            save_epoch(state, folder, outcome)
    with SummaryWriter(str(log)) as writer:
        while state.epoch < settings.num_epochs:
            print("\n" + tr("Epoch {epoch}/{total}", epoch=state.epoch + 1,
                            total=settings.num_epochs))  # fmt: skip
            rate = state.scheduler.get_last_lr()[0]
            train = train_epoch(state, after_step)
            outcome = evaluate_epoch(state, train)
            with uninterrupted():  # what was measured is saved with what it was measured on
                state.end_epoch(outcome.val.mean_loss)
                print_epoch(outcome, rate)
                write_log(state, writer, outcome, rate)
                save_epoch(state, folder, outcome)
    save_checkpoint(folder / FINAL, state.content())


def print_epoch(outcome: EpochResult, rate: float) -> None:
    train, val = outcome.train, outcome.val
    print(tr("train loss: {loss:.4f}, train accuracy: {acc:.4f}",
             loss=train.mean_loss, acc=train.accuracy))  # fmt: skip
    print(tr("validation loss: {loss:.4f}, validation accuracy: {acc:.4f}",
             loss=val.mean_loss, acc=val.accuracy))  # fmt: skip
    print(tr("learning rate: {rate:.6f}", rate=rate))


def report_test(folder: Path, device: torch.device, test: list[Sample]) -> None:
    """Measure the best model on the test split and print the figures."""
    path = folder / BEST
    trained = load_trained(path, device)
    report = offset_report(measure_evidence(trained.model, test, SEARCH_REACH), TEST_LENGTHS)
    print("\n" + tr("test split, {n} clips, {path}:", n=report.clips, path=path))
    for frames, share in report.share_at.items():
        print("  " + tr("offset accuracy at K = {k} frames: {share:.1%} (of {places} places)",
                        k=frames, share=share, places=report.places[frames]))  # fmt: skip
    print("  " + tr("offset accuracy of whole clips: {share:.1%}", share=report.whole_clip))
    print("  " + tr("median absolute error: {ms:.0f} ms", ms=report.median_error_ms))


def stopped(state: State, folder: Path, args: argparse.Namespace) -> str:
    """Save what there is after Ctrl+C, and say how to go on."""
    if state.saved is None or state.saved[1] != state.step:
        save_last(state, folder)
    options = ["--config", args.config] if args.config else []
    options += [part for override in args.overrides for part in ("--set", override)]
    command = shlex.join(["python", "src/train.py", *options, "--resume", str(state.saved[0])])
    if state.batch:
        return tr("stopped after epoch {epoch} and {batch} steps of the next; go on with: "
                  "{command}", epoch=state.epoch, batch=state.batch, command=command)  # fmt: skip
    return tr("stopped after epoch {epoch}; go on with: {command}",
              epoch=state.epoch, command=command)  # fmt: skip

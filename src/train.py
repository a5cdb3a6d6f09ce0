"""CLI: samples -> a trained model. The training loop, readable top to bottom."""

import math
import shlex
import sys
import time
from hashlib import sha256
from pathlib import Path

if not __package__:  # started as a script
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from tqdm import tqdm

from src.augmentation import Augmentation
from src.calibration import fit
from src.checkpoint import load_trained, save_checkpoint
from src.cli import make_parser, run, settings_of
from src.config import Config
from src.dataset import Batch, network_input, windows_of
from src.device import choose_device, reuse_freed_memory
from src.embedding import measure, measure_strange
from src.errors import OutOfMemoryError
from src.files import made_folder
from src.losses import n_way_loss
from src.messages import tr
from src.metrics import SEARCH_REACH, Evidence, offset_report
from src.model import SyncModel, count_parameters
from src.own_offsets import zero_of
from src.sample_index import INDEX_NAME
from src.samples import Sample, load_samples, split_samples
from src.training_state import State, Tally, new_model, new_state, take_up

TEST_LENGTHS = (5, 15)  # frames
CALIBRATION_REACH = 2 * SEARCH_REACH  # sounds are put off within the reach of a search
ZERO_CLIPS = 64  # training clips a network is shown to see what it calls zero
FEW_CLIPS = 4  # with fewer validation clips a warning is given


def start(config: Config, resume: Path | None) -> tuple[State, list[Sample]]:
    """Load the data, make the network, or take both up where a checkpoint left them.

    Returns:
        (state, test samples).
    """
    device = choose_device(config.training.device)
    print(tr("device: {device}", device=device))
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
    state.clips = digest_of(train, val, test)
    if resume:
        take_up(state, resume)
    print(tr("training..."))
    print(tr("training samples: {train}, validation samples: {val}, test samples: {test}",
             train=len(train), val=len(val), test=len(test)))  # fmt: skip
    return state, test


def digest_of(*parts: list[Sample]) -> str:
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


def train_epoch(state: State) -> Tally:
    """One pass over the training samples."""
    settings = state.config.training
    generator = torch.Generator().manual_seed(settings.seed * 100_003 + state.epoch)
    augmentation = Augmentation(state.model.size, generator, settings.augment_without)
    if not settings.augment:
        augmentation = None
    across = settings.negatives == "batch"
    state.model.train()
    tally = Tally()
    with tqdm(total=len(state.train), desc=tr("train"), unit="it") as bar:
        for batch in state.train.shuffled(state.epoch):
            loss, right, asked = forward(state, state.model, batch, augmentation, across)
            if asked:
                state.optimizer.zero_grad(set_to_none=True)
                state.scaler.scale(loss).backward()
                state.scaler.unscale_(state.optimizer)
                torch.nn.utils.clip_grad_norm_(state.model.parameters(), 5.0)
                state.scaler.step(state.optimizer)
                state.scaler.update()
                state.note_step()
            state.scheduler.step()
            tally.add(loss.item(), int(right), asked)
            bar.set_postfix_str(f"loss={tally.mean_loss:.4f}, acc={tally.accuracy:.4f}")
            bar.update()
    return tally


@torch.inference_mode()
def validate(state: State) -> Tally:
    """One pass over the validation samples, without augmentation, among windows of a clip."""
    model = state.judged.eval()
    tally = Tally()
    with tqdm(total=len(state.val), desc=tr("validate"), unit="it") as bar:
        for batch in state.val.in_order():
            loss, right, asked = forward(state, model, batch, None, False)
            tally.add(loss.item(), int(right), asked)
            bar.set_postfix_str(f"loss={tally.mean_loss:.4f}, acc={tally.accuracy:.4f}")
            bar.update()
    return tally


def write_log(
    state: State, writer, train: Tally, val: Tally, rate: float, seen: list[Evidence]
) -> None:
    """Numbers and pictures for TensorBoard; ``seen`` is the evidence of the validation clips."""
    for name, tally in (("train", train), ("val", val)):
        writer.add_scalar(f"loss/{name}", tally.mean_loss, state.epoch)
        writer.add_scalar(f"accuracy/{name}", tally.accuracy, state.epoch)
    writer.add_scalar("learning_rate", rate, state.epoch)
    near = [evidence.shifted(0, SEARCH_REACH) for evidence in seen]
    report = offset_report(near, TEST_LENGTHS)
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


def save_epoch(state: State, folder: Path, val: Tally, seen: list[Evidence]) -> None:
    """``last.pth`` always, ``best_model.pth`` and ``checkpoint_epoch_N.pth`` when due.

    Args:
        seen: the evidence of the validation clips within ``CALIBRATION_REACH``.
    """
    if val.mean_loss < state.best_val_loss or not val.asked:
        state.best_val_loss, state.best_val_acc = val.mean_loss, val.accuracy
        strange = measure_strange(state.judged, state.val_samples, CALIBRATION_REACH)
        state.calibration = fit(seen, strange, SEARCH_REACH)
        state.zero_ms = zero_of(state.judged, state.train.samples, ZERO_CLIPS)
        save_checkpoint(folder / "best_model.pth", state.content(val.mean_loss))
        print(tr("best model saved: {path}", path=folder / "best_model.pth"))
    if state.epoch % state.config.training.save_interval == 0:
        path = folder / f"checkpoint_epoch_{state.epoch}.pth"
        save_checkpoint(path, state.content(val.mean_loss))
    save_checkpoint(folder / "last.pth", state.content(val.mean_loss))
    state.saved = (folder / "last.pth", state.epoch)


def fit_model(state: State, folder: Path) -> None:
    """Train until the last epoch."""
    from torch.utils.tensorboard import SummaryWriter

    epochs = state.config.training.num_epochs
    log = Path(state.config.paths.log_dir) / time.strftime("%Y%m%d-%H%M%S")
    with SummaryWriter(str(log)) as writer:
        while state.epoch < epochs:
            print("\n" + tr("Epoch {epoch}/{total}", epoch=state.epoch + 1, total=epochs))
            rate = state.scheduler.get_last_lr()[0]
            train = train_epoch(state)
            val = validate(state)
            state.epoch += 1
            print(tr("train loss: {loss:.4f}, train accuracy: {acc:.4f}",
                     loss=train.mean_loss, acc=train.accuracy))  # fmt: skip
            print(tr("validation loss: {loss:.4f}, validation accuracy: {acc:.4f}",
                     loss=val.mean_loss, acc=val.accuracy))  # fmt: skip
            print(tr("learning rate: {rate:.6f}", rate=rate))
            seen = measure(state.judged, state.val_samples, CALIBRATION_REACH)
            write_log(state, writer, train, val, rate, seen)
            save_epoch(state, folder, val, seen)


def report_test(folder: Path, device: torch.device, test: list[Sample]) -> None:
    """Measure the best model on the test split and print the figures."""
    path = folder / "best_model.pth"
    trained = load_trained(path, device)
    report = offset_report(measure(trained.model, test, SEARCH_REACH), TEST_LENGTHS)
    print("\n" + tr("test split, {n} clips, {path}:", n=report.clips, path=path))
    for frames, share in report.share_at.items():
        print("  " + tr("offset accuracy at K = {k} frames: {share:.1%} (of {places} places)",
                        k=frames, share=share, places=report.places[frames]))  # fmt: skip
    print("  " + tr("offset accuracy of whole clips: {share:.1%}", share=report.whole_clip))
    print("  " + tr("median absolute error: {ms:.0f} ms", ms=report.median_error_ms))


def main() -> int:
    parser = make_parser(
        tr("Train the sync model on the samples of data/processed."),
        "python src/train.py --set training.batch_size=8 --set training.device=cpu",
    )
    parser.add_argument(
        "--resume", type=Path, metavar="CHECKPOINT",
        help=tr("go on from this checkpoint, for example checkpoints/last.pth"),
    )  # fmt: skip
    args = parser.parse_args()
    config = settings_of(args)
    reuse_freed_memory()
    state, test = start(config, args.resume)
    folder = made_folder(config.paths.checkpoint_dir)
    best = folder / "best_model.pth"
    if args.resume and not best.is_file():  # the best of this folder, until a better one comes
        save_checkpoint(best, state.content(state.best_val_loss))
    try:
        fit_model(state, folder)
    except KeyboardInterrupt:
        if state.saved is None:
            state.saved = (folder / "last.pth", state.epoch)
            save_checkpoint(state.saved[0], state.content(math.inf))
        path, epoch = state.saved
        options = ["--config", args.config] if args.config else []
        options += [part for override in args.overrides for part in ("--set", override)]
        command = shlex.join(["python", "src/train.py", *options, "--resume", str(path)])
        print("\n" + tr("stopped after epoch {epoch}; go on with: {command}",
                        epoch=epoch, command=command))  # fmt: skip
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

"""Each clip's own offset, by networks that have not seen it."""

import random
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import torch

from ..checkpoints.checkpoint import load_checkpoint, load_weights, save_checkpoint
from ..core.config import Config
from ..core.constants import WINDOW_FRAMES
from ..core.device import choose_device
from ..core.errors import DatasetError
from ..core.files import ensure_folder
from ..dataset.index import INDEX_NAME, read_index, write_index
from ..dataset.samples import Sample, load_samples
from ..evaluation.measure import REACH, measure_evidence, measure_mismatched, measure_zero_ms
from ..i18n.messages import tr
from ..models.sync_model import SyncModel
from ..training.loop import train_epoch
from ..training.resume import resume_state
from ..training.state import new_model, new_state
from .clip_offsets import (
    ClipOffset,
    centred,
    draw_offsets,
    estimate_clip_offset,
    folds_of,
    least_evidence,
    moved,
    read_found,
    retime_samples,
    settled,
    write_found,
)

FOLDER = "cleaning"  # beside the index: what is needed to go on, and what was found
ZERO_CLIPS = 200  # clips a network is shown again to see what it calls zero
STRANGE_CLIPS = 200  # clips it is shown with another one's sound
NOT_OF_THE_WEIGHTS = {"device", "num_epochs", "save_interval", "save_steps",
                      "keep_checkpoint_max", "monitor", "init_from"}  # fmt: skip
LATER_SHARE = 0.5  # of the epochs, in the rounds after the first, which go on with its weights


def clean(config: Config) -> Path:
    """Find the own offsets of all samples of the index and write them into it.

    What was finished before is not done again: each fold of each round leaves its table, and each
    epoch of training its state.

    Returns:
        the folder with the table ``offsets.csv`` and the picture ``offsets.png``.

    Raises:
        DatasetError: the index is missing, or has fewer speakers than folds.
        OutputError.
    """
    index = Path(config.data.processed_dir) / INDEX_NAME
    folder = Path(config.data.processed_dir) / FOLDER
    settings = config.cleaning
    raw = [replace(one, offset_ms=0.0) for one in load_samples(index, config.data, every=True)]
    raw = _long_enough(raw)
    folds = folds_of(raw, settings.folds, config.training.seed)
    device = choose_device(config.training.device)
    rounds: list[list[ClipOffset]] = []
    weights: list[Path] = []
    for number in range(1, settings.rounds + 1):
        before = rounds[-1] if rounds else None
        found, weights = _round(config, device, folder, number, folds, before, weights)
        rounds.append(centred(found, raw))
        change = moved(before, rounds[-1])
        known = sum(one.offset_ms is not None for one in found)
        print(tr("round {n}: {known} of {all} samples show where they are in sync",
                 n=number, known=known, all=len(found)))  # fmt: skip
        if change is not None:
            print(tr("half of them moved by less than {ms:.1f} ms", ms=change))
            if change < settings.still_ms:
                break
    if all(one.offset_ms is None for one in rounds[-1]):
        raise DatasetError(
            tr("no sample shows where it is in sync: more clips of people talking are needed, or "
               "more cleaning.epochs; the index stays as it is")
        )  # fmt: skip
    _write_offsets(index, rounds[-1])
    for path in weights:
        path.unlink(missing_ok=True)
    write_found(folder / "offsets.csv", rounds[-1])
    draw_offsets(folder / "offsets.png", raw, rounds[-1], rounds[-2] if rounds[1:] else None)
    return folder


def _round(
    config: Config, device: torch.device, folder: Path, number: int, folds: list[list[Sample]],
    before: list[ClipOffset] | None, weights: list[Path],
) -> tuple[list[ClipOffset], list[Path]]:  # fmt: skip
    """What the networks of one round find in the clips of all folds, and where their weights are.

    Args:
        before: what the round before found.
        weights: those of the round before; none in the first.
    """
    found: list[ClipOffset] = []
    made = []
    for fold, held_out in enumerate(folds):
        others = [one for other in folds if other is not held_out for one in other]
        train, held_out = (
            _long_enough(retime_samples(others, before)),
            retime_samples(held_out, before),
        )
        measurable = _long_enough(held_out)
        name = f"round-{number}-fold-{fold}-{_digest(config, train, held_out)}"
        table, state = folder / f"{name}.csv", folder / f"{name}.pth"
        if not table.exists():
            print(tr("round {n}, fold {fold} of {folds}: training on {train} samples, then "
                     "measuring {held_out}", n=number, fold=fold + 1, folds=len(folds),
                     train=len(train), held_out=len(held_out)))  # fmt: skip
            ensure_folder(folder)
            # Weights of a finished cleaning are gone: more rounds of it begin with new ones.
            earlier = weights[fold] if weights and weights[fold].exists() else None
            model = _trained(config, device, state, earlier, fold, train)
            write_found(table, _measured(model, train, measurable))
        found += settled(read_found(table), measurable, len(folds))
        found += [ClipOffset(one.id, None, 0.0) for one in held_out if one not in measurable]
        made.append(state)
    for path in weights:
        path.unlink(missing_ok=True)  # the networks of the round before are not needed any more
    return found, made


def _long_enough(samples: list[Sample]) -> list[Sample]:
    """Those that have a window left once their sound is moved."""
    return [one for one in samples if one.n_frames >= WINDOW_FRAMES]


def _digest(config: Config, train: list[Sample], held_out: list[Sample]) -> str:
    """What a table depends on: other clips, offsets or settings make another one."""
    # The name of a sample's file follows from what it was made of, and how.
    clips = [[(one.id, one.path.name, one.delay) for one in part] for part in (train, held_out)]
    epochs = config.cleaning.epochs
    chosen = config.training.model_dump(exclude=NOT_OF_THE_WEIGHTS)
    return sha256(repr((clips, chosen, config.model, epochs)).encode()).hexdigest()[:8]


def _trained(
    config: Config, device: torch.device, path: Path, earlier: Path | None, fold: int,
    train: list[Sample],
) -> SyncModel:  # fmt: skip
    """A network trained on the samples; an unfinished training is taken up.

    Args:
        path: where its state is kept.
        earlier: weights of the round before to go on with.
    """
    settings = config.training
    epochs = max(1, round(config.cleaning.epochs * (LATER_SHARE if earlier else 1)))
    updated = settings.model_copy(
        update={"num_epochs": epochs, "warmup_epochs": 1.0, "seed": settings.seed + fold}
    )
    config = config.model_copy(update={"training": updated})
    state = new_state(config, new_model(config, device), train, [])
    state.clips = path.stem
    if path.exists():
        resume_state(state, path)
    elif earlier:
        load_weights(state.model, load_checkpoint(earlier), earlier)
    while state.epoch < epochs:
        tally = train_epoch(state)
        state.end_epoch(tally.mean_loss)
        print(tr("epoch {epoch}/{total}: loss {loss:.4f}, accuracy {acc:.4f}",
                 epoch=state.epoch, total=epochs, loss=tally.mean_loss,
                 acc=tally.accuracy))  # fmt: skip
        save_checkpoint(path, state.content())
    return state.judged


def _measured(model: SyncModel, train: list[Sample], held_out: list[Sample]) -> list[ClipOffset]:
    """What a network finds in clips of speakers it has not seen."""
    zero = measure_zero_ms(model, train, ZERO_CLIPS)
    # In a small fold there are too few other clips to tell what is usual.
    shown = held_out if len(held_out) >= STRANGE_CLIPS else [*held_out, *train]
    shown = random.Random(0).sample(shown, min(STRANGE_CLIPS, len(shown)))
    least = least_evidence(measure_mismatched(model, shown, shown[1:] + shown[:1], REACH))
    return [
        estimate_clip_offset(one, evidence, least, zero)
        for one, evidence in zip(held_out, measure_evidence(model, held_out, REACH), strict=True)
    ]


def _write_offsets(index: Path, found: list[ClipOffset]) -> None:
    """Put the offsets into the index; ``offset_known`` says of which samples they are known."""
    content = read_index(index)
    offsets = {one.id: one.offset_ms for one in found}
    for record in content["samples"]:
        offset = offsets.get(record["id"])
        record["offset_ms"], record["offset_known"] = offset or 0.0, offset is not None
    write_index(index, content["settings"], content["samples"])
